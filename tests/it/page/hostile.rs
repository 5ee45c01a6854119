//! What applications and endpoints write is shown and not obeyed.

use super::{Browser, delivery};
use crate::support::{Answer, Receiver, SOON, World, hook};

const MARKUP: &str = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";

#[test]
fn markup_and_controls_of_others_stay_text() {
    let body = format!("{MARKUP}\u{1b}[2J\u{202e}\u{0}");
    let answer = format!(
        "HTTP/1.1 500 No\r\nX-Evil: {MARKUP}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let receiver = Receiver::start(move |_| Answer::Bytes(answer.clone().into_bytes()));
    let url = receiver.url("/?a='%3Cscript%3E&amp;");
    let world = World::new(&[hook("w", url)
        .one_attempt()
        .line("headers = { X-Mine = \"marked-value\" }")]);
    let daemon = world.start();
    let data = serde_json::json!({ "headline": MARKUP, "hidden": "\u{202e}\u{200b}" });
    world.emit("story-approve", &data.to_string());
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    daemon.stop();
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "w");
    let reflected = "/log?q=%22%3E%3Cscript%3Ealert(3)%3C/script%3E%E2%80%AE%1B";
    for (path, status) in [
        ("/", 200),
        ("/log", 200),
        (&*format!("/deliveries/{id}"), 200),
        ("/events/1", 200),
        (reflected, 400),
        ("/events/%3Cscript%3E", 404),
        ("/%3Cscript%3E", 404),
    ] {
        let page = browser.ask(path, &[]).expect(status).body;
        let own = "<script src=\"/page.js\" defer></script>";
        let lower = page.replacen(own, "", 1).to_ascii_lowercase();
        for tag in ["<script", "<img", "</pre><script"] {
            assert!(!lower.contains(tag), "{path}: {tag}: {page}");
        }
        let control = page
            .chars()
            .find(|c| c.is_control() && !"\n\t".contains(*c));
        assert_eq!(control, None, "{path}");
        assert!(!page.contains('\u{202e}'), "{path}: it turns text around");
        assert!(!page.contains("marked-value"), "{path}");
    }
    let page = browser.page(&format!("/deliveries/{id}"));
    for shown in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        r"\u{1b}[2J\u{202e}\u{0}",
        r"\u{202e}\u{200b}",
        "[redacted]",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn a_large_body_is_shown_in_part() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    let data = format!(r#"{{"long":"{}"}}"#, "<é>".repeat(50_000));
    world.emit("story-approve", &data);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page(&format!("/deliveries/{}", delivery(&world, "w")));
    assert!(page.contains(" bytes more"), "no word of the rest");
    assert!(page.len() < 300_000, "{}", page.len());
    let whole = browser.page("/attempts/1/body");
    assert_eq!(whole, receiver.received()[0].text());
    daemon.stop();
}

#[test]
fn brackets_without_end_take_no_more_room_than_is_told() {
    let answer = "[".repeat(64 << 10);
    let receiver = Receiver::start(move |_| Answer::with_body(500, "", answer.as_bytes()));
    let world = World::new(&[hook("w", receiver.url("/")).one_attempt()]);
    let daemon = world.start();
    world.emit("story-approve", "{}");
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "w");
    let page = browser.page(&format!("/deliveries/{id}"));
    assert!(page.len() < 100 << 10, "{}", page.len());
    daemon.stop();
}
