//! Events of the past in PostgreSQL, where no id divides what was taken from what was not.

use std::io::Write as _;

use super::{following_by, logging};
use crate::contract::judged;
use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Receiver, SOON, check, eventually, hook, postgres};

#[test]
fn a_row_that_was_committed_late_is_not_taken_yet_whatever_its_id() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(
        &database.url(),
        SECTION,
        &[hook("depot", receiver.url("/"))],
    );
    let daemon = world.start();
    let mut other = database.psql().spawn().unwrap();
    let mut input = other.stdin.take().unwrap();
    writeln!(
        input,
        "BEGIN; INSERT INTO outbox (event, data) VALUES ('e', '{{\"n\":1}}');"
    )
    .unwrap();
    writeln!(input, "SELECT pg_advisory_lock(815);").unwrap();
    eventually("the first row is there", SOON, || {
        let held = database
            .sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 815");
        check(held == "1", || held)
    });
    database.emit("e", "{\"n\":2}");
    receiver.wait(1, SOON);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        1,
        SOON,
    );
    // Somebody writes the log, so that nothing more is taken.
    let log = rusqlite::Connection::open(world.path("log.db")).unwrap();
    log.execute_batch("BEGIN IMMEDIATE").unwrap();
    writeln!(input, "COMMIT;").unwrap();
    drop(input);
    other.wait().unwrap();
    let keys = ["matched", "would_add", "not_taken"];
    assert_eq!(judged(&world, &[], keys), [2, 0, 1]);
    log.execute_batch("ROLLBACK").unwrap();
    receiver.wait(2, SOON);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        2,
        SOON,
    );
    assert_eq!(judged(&world, &[], keys), [2, 0, 0]);
    daemon.stop();
}

#[test]
fn rows_that_are_large_are_sent_again_all_of_them() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), SECTION, &[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    database.sql(
        "INSERT INTO outbox (event, data)
           SELECT 'e', ('{\"n\":' || n || ',\"x\":\"' || repeat('x', CASE WHEN n % 3 = 0 THEN 700000 ELSE 10 END) || '\"}')::json
             FROM generate_series(1, 90) n",
    );
    receiver.wait(90, SOON);
    let told = post(&world, "/replay", r#"{"since":0}"#).expect(202).json();
    assert_eq!(told["matched"], 90, "{told}");
    receiver.wait(180, SOON);
    eventually("the replay ends", SOON, || {
        let state = curl(&world, "/replays/1", &[]).expect(200).json();
        check(state["finished"] == true && state["done"] == 90, || {
            state.to_string()
        })
    });
    daemon.stop();
    let mut all: Vec<i64> = receiver.received().iter().map(|one| one.n()).collect();
    all.sort_unstable();
    let twice: Vec<i64> = (1..=90).flat_map(|n| [n, n]).collect();
    assert_eq!(all, twice);
}

#[test]
fn what_another_database_has_is_not_compared() {
    let Some(server) = postgres() else { return };
    let (first, second) = (server.database(), server.database());
    let receiver = Receiver::ok();
    let hooks = [hook("depot", receiver.url("/"))];
    let world = following_by(&first.url(), "", &hooks);
    let daemon = world.start();
    first.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        1,
        SOON,
    );
    daemon.stop();
    second.emit("e", "{\"n\":2}");
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace(&first.url(), &second.url()));
    let keys = ["matched", "would_add", "not_taken"];
    assert_eq!(judged(&world, &[], keys), [1, -1, -1]);
}

/// The same where the log is on the server too: what was sent is compared there.
#[test]
fn past_events_are_compared_with_a_log_on_the_server() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let wants = |pattern: &str| [hook("depot", receiver.url("/")).events(pattern)];
    let world = logging(&database, "", &wants("stock-*"));
    let keys = ["matched", "would_add", "would_drop", "not_taken"];
    database.emit("stock-in", "{\"n\":0}");
    let told = world.command(&["match", "depot"]).expect(0).stderr;
    assert!(told.contains("there is no log yet"), "{told}");
    let daemon = world.start();
    for (n, event) in ["stock-in", "stock-out", "price"].iter().enumerate() {
        database.emit(event, &format!("{{\"n\":{}}}", n + 1));
    }
    receiver.wait(3, SOON);
    eventually("all is in the log", SOON, || {
        let rows = database.sql("SELECT count(*) FROM webhooksd.log");
        check(rows == "3", || rows)
    });
    daemon.stop();
    assert_eq!(judged(&world, &[], keys), [3, 0, 0, 0]);
    database.emit("stock-out", "{\"n\":4}");
    assert_eq!(judged(&world, &[], keys), [4, 0, 0, 1]);
    // By another file.
    let other = logging(&database, "", &wants("stock-out"));
    assert_eq!(judged(&other, &[], keys), [2, 0, 2, 1]);
    let other = logging(&database, "", &wants("price"));
    let ended = other.command(&["match", "depot"]).expect(0);
    for (row, count) in [
        ("match, and were not sent", "1"),
        ("were sent, and do not match", "3"),
    ] {
        let told = ended.stdout.lines().find_map(|line| line.strip_prefix(row));
        let words: Vec<&str> = told.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words[0], count, "{row}: {}", ended.stdout);
    }
}
