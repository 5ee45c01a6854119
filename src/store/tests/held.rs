//! Until when endpoints asked to wait: the latest of it is kept, for a day at the most by any clock.

use std::collections::HashMap;

use super::*;

const DAY: i64 = 86_400_000;

/// An attempt whose answer asked to wait until then.
fn asked(due: &Due, until_ms: i64) -> Attempt {
    Attempt {
        held_until_ms: Some(until_ms),
        ..attempt(due, NOW, Verdict::RetryAt(until_ms))
    }
}

fn held(each: &[(&str, i64)]) -> HashMap<String, i64> {
    let each = each.iter();
    each.map(|(name, until_ms)| ((*name).to_owned(), *until_ms))
        .collect()
}

fn due_at(log: &Log, id: i64) -> i64 {
    log.ask(&format!("SELECT due_at FROM delivery WHERE id = {id}"))
}

#[test]
fn the_latest_that_was_asked_for_is_kept_with_its_attempt() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store
        .admit_all(&admission(1..=3, &["a", "b"]), NOW)
        .unwrap();
    assert_eq!(store.held(NOW).unwrap(), held(&[]));
    let attempts = [asked(&dues[0], NOW + 5_000), asked(&dues[2], NOW + 3_000)];
    store.record(&attempts).unwrap();
    store.record(&[asked(&dues[4], NOW + 4_000)]).unwrap();
    drop(store);
    let store = log.open();
    assert_eq!(store.held(NOW).unwrap(), held(&[("a", NOW + 5_000)]));
    let reader = Reader::open(&log.path).unwrap();
    assert_eq!(reader.held(NOW).unwrap(), held(&[("a", NOW + 5_000)]));
    // For who looks it is over; for who sends it may come again by a clock that is set back.
    assert_eq!(reader.held(NOW + 5_000).unwrap(), held(&[]));
    assert_eq!(
        store.held(NOW + 5_000).unwrap(),
        held(&[("a", NOW + 5_000)])
    );
    let earlier = NOW - 10 * DAY;
    assert_eq!(
        store.held(earlier).unwrap(),
        held(&[("a", earlier + DAY)]),
        "no more than a day from now"
    );
}

#[test]
fn a_clock_step_leaves_what_waits_for_its_endpoint_until_then() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store
        .admit_all(&admission(1..=1, &["a", "b"]), NOW)
        .unwrap();
    let until_ms = NOW + 50_000;
    let attempts = [
        asked(&dues[0], until_ms),
        attempt(&dues[1], NOW, Verdict::RetryAt(until_ms)),
    ];
    store.record(&attempts).unwrap();
    let delay = |_: Dialect, _: u32| 1_000;
    assert_eq!(store.clamp_due(NOW, &delay, 99).unwrap().rows, 1);
    assert_eq!((due_at(&log, 1), due_at(&log, 2)), (until_ms, NOW + 1_000));
    let earlier = NOW - 2 * DAY;
    assert_eq!(store.clamp_due(earlier, &delay, 99).unwrap().rows, 2);
    let day_after = earlier + DAY;
    assert_eq!(
        (due_at(&log, 1), due_at(&log, 2)),
        (day_after, earlier + 1_000)
    );
    assert_eq!(log.ask::<i64>("SELECT until FROM retry_after"), day_after);
}

/// A person may look before the daemon was started anew.
#[test]
fn in_a_log_of_an_earlier_shape_nobody_asked() {
    let log = Log::new();
    drop(log.open());
    log.execute("DROP TABLE retry_after; DROP TABLE own; DROP TABLE pause_told; DROP TABLE payload_message; DROP TABLE patient; DROP TABLE snapshot; PRAGMA user_version = 6")
        .unwrap();
    let reader = Reader::open(&log.path).unwrap();
    assert_eq!(reader.held(NOW).unwrap(), held(&[]));
    assert_eq!(reader.health(NOW).unwrap(), []);
}
