//! Pauses: rows that people and the daemon write, and what the views say of them.

use super::*;
use crate::model::Pause;

fn pause(webhook: &str, until_ms: Option<i64>) -> Pause {
    Pause {
        webhook: webhook.into(),
        since_ms: NOW,
        until_ms,
        reason: Some("why".into()),
        next_try_ms: None,
    }
}

fn two() -> (Log, Store) {
    let log = Log::new();
    let mut store = log.open();
    let names = ["a", "b"].map(|name| (name.into(), true));
    store.register(&names, NOW).unwrap();
    (log, store)
}

#[test]
fn to_pause_again_replaces_and_what_is_over_goes() {
    let (_log, mut store) = two();
    store.pause(&pause("a", None)).unwrap();
    store.pause(&pause("b", Some(NOW + 5))).unwrap();
    store.pause(&pause("a", Some(NOW + 9))).unwrap();
    let both = [pause("a", Some(NOW + 9)), pause("b", Some(NOW + 5))];
    assert_eq!(store.pauses().unwrap(), both);
    store.set_unsynced(false);
    store.end_pauses(NOW + 4).unwrap();
    assert!(
        !store.is_unsynced(),
        "where none is over nothing is written"
    );
    store.end_pauses(NOW + 5).unwrap();
    assert_eq!(store.pauses().unwrap(), both[..1]);
    assert!(store.resume("a", NOW).unwrap() && !store.resume("a", NOW).unwrap());
    assert!(store.pauses().unwrap().is_empty());
    assert!(
        store.pause(&pause("c", None)).is_err(),
        "nobody is called so"
    );
}

#[test]
fn a_row_by_hand_is_whole_and_what_is_none_is_refused() {
    let (log, mut store) = two();
    assert!(!store.changed().unwrap());
    let before = Clock::system().now_ms();
    log.execute("INSERT INTO pause (webhook) VALUES ('a')")
        .unwrap();
    assert!(store.changed().unwrap(), "and is seen");
    let made = store.pauses().unwrap().remove(0);
    assert!(
        (before..before + 60_000).contains(&made.since_ms),
        "{made:?}"
    );
    assert_eq!((made.until_ms, made.reason), (None, None));
    log.execute("INSERT INTO pause (webhook, since) VALUES ('a', NULL)")
        .unwrap();
    assert_eq!(store.pauses().unwrap().len(), 1);
    for values in [
        "('c', 1, NULL, NULL)",
        "('a', 'now', NULL, NULL)",
        "('a', 1, 'then', NULL)",
        "('a', 1, 1764400000, NULL)",
        "('a', 1, NULL, x'00')",
        "('a', 1, NULL, printf('%1001s', ''))",
    ] {
        let sql = format!("INSERT INTO pause (webhook, since, until, reason) VALUES {values}");
        assert!(log.execute(&sql).is_err(), "{values}");
    }
    log.execute("INSERT INTO pause VALUES ('b', 1, NULL, CAST(x'ff' AS TEXT))")
        .unwrap();
    let odd = store.pauses().unwrap().pop().unwrap();
    assert_eq!(odd.reason.as_deref(), Some("\u{fffd}"));
}

#[test]
fn health_tells_of_a_pause_as_long_as_it_lasts() {
    let (log, mut store) = two();
    let now_ms = Clock::system().now_ms();
    store.pause(&pause("a", Some(now_ms + 3_600_000))).unwrap();
    store.pause(&pause("b", Some(now_ms - 5_000))).unwrap();
    let paused: String = log.ask(
        "SELECT group_concat(webhook || coalesce(paused_since, '-') || coalesce(paused_reason, '-'), ' ')
           FROM (SELECT * FROM health ORDER BY webhook)",
    );
    assert_eq!(paused, "a2023-11-14T22:13:20.123Zwhy b--");
    let reader = Reader::open(&log.path).unwrap();
    let health = reader.health(now_ms).unwrap();
    assert!(health[0].pause.is_some() && health[1].pause.is_none());
}

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// An attempt of `a` that begins then.
fn tried(due: &Due, at_ms: i64, well: bool) -> Attempt {
    let retry = Verdict::RetryAt(at_ms + 10 * SECOND);
    attempt(due, at_ms, if well { Verdict::Delivered } else { retry })
}

/// A log in which `a` pauses itself after an hour, and a delivery of it.
fn failing() -> (Log, Store, Due) {
    let (log, mut store) = two();
    store
        .pause_by_themselves([("a".into(), HOUR)].into())
        .unwrap();
    let due = store
        .admit_all(&admission(1..=1, &["a"]), NOW)
        .unwrap()
        .remove(0);
    (log, store, due)
}

