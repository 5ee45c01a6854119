//! A server that is away: `run` waits, says so, and goes on by itself; nothing is lost or sent twice.

use std::collections::BTreeSet;

use super::{following, following_by};
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Postgres, Received, Receiver, SOON, check, eventually, hook};

#[test]
fn a_server_that_is_killed_is_waited_for_and_nothing_is_lost() {
    // With its synchronisation, or a kill could lose what was committed.
    let Some(mut server) = Postgres::own(&["fsync=on"]) else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    let insert = |from: i64| {
        let values: Vec<_> = (from..from + 50)
            .map(|n| format!("('e', '{{\"n\":{n}}}')"))
            .collect();
        database.sql(&format!(
            "INSERT INTO outbox (event, data) VALUES {}",
            values.join(", ")
        ));
    };
    for round in 0..3 {
        insert(round * 50);
        server.kill();
        daemon.wait_journal("the outbox can't be read; trying again");
        server.up();
    }
    insert(150);
    eventually("all came", SOON, || {
        let all: BTreeSet<i64> = receiver.received().iter().map(Received::n).collect();
        check(all.len() == 200, || all.len().to_string())
    });
    daemon.wait_journal("events are taken in again");
    assert_eq!(receiver.count(), 200, "each once");
    daemon.stop();
}

#[test]
fn a_start_waits_for_a_server_that_is_away() {
    let Some(mut server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    database.emit("e", "{\"n\":1}");
    server.kill();
    let checked = world.command(&["check"]).expect(2);
    assert!(checked.stderr.contains("is away"), "{}", checked.stderr);
    let daemon = world.start();
    daemon.wait_journal("ready: waiting for the outbox");
    daemon.wait_journal("is away");
    server.up();
    daemon.wait_journal("the outbox is there: following it");
    assert_eq!(receiver.wait(1, SOON)[0].n(), 1);
    daemon.stop();
}

#[test]
fn a_server_that_stands_still_is_given_up_and_connected_to_anew() {
    let Some(server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    server.signal("STOP");
    eventually("it is not well", SOON, || {
        let health = curl(&world, "/health", &[]);
        let tells = health.body.contains("does not answer");
        check(health.status == 503 && tells, || health.body)
    });
    daemon.wait_journal("no answer in 30 s");
    server.signal("CONT");
    database.emit("e", "{\"n\":2}");
    receiver.wait(2, SOON);
    daemon.wait_journal("events are taken in again");
    daemon.stop();
    assert_eq!(receiver.count(), 2, "each once");
}
