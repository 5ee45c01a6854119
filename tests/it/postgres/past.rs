//! Events of the past in PostgreSQL, where no id divides what was taken from what was not.

use std::io::Write as _;

use super::following_by;
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
