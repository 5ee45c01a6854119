//! What each view shows of a log that is known.

use super::browser::links;
use super::{Browser, delivery, one_of_each};
use crate::support::hmac_hex;

#[test]
fn the_overview_tells_of_daemon_log_and_webhooks() {
    let (world, daemon, _receivers) = one_of_each();
    world.wait_number(
        "SELECT count(*) FROM health WHERE attempts_hour = 1",
        2,
        crate::support::SOON,
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
    assert!(page.contains("1 attempts, 1 of them no success"), "{page}");
    daemon.stop();
    let page = browser.page("/");
    assert!(page.contains("The daemon does not answer"), "{page}");
    assert!(page.contains("answered 500"), "{page}");
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
fn an_event_leads_to_all_its_deliveries() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/events/1");
    assert!(page.contains("Event 1 story-approve"), "{page}");
    let found = links(&page, "/deliveries/");
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
