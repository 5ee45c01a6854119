//! Retention, and the roll-up through crashes.

use super::*;
use crate::model::{EventId, Generation};

const HOUR: i64 = 3_600_000;

/// Sweeps to the end; returns the rows deleted.
fn sweep(store: &mut Store, before_ms: i64) -> usize {
    let mut rows = 0;
    for _ in 0..10_000 {
        let swept = store.sweep(before_ms, 20).unwrap();
        assert!(swept.rows <= 40);
        rows += swept.rows;
        if !swept.more {
            return rows;
        }
    }
    panic!("the sweep does not end");
}

fn counts(log: &Log) -> [i64; 5] {
    ["attempt", "delivery", "payload", "rejected", "redelivery"]
        .map(|table| log.ask(&format!("SELECT count(*) FROM {table}")))
}

/// 100 events, delivered but for the last two: one is pending, one was cancelled a day later.
fn old_work(store: &mut Store) {
    let mut batch = admission(1..=100, &["a"]);
    for event in &mut batch.events {
        event.bodies.truncate(1);
        event.bodies[0].1 = vec![b' '; 40_000].into();
    }
    batch.rejected.push(Rejected {
        event_id: EventId::new(101),
        event: "e".into(),
        reason: "r".into(),
        time_ms: 0,
        tenant: None,
    });
    let dues = store.admit_all(&batch, NOW).unwrap();
    let mut attempts: Vec<_> = dues[..98]
        .iter()
        .map(|due| attempt(due, NOW, Verdict::Delivered))
        .collect();
    attempts.push(attempt(
        &dues[98],
        NOW,
        Verdict::RetryAt(NOW + 9_999 * HOUR),
    ));
    store.record(&attempts).unwrap();
    assert!(store.mark(NOW + HOUR).unwrap());
    assert_eq!(
        store
            .cancel("a", 1, NOW + 24 * HOUR, &|_, _| false)
            .unwrap(),
        1
    );
}

#[test]
fn what_is_old_goes_and_pending_work_stays_with_its_body_and_space_is_given_back() {
    let log = Log::new();
    let mut store = log.open();
    old_work(&mut store);
    store.checkpoint().unwrap();
    let full = std::fs::metadata(&log.path).unwrap().len();
    assert_eq!(sweep(&mut store, NOW), 0, "no mark is that old");
    assert_eq!(counts(&log), [99, 100, 100, 1, 0]);

    assert_eq!(sweep(&mut store, NOW + 2 * HOUR), 99 + 98 + 1);
    assert_eq!(counts(&log), [0, 2, 2, 0, 0]);
    assert_eq!(sweep(&mut store, NOW + 2 * HOUR), 0, "nothing twice");
    let due = store
        .due("a", NOW + 9_999 * HOUR, 9, usize::MAX, &|_| false)
        .unwrap();
    assert_eq!((due[0].id.get(), due[0].body.len()), (99, 40_000));
    store.checkpoint().unwrap();
    let lean = std::fs::metadata(&log.path).unwrap().len();
    assert!(lean * 3 < full, "{lean} of {full}");

    assert!(store.mark(NOW + 24 * HOUR).unwrap());
    assert_eq!(
        sweep(&mut store, NOW + 25 * HOUR),
        2 + 1,
        "and the mark before"
    );
    assert_eq!(counts(&log), [0, 1, 1, 0, 0]);
}

#[test]
fn a_file_that_gives_no_pages_back_is_swept_to_the_end() {
    let log = Log::new();
    create::create(&log.path).unwrap();
    log.execute(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = NONE; CREATE TABLE x (y); DROP TABLE x",
    )
    .unwrap();
    let mut store = log.open();
    old_work(&mut store);
    assert_eq!(sweep(&mut store, NOW + 2 * HOUR), 99 + 98 + 1);
}

