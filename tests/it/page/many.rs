//! What concerns many deliveries: counted first, then done, and refused beyond a limit; replays.

use super::browser::{Browser, links};
use super::one_of_each;
use crate::support::{Receiver, SOON, World, hook};

/// The fields of the form that posts to that path, as a browser sends them, without its mark: so it acts each time.
fn fields(page: &str, path: &str) -> String {
    let all = all_fields(page, path);
    let unmarked: Vec<&str> = all.split('&').filter(|f| !f.starts_with("once=")).collect();
    unmarked.join("&")
}

/// The same with its mark.
pub(super) fn all_fields(page: &str, path: &str) -> String {
    let (_, form) = page
        .split_once(&format!("<form method=\"post\" action=\"{path}\""))
        .unwrap_or_else(|| panic!("no form for {path}: {page}"));
    let form = form.split("</form>").next().unwrap();
    let value = |input: &str, of: &str| -> String {
        let (_, rest) = input.split_once(&format!("{of}=\"")).unwrap();
        rest.split('"').next().unwrap().replace(' ', "%20")
    };
    let inputs = form.split("<input").skip(1);
    let all = inputs.map(|input| format!("{}={}", value(input, "name"), value(input, "value")));
    all.collect::<Vec<_>>().join("&")
}

#[test]
fn a_whole_search_is_sent_again_after_it_was_counted() {
    let (world, daemon, receivers) = one_of_each();
    for _ in 0..3 {
        world.emit("story-approve", r#"{"id":8}"#);
    }
    world.wait_number("SELECT count(*) FROM log", 8, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let log = browser.page("/log?q=webhook:bad");
    assert_eq!(log.matches("type=\"checkbox\" name=\"id\"").count(), 4);
    let asked = links(&log, "/redeliver?q=");
    let page = browser.page(&asked[0]);
    assert!(page.contains("<strong>4 deliveries</strong>"), "{page}");
    for told in [
        "webhooksd redeliver ",
        "INSERT INTO redelivery (delivery_id) SELECT id FROM delivery WHERE id IN (",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(receivers[1].count(), 4, "a look does nothing");
    let form = fields(&page, "/redeliver");
    // One more that fails meanwhile is none of those that were counted.
    world.emit("story-approve", "{}");
    world.wait_number("SELECT count(*) FROM log", 10, SOON);
    let other = form.replace("count=4", "count=3");
    let refused = browser.post("/redeliver", &other, &[]).expect(409).body;
    assert!(refused.contains("they are 4 now"), "{refused}");
    let both = format!("{other}&id=1");
    browser.post("/redeliver", &both, &[]).expect(409);
    // An id beside the search, and the right count: it is the search that was counted.
    let good = super::delivery(&world, "good");
    let both = format!("{form}&id={good}");
    let done = browser.post("/redeliver", &both, &[]).expect(200).body;
    assert!(done.contains("4 deliveries sent again."), "{done}");
    world.wait_number(
        "SELECT count(*) FROM log WHERE origin = 'redelivery'",
        4,
        SOON,
    );
    let page = browser.page(&asked[0].replace("%20outcome%3Afailed", ""));
    assert!(
        page.contains("4 deliveries were sent again already"),
        "{page}"
    );
    // What was delivered is taken only where that is asked for.
    let page = browser.page("/redeliver?q=webhook:good");
    assert!(
        page.contains("There is none.") && page.contains("were delivered"),
        "{page}"
    );
    let page = browser.page("/redeliver?q=webhook:good+outcome:delivered+data.id:7");
    assert!(page.contains("<strong>1 delivery</strong>"), "{page}");
    // What is asked for is what the search says, and no text in it.
    let page = browser.page("/redeliver?q=webhook:good+data.id:%22outcome:delivered%22");
    assert!(page.contains("There is none."), "{page}");
    let page = browser.page("/redeliver?q=webhook:good+data[%22id%22]:7+data.id:7");
    assert!(page.contains("1 delivery was delivered, which"), "{page}");
    let page = browser.page("/redeliver?q=");
    assert!(
        page.contains("All that <a href=\"/log\">the log</a> has."),
        "{page}"
    );
    for (path, form) in [
        ("/redeliver", "q=nonsense&count=1"),
        ("/cancel", "q=nonsense&count=1"),
    ] {
        for wrong in [
            browser.ask(&format!("{path}?q=nonsense"), &[]),
            browser.post(path, form, &[]),
        ] {
            let body = wrong.expect(400).body;
            assert!(body.contains("is no word of a search"), "{body}");
        }
    }
    daemon.stop();
}

#[test]
fn ticked_ones_are_sent_again_and_what_is_refused_is_told() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/redeliver?id=1&id=2&id=2&id=4711&id=%3Cb%3E");
    assert!(
        page.contains("1 delivery is no longer in the log and is left out"),
        "{page}"
    );
    let form = fields(&page, "/redeliver");
    assert_eq!(form, "id=1&id=2&count=2");
    let done = browser.post("/redeliver", &form, &[]).expect(200).body;
    assert!(done.contains("2 deliveries sent again."), "{done}");
    world.wait_number("SELECT count(*) FROM log", 4, SOON);
    daemon.stop();
    let done = browser.post("/redeliver", &form, &[]).expect(200).body;
    assert!(
        done.contains("2 deliveries refused") && done.contains("no daemon answers"),
        "{done}"
    );
}

#[test]
fn what_is_pending_is_cancelled_up_to_a_limit() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(crate::socket::SECTION, &[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    world.command(&["pause", "w"]).expect(0);
    for _ in 0..3 {
        world.emit("story-approve", "{}");
    }
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    world.wait_number(pending, 3, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let asked = links(&browser.page("/webhooks/w"), "/cancel?");
    let page = browser.page(&asked[0]);
    assert!(page.contains("webhooksd cancel --webhook w"), "{page}");
    let form = fields(&page, "/cancel");
    assert_eq!(form, "webhook=w&count=3");
    world.emit("story-approve", "{}");
    world.wait_number(pending, 4, SOON);
    let changed = browser.post("/cancel", &form, &[]).expect(409).body;
    assert!(changed.contains("they are 4 now"), "{changed}");
    let form = fields(&browser.page(&asked[0]), "/cancel");
    let done = browser.post("/cancel", &form, &[]).expect(200).body;
    assert!(done.contains("4 deliveries cancelled."), "{done}");
    world.wait_number(pending, 0, SOON);
    let mut outbox = world.outbox();
    let all = outbox.transaction().unwrap();
    for _ in 0..501 {
        all.execute("INSERT INTO outbox (event, data) VALUES ('e', '{}')", [])
            .unwrap();
    }
    all.commit().unwrap();
    world.wait_number(pending, 501, SOON);
    let page = browser.page(&asked[0]);
    assert!(page.contains("the page does 500 at the most"), "{page}");
    assert!(!page.contains("method=\"post\""), "{page}");
    let refused = browser
        .post("/cancel", "webhook=w&count=500", &[])
        .expect(409)
        .body;
    assert!(refused.contains("500 at the most"), "{refused}");
    // Whatever names them, the command that cancels so many is said, and no other.
    let ids = world.log("SELECT id FROM delivery WHERE state = 'pending'");
    let ids: Vec<String> = ids.iter().map(|row| format!("id={}", row[0])).collect();
    let named = browser.page(&format!("/cancel?{}", ids.join("&")));
    for (page, command) in [
        (&page, "webhooksd cancel --webhook w"),
        (
            &named,
            "webhooksd cancel --webhook NAME --since TIME --dry-run",
        ),
    ] {
        assert!(page.contains(command), "{page}");
        assert!(!page.contains("redeliver"), "{page}");
    }
    world.wait_number(pending, 501, SOON);
    assert_eq!(receiver.count(), 0);
    daemon.stop();
}

#[test]
fn a_replay_goes_from_an_event_on_and_its_progress_is_the_logs() {
    let (world, daemon, receivers) = one_of_each();
    world.emit("story-approve", "{}");
    world.wait_number("SELECT count(*) FROM log", 4, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let asked = links(
        &browser.page("/deliveries/1"),
        "/replay?event=1&webhook=good",
    );
    let page = browser.page(&asked[0]);
    assert!(
        page.contains("webhooksd replay --from-id 1 --webhook good"),
        "{page}"
    );
    assert!(page.contains("2 deliveries</strong>"), "{page}");
    let form = fields(&page, "/replay");
    // What was not seen is not sent.
    let other = form.replace("count=2", "count=1");
    let refused = browser.post("/replay", &other, &[]).expect(409).body;
    assert!(refused.contains("they are 2 now"), "{refused}");
    assert_eq!(world.number("SELECT count(*) FROM replay"), 0);
    let done = browser.post("/replay", &form, &[]).expect(200).body;
    let progress = links(&done, "/replays/");
    assert_eq!(progress, ["/replays/1"], "{done}");
    receivers[0].wait(4, SOON);
    world.wait_number("SELECT count(*) FROM replay WHERE finished_at > 0", 1, SOON);
    daemon.stop();
    let page = browser.page("/replays/1");
    assert!(
        page.contains("2 of 2 deliveries made: it has ended."),
        "{page}"
    );
    assert!(!page.contains("http-equiv"), "{page}");
    let log = rusqlite::Connection::open(world.path("log.db")).unwrap();
    log.execute("UPDATE replay SET finished_at = NULL, done = 1", [])
        .unwrap();
    let page = browser.page("/replays/1");
    assert!(
        page.contains("1 of 2 deliveries made; the daemon goes on"),
        "{page}"
    );
    assert!(page.contains("<progress value=\"1\" max=\"2\">"), "{page}");
    assert!(
        page.contains("http-equiv=\"refresh\" content=\"2\""),
        "{page}"
    );
    browser.ask("/replays/4711", &[]).expect(404);
    browser.ask("/replay?event=4711", &[]).expect(404);
    browser.post("/replay", "from=soon", &[]).expect(400);
}

#[test]
fn all_that_is_pending_is_cancelled_wherever_it_waits() {
    let receiver = Receiver::start(|_| crate::support::Answer::status(500));
    let world = World::new(&[]);
    let paced = hook("w", receiver.url("/")).line("max_per_second = 0.01");
    world.configure_with(crate::socket::SECTION, &[paced]);
    let daemon = world.start();
    for _ in 0..4 {
        world.emit("story-approve", "{}");
    }
    // One was tried and waits in the log, the others are in memory's hands.
    let parts = "SELECT 10 * (SELECT count(*) FROM parked) + (SELECT count(*) FROM queued)";
    world.wait_number(parts, 13, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/cancel?webhook=w");
    assert!(page.contains("<strong>4 deliveries</strong>"), "{page}");
    let form = fields(&page, "/cancel");
    let done = browser.post("/cancel", &form, &[]).expect(200).body;
    assert!(done.contains("4 deliveries cancelled."), "{done}");
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    world.wait_number(pending, 0, SOON);
    daemon.stop();
}

#[test]
fn a_replay_goes_by_the_row_whatever_time_the_rows_carry() {
    let (world, daemon, receivers) = one_of_each();
    // One behind it that says it is of long ago, and one before it of the same time.
    let sql = "INSERT INTO outbox (event, data, time) VALUES ('story-approve', '{}', ?1)";
    for time in [2_000, 2_000, 1_000] {
        world.outbox().execute(sql, [time]).unwrap();
    }
    world.wait_number("SELECT count(*) FROM log", 8, SOON);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/replay?event=3&webhook=good");
    assert!(page.contains("2 deliveries</strong>"), "{page}");
    let form = fields(&page, "/replay");
    browser.post("/replay", &form, &[]).expect(200);
    receivers[0].wait(6, SOON);
    world.wait_number("SELECT count(*) FROM log WHERE origin = 'replay'", 2, SOON);
    let sent = "SELECT group_concat(event_id) FROM
                  (SELECT event_id FROM log WHERE origin = 'replay' ORDER BY event_id)";
    assert_eq!(world.log(sent)[0][0], "3,4");
    let page = browser.page("/replays/1");
    assert!(page.contains("from a row on, up to 4"), "{page}");
    // The command says the same.
    let counted = world.command(&["replay", "--from-id", "4", "--dry-run"]);
    assert_eq!(counted.expect(0).stdout, "2 deliveries would be made\n");
    for wrong in [
        &["replay"][..],
        &["replay", "--from-id", "0"],
        &["replay", "--from-id", "4", "--since", "1h"],
    ] {
        world.command(wrong).expect(2);
    }
    daemon.stop();
}

#[test]
fn a_page_that_only_shows_asks_for_none_of_it() {
    let (world, daemon, _receivers) = one_of_each();
    for arguments in [&["--read-only"][..], &["--log", "log.db"]] {
        let browser = Browser::start(world.folder(), arguments);
        let log = browser.page("/log");
        assert!(
            !log.contains("checkbox") && links(&log, "/redeliver").is_empty(),
            "{log}"
        );
        for path in ["/redeliver?id=1", "/cancel?webhook=good", "/replay?event=1"] {
            browser.ask(path, &[]).expect(404);
        }
        for path in ["/redeliver", "/cancel", "/replay"] {
            browser.post(path, "id=1&count=1", &[]).expect(405);
        }
    }
    daemon.stop();
}
