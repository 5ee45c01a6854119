//! One delivery closely: beside a success, in the history of its event, and as a file to hand on.

use super::browser::{Browser, links};
use super::delivery;
use crate::support::{Answer, Receiver, SOON, World, hook, need};

/// What an answer says that nobody else should see.
const COOKIE: &str = "session=marked-cookie";

#[test]
fn a_failure_stands_beside_the_last_success_of_its_webhook() {
    let receiver = Receiver::start(|request| {
        let status = if request.text().contains("\"bad\"") {
            500
        } else {
            200
        };
        let headers = if status == 200 {
            "X-Who: well\r\n"
        } else {
            "X-Who: ill\r\n"
        };
        Answer::with_body(status, headers, b"told")
    });
    let world = World::new(&[hook("w", receiver.url("/")).one_attempt()]);
    let daemon = world.start();
    world.emit("story-approve", r#"{"kind":"good","same":1}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let first = delivery(&world, "w");
    let alone = browser.page(&format!("/deliveries/{first}/difference"));
    assert!(alone.contains("No other success of w was found"), "{alone}");
    world.emit("story-approve", r#"{"kind":"bad","same":1}"#);
    world.wait_number("SELECT count(*) FROM log", 2, SOON);
    let id = delivery(&world, "w");
    let page = browser.page(&format!("/deliveries/{id}"));
    let path = links(&page, &format!("/deliveries/{id}/difference"));
    let page = browser.page(&path[0]);
    for told in [
        &*format!("href=\"/deliveries/{first}\""),
        "- x-who: well",
        "+ x-who: ill",
        "&quot;kind&quot;: &quot;good&quot;",
        "+ ",
        "The same.",
    ] {
        assert!(
            page.to_lowercase().contains(&told.to_lowercase()),
            "{told}: {page}"
        );
    }
    browser.ask("/deliveries/4711/difference", &[]).expect(404);
    daemon.stop();
}

#[test]
fn an_event_says_which_rule_said_no() {
    let receiver = Receiver::ok();
    let world = World::new(&[
        hook("taken", receiver.url("/")),
        hook("picky", receiver.url("/")).line("where = [{ path = \"$.kind\", eq = \"b\" }]"),
        hook("other", receiver.url("/")).events("other"),
    ]);
    let daemon = world.start();
    world.emit("story-approve", r#"{"kind":"<i>"}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/events/1");
    let printed = world.command(&["explain", "1"]).expect(0).stdout;
    let why = "rule 1 of where does not hold";
    assert!(printed.contains(why), "{printed}");
    for told in [
        why,
        "&lt;i&gt;",
        "no pattern of events matches",
        "Webhooks that it was not for: 1",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let (_, table) = page.split_once("What became of it").unwrap();
    assert_eq!(
        links(table, "/webhooks/"),
        ["/webhooks/taken", "/webhooks/picky", "/webhooks/other"]
    );
    daemon.stop();
    // What no daemon has taken yet is told of too, and a copy tells what the log has.
    world.emit("story-approve", r#"{"kind":"b"}"#);
    let page = browser.page("/events/2");
    assert!(
        page.contains("not yet: the daemon has taken the events up to 1"),
        "{page}"
    );
    let copy = Browser::start(world.folder(), &["--log", "log.db"]);
    assert!(!copy.page("/events/1").contains("What became of it"));
    copy.ask("/events/2", &[]).expect(404);
}

#[test]
fn a_delivery_is_handed_on_without_what_may_be_secret() {
    let receiver = Receiver::start(|_| {
        let headers = format!(
            "Set-Cookie: {COOKIE}\r\nApiKey: marked-api\r\nX-Auth: marked-auth\r\nX-Session_Id: marked-id\r\n\
             Location: https://a:marked-user@a.example/x;id=marked-id?key=marked-place#access_token=marked-end\r\n"
        );
        Answer::with_body(500, &headers, "<script>\u{1b}[2J\u{202e}".as_bytes())
    });
    let url = receiver.url("/in?token=marked-token");
    let world = World::new(&[hook("w", url)
        .one_attempt()
        .secret("marked-key")
        .line("headers = { X-Mine = \"marked-value\" }")]);
    let daemon = world.start();
    world.emit("story-approve", r#"{"n":7}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    daemon.stop();
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "w");
    let page = browser.page(&format!("/deliveries/{id}"));
    let exports = links(&page, &format!("/deliveries/{id}/export"));
    assert_eq!(exports.len(), 2, "{page}");
    for path in exports {
        let reply = browser.ask(&path, &[]).expect(200);
        let kept = reply.header("content-disposition").unwrap();
        let ending = path.rsplit('.').next().unwrap();
        assert_eq!(
            kept,
            format!("attachment; filename=\"delivery-{id}.{ending}\"")
        );
        for mark in ["marked-", "\u{1b}", "\u{202e}"] {
            assert!(!reply.body.contains(mark), "{mark:?}: {}", reply.body);
        }
        if ending == "json" {
            let value: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            let sent = &receiver.received()[0];
            assert_eq!(value["request_body"], sent.text());
            let attempt = &value["attempts"][0];
            assert_eq!(attempt["response_body"], "<script>\u{1b}[2J\u{202e}");
            assert_eq!(
                (&attempt["status"], &value["webhook"]),
                (&500.into(), &"w".into())
            );
        } else {
            assert!(reply.body.contains("&lt;script&gt;"), "{}", reply.body);
            for loaded in ["<link", "<script", "href=", "src=", "<form"] {
                assert!(!reply.body.contains(loaded), "{loaded}: {}", reply.body);
            }
        }
    }
    browser.ask("/deliveries/4711/export.json", &[]).expect(404);
}

#[test]
fn a_signature_of_standard_webhooks_is_computed_anew_by_the_lines_shown() {
    if !need("openssl") {
        return;
    }
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))
        .dialect("standard-webhooks")
        .secret("whsec_bWFya2VkLXNlY3JldC1tYXJrZWQtc2VjcmV0")]);
    let daemon = world.start();
    world.emit("story-approve", r#"{"n":7}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page(&format!("/deliveries/{}", delivery(&world, "w")));
    let (_, lines) = page.split_once("key=$(").unwrap();
    let lines = format!("key=$({}", lines.split("</pre>").next().unwrap());
    let lines = lines
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    let sent = &receiver.received()[0];
    world.write("body", sent.text());
    let output = std::process::Command::new("sh")
        .args(["-c", &lines])
        .env(
            "WEBHOOK_SECRET",
            "whsec_bWFya2VkLXNlY3JldC1tYXJrZWQtc2VjcmV0",
        )
        .current_dir(world.folder())
        .output()
        .unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    let signature = sent.header("webhook-signature").unwrap();
    assert_eq!(signature, format!("v1,{}", made.trim()));
    daemon.stop();
}
