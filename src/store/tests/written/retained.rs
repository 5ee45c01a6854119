//! What goes after its days, and what stays.

use super::*;

const HOUR: i64 = 3_600_000;

/// Sweeps to the end; returns the rows deleted.
fn sweep(log: &mut dyn LogWriter, before_ms: i64) -> usize {
    let mut rows = 0;
    for _ in 0..1_000 {
        let swept = log.sweep(before_ms, 20).unwrap();
        rows += swept.rows;
        if !swept.more {
            return rows;
        }
    }
    panic!("the sweep does not end");
}

pub(super) fn while_it_is_pending(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=4, &["a"]));
    log.record(&[
        attempt(&made[0], NOW, Verdict::Delivered),
        attempt(&made[1], NOW, Verdict::Failed),
        attempt(&made[2], NOW, Verdict::RetryAt(NOW + 9_999 * HOUR)),
    ])
    .unwrap();
    assert_eq!(log.outbox_mark(NOW + HOUR).unwrap(), None);
    assert!(log.mark(NOW + HOUR).unwrap());
    assert!(!log.mark(NOW + 2 * HOUR - 1).unwrap(), "one an hour");
    assert!(!log.leapt().unwrap());
    let mark = Some((Generation::new(3), EventId::new(4)));
    assert_eq!(log.outbox_mark(NOW + HOUR).unwrap(), mark);
    assert_eq!(log.outbox_mark(NOW).unwrap(), None, "it is younger");

    assert_eq!(sweep(&mut *log, NOW), 0, "nothing is that old");
    let states = |of: [&str; 4]| {
        for (due, expected) in made.iter().zip(of) {
            assert_eq!(state(engine, due.id), expected, "event {}", due.event_id);
        }
    };
    states(["delivered", "failed", "pending", "pending"]);
    assert!(sweep(&mut *log, NOW + 2 * HOUR) > 0);
    states(["gone", "gone", "pending", "pending"]);
    assert_eq!(sweep(&mut *log, NOW + 2 * HOUR), 0, "nothing twice");
    drop(log);

    let mut log = engine.open();
    let left = due_by(&mut *log, "a", i64::MAX);
    assert_eq!(ids(&left), [made[3].id, made[2].id]);
    assert_eq!(left[1].body, made[2].body, "all that it needs stays");
    let next = admit(&mut *log, &admission(5..=5, &["a"]));
    assert!(next[0].id > made[3].id, "no id is given out again");
}

pub(super) fn as_its_roll_up_by_days(engine: &dyn Engine) {
    let mut log = engine.open();
    log.register(&[("a".into(), true)], NOW).unwrap();
    let made = admit(&mut *log, &admission(1..=1, &["a"])).remove(0);
    // Two hours of one day go together, and others stay.
    let day = NOW / (24 * HOUR) * 24 * HOUR;
    for at_ms in [day, day + HOUR, day + 24 * HOUR, day + 72 * HOUR] {
        let retry = Verdict::RetryAt(at_ms + 1);
        log.record(&[attempt(&made, at_ms, retry)]).unwrap();
    }
    log.flush(NOW).unwrap();
    let sums = || {
        let reader = engine.reads();
        let health = reader.health(day + 72 * HOUR + 1).unwrap().remove(0);
        (health.day.attempts, health.hour.attempts)
    };
    assert_eq!(sums(), (1, 1));
    assert!(sweep(&mut *log, NOW - 1) > 0);
    assert_eq!(sums(), (1, 1), "what is read is there yet");
    assert_eq!(sweep(&mut *log, NOW - 1), 0, "nothing twice");
    assert!(engine.by_hand(&format!(
        "INSERT INTO rollup SELECT span, start + 1, webhook, attempts, failures, le_1, le_2, le_3, le_5, le_10, le_20,
           le_30, le_50, le_100, le_200, le_300, le_500, le_1000, le_2000, le_3000, le_5000, le_10000
           FROM rollup WHERE span = 'day' AND start = {day} AND attempts = 2"
    )));
    let twice = format!("UPDATE rollup SET span = 'day', start = {day} WHERE start = {day} + 1");
    assert!(
        !engine.by_hand(&twice),
        "that day is there, of two attempts"
    );
}
