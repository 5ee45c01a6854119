//! A server whose disk is full: what it can't take waits, nothing is lost, and work goes on by itself once there is room.

use std::collections::BTreeSet;

use super::{logging, logging_apart};
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{
    Answer, Database, Gate, Postgres, Received, Receiver, SOON, check, eventually, fill, hook,
    small,
};

/// Adds events of some kilobytes.
fn emit(database: &Database, numbers: std::ops::Range<i64>) {
    let large = "x".repeat(4_000);
    let rows: Vec<_> = numbers
        .map(|n| format!("('e', '{{\"n\":{n},\"x\":\"{large}\"}}')"))
        .collect();
    database.sql(&format!(
        "INSERT INTO outbox (event, data) VALUES {}",
        rows.join(", ")
    ));
}

fn all_come(receiver: &Receiver, events: usize) {
    eventually("all came", SOON, || {
        let all: BTreeSet<i64> = receiver.received().iter().map(Received::n).collect();
        check(all.len() == events, || all.len().to_string())
    });
}

#[test]
fn a_log_without_room_costs_nothing_and_says_what_to_do() {
    let name = "postgres::full::a_log_without_room_costs_nothing_and_says_what_to_do";
    let Some(disk) = small(name, "48m") else {
        return;
    };
    let Some(server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let space = server.folder_in(&disk, "space");
    let sql = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
    server.psql("postgres", &sql);
    server.psql("postgres", "CREATE DATABASE log TABLESPACE small");
    let (outbox, log) = (server.database(), server.named("log"));
    let gate = Gate::default();
    let answers = gate.clone();
    // Results are on their way when the disk fills.
    let receiver = Receiver::start(move |_| {
        answers.pass();
        Answer::status(200)
    });
    let hooks = [hook("one", receiver.url("/"))];
    let world = logging_apart((&outbox.url(), &log.url()), SECTION, &hooks);
    let mut daemon = world.start();
    emit(&outbox, 0..40);
    receiver.wait(1, SOON);
    let filler = fill(&disk);
    gate.open();
    emit(&outbox, 40..400);
    daemon.wait_journal("the server's disk is full");
    daemon.wait_journal("free some space on the server; nothing is lost");
    eventually("health says so, and what to do", SOON, || {
        let health = curl(&world, "/health", &[]);
        let says =
            health.body.contains("disk is full") && health.body.contains("server of its own");
        check(health.status == 503 && says, || health.body)
    });
    let status = world.command(&["status"]);
    let told = status.stdout + &status.stderr;
    assert!(told.contains("disk is full"), "{told}");
    assert_eq!(daemon.ended(), None);
    std::fs::remove_file(filler).unwrap();
    all_come(&receiver, 400);
    eventually("all is in the log", SOON, || {
        let states = log.sql("SELECT state, count(*) FROM webhooksd.delivery GROUP BY state");
        check(states == "delivered|400", || states)
    });
    eventually("it is well", SOON, || {
        let health = curl(&world, "/health", &[]);
        check(health.status == 200, || health.body)
    });
    daemon.stop();
    assert_eq!(receiver.count(), 400, "each once");
}

#[test]
fn a_server_that_ends_for_a_full_wal_is_waited_for() {
    let name = "postgres::full::a_server_that_ends_for_a_full_wal_is_waited_for";
    let Some(disk) = small(name, "64m") else {
        return;
    };
    let Some(mut server) = Postgres::own(&["max_wal_size=32MB", "min_wal_size=32MB"]) else {
        return;
    };
    let space = server.folder_in(&disk, "wal");
    server.move_wal(&space);
    let database = server.database();
    let receiver = Receiver::ok();
    let world = logging(&database, SECTION, &[hook("one", receiver.url("/"))]);
    let mut daemon = world.start();
    emit(&database, 0..50);
    all_come(&receiver, 50);
    database.sql("CREATE TABLE junk (text text)");
    let filler = fill(&disk);
    emit(&database, 50..60);
    let junk = "INSERT INTO junk SELECT md5(random()::text) FROM generate_series(1, 100000)";
    eventually("the server has no room", SOON, || {
        match database.try_sql(junk) {
            Ok(_) => Err("it has".to_owned()),
            Err(_) => Ok(()),
        }
    });
    daemon.wait_journal("is away");
    assert_eq!(daemon.ended(), None);
    std::fs::remove_file(filler).unwrap();
    server.revive();
    emit(&database, 60..70);
    all_come(&receiver, 70);
    eventually("it is well", SOON, || {
        let health = curl(&world, "/health", &[]);
        check(health.status == 200, || health.body)
    });
    daemon.stop();
}
