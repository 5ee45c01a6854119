//! What goes before its days are over: what ended first, whole, and never what is pending.

use super::*;
use crate::model::DeliveryId;

const MINUTE: i64 = 60_000;

/// Too small for anything.
const NOTHING: SizeBounds = SizeBounds {
    file: 0,
    used: 0,
    wal: WalBounds::NONE,
};

fn nobody(_: &str, _: DeliveryId) -> bool {
    false
}

/// Deletes to the end by so many rows at a time; returns what went, and whether it was stuck.
fn shrink(store: &mut Store, bounds: &SizeBounds, rows: usize) -> (usize, bool) {
    let mut deleted = 0;
    for _ in 0..10_000 {
        let shrunk = store.shrink(bounds, rows, NOW, &nobody).unwrap();
        deleted += shrunk.deleted;
        if !shrunk.more {
            return (deleted, shrunk.stuck);
        }
    }
    panic!("it does not end");
}

fn ids(log: &Log, table: &str) -> String {
    log.ask(&format!(
        "SELECT coalesce(group_concat(id), '') FROM (SELECT id FROM {table} ORDER BY id)"
    ))
}

/// One event for each id with a body of 40,000 bytes.
fn large(ids: std::ops::RangeInclusive<i64>, webhooks: &[&str]) -> Admission {
    let mut batch = admission(ids, webhooks);
    for event in &mut batch.events {
        event.bodies.truncate(1);
        event.bodies[0].1 = vec![b' '; 40_000].into();
        event.webhooks.iter_mut().for_each(|(_, body)| *body = 0);
    }
    batch
}

#[test]
fn what_ended_first_goes_first_whole_and_what_is_pending_stays_with_all_that_is_its_own() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&large(1..=4, &["a", "b"]), NOW).unwrap();
    // Deliveries 1 and 2 are of event 1, and so on; 1 ends last, 4 is never sent, 6 waits for its second try.
    let done = |n: usize, at| attempt(&dues[n - 1], NOW + at, Verdict::Delivered);
    let again = |n: usize, at| attempt(&dues[n - 1], NOW + at, Verdict::RetryAt(NOW + 9 * MINUTE));
    store
        .record(&[again(1, 0), done(2, 1), again(6, 2), done(3, 3), done(5, 4)])
        .unwrap();
    store
        .record(&[
            done(7, 5),
            attempt(&dues[7], NOW + 6, Verdict::Failed),
            done(1, 7),
        ])
        .unwrap();
    log.execute("INSERT INTO redelivery (delivery_id) VALUES (8)")
        .unwrap();

    // Attempts 1 to 4: of delivery 1 a later one is left, 6 is pending.
    let shrunk = store.shrink(&NOTHING, 4, NOW, &nobody).unwrap();
    assert_eq!(
        (shrunk.deleted, shrunk.more, shrunk.stuck),
        (2, true, false)
    );
    assert_eq!(ids(&log, "delivery"), "1,4,5,6,7,8,9");
    assert_eq!(ids(&log, "attempt"), "1,3,5,6,7,8");
    assert_eq!(
        ids(&log, "payload"),
        "1,2,3,4",
        "event 1 has delivery 1 yet, event 2 the fourth"
    );

    assert_eq!(shrink(&mut store, &NOTHING, 4), (4, true));
    assert_eq!(ids(&log, "delivery"), "4,6,9", "9 is the redelivery");
    assert_eq!(ids(&log, "attempt"), "3", "that of 6");
    assert_eq!(ids(&log, "payload"), "2,3,4");
    assert_eq!(ids(&log, "redelivery"), "1", "by it the pending 9 is seen");
    let due = store
        .due("b", i64::MAX / 4, 9, usize::MAX, &|_| false)
        .unwrap();
    let due: Vec<_> = due
        .iter()
        .map(|due| (due.id.get(), due.body.len()))
        .collect();
    assert_eq!(due, [(4, 40_000), (6, 40_000), (9, 40_000)]);

    // What was passed over as pending goes once it has ended.
    store
        .record(&[attempt(&dues[5], NOW + 8, Verdict::Delivered)])
        .unwrap();
    assert_eq!(shrink(&mut store, &NOTHING, 4), (1, true));
    assert_eq!(
        (ids(&log, "delivery"), ids(&log, "attempt")),
        ("4,9".into(), String::new())
    );
}

#[test]
fn the_file_is_as_long_as_it_may_be_and_holds_the_newest_and_the_rollup_holds_all() {
    let log = Log::new();
    let mut store = log.open();
    let bounds = SizeBounds::of(3_000_000);
    let deliver = |store: &mut Store, ids| {
        let dues = store.admit_all(&large(ids, &["a"]), NOW).unwrap();
        let done: Vec<_> = (dues.iter())
            .map(|due| attempt(due, NOW, Verdict::Delivered))
            .collect();
        store.record(&done).unwrap();
    };
    deliver(&mut store, 1..=200);
    store.checkpoint().unwrap();
    assert!(size(&log.path).0 > 8_000_000);
    let (deleted, stuck) = shrink(&mut store, &bounds, 20);
    assert!(!stuck);
    store.checkpoint().unwrap();
    let file = size(&log.path).0;
    assert!(file <= bounds.file && file > bounds.file * 3 / 4, "{file}");
    let kept = 200 - i64::try_from(deleted).unwrap();
    assert!((30..70).contains(&kept), "{kept}");
    assert_eq!(log.ask::<i64>("SELECT min(id) FROM attempt"), 201 - kept);
    // What comes now finds room: the file does not grow.
    for n in 20..60 {
        deliver(&mut store, n * 10 + 1..=n * 10 + 10);
        shrink(&mut store, &bounds, 20);
    }
    store.checkpoint().unwrap();
    assert!(size(&log.path).0 <= bounds.file);
    assert_eq!(log.ask::<i64>("SELECT max(id) FROM attempt"), 600);
    let integrity: String = log.ask("PRAGMA integrity_check");
    assert_eq!(integrity, "ok");
    // No roll-up was asked for: what went was counted before, and the rest is after the crash.
    drop(store);
    drop(log.open());
    assert_eq!(
        log.ask::<i64>("SELECT sum(attempts) FROM rollup WHERE span = 'hour'"),
        600
    );
}

