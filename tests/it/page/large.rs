//! What a page shows where there is much of it: ten thousand webhooks, an event with thousands of deliveries.

use rusqlite::Connection;

use super::browser::{Browser, links};
use super::one_of_each;
use super::search::many;

/// The log of a daemon that stopped, with so many more webhooks, all of them well.
fn with_webhooks(count: i64) -> (crate::support::World, Connection) {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    let log = Connection::open(world.path("log.db")).unwrap();
    log.execute_batch(&format!(
        "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id, last_success_at)
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {count} - 1)
         SELECT printf('w%05d', n), 'active', 0, 0, 0, 0, 1 FROM n;
         INSERT OR IGNORE INTO webhook_name (name) SELECT name FROM webhook"
    ))
    .unwrap();
    (world, log)
}

/// Gives deliveries of these webhooks up, a moment ago.
fn give_up(log: &Connection, names: &str) {
    log.execute_batch(&format!(
        "UPDATE webhook SET last_failure_at = (SELECT max(time) FROM attempt) WHERE name {names};
         INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
         SELECT 5000000 + n.id, n.id, (SELECT max(id) FROM payload), 0, 0, 1, a.time, a.time
           FROM webhook_name n, (SELECT max(time) AS time FROM attempt) a WHERE n.name {names}"
    ))
    .unwrap();
}

#[test]
fn of_ten_thousand_webhooks_those_that_need_a_look_stand_first() {
    let (world, log) = with_webhooks(10_000);
    give_up(&log, "IN ('w07000', 'w09999')");
    log.execute_batch("INSERT INTO pause (webhook, since) VALUES ('w08000', 1)")
        .unwrap();
    let browser = Browser::start(world.folder(), &[]);
    // The second time the order may be one that is kept.
    for _ in 0..2 {
        let page = browser.page("/");
        let shown = links(&page, "/webhooks/");
        let first: Vec<&str> = shown.iter().map(String::as_str).take(6).collect();
        let wanted = [
            "/webhooks/bad",
            "/webhooks/w07000",
            "/webhooks/w08000",
            "/webhooks/w09999",
            "/webhooks/good",
            "/webhooks/w00000",
        ];
        assert_eq!(first, wanted);
        assert!(page.contains("The other 9977"), "{page}");
        assert!(page.len() < 60 << 10, "{}", page.len());
    }
    let last = links(&browser.page("/?from=10001"), "/webhooks/");
    assert_eq!(last, ["/webhooks/w09998"]);
}

#[test]
fn more_failing_webhooks_than_are_judged_stand_before_those_that_are_well() {
    let (world, log) = with_webhooks(1_000);
    give_up(&log, "BETWEEN 'w00500' AND 'w00649'");
    let browser = Browser::start(world.folder(), &[]);
    let (mut path, mut seen) = ("/".to_owned(), Vec::new());
    for _ in 0..7 {
        let page = browser.page(&path);
        seen.extend(links(&page, "/webhooks/"));
        path = links(&page, "/?from=").pop().unwrap();
    }
    let failing = |name: &String| ("/webhooks/w00500".."/webhooks/w00650").contains(&&**name);
    let behind = seen
        .iter()
        .position(|name| !failing(name) && name != "/webhooks/bad");
    assert_eq!(behind, Some(151), "{seen:?}");
}

#[test]
fn an_event_with_thousands_of_deliveries_is_shown_in_part_and_found_whole() {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    many(&world, 25_000);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/events/1");
    assert!(
        page.contains("It has more deliveries than stand on a page"),
        "{page}"
    );
    assert!(!page.contains("What became of it</h2>"), "{page}");
    let shown = links(&page, "/deliveries/");
    assert_eq!((shown.len(), &*shown[0]), (50, "/deliveries/1025000"));
    assert!(page.len() < 60 << 10, "{}", page.len());
    // The oldest of its attempts is found, a bounded look after the other.
    let (mut path, mut pages) = ("/log?q=id:1+webhook:bad".to_owned(), 0);
    let found = loop {
        let page = browser.page(&path);
        pages += 1;
        let found = links(&page, "/deliveries/");
        if !found.is_empty() {
            break found;
        }
        assert!(page.contains("Looked back to "), "{page}");
        path = links(&page, "/log?q=id:1%20webhook:bad&before=")
            .pop()
            .unwrap();
        assert!(pages < 9, "{path}");
    };
    assert_eq!((found.len(), pages), (1, 3));
    let newest = links(&browser.page("/log?q=id:1"), "/deliveries/");
    assert_eq!((newest.len(), &*newest[0]), (50, "/deliveries/1025000"));
}

#[test]
fn an_event_with_some_deliveries_is_told_whole() {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    many(&world, 100);
    let browser = Browser::start(world.folder(), &[]);
    let page = browser.page("/events/1");
    assert!(page.contains("What became of it</h2>"), "{page}");
    assert!(page.contains("and 52 older ones"), "{page}");
}
