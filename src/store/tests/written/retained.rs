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
