//! Outboxes of every kind: missing, old, restored, exchanged, made by others, with rows that can't be.
//!
//! What the daemon refuses it refuses with exit code 2 and the command that decides; what it can
//! go on with it goes on with, and no row stops the rows behind it.

use std::time::Duration;

use rusqlite::Connection;

use crate::support::{
    Daemon, Received, Receiver, SOON, World, check, eventually, hook, insert, nap, now, now_ms,
    percentile,
};

/// The documented columns, without any of the rules.
const LAX: &str = "CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT, data TEXT,
    time INTEGER DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000), tenant TEXT, key TEXT)";

const HOUR_MS: i64 = 3_600_000;

/// The `n` of every request in the order of their numbers.
fn numbers(receiver: &Receiver) -> Vec<i64> {
    let mut all: Vec<i64> = receiver.received().iter().map(Received::n).collect();
    all.sort_unstable();
    all
}

fn emit(world: &World, numbers: std::ops::RangeInclusive<i64>) {
    for n in numbers {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
}

fn emit_at(outbox: &Connection, n: i64, time_ms: i64) {
    let sql = "INSERT INTO outbox (event, data, time) VALUES ('e', ?1, ?2)";
    outbox
        .execute(sql, (format!("{{\"n\":{n}}}"), time_ms))
        .unwrap();
}

fn wait_delivered(world: &World, count: i64) {
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, count, SOON);
}

/// Holds that `run` refuses with exit code 2, and returns its words.
#[track_caller]
fn refused(world: &World) -> String {
    let mut daemon = world.spawn(&[]);
    let code = daemon.wait(SOON);
    let words = daemon.journal();
    assert_eq!(code, Some(2), "{words}");
    words
}

/// Waits for a warning that names all of `words`: the journal is written behind what it tells of.
#[track_caller]
fn wait_warned(daemon: &Daemon, words: &[&str]) {
    eventually(&format!("a warning of {words:?}"), SOON, || {
        check(warned(daemon, words), || daemon.journal())
    });
}

/// Whether a line of a warning names all of `words`.
fn warned(daemon: &Daemon, words: &[&str]) -> bool {
    daemon.journal().lines().any(|line| {
        let line = line.to_lowercase();
        line.contains("warn") && words.iter().all(|word| line.contains(word))
    })
}

#[test]
fn a_missing_outbox_is_created_with_a_warning() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    wait_warned(&daemon, &["outbox.db"]);
    emit(&world, 1..=1);
    receiver.wait(1, SOON);
    let rules = world.outbox().execute(
        "INSERT INTO outbox (event, data) VALUES ('e', 'no json')",
        [],
    );
    let error = rules.unwrap_err().to_string();
    assert!(error.contains("data is JSON text"), "{error}");
}

#[test]
fn ids_that_are_not_autoincrement_are_refused_with_the_reason() {
    let world = World::bare(&[hook("one", "http://127.0.0.1:9/")]);
    let sql = LAX.replace(" AUTOINCREMENT", "");
    world.outbox().execute_batch(&sql).unwrap();
    let words = refused(&world);
    assert!(words.contains("AUTOINCREMENT"), "{words}");
}

/// A world with a new log and events 1 to 4, of which the first three are older than an hour.
fn old_events(receiver: &Receiver) -> World {
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let outbox = world.outbox();
    for n in 1..=4 {
        let age = if n <= 3 {
            (5 - n) * HOUR_MS
        } else {
            HOUR_MS / 2
        };
        emit_at(&outbox, n, now_ms() - age);
    }
    world
}

#[test]
fn a_new_log_and_old_events_need_a_decision() {
    let receiver = Receiver::ok();
    let world = old_events(&receiver);
    let words = refused(&world);
    assert!(words.contains("start-from"), "{words}");
    assert!(
        words.contains('3') || words.contains('4'),
        "how many: {words}"
    );
    assert_eq!(receiver.count(), 0);
    assert!(refused(&world).contains("start-from"), "it asks again");
}

#[test]
fn start_from_decides() {
    for (place, expected) in [
        ("beginning", &[1, 2, 3, 4, 5][..]),
        ("now", &[5]),
        ("3", &[3, 4, 5]),
    ] {
        let receiver = Receiver::ok();
        let world = old_events(&receiver);
        world.command(&["start-from", place]).expect(0);
        let daemon = world.start();
        emit(&world, 5..=5);
        let count = i64::try_from(expected.len()).unwrap();
        wait_delivered(&world, count);
        assert_eq!(numbers(&receiver), expected, "start-from {place}");
        daemon.stop();
    }
}

#[test]
fn start_from_a_time_decides() {
    let receiver = Receiver::ok();
    let world = old_events(&receiver);
    let sql = "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch')";
    let seconds = (now_ms() - 2 * HOUR_MS - HOUR_MS / 2) / 1000;
    let outbox = world.outbox();
    let time: String = outbox.query_row(sql, [seconds], |row| row.get(0)).unwrap();
    world.command(&["start-from", &time]).expect(0);
    let _daemon = world.start();
    wait_delivered(&world, 2);
    assert_eq!(numbers(&receiver), [3, 4]);
}

