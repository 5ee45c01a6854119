//! What is done from the page: each order reaches the daemon, and none that another page asks for.

use super::browser::Browser;
use super::many::all_fields;
use super::{delivery, one_of_each};
use crate::support::{SOON, World};

/// Every path that acts, for the event 1 of [`one_of_each`].
fn orders(world: &World) -> Vec<String> {
    let id = delivery(world, "bad");
    vec![
        "/reload".to_owned(),
        "/webhooks/good/test".to_owned(),
        "/webhooks/good/pause".to_owned(),
        "/webhooks/good/resume".to_owned(),
        format!("/deliveries/{id}/redeliver"),
        format!("/deliveries/{id}/cancel"),
    ]
}

#[test]
fn a_test_is_sent_and_its_result_shown() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/webhooks/good");
    assert!(page.contains("action=\"/webhooks/good/test\""), "{page}");
    let done = browser
        .post("/webhooks/good/test", "", &[])
        .expect(200)
        .body;
    assert!(done.contains("good: delivered 200"), "{done}");
    assert!(
        done.contains("Request and answer"),
        "its result is in place: {done}"
    );
    let failed = browser.post("/webhooks/bad/test", "", &[]).expect(200).body;
    assert!(failed.contains("bad: failed: answered 500"), "{failed}");
    let tests = "SELECT count(*) FROM log WHERE origin = 'test'";
    assert_eq!(world.number(tests), 2);
    let unknown = browser
        .post("/webhooks/nobody/test", "", &[])
        .expect(409)
        .body;
    assert!(unknown.contains("no webhook is called"), "{unknown}");
    daemon.stop();
}

#[test]
fn a_webhook_is_paused_and_goes_on() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let wrong = browser
        .post("/webhooks/good/pause", "for=soon", &[])
        .expect(400);
    assert!(wrong.body.contains("no span"), "{}", wrong.body);
    browser
        .post("/webhooks/good/pause", "for=2h", &[])
        .expect(200);
    world.wait_number("SELECT count(*) FROM pause WHERE until > 0", 1, SOON);
    assert!(browser.page("/").contains(">paused until "));
    world.emit("story-approve", "{}");
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'pending'",
        1,
        SOON,
    );
    let page = browser.page("/webhooks/good");
    assert!(page.contains("action=\"/webhooks/good/resume\""), "{page}");
    browser.post("/webhooks/good/resume", "", &[]).expect(200);
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'good'", 2, SOON);
    daemon.stop();
}

#[test]
fn a_delivery_is_sent_again_or_cancelled() {
    let (world, daemon, receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "bad");
    let again = format!("/deliveries/{id}/redeliver");
    let page = browser.page(&format!("/deliveries/{id}"));
    assert!(page.contains(&format!("action=\"{again}\"")), "{page}");
    let done = browser.post(&again, "", &[]).expect(200).body;
    assert!(done.contains("is sent again"), "{done}");
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'bad'", 2, SOON);
    let received = receivers[1].received();
    assert_eq!(received[0].text(), received[1].text());
    browser.post("/webhooks/bad/pause", "", &[]).expect(200);
    world.emit("story-approve", "{}");
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    world.wait_number(pending, 1, SOON);
    let id = world.number("SELECT id FROM delivery WHERE state = 'pending'");
    let cancel = format!("/deliveries/{id}/cancel");
    let page = browser.page(&format!("/deliveries/{id}"));
    assert!(page.contains(&format!("action=\"{cancel}\"")), "{page}");
    browser.post(&cancel, "", &[]).expect(200);
    world.wait_number(pending, 0, SOON);
    let ended = browser.post(&cancel, "", &[]).expect(409).body;
    assert!(ended.contains("Not done"), "{ended}");
    daemon.stop();
}

#[test]
fn a_reload_is_done_or_its_errors_are_shown() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let done = browser.post("/reload", "", &[]).expect(200).body;
    assert!(done.contains("2 webhooks"), "{done}");
    assert!(!done.contains("warnings"), "{done}");
    let before = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write(
        "webhooks.toml",
        "[outbox]\npath = 7\n[[webhook]]\nname = \"<b>\"\n",
    );
    let refused = browser.post("/reload", "", &[]).expect(409).body;
    assert!(refused.contains("webhooks.toml:2:"), "{refused}");
    assert!(!refused.contains("<b>"), "{refused}");
    // The overview says why, beside the file's lines, until one is taken in.
    let page = browser.page("/");
    for told in [
        "The last reload was refused",
        "webhooks.toml:2:8: error: ",
        "path = 7",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("<b>"), "{page}");
    world.write("webhooks.toml", before + "where = []\n");
    let done = browser.post("/reload", "", &[]).expect(200).body;
    assert!(done.contains("where is empty"), "{done}");
    let page = browser.page("/");
    assert!(!page.contains("was refused"), "{page}");
    assert!(page.contains("where is empty"), "{page}");
    daemon.stop();
}

