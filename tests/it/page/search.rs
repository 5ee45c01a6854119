//! The search: one grammar for the page and for `logs --search`, and never more than a bounded look.

use rusqlite::Connection;

use super::browser::links;
use super::{Browser, one_of_each};
use crate::support::{Receiver, SOON, World, hook};

/// The ids of deliveries that a search of the page finds, the newest first.
fn of_page(browser: &Browser, words: &str) -> Vec<String> {
    let query = words.replace(' ', "+").replace('*', "%2A");
    let page = browser.page(&format!("/log?q={query}"));
    let found = links(&page, "/deliveries/");
    let id = |path: String| path.trim_start_matches("/deliveries/").to_owned();
    found.into_iter().map(id).collect()
}

/// The same by the command.
fn of_command(world: &World, words: &str) -> Vec<String> {
    let printed = world
        .command(&["logs", "--json", "--search", words])
        .expect(0);
    let mut ids: Vec<String> = printed
        .stdout
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["delivery_id"].to_string()
        })
        .collect();
    ids.reverse();
    ids
}

#[test]
fn page_and_command_find_the_same() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    for (words, count) in [
        ("", 2),
        ("webhook:bad", 1),
        ("event:story-*", 2),
        ("event:other", 0),
        ("status:500", 1),
        ("status:5xx", 1),
        ("status:2xx webhook:bad", 0),
        ("status:none", 0),
        ("outcome:delivered", 1),
        ("outcome:failed status:500", 1),
        ("outcome:retry", 0),
        ("since:1h", 2),
        ("since:2100-01-01", 0),
        ("id:1", 2),
        ("id:1 outcome:failed", 1),
        ("id:2", 0),
        ("data.id:7", 2),
        ("data.price:2.5 webhook:bad", 1),
        ("data.id:8", 0),
        ("data.id:7 id:1 status:500", 1),
        ("data.other:*", 0),
    ] {
        let found = of_page(&browser, words);
        assert_eq!(found.len(), count, "{words}");
        assert_eq!(found, of_command(&world, words), "{words}");
    }
    daemon.stop();
}

#[test]
fn the_manual_has_a_search_and_every_key() {
    let manual = include_str!("../../../packaging/manual/page.md");
    let (_, section) = manual.split_once("\n## The page\n").unwrap();
    let (_, example) = section.split_once("webhooksd logs --search '").unwrap();
    let (words, _) = example.split_once('\'').unwrap();
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    assert_eq!(of_page(&browser, words), [""; 0]);
    let unknown = browser.ask("/log?q=a:b", &[]).expect(400).body;
    let (_, keys) = unknown.split_once("there are ").unwrap();
    for key in keys.split(", as in").next().unwrap().split(", ") {
        assert!(section.contains(&format!("`{key}`")), "{key}");
    }
    daemon.stop();
}

#[test]
fn bodies_that_are_not_kept_are_counted() {
    let good = Receiver::ok();
    let world = World::new(&[hook("good", good.url("/in"))]);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let line = "path = \"log.db\"\nbodies = \"failed\"\n";
    world.write("webhooks.toml", text.replace("path = \"log.db\"\n", line));
    let daemon = world.start();
    world.emit("story-approve", r#"{"id":7}"#);
    let gone = "SELECT count(*) FROM log WHERE outcome = 'delivered' AND request_body IS NULL";
    world.wait_number(gone, 1, SOON);
    daemon.stop();
    let browser = Browser::start(world.folder(), &[]);
    for words in ["data.id:7", "data.id:7 id:1"] {
        assert_eq!(of_page(&browser, words), [""; 0]);
        let page = browser.page(&format!("/log?q={}", words.replace(' ', "+")));
        assert!(page.contains("1 attempt could not be judged"), "{page}");
        let printed = world.command(&["logs", "--search", words]).expect(0);
        let told = "1 attempt could not be judged by data.path";
        assert!(printed.stderr.contains(told), "{}", printed.stderr);
    }
}

#[test]
fn words_that_are_none_are_told() {
    let (world, daemon, _receivers) = one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    for (words, told) in [
        ("erp", "no word of a search"),
        ("status:9", "status:5xx"),
        ("data..id:7", "at character 6"),
    ] {
        let reply = browser.ask(&format!("/log?q={words}"), &[]).expect(400);
        assert!(reply.body.contains(told), "{}", reply.body);
        assert!(reply.body.contains(&format!("value=\"{words}\"")));
        let printed = world.command(&["logs", "--search", words]).expect(2);
        assert!(printed.stderr.contains(told), "{}", printed.stderr);
    }
    let both = world.command(&["logs", "--search", "id:1", "--failed"]);
    both.expect(2);
    daemon.stop();
}

/// Attempts like the newest one, so many.
pub(super) fn many(world: &World, count: i64) {
    let log = Connection::open(world.path("log.db")).unwrap();
    let columns = "payload_id, webhook_id, origin, number, time, waited, took, outcome, status, duration_us, url, \
                   peer, class, error, request_headers, response_truncated, response_headers, response_body";
    let sql = format!(
        "INSERT INTO attempt (id, delivery_id, {columns})
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
         SELECT (SELECT max(id) FROM attempt) + n, 1000000 + n, {columns}
           FROM n, (SELECT * FROM attempt WHERE status = 200 ORDER BY id DESC LIMIT 1);
         INSERT OR IGNORE INTO seen SELECT DISTINCT webhook_id, id / 1024 FROM attempt;"
    );
    log.execute_batch(&sql).unwrap();
}

#[test]
fn a_page_looks_so_far_and_says_so() {
    let (world, daemon, _receivers) = one_of_each();
    daemon.stop();
    many(&world, 25_000);
    let browser = Browser::start(world.folder(), &[]);
    for words in ["status:500", "outcome:failed", "since:7d+status:500"] {
        let (mut path, mut pages) = (format!("/log?q={words}"), 0);
        let found = loop {
            let page = browser.page(&path);
            pages += 1;
            let found = links(&page, "/deliveries/");
            if !found.is_empty() {
                break found;
            }
            assert!(page.contains("Looked back to "), "{page}");
            let next = links(
                &page,
                &format!("/log?q={}&before=", words.replace('+', "%20")),
            );
            path = next.last().unwrap_or_else(|| panic!("{page}")).clone();
            assert!(pages < 9, "{path}");
        };
        assert_eq!((found.len(), pages), (1, 3), "{words}");
    }
    // Page by page, each attempt stands once.
    let (mut path, mut seen) = ("/log?q=webhook:good".to_owned(), Vec::new());
    for _ in 0..4 {
        let page = browser.page(&path);
        assert!(!page.contains("Looked back to "), "{page}");
        seen.extend(links(&page, "/deliveries/"));
        let older = links(&page, "/log?q=webhook:good&before=");
        path = older.last().unwrap().clone();
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all, seen.len()), (200, 200));
}
