//! Writers whose transactions commit in another order than they began: nothing is lost, and a reader that goes by ids
//! loses rows of the same load, or the load would prove nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use super::following;
use crate::support::{
    Database, Received, Receiver, SOON, check, eventually, hook, nap, postgres, stays,
};

const WRITERS: usize = 16;
const EACH: usize = 60;

/// One writer's transactions: each takes up to 100 ms from its INSERT to its end, and a tenth is rolled back.
fn script(writer: usize) -> String {
    let mut sql = String::new();
    for n in 0..EACH {
        let id = writer * EACH + n;
        let end = if id % 10 == 9 { "ROLLBACK" } else { "COMMIT" };
        write!(
            sql,
            "BEGIN; INSERT INTO outbox (event, data) VALUES ('e', '{{\"n\":{id}}}');
             SELECT pg_sleep(random() * 0.1); {end};\n"
        )
        .unwrap();
    }
    sql
}

/// What a reader that remembers the last id sees until the writers are done.
fn by_id(database: &Database) -> BTreeSet<i64> {
    let (mut last, mut seen) = (0_i64, BTreeSet::new());
    let done = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep%'
                 AND pid <> pg_backend_pid()";
    loop {
        let writing = database.sql(done) != "0";
        let rows = database.sql(&format!(
            "SELECT id, data::json->>'n' FROM outbox WHERE id > {last} ORDER BY id"
        ));
        for row in rows.lines() {
            let (id, n) = row.split_once('|').unwrap();
            last = id.parse().unwrap();
            seen.insert(n.parse().unwrap());
        }
        if !writing && rows.is_empty() {
            return seen;
        }
        nap(Duration::from_millis(5));
    }
}

#[test]
fn nothing_is_lost_where_transactions_end_in_another_order_than_they_began() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut psql = database
                .psql()
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let mut input = psql.stdin.take().unwrap();
            input.write_all(script(writer).as_bytes()).unwrap();
            psql
        })
        .collect();
    eventually("somebody writes", SOON, || {
        let rows = database.sql("SELECT count(*) FROM outbox");
        check(rows != "0", || rows)
    });
    let by_id = by_id(&database);
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    let is_committed = |n: &i64| n % 10 != 9;
    let committed: BTreeSet<i64> = (0..).take(WRITERS * EACH).filter(is_committed).collect();
    let lost = committed.difference(&by_id).count();
    println!(
        "a reader that goes by ids lost {lost} of {}",
        committed.len()
    );
    assert!(
        lost > 0,
        "the load shows nothing: by their ids all rows were seen"
    );
    receiver.wait(committed.len(), SOON);
    let arrived: Vec<i64> = receiver.received().iter().map(Received::n).collect();
    let once: BTreeSet<i64> = arrived.iter().copied().collect();
    assert_eq!(once, committed);
    assert_eq!(arrived.len(), committed.len(), "each once");
    daemon.stop();
}

#[test]
fn a_transaction_that_stays_open_keeps_nobody_waiting_and_is_not_passed_over() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    let mut open = database
        .psql()
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = open.stdin.take().unwrap();
    let begin = "BEGIN; INSERT INTO outbox (event, data) VALUES ('e', '{\"n\":0}');\n";
    input.write_all(begin.as_bytes()).unwrap();
    input.flush().unwrap();
    eventually("the transaction is under way", SOON, || {
        let open = database.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
        );
        check(open == "1", || open)
    });
    for n in 1..=700 {
        if n % 100 == 1 {
            let values: Vec<_> = (n..n + 100)
                .map(|n| format!("('e', '{{\"n\":{n}}}')"))
                .collect();
            database.sql(&format!(
                "INSERT INTO outbox (event, data) VALUES {}",
                values.join(", ")
            ));
        }
    }
    receiver.wait(700, SOON);
    // A restart in between goes on from the log's snapshot, in which it was under way.
    daemon.stop();
    let daemon = world.start();
    stays("it is not there yet", Duration::from_millis(300), || {
        check(receiver.count() == 700, || receiver.count().to_string())
    });
    input.write_all(b"COMMIT;\n").unwrap();
    drop(input);
    assert!(open.wait().unwrap().success());
    let all = receiver.wait(701, SOON);
    assert_eq!(all[700].n(), 0);
    daemon.stop();
}

#[test]
fn rows_that_are_large_come_in_parts_and_all_of_them() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    database.sql(
        "INSERT INTO outbox (event, data)
         SELECT 'e', ('{\"n\":' || n || ',\"x\":\"' || repeat('x', 900000) || '\"}')::json FROM generate_series(0, 19) n",
    );
    let daemon = world.start();
    let all = receiver.wait(20, SOON);
    let once: BTreeSet<i64> = all.iter().map(Received::n).collect();
    assert_eq!(once.len(), 20);
    daemon.stop();
}

#[test]
fn old_rows_that_were_taken_go_and_others_stay() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following(&database, &[hook("one", receiver.url("/"))]);
    // Ids of 40 days ago, as the trigger gave them then.
    database.sql(
        "ALTER TABLE outbox DISABLE TRIGGER outbox_id;
         INSERT INTO outbox (id, xid, event, data)
         SELECT (extract(epoch FROM now() - interval '40 days') * 1000)::bigint * 4096 - 7238556057600000 + n,
                pg_current_xact_id(), 'e', ('{\"n\":' || n || '}')::json FROM generate_series(0, 999) n;
         ALTER TABLE outbox ENABLE TRIGGER outbox_id;",
    );
    let daemon = world.start();
    receiver.wait(1_000, SOON);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 1_000, SOON);
    database.emit("e", "{\"n\":1000}");
    receiver.wait(1_001, SOON);
    daemon.stop();
    // Deletes at its start what it knows to be taken.
    let daemon = world.start();
    eventually("the old rows are deleted", SOON, || {
        let rows = database.sql("SELECT count(*) FROM outbox");
        check(rows == "1", || rows)
    });
    daemon.stop();
    assert_eq!(receiver.count(), 1_001);
}
