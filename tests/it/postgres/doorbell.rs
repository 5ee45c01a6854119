//! `[outbox] doorbell`: it wakes who sleeps, and where it does not ring rows come all the same.

use std::time::Duration;

use super::following_by;
use crate::support::{Database, Postgres, Receiver, SOON, check, eventually, hook, postgres};

/// A database with the table and the doorbell, as the program prints them.
pub(super) fn database(server: &Postgres, name: &str) -> Database {
    server.psql("postgres", &format!("CREATE DATABASE {name}"));
    let database = server.named(name);
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_webhooksd"));
    program.args(["schema", "outbox", "--postgres", "--doorbell"]);
    let printed = program.output().unwrap();
    database.sql(&String::from_utf8(printed.stdout).unwrap());
    database
}

/// Waits until it looks ever less often than without a doorbell.
#[track_caller]
fn sleeps(database: &Database) {
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
        AND application_name LIKE 'webhooksd reads%' AND query NOT LIKE 'LISTEN%' AND clock_timestamp() - state_change > '0.4 s'";
    eventually("it sleeps", SOON, || {
        let idle = database.sql(idle);
        check(idle == "1", || idle)
    });
}

#[test]
fn it_wakes_who_sleeps() {
    let Some(server) = postgres() else { return };
    let database = database(server, "bell_rings");
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&database.url(), "doorbell = true", &hooks);
    let checked = world.command(&["check"]).expect(0);
    assert!(!checked.stderr.contains("doorbell"), "{}", checked.stderr);
    let daemon = world.start();
    eventually("commits are asked to ring", SOON, || {
        database.emit("e", "{\"n\":1}");
        let asleep = database.sql("SELECT last_value = 2 FROM outbox_doorbell");
        check(asleep == "t", || asleep)
    });
    // It is relied on once it has rung; then each of some is there long before the next look would be.
    let begun = database
        .sql("SELECT count(*) FROM outbox")
        .parse::<usize>()
        .unwrap();
    receiver.wait(begun, SOON);
    database.emit("e", "{\"n\":2}");
    receiver.wait(begun + 1, SOON);
    for more in 2..5 {
        sleeps(&database);
        database.emit("e", "{\"n\":3}");
        receiver.wait(begun + more, Duration::from_millis(400));
    }
    // An application needs no more rights than without it.
    database.sql(
        "CREATE ROLE rings; GRANT INSERT ON outbox TO rings; GRANT USAGE ON SEQUENCE outbox_id TO rings",
    );
    sleeps(&database);
    database.sql("SET ROLE rings; INSERT INTO outbox (event, data) VALUES ('e', '{}')");
    receiver.wait(begun + 5, Duration::from_millis(400));
    daemon.stop();
    assert_eq!(
        database.sql("SELECT last_value = 2 FROM outbox_doorbell"),
        "f",
        "nobody rings for nobody"
    );
}

#[test]
fn rows_that_do_not_ring_are_found_and_told_of() {
    let Some(server) = postgres() else { return };
    let database = database(server, "bell_silent");
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&database.url(), "doorbell = true", &hooks);
    let daemon = world.start();
    // As behind a pooler: the trigger is there, and nothing is heard.
    database.sql("CREATE OR REPLACE FUNCTION outbox_doorbell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for n in 1..20 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
        receiver.wait(n, SOON);
    }
    daemon.wait_journal("did not ring");
    daemon.stop();
}

#[test]
fn where_it_is_missing_it_is_asked_for_and_rows_come() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&database.url(), "doorbell = true", &hooks);
    let checked = world.command(&["check"]).expect(0).stderr;
    for word in ["no doorbell", "--doorbell", "GRANT UPDATE ON SEQUENCE"] {
        assert!(checked.contains(word), "{word}: {checked}");
    }
    let daemon = world.start();
    daemon.wait_journal("no doorbell");
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    daemon.stop();
}