#[test]
fn a_place_to_start_from_that_is_none_is_bad_usage() {
    let receiver = Receiver::ok();
    let world = old_events(&receiver);
    let words = world.command(&["start-from", "sometime"]).expect(2).stderr;
    assert!(words.contains("beginning"), "{words}");
}

#[test]
fn another_outbox_under_the_same_path_is_refused() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    emit(&world, 1..=5);
    wait_delivered(&world, 5);
    daemon.stop();
    for count in [3, 8] {
        world.remove_outbox();
        world.make_outbox("WAL");
        // One of its events is from before: it was in use.
        emit_at(&world.outbox(), 100, now_ms() - HOUR_MS);
        emit(&world, 101..=100 + count);
        let words = refused(&world);
        assert!(words.contains("start-from"), "{words}");
        assert!(words.contains("none of them is known"), "{words}");
        assert_eq!(receiver.count(), 5);
    }
}

#[test]
fn ids_given_again_after_a_backup_was_restored_are_events_of_their_own() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    emit(&world, 1..=5);
    let backup = world.path("backup.db");
    let sql = format!("VACUUM INTO '{}'", backup.display());
    world.outbox().execute_batch(&sql).unwrap();
    let daemon = world.start();
    emit(&world, 6..=10);
    wait_delivered(&world, 10);
    daemon.stop();
    world.remove_outbox();
    std::fs::copy(&backup, world.path("outbox.db")).unwrap();
    // These get the ids 6 to 10 a second time.
    emit(&world, 106..=110);
    assert_eq!(world.outbox().last_insert_rowid(), 0);
    let daemon = world.start();
    let events = || {
        numbers(&receiver)
            .into_iter()
            .filter(|n| *n > 100)
            .collect::<Vec<_>>()
    };
    eventually("the events of the ids given again", SOON, || {
        let seen = events();
        check(seen.len() == 5, || format!("{seen:?}"))
    });
    assert_eq!(events(), [106, 107, 108, 109, 110]);
    wait_warned(&daemon, &["outbox"]);
    // And it goes on from there.
    emit(&world, 111..=111);
    eventually("the next event", SOON, || {
        let seen = events();
        check(seen.last() == Some(&111), || format!("{seen:?}"))
    });
    daemon.stop();
    let daemon = world.start();
    assert!(!warned(&daemon, &["outbox"]), "{}", daemon.journal());
}

#[test]
fn a_backup_restored_while_running_is_taken_up() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    emit(&world, 1..=5);
    wait_delivered(&world, 5);
    let restored = world.path("restored.db");
    let sql = format!("VACUUM INTO '{}'", restored.display());
    world.outbox().execute_batch(&sql).unwrap();
    emit(&world, 6..=8);
    wait_delivered(&world, 8);
    for companion in ["outbox.db-wal", "outbox.db-shm"] {
        drop(std::fs::remove_file(world.path(companion)));
    }
    std::fs::rename(&restored, world.path("outbox.db")).unwrap();
    emit(&world, 106..=107);
    eventually("the events of the ids given again", SOON, || {
        let seen = numbers(&receiver);
        check(seen.ends_with(&[106, 107]), || format!("{seen:?}"))
    });
    wait_warned(&daemon, &["outbox"]);
    daemon.stop();
}

#[test]
fn rows_that_cannot_be_sent_are_set_aside_and_those_behind_are_delivered() {
    let receiver = Receiver::ok();
    let world = World::bare(&[]);
    world.configure_with("max_data_bytes = 10000", &[hook("one", receiver.url("/"))]);
    let outbox = world.outbox();
    outbox.pragma_update(None, "journal_mode", "WAL").unwrap();
    outbox.execute_batch(LAX).unwrap();
    let deep = format!("{}{}", "[".repeat(1_001), "]".repeat(1_001));
    let large = format!("\"{}\"", "x".repeat(10_000));
    let bad = [
        ("'e', '{\"n\":}'".to_owned(), "JSON"),
        ("'e', CAST(X'22ff22' AS TEXT)".to_owned(), "UTF-8"),
        (format!("'e', '{large}'"), "10000"),
        (format!("'e', '{deep}'"), "deep"),
        ("'no name', '{}'".to_owned(), "event"),
        ("NULL, '{}'".to_owned(), "event"),
        ("'e', NULL".to_owned(), "data"),
        ("'e', X'7b7d'".to_owned(), "data"),
    ];
    let daemon = world.start();
    for (at, (values, _)) in bad.iter().enumerate() {
        let sql = format!("INSERT INTO outbox (event, data) VALUES ({values})");
        outbox.execute_batch(&sql).unwrap();
        let n = i64::try_from(at).unwrap();
        emit(&world, n..=n);
    }
    let time = "INSERT INTO outbox (event, data, time) VALUES ('e', '{}', 'noon')";
    outbox.execute_batch(time).unwrap();
    emit(&world, 8..=8);
    let expected: Vec<i64> = (0..9).collect();
    wait_delivered(&world, 9);
    assert_eq!(numbers(&receiver), expected);
    let rejected = world.log("SELECT event_id, reason FROM rejected ORDER BY event_id");
    assert_eq!(rejected.len(), bad.len() + 1, "{rejected:?}");
    for (at, row) in rejected.iter().enumerate() {
        assert_eq!(row[0], (2 * at + 1).to_string());
        let word = bad.get(at).map_or("time", |(_, word)| word).to_lowercase();
        let reason = row[1].to_lowercase().replace(['_', ','], "");
        assert!(reason.contains(&word), "{word}: {reason}");
    }
    // The first that is as large as it may be is none of them.
    outbox
        .execute(
            "INSERT INTO outbox (event, data) VALUES ('e', ?1)",
            [format!("{{\"n\":{}10}}", " ".repeat(9_992))],
        )
        .unwrap();
    wait_delivered(&world, 10);
    daemon.stop();
}