#[test]
fn ids_do_not_start_again_when_the_log_is_empty() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=3, &["a"]), NOW).unwrap();
    let done: Vec<_> = dues
        .iter()
        .map(|d| attempt(d, NOW, Verdict::Delivered))
        .collect();
    store.record(&done).unwrap();
    store.mark(NOW + 1000).unwrap();
    sweep(&mut store, NOW + 2000);
    assert_eq!(counts(&log), [0; 5]);
    drop(store);
    let mut store = log.open();
    let due = store
        .admit_all(&admission(4..=4, &["a"]), NOW)
        .unwrap()
        .remove(0);
    assert_eq!(due.id.get(), 4);
    store
        .record(&[attempt(&due, NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(log.ask::<i64>("SELECT id FROM attempt"), 4);
}

#[test]
fn marks_are_hourly_and_tell_how_far_the_outbox_was() {
    let log = Log::new();
    let mut store = log.open();
    store.set_cursor(&cursor(5), NOW).unwrap();
    assert!(store.mark(NOW).unwrap());
    assert!(!store.mark(NOW + HOUR - 1).unwrap());
    store.set_cursor(&cursor(9), NOW).unwrap();
    assert!(store.mark(NOW + HOUR).unwrap());
    assert_eq!(store.outbox_mark(NOW - 1).unwrap(), None);
    let event = |id| Some((Generation::new(3), EventId::new(id)));
    assert_eq!(store.outbox_mark(NOW + HOUR - 1).unwrap(), event(5));
    assert_eq!(store.outbox_mark(NOW + HOUR).unwrap(), event(9));
    // The clock goes back a day: marks of times to come are none.
    assert!(store.mark(NOW - 24 * HOUR).unwrap());
    assert_eq!(store.outbox_mark(NOW + HOUR).unwrap(), event(9));
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM mark"), 1);
}

#[test]
fn a_leap_of_more_than_a_week_is_seen_for_a_day_and_undone_by_the_way_back() {
    let log = Log::new();
    let mut store = log.open();
    for hour in 0..48 {
        assert!(store.mark(NOW + hour * HOUR).unwrap());
        assert!(!store.leapt().unwrap());
    }
    assert!(store.mark(NOW + (47 + 7 * 24) * HOUR).unwrap());
    assert!(!store.leapt().unwrap(), "a week is a holiday");
    let year = 365 * 24 * HOUR;
    assert!(store.mark(NOW + year).unwrap());
    assert!(store.leapt().unwrap());
    assert!(store.mark(NOW + 48 * HOUR).unwrap(), "back again");
    assert!(!store.leapt().unwrap());
    for hour in 0..24 {
        store.mark(NOW + year + hour * HOUR).unwrap();
        assert!(store.leapt().unwrap(), "{hour}");
    }
    store.mark(NOW + year + 24 * HOUR).unwrap();
    assert!(!store.leapt().unwrap());
}

/// A machine that starts at 1970 makes a mark that is older than every row.
#[test]
fn a_mark_of_a_clock_that_was_behind_deletes_nothing_that_is_new() {
    let log = Log::new();
    let mut store = log.open();
    old_work(&mut store);
    let before = counts(&log);
    assert!(store.mark(HOUR).unwrap());
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM mark"), 1);
    // Nothing but what was rejected a moment before NOW's window is looked at, and nothing goes.
    assert_eq!(sweep(&mut store, NOW - HOUR), 0);
    assert_eq!(counts(&log), before);
}

/// The roll-up as text.
fn rollup(log: &Log) -> String {
    log.ask(
        "SELECT group_concat(span || start || webhook || ':' || attempts || ',' || failures || ','
           || le_10 || ',' || le_20, ' ') FROM (SELECT * FROM rollup ORDER BY span, start, webhook)",
    )
}

#[test]
fn the_rollup_equals_the_attempts_also_when_the_last_flush_is_missing() {
    let log = Log::new();
    let mut store = log.open();
    store
        .register(&[("a".into(), true), ("b".into(), true)], NOW)
        .unwrap();
    let dues = store
        .admit_all(&admission(1..=40, &["a", "b"]), NOW)
        .unwrap();
    for (n, batch) in (0..).zip(dues.chunks(10)) {
        let attempts: Vec<_> = (0..)
            .zip(batch)
            .map(|(m, due)| {
                let verdict = if m % 3 == 0 {
                    Verdict::Failed
                } else {
                    Verdict::Delivered
                };
                let mut attempt = attempt(due, NOW + n * 200_000 + m, verdict);
                attempt.exchange.duration_us = 1000 * (m + 5);
                attempt
            })
            .collect();
        store.record(&attempts).unwrap();
        if n == 2 {
            store.flush(NOW).unwrap();
        }
    }
    drop(store);
    let mut store = log.open();
    let expected: String = log.ask(
        "WITH span(span, length) AS (VALUES ('5min', 300000), ('hour', 3600000))
         SELECT group_concat(t, ' ') FROM (
           SELECT span || (time - time % length) || webhook || ':' || count(*) || ','
             || sum(is_failure) || ',' || sum(duration_us <= 10000) || ','
             || sum(duration_us <= 20000) AS t
             FROM (SELECT x.time, n.name AS webhook, x.outcome NOT IN (1, 3) AS is_failure, x.duration_us
                     FROM attempt x JOIN webhook_name n ON n.id = x.webhook_id), span GROUP BY span, time - time % length, webhook
            ORDER BY span, time - time % length, webhook)",
    );
    assert_eq!(rollup(&log), expected);
    assert_eq!(log.ask::<i64>("SELECT sum(attempts) FROM rollup"), 160);
    assert_eq!(
        log.ask::<i64>("SELECT max(last_failure_at) = (SELECT max(time) FROM attempt WHERE outcome = 2) FROM webhook"),
        1
    );
    // A flush without attempts keeps what was counted, and leaves the commits as cheap as before.
    store.set_cursor(&cursor(41), NOW).unwrap();
    store.flush(NOW).unwrap();
    let level = store
        .connection
        .pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    assert_eq!(level.unwrap(), 1);
    drop(store);
    drop(log.open());
    assert_eq!(rollup(&log), expected, "nothing is counted twice");
}

#[test]
fn old_rollup_rows_go_without_any_mark() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=3, &["a"]), NOW).unwrap();
    for (due, hours) in dues.iter().zip([0, 10, 49]) {
        store
            .record(&[attempt(due, NOW + hours * HOUR, Verdict::Delivered)])
            .unwrap();
    }
    store.flush(NOW).unwrap();
    assert_eq!(sweep(&mut store, 0), 3);
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM rollup WHERE span = '5min'"),
        1
    );
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM rollup WHERE span = 'hour'"),
        2
    );
    let day = "SELECT (start % 86400000) || ' ' || attempts || ' ' || le_10000 FROM rollup WHERE span = 'day'";
    assert_eq!(log.ask::<String>(day), "0 1 1", "the hour is in its day");
}

