//! A standby takes over that lacks the last commits, and gives the numbers of their transactions again.

use std::collections::BTreeMap;

use super::following_by;
use super::refused::refused;
use crate::support::{Database, Postgres, Receiver, SOON, check, eventually, hook};

/// Both servers, in the order in which they are tried.
pub(super) fn both(primary: &Database, standby: &Database) -> String {
    format!(
        "postgres://postgres@/{}?host={},{}&target_session_attrs=read-write",
        primary.name,
        primary.host(),
        standby.host()
    )
}

/// Commits each of these events by itself.
fn commit(database: &Database, numbers: std::ops::Range<i64>) {
    let inserts: Vec<_> = numbers
        .map(|n| format!("INSERT INTO outbox (event, data) VALUES ('e', '{{\"n\":{n}}}');"))
        .collect();
    database.sql(&inserts.join("\n"));
}

/// How often each came.
fn arrived(receiver: &Receiver) -> BTreeMap<i64, usize> {
    let mut arrived = BTreeMap::new();
    for request in receiver.received() {
        *arrived.entry(request.n()).or_default() += 1;
    }
    arrived
}

#[test]
fn no_row_is_missed_whose_transaction_has_a_lost_ones_number() {
    let Some(mut primary) = Postgres::own(&["fsync=on"]) else {
        return;
    };
    let database = primary.database();
    let standby = primary.standby();
    let other = standby.named(&database.name);
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&both(&database, &other), "", &hooks);
    let alone = following_by(&other.url(), "", &hooks);
    refused(&alone, &["is a standby", "name the primary"]);

    let daemon = world.start();
    commit(&database, 0..20);
    receiver.wait(20, SOON);
    eventually("the standby has them", SOON, || {
        let rows = other.sql("SELECT count(*) FROM outbox");
        check(rows == "20", || rows)
    });
    standby.detach();
    commit(&database, 20..50);
    receiver.wait(50, SOON);
    let end = database.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())");
    primary.kill();
    standby.promote();
    commit(&other, 100..115);
    let reused = other.sql(&format!(
        "SELECT count(*) FROM outbox WHERE xid < '{end}'::xid8"
    ));
    assert_eq!(reused, "35", "or the failover shows nothing");
    let expected: BTreeMap<i64, usize> = (0..50).chain(100..115).map(|n| (n, 1)).collect();
    eventually("those of the new primary come", SOON, || {
        let arrived = arrived(&receiver);
        check(expected.keys().all(|n| arrived.contains_key(n)), || {
            format!("{arrived:?}\n{}", daemon.journal())
        })
    });
    daemon.wait_journal("another server took over the outbox");
    // Once it has looked again it goes on as before, over a restart too.
    daemon.stop();
    let daemon = world.start();
    commit(&other, 115..120);
    receiver.wait(70, SOON);
    let expected: BTreeMap<i64, usize> = (0..50).chain(100..120).map(|n| (n, 1)).collect();
    assert_eq!(arrived(&receiver), expected, "each once");
    daemon.stop();
}

#[test]
fn a_stop_across_a_failover_misses_nothing_either() {
    let Some(mut primary) = Postgres::own(&["fsync=on"]) else {
        return;
    };
    let database = primary.database();
    let standby = primary.standby();
    let other = standby.named(&database.name);
    let receiver = Receiver::ok();
    // What nobody wants leaves no trace in the log.
    let hooks = [hook("one", receiver.url("/")).events("e")];
    let world = following_by(&both(&database, &other), "", &hooks);
    let daemon = world.start();
    standby.detach();
    commit(&database, 0..700);
    receiver.wait(700, SOON);
    daemon.stop();
    primary.kill();
    standby.promote();
    other
        .sql("INSERT INTO outbox (event, data) SELECT 'nobody', '{}' FROM generate_series(1, 600)");
    commit(&other, 1_000..1_010);
    let daemon = world.start();
    receiver.wait(710, SOON);
    daemon.stop();
    assert_eq!(arrived(&receiver).len(), 710);
    assert_eq!(receiver.count(), 710, "each once");
}

#[test]
fn a_restart_behind_looks_that_found_nothing_sends_nothing_twice() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), "", &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    commit(&database, 0..5);
    receiver.wait(5, SOON);
    // Transactions without a row move the server's numbers on, which the log is not told of.
    database.sql("CREATE TABLE other (n int); INSERT INTO other VALUES (1);");
    let mut seen = Vec::new();
    for n in 5..8 {
        database.sql("UPDATE other SET n = n + 1; UPDATE other SET n = n + 1;");
        seen.push(world.number("SELECT upto = '' AND seen <> '' FROM snapshot"));
        commit(&database, n..n + 1);
        receiver.wait(usize::try_from(n).unwrap() + 1, SOON);
    }
    assert_eq!(seen, [1, 1, 1]);
    let row_end = "SELECT max(xid::text::int8) + 1 FROM outbox";
    let end: i64 = database.sql(row_end).parse().unwrap();
    let kept = format!("SELECT seen LIKE '%:{end}:%' FROM snapshot");
    world.wait_number(&kept, 1, SOON);
    daemon.stop();
    database.sql("UPDATE other SET n = n + 1");
    let daemon = world.start();
    commit(&database, 8..9);
    receiver.wait(9, SOON);
    daemon.stop();
    let expected: BTreeMap<i64, usize> = (0..9).map(|n| (n, 1)).collect();
    assert_eq!(arrived(&receiver), expected);
}