#[test]
fn an_outbox_with_a_rollback_journal_works() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    world.make_outbox("DELETE");
    let _daemon = world.start();
    for n in 1..=20 {
        emit(&world, n..=n);
    }
    wait_delivered(&world, 20);
    assert_eq!(numbers(&receiver), (1..=20).collect::<Vec<i64>>());
    let mode: String = world
        .outbox()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "delete", "the application's mode is its own");
}

#[test]
fn an_event_is_sent_soon_after_its_commit_in_both_journal_modes() {
    for mode in ["WAL", "DELETE"] {
        let receiver = Receiver::ok();
        let world = World::bare(&[hook("one", receiver.url("/"))]);
        world.make_outbox(mode);
        let _daemon = world.start();
        let mut spans = Vec::new();
        for n in 1..=30_usize {
            world.emit("e", "{}");
            let committed = now();
            let request = &receiver.wait(n, SOON)[n - 1];
            spans.push(request.at.saturating_duration_since(committed));
        }
        let p50 = percentile(&mut spans, 50);
        println!(
            "{mode}: commit to arrival p50 {p50:.1} ms, slowest {:?}",
            spans[29]
        );
        assert!(
            p50 < 250.0,
            "{mode}: woken by the commit, not by the slow poll"
        );
    }
}

/// Many drivers wait for a lock for some seconds, but the C library and `sqlite3` do not: there our
/// looking must not make an application's commit fail. In rollback-journal mode a reader can.
#[test]
fn commits_without_a_busy_timeout_are_not_disturbed() {
    for (mode, most) in [("WAL", 0), ("DELETE", 5), ("TRUNCATE", 5)] {
        let receiver = Receiver::ok();
        let world = World::bare(&[hook("one", receiver.url("/"))]);
        world.make_outbox(mode);
        let _daemon = world.start();
        let outbox = world.outbox();
        outbox.pragma_update(None, "journal_mode", mode).unwrap();
        outbox.busy_timeout(Duration::ZERO).unwrap();
        let sql = "INSERT INTO outbox (event, data) VALUES ('e', '{}')";
        let (mut disturbed, mut looks, mut before) = (0, 0, false);
        for _ in 0..100 {
            let met = outbox.execute(sql, []).is_err();
            disturbed += i64::from(met);
            // A look that the machine itself holds up meets those behind each other.
            looks += i64::from(met && !before);
            before = met;
            nap(Duration::from_millis(4));
        }
        println!("{mode}: {disturbed} of 100 commits met a lock, of {looks} looks");
        assert!(
            looks <= most && disturbed <= 6 * most,
            "{mode}: {disturbed} of 100 commits met a lock, of {looks} looks"
        );
        outbox.busy_timeout(SOON).unwrap();
        wait_delivered(&world, 100 - disturbed);
    }
}

#[test]
fn what_is_rolled_back_is_not_sent() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let _daemon = world.start();
    let mut outbox = world.outbox();
    let undone = outbox.transaction().unwrap();
    insert(&undone, "e", "{\"n\":1}");
    undone.rollback().unwrap();
    emit(&world, 2..=2);
    wait_delivered(&world, 1);
    assert_eq!(numbers(&receiver), [2]);
}

#[test]
fn tenants_and_patterns_choose() {
    let (acme, all, other) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let world = World::new(&[
        hook("acme", acme.url("/"))
            .line("tenants = [\"acme\"]")
            .events("story-*"),
        hook("all", all.url("/")),
        hook("other", other.url("/")).events("*-approve"),
    ]);
    let _daemon = world.start();
    let outbox = world.outbox();
    let rows = [
        ("story-submit", "1", Some("acme")),
        ("story-submit", "2", Some("else")),
        ("story-submit", "3", None),
        ("my-story-submit", "4", Some("acme")),
        ("story-approve", "5", Some("acme")),
    ];
    for (event, n, tenant) in rows {
        let sql = "INSERT INTO outbox (event, data, tenant) VALUES (?1, ?2, ?3)";
        outbox
            .execute(sql, (event, format!("{{\"n\":{n}}}"), tenant))
            .unwrap();
    }
    wait_delivered(&world, 8);
    assert_eq!(numbers(&acme), [1, 5]);
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&other), [5]);
}