#[test]
fn no_other_page_acts() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let counted = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM pause)";
    let before = world.number(counted);
    for path in &orders(&world) {
        for said in [
            "Origin: http://attacker.example",
            "Origin: http://localhost:1",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
        ] {
            let refused = browser.post(path, "", &[said]).expect(403);
            assert!(refused.body.contains("another page asks"), "{path} {said}");
        }
        let host = ["Host: attacker.example", "Origin: http://attacker.example"];
        browser.post(path, "", &host).expect(403);
        let outside = browser.send("POST", path, &[]).expect(403);
        assert!(outside.body.contains("has not been let in"), "{path}");
        browser.ask(path, &[]).expect(404);
    }
    assert_eq!(world.number(counted), before);
    let own = [
        "Host: 127.0.0.1:8480",
        "Origin: http://127.0.0.1:8480",
        "Sec-Fetch-Site: same-origin",
    ];
    browser.post("/webhooks/good/test", "", &own).expect(200);
    let long = "for=".to_owned() + &"9".repeat(20_000);
    browser.post("/webhooks/good/pause", &long, &[]).expect(413);
    daemon.stop();
}

#[test]
fn a_page_that_only_shows_has_no_buttons() {
    let (world, daemon, _receivers) = one_of_each();
    let id = delivery(&world, "bad");
    for arguments in [&["--read-only"][..], &["--log", "log.db"]] {
        let browser = Browser::start(world.folder(), arguments);
        for path in ["/", "/webhooks/good", &format!("/deliveries/{id}")] {
            let page = browser.page(path);
            assert!(!page.contains("method=\"post\""), "{path}: {page}");
        }
        for path in &orders(&world) {
            browser.post(path, "", &[]).expect(405);
        }
    }
    daemon.stop();
    let browser = Browser::start(world.folder(), &[]);
    let refused = browser.post("/reload", "", &[]).expect(409).body;
    assert!(refused.contains("no daemon answers"), "{refused}");
}

#[test]
fn a_form_that_is_posted_twice_acts_once() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "bad");
    let again = format!("/deliveries/{id}/redeliver");
    let forms = [
        (format!("/deliveries/{id}"), again.clone(), "is sent again"),
        (
            format!("/redeliver?id={id}"),
            "/redeliver".to_owned(),
            "1 delivery sent again.",
        ),
        (
            "/replay?event=1".to_owned(),
            "/replay".to_owned(),
            "the replay has begun",
        ),
        (
            "/webhooks/good".to_owned(),
            "/webhooks/good/test".to_owned(),
            "good: delivered",
        ),
    ];
    for (shown, path, words) in &forms {
        let form = all_fields(&browser.page(shown), path);
        assert!(form.contains("once="), "{form}");
        let done = browser.post(path, &form, &[]).expect(200).body;
        assert!(done.contains(words), "{path}: {done}");
        for _ in 0..2 {
            let before = browser.post(path, &form, &[]).expect(200).body;
            assert!(
                before.contains("nothing was done a second time"),
                "{path}: {before}"
            );
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM redelivery"), 2);
    assert_eq!(world.number("SELECT count(*) FROM replay"), 1);
    // The page that is opened again has another mark, and acts.
    let form = all_fields(&browser.page(&format!("/deliveries/{id}")), &again);
    browser.post(&again, &form, &[]).expect(200);
    assert_eq!(world.number("SELECT count(*) FROM redelivery"), 3);
    // What was refused may be posted again.
    let form = all_fields(&browser.page(&format!("/deliveries/{id}")), &again);
    daemon.stop();
    for _ in 0..2 {
        let refused = browser.post(&again, &form, &[]).expect(409).body;
        assert!(refused.contains("no daemon answers"), "{refused}");
    }
}

#[test]
fn as_many_ids_as_the_page_takes_fit_into_its_form() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let id = delivery(&world, "bad");
    let ids: Vec<String> = (0..499).map(|n| format!("id={}", i64::MAX - n)).collect();
    let form = format!("id={id}&{}&count=1", ids.join("&"));
    let done = browser.post("/redeliver", &form, &[]).expect(200).body;
    assert!(done.contains("1 delivery sent again."), "{done}");
    daemon.stop();
    let done = browser.post("/redeliver", &form, &[]).expect(200).body;
    for told in ["Not done", "no daemon answers", "; start the daemon: "] {
        assert!(done.contains(told), "{told}: {done}");
    }
    let none = browser.page("/redeliver?");
    assert!(none.contains("Nothing was ticked."), "{none}");
}
