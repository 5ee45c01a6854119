//! A node's machine whose clock is hours off the server's: it is told, and nothing else comes of it while it sends itself.

use std::time::Duration;

use super::logging;
use crate::clock::start_at;
use crate::socket::SECTION;
use crate::support::{Answer, Receiver, SOON, check, eventually, hook, now_ms, postgres};

const HOUR_MS: i64 = 3_600_000;

/// What a daemon does whose machine is wrong by so much.
fn wrong_by(ms: i64, told: &str) {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::start(|request| {
        let first = request.n() == 1;
        Answer::status(if first { 500 } else { 200 })
    });
    let world = logging(&database, SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = start_at(&world, ms);
    daemon.wait_journal(told);
    let begun_ms = now_ms();
    database.emit("e", "{\"n\":1}");
    database.emit("e", "{\"n\":2}");
    let requests = receiver.wait(3, SOON);
    let first: Vec<_> = requests.iter().filter(|one| one.n() == 1).collect();
    let apart = first[1].at - first[0].at;
    let schedule = Duration::from_millis(9_500)..Duration::from_secs(20);
    assert!(schedule.contains(&apart), "{apart:?}");
    // By the clock of who sent.
    let sql =
        "SELECT (extract(epoch FROM min(time::timestamptz)) * 1000)::bigint FROM webhooksd.log";
    let time_ms: i64 = database.sql(sql).parse().unwrap();
    let off_ms = time_ms - begun_ms - ms;
    assert!((-1_000..40_000).contains(&off_ms), "{off_ms}");
    eventually("all of it is in the log", SOON, || {
        let rows = database.sql("SELECT count(*) FROM webhooksd.log");
        check(rows == "3", || rows)
    });
    let status = world.command(&["status"]).expect(0).stdout;
    assert!(status.contains(told), "{status}");
    daemon.stop();
}

#[test]
fn hours_ahead_are_told_and_cost_no_schedule() {
    wrong_by(5 * HOUR_MS, "hours ahead of that of the log's server");
}

#[test]
fn hours_behind_are_told_and_cost_no_schedule() {
    wrong_by(-5 * HOUR_MS, "hours behind that of the log's server");
}