#[test]
fn what_was_cancelled_or_set_aside_goes_with_the_attempts_of_its_time() {
    let log = Log::new();
    let mut store = log.open();
    let mut batch = admission(1..=4, &["a"]);
    (batch.events.iter_mut()).for_each(|event| event.bodies.truncate(1));
    for n in 0..3 {
        let mut admission = admission(0..=0, &["a"]);
        admission.events.clear();
        admission.rejected.push(Rejected {
            event_id: EventId::new(100 + n),
            event: "e".into(),
            reason: "r".into(),
            time_ms: 0,
            tenant: None,
        });
        store.admit_all(&admission, NOW + n * 5 * MINUTE).unwrap();
    }
    batch.events[2].webhooks[0].0 = "gone".into();
    batch.events[3].webhooks[0].0 = "gone-too".into();
    let dues = store.admit_all(&batch, NOW).unwrap();
    assert_eq!(
        store
            .cancel("gone", 9, NOW + MINUTE, &|_, _| false)
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .cancel("gone-too", 9, NOW + 7 * MINUTE, &|_, _| false)
            .unwrap(),
        1
    );
    store
        .record(&[
            attempt(&dues[0], NOW + 2 * MINUTE, Verdict::Delivered),
            attempt(&dues[1], NOW + 6 * MINUTE, Verdict::Delivered),
        ])
        .unwrap();
    // One row at a time: the attempt of minute 2, and what ended before it.
    store.shrink(&NOTHING, 1, NOW, &nobody).unwrap();
    assert_eq!(ids(&log, "delivery"), "2,4");
    assert_eq!(ids(&log, "rejected"), "2,3");
    store
        .shrink(&NOTHING, 5, NOW, &|webhook, id| {
            webhook == "gone-too" && id.get() == 4
        })
        .unwrap();
    assert_eq!(ids(&log, "delivery"), "4", "its request is under way");
    assert_eq!(ids(&log, "rejected"), "");
    assert_eq!(shrink(&mut store, &NOTHING, 5), (1, true));
    assert_eq!(
        (ids(&log, "delivery"), ids(&log, "payload")),
        (String::new(), String::new())
    );
}

#[test]
fn a_body_that_is_owed_stays_and_retention_goes_on_over_what_is_left() {
    let log = Log::new();
    let mut store = log.open();
    let (dues, owed) = store
        .admit(
            &large(1..=3, &["a", "later"]),
            &|name| name == "later",
            &mut |_| false,
            NOW,
        )
        .unwrap();
    assert!(store.mark(NOW + MINUTE).unwrap());
    let done: Vec<_> = dues
        .iter()
        .map(|due| attempt(due, NOW, Verdict::Delivered))
        .collect();
    store.record(&done).unwrap();
    assert_eq!(shrink(&mut store, &NOTHING, 2), (3, true));
    assert_eq!(ids(&log, "payload"), "1,2,3");
    let paid = store.materialize(&owed, &mut |_| false, NOW).unwrap();
    assert_eq!(paid[2].body.len(), 40_000);
    store
        .record(&[attempt(&paid[0], NOW + 1, Verdict::Delivered)])
        .unwrap();
    while store.sweep(NOW + 99 * MINUTE, 20).unwrap().more {}
    assert_eq!(
        ids(&log, "payload"),
        "1,2,3",
        "the mark is older than what is left"
    );
    assert_eq!(shrink(&mut store, &NOTHING, 2), (1, true));
    assert_eq!(
        (ids(&log, "payload"), ids(&log, "delivery")),
        ("2,3".into(), "5,6".into())
    );
}

/// SQLite puts the WAL beside the file, and not beside a link to it.
#[test]
fn the_wal_of_a_log_behind_a_link_is_found() {
    let log = Log::new();
    let store = log.open();
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link.db");
    std::os::unix::fs::symlink(&log.path, &link).unwrap();
    assert_eq!(size(&link), size(&log.path));
    assert!(size(&link).1 > 0);
    assert_eq!(size(&links.path().join("none.db")), (0, 0));
    drop(store);
}

#[test]
fn a_small_log_has_a_small_wal_and_a_large_one_that_of_any() {
    assert_eq!(WalBounds::of(None), WalBounds::default());
    assert_eq!(WalBounds::of(Some(10_000_000_000)), WalBounds::default());
    let small = SizeBounds::of(64_000_000);
    assert!(small.wal.cut_bytes() <= 16_000_000);
    assert!(small.file + small.wal.cut_bytes() <= 64_000_000);
    let log = Log::new();
    let mut store = log.open();
    let bounds = SizeBounds::of(1_000_000).wal;
    store.bound_wal(bounds).unwrap();
    store.admit_all(&large(1..=100, &["a"]), NOW).unwrap();
    let state = store.checkpoint().unwrap();
    assert!(size(&log.path).1 > 4_000_000 && state.wants_cut(bounds));
    store.start_wal_over().unwrap();
    assert_eq!(size(&log.path).1, bounds.cut_bytes());
}