#[test]
fn a_webhook_pauses_itself_after_twenty_failures_over_its_span_across_restarts() {
    let (log, mut store, due) = failing();
    for n in 0..20 {
        store
            .record(&[tried(&due, NOW + n * SECOND, false)])
            .unwrap();
    }
    assert!(!store.take_pauses_changed(), "twenty, and within seconds");
    drop(store);
    let mut store = log.open();
    store
        .pause_by_themselves([("a".into(), HOUR)].into())
        .unwrap();
    store
        .record(&[tried(&due, NOW + HOUR - 13, false)])
        .unwrap();
    assert!(!store.take_pauses_changed(), "a millisecond too soon");
    store
        .record(&[tried(&due, NOW + HOUR - 12, false)])
        .unwrap();
    assert!(store.take_pauses_changed());
    let paused = store.pauses().unwrap().remove(0);
    assert_eq!((&*paused.webhook, paused.since_ms), ("a", NOW + HOUR));
    assert_eq!(paused.next_try_ms, Some(NOW + HOUR + 60 * SECOND));
    let reason = paused.reason.unwrap();
    let words = "auto_pause: all 22 attempts since 2023-11-14T22:13:20Z failed, the last: refused";
    assert_eq!(&*reason, words);
}

#[test]
fn a_success_begins_anew_and_few_failures_are_no_reason() {
    let (_log, mut store, due) = failing();
    for n in 0..19 {
        store.record(&[tried(&due, NOW + n * HOUR, false)]).unwrap();
    }
    assert!(!store.take_pauses_changed(), "nineteen in days");
    store.record(&[tried(&due, NOW + 19 * HOUR, true)]).unwrap();
    for n in 20..39 {
        store.record(&[tried(&due, NOW + n * HOUR, false)]).unwrap();
    }
    assert!(!store.take_pauses_changed(), "there was a success");
    store
        .record(&[tried(&due, NOW + 39 * HOUR, false)])
        .unwrap();
    assert!(store.take_pauses_changed());
}

#[test]
fn tries_come_at_doubling_spans_up_to_an_hour_and_a_success_ends_the_pause() {
    let (log, mut store, due) = failing();
    for n in 0..20 {
        store.record(&[tried(&due, NOW + n * HOUR, false)]).unwrap();
    }
    let next = |store: &mut Store| store.pauses().unwrap()[0].next_try_ms.unwrap();
    // What was in flight is no try.
    let first = next(&mut store);
    store.record(&[tried(&due, first - 1, false)]).unwrap();
    assert_eq!(next(&mut store), first);
    let mut spans = Vec::new();
    for _ in 0..8 {
        let at_ms = next(&mut store);
        drop(store);
        store = log.open();
        store.pause_by_themselves([].into()).unwrap();
        store.record(&[tried(&due, at_ms, false)]).unwrap();
        assert!(store.take_pauses_changed());
        spans.push((next(&mut store) - at_ms - 12) / (60 * SECOND));
    }
    assert_eq!(spans, [2, 4, 8, 16, 32, 60, 60, 60]);
    let at_ms = next(&mut store);
    store.record(&[tried(&due, at_ms, true)]).unwrap();
    assert!(store.take_pauses_changed() && store.pauses().unwrap().is_empty());
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM streak"), 0);
}

#[test]
fn a_persons_pause_is_no_ones_to_end_and_a_persons_resume_begins_anew() {
    let (log, mut store, due) = failing();
    store.pause(&pause("a", None)).unwrap();
    for n in 0..30 {
        store.record(&[tried(&due, NOW + n * HOUR, false)]).unwrap();
    }
    store.record(&[tried(&due, NOW + 30 * HOUR, true)]).unwrap();
    assert!(!store.take_pauses_changed());
    assert_eq!(store.pauses().unwrap(), [pause("a", None)]);
    store.resume("a", NOW).unwrap();
    for n in 31..51 {
        store.record(&[tried(&due, NOW + n * HOUR, false)]).unwrap();
    }
    assert!(store.take_pauses_changed());
    // Paused by a person on top of it, it is not tried.
    log.execute("INSERT INTO pause (webhook) VALUES ('a')")
        .unwrap();
    assert_eq!(store.pauses().unwrap()[0].next_try_ms, None);
    log.execute("DELETE FROM pause").unwrap();
    store
        .record(&[tried(&due, NOW + 52 * HOUR, false)])
        .unwrap();
    assert!(store.pauses().unwrap().is_empty(), "counted anew");
}
