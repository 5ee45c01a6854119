//! What each view shows of a log that is known.

use super::browser::links;
use super::{Browser, delivery, one_of_each};
use crate::support::{Receiver, SOON, World, hmac_hex, hook};

#[test]
fn the_overview_tells_of_daemon_log_and_webhooks() {
    let (world, daemon, _receivers) = one_of_each();
    world.wait_number(
        "SELECT count(*) FROM health WHERE attempts_hour = 1",
        2,
        SOON,
    );
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/");
    assert!(page.contains("The daemon is well."), "{page}");
    assert!(
        page.contains(&format!("process {}", daemon.pid())),
        "{page}"
    );
    assert!(page.contains("answered 500"), "{page}");
    assert!(
        page.contains(">failing<") && page.contains(">well<"),
        "{page}"
    );
    let bad_first = page.find(">bad<") < page.find(">good<");
    assert!(bad_first, "what fails stands first: {page}");
    assert!(page.contains("1 attempt, 1 of them no success"), "{page}");
    for told in [
        "the last 24 hours: 1 attempt,",
        "the last 30 days: 1 attempt,",
        "At the pace of the last day it takes some ",
        "The disk has ",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    daemon.stop();
    let page = browser.page("/");
    assert!(page.contains("The daemon does not answer"), "{page}");
    world.emit("story-approve", "{}");
    let page_behind = browser.page("/");
    assert!(
        page_behind.contains("1 event of the outbox was not taken in"),
        "{page_behind}"
    );
    assert!(page.contains("answered 500"), "{page}");
}

#[test]
fn what_waits_is_told_with_its_age_and_what_check_warns_of() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(
        crate::socket::SECTION,
        &[hook("w", receiver.url("/")).line("where = []")],
    );
    let daemon = world.start();
    world.command(&["pause", "w"]).expect(0);
    world.emit("story-approve", "{}");
    let made = "SELECT created_at FROM delivery WHERE state = 'pending'";
    world.wait_number(&format!("SELECT count(*) FROM ({made})"), 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    for path in ["/", "/webhooks/w"] {
        let page = browser.page(path);
        let (_, row) = page.split_once("data-label=\"Pending\"").unwrap();
        let (_, age) = row.split_once("since <time datetime=\"").unwrap();
        let second = "strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000, 'unixepoch')";
        let time = world.log(&made.replacen("created_at", second, 1));
        assert!(age.starts_with(&time[0][0]), "{age}");
    }
    let page = browser.page("/");
    assert!(page.contains("where is empty"), "{page}");
    daemon.stop();
}

#[test]
fn with_many_webhooks_those_that_fail_are_on_the_first_page() {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    let log = rusqlite::Connection::open(world.path("log.db")).unwrap();
    log.execute_batch(
        "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
         WITH RECURSIVE n (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM n WHERE n < 299)
         SELECT 'aa-' || n, 'active', 0, 0, 0, 0 FROM n",
    )
    .unwrap();
    let browser = Browser::start(world.folder(), &["--log", "log.db"]);
    let (mut path, mut seen) = ("/".to_owned(), Vec::new());
    loop {
        let page = browser.page(&path);
        seen.extend(links(&page, "/webhooks/"));
        match links(&page, "/?from=").pop() {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen[0], "/webhooks/bad");
    let mut all = seen.clone();
    all.sort();
    all.dedup();
    assert_eq!((seen.len(), all.len()), (202, 202), "each stands once");
    // Behind the last one is no empty page without a word.
    let page = browser.page("/?from=999999999");
    assert!(page.contains("There are 202 and no more"), "{page}");
    assert!(page.contains("<a href=\"/\">The first ones</a>"), "{page}");
}

#[test]
fn a_delivery_is_shown_to_the_byte() {
    let (world, daemon, receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let received = &receivers[1].received()[0];
    let id = delivery(&world, "bad");
    let page = browser.page(&format!("/deliveries/{id}"));
    let escaped = received.text().replace('"', "&quot;");
    assert!(page.contains(&escaped), "{escaped}\n{page}");
    let signature = hmac_hex("key", received.text().as_bytes());
    assert!(page.contains(&signature), "{page}");
    assert!(page.contains("X-Bold-Signature"), "{page}");
    for told in [
        "failed: answered 500",
        "class=\"bad\">failed</dd>",
        "class=\"p3\"",
        "openssl dgst -sha256",
        "curl -sS -X POST",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let saved = links(&page, "/attempts/");
    let reply = browser.ask(&saved[0], &[]).expect(200);
    assert_eq!(reply.body, received.text());
    let kept = reply.header("content-disposition");
    assert_eq!(kept, Some("attachment; filename=\"body\""));
    daemon.stop();
}

#[test]
fn a_request_by_hand_goes_by_the_same_proxy_and_certificate_and_no_secret_is_in_it() {
    let proxy = Receiver::ok();
    let address = format!("http://127.0.0.1:{}", proxy.port());
    let world = World::new(&[]);
    world.write("proxy.key", "marker:close-by");
    let through = |url: &str| {
        let hook = hook("w", url).line(format!("proxy = \"{address}\""));
        hook.line("proxy_secret_file = \"proxy.key\"")
    };
    world.configure(&[through("http://inside.invalid/")]);
    let daemon = world.start();
    world.emit("story-approve", "{}");
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    daemon.stop();
    let page = |browser: &Browser| browser.page(&format!("/deliveries/{}", delivery(&world, "w")));
    let shown = page(&Browser::start(world.folder(), &[]));
    let option = format!("  --proxy '{address}' \\");
    assert!(shown.contains(&option), "{shown}");
    assert!(
        !shown.contains("close-by") && !shown.contains("--cert"),
        "{shown}"
    );
    let pair = through("https://inside.invalid/").line("client_cert_file = \"a.pem\"");
    world.configure(&[pair.line("client_key_file = \"/b.key\"")]);
    let browser = Browser::start(world.folder(), &[]);
    let folder = world.folder().canonicalize().unwrap();
    let options = format!(
        "{option}\n  --cert '{}/a.pem' \\\n  --key '/b.key' \\",
        folder.display()
    );
    let shown = page(&browser);
    assert!(shown.contains(&options), "{options}: {shown}");
    // What is handed on says nothing of how we get there.
    let path = format!("/deliveries/{}/export.html", delivery(&world, "w"));
    let file = browser.page(&path);
    assert!(
        file.contains("curl -sS") && !file.contains("--proxy"),
        "{file}"
    );
}

#[test]
fn an_event_leads_to_all_its_deliveries() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/events/1");
    assert!(page.contains("Event 1 story-approve"), "{page}");
    let mut found = links(&page, "/deliveries/");
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 2, "{page}");
    for path in found {
        let page = browser.page(&path);
        assert_eq!(links(&page, "/events/"), ["/events/1"], "{page}");
    }
    daemon.stop();
}

#[test]
fn what_is_not_there_is_said() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    for (path, words) in [
        ("/nowhere", "nothing under this address"),
        ("/deliveries/4711", "no delivery 4711"),
        ("/deliveries/x", "nothing under this address"),
        ("/events/4711", "knows no event 4711"),
        ("/events/%3Cb%3E", "knows no event"),
        ("/attempts/4711/body", "no body of attempt 4711"),
    ] {
        let reply = browser.ask(path, &[]).expect(404);
        assert!(reply.body.contains(words), "{path}: {}", reply.body);
    }
    daemon.stop();
}
