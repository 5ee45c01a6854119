//! A log of the first shape with more pending work than comes over at once: the daemon sends it as it comes over, all of
//! it stays in sight, and a kill between loses none and makes none twice.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::plan::EARLIER;
use super::upgrade::{APPLICATION_ID, migrations};
use crate::support::{Receiver, SOON, World, check, eventually, hook, now_ms};

/// More than come over with the migration, in a few more steps.
const PENDING: i64 = 5_900;

/// The last shape whose pending work is among what ended.
const SHAPE: usize = 4;

fn make(world: &World) {
    let log = Connection::open(world.path("log.db")).unwrap();
    log.pragma_update(None, "journal_mode", "WAL").unwrap();
    for sql in &migrations()[..SHAPE] {
        log.execute_batch(sql).unwrap();
    }
    let now = now_ms();
    log.execute_batch(&format!(
        "BEGIN;
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SHAPE};
         INSERT INTO cursor (one, generation, event_id, fingerprints, time) VALUES (1, 0, {PENDING}, x'', {now});
         INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
         VALUES ('one', 'active', {now}, {now}, 0, 0), ('gone', 'removed', {now}, {now}, 0, 0);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {PENDING})
         INSERT INTO payload (id, generation, event_id, dialect, body)
         SELECT n, 0, n, 'bold-cms', '{{\"v1\":{{\"event\":{{\"id\":' || n || ',\"name\":\"e\",\"time\":{now}}},\"data\":{{\"n\":' || n || '}}}}}}' FROM c;
         INSERT INTO delivery (id, generation, event_id, event, webhook, dialect, state, origin, due_at, created_at, payload_id)
         SELECT id, 0, id, 'e', iif(id % 10, 'one', 'gone'), dialect, 'pending', 'event', {now}, {now}, id FROM payload;
         COMMIT;"
    ))
    .unwrap();
}

fn killed_at(point: Option<&str>) {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/")).line("max_in_flight = 50")]);
    make(&world);
    if let Some(point) = point {
        let point = format!("{EARLIER}: {point}");
        let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", point.as_ref())]);
        eventually("it dies", SOON, || {
            check(daemon.ended().is_some(), || daemon.journal())
        });
        let left = world.number("SELECT count(*) FROM delivery WHERE state = 'pending'");
        assert!((1..=PENDING).contains(&left), "{left} are pending");
        assert_eq!(world.number("SELECT count(*) FROM delivery"), PENDING);
    }
    let daemon = world.start();
    let of = |state| format!("SELECT count(*) FROM delivery WHERE state = '{state}'");
    world.wait_number(&of("cancelled"), PENDING / 10, SOON);
    world.wait_number(&of("delivered"), PENDING - PENDING / 10, SOON);
    let received = receiver.received();
    let came: BTreeSet<i64> = received.iter().map(|request| request.n()).collect();
    let expected = (1..=PENDING).filter(|n| n % 10 != 0);
    assert!(came.into_iter().eq(expected), "{point:?}");
    // What was on the wire or not written down when it died came again, and no more.
    let twice = received.len() - usize::try_from(PENDING - PENDING / 10).unwrap();
    assert!(
        twice <= 500 * usize::from(point.is_some()),
        "{twice} came twice"
    );
    assert_eq!(world.log("PRAGMA integrity_check"), [["ok"]]);
    let index = "SELECT count(*) FROM sqlite_master WHERE name = 'delivery_pending'";
    assert_eq!(world.number(index), 0);
    daemon.wait_journal("has come over");
    daemon.stop();
}

#[test]
fn pending_work_of_a_large_log_comes_over_in_steps() {
    killed_at(None);
}

#[test]
fn a_kill_between_the_steps_loses_none() {
    for point in ["before the commit*1", "committed*1", "before the commit*3"] {
        killed_at(Some(point));
    }
}