#[test]
fn hours_that_go_are_in_their_days_whatever_goes_at_once() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=90, &["a"]), NOW).unwrap();
    for (due, hours) in dues.iter().zip(0..) {
        let verdict = if hours % 2 == 0 {
            Verdict::Delivered
        } else {
            Verdict::Failed
        };
        let attempt = attempt(due, NOW + hours * HOUR, verdict);
        store.record(&[attempt]).unwrap();
    }
    store.flush(NOW).unwrap();
    for _ in 0..100 {
        if !store.sweep(0, 7).unwrap().more {
            break;
        }
    }
    let sums = "SELECT sum(attempts) || ' ' || sum(failures) FROM rollup WHERE span <> '5min'";
    assert_eq!(log.ask::<String>(sums), "90 45");
    assert!(log.ask::<i64>("SELECT count(*) FROM rollup WHERE span = 'day'") >= 2);
    let reader = Reader::open(&log.path).unwrap();
    let now_ms = NOW + 89 * HOUR;
    store.register(&[("a".into(), true)], now_ms).unwrap();
    let one = reader
        .closely(&["a".to_owned(), "b".to_owned()], now_ms)
        .unwrap();
    let days = one[0].days.iter();
    assert_eq!(days.map(|day| day.attempts).sum::<i64>(), 90);
    let all = reader.health(now_ms).unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].health, all[0], "looked at closely it is the same");
}

#[test]
fn the_columns_of_the_rollup_are_its_edges() {
    let log = Log::new();
    drop(log.open());
    let columns: String =
        log.ask("SELECT group_concat(substr(name, 4)) FROM pragma_table_info('rollup') WHERE name LIKE 'le%'");
    assert_eq!(
        columns,
        crate::model::LOG_EDGES_MS
            .map(|edge| edge.to_string())
            .join(",")
    );
}

/// A log that refuses for days pays late.
#[test]
fn a_body_that_is_owed_outlives_its_days() {
    let log = Log::new();
    let mut store = log.open();
    let batch = admission(1..=1, &["a"]);
    let (dues, owed) = store.admit(&batch, &|_| true, &mut |_| false, NOW).unwrap();
    assert_eq!((dues.len(), owed.len()), (0, 1));
    assert!(store.mark(NOW + HOUR).unwrap());
    sweep(&mut store, NOW + 9_999 * HOUR);
    assert_eq!(counts(&log)[2], 1, "the one that nobody wants is gone");
    let left = store.owed(9).unwrap();
    let dues = store
        .materialize(&left, &mut |_| true, NOW + 9_999 * HOUR)
        .unwrap();
    assert_eq!(dues.len(), 1);
    assert_eq!(dues[0].body, batch.events[0].bodies[0].1);
}
