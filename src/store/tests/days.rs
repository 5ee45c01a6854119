//! A log in PostgreSQL that is larger than it may be loses whole days, the oldest first.

use super::engine::{Engine as _, admit};
use super::server::{ServerLog, postgres};
use super::*;
use crate::store::WalBounds;

const DAY: i64 = 86_400_000;

/// One that may use so many bytes.
fn bounds(used: u64) -> SizeBounds {
    SizeBounds {
        file: used,
        used,
        wal: WalBounds::NONE,
    }
}

#[test]
fn a_log_that_is_too_large_loses_the_oldest_days_and_nothing_that_is_pending() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let mut log = engine.open();
    let mut made = Vec::new();
    for day in 0..5 {
        let now_ms = NOW + day * DAY;
        log.mark(now_ms - DAY / 2).unwrap();
        let two = admission(2 * day + 1..=2 * day + 2, &["a"]);
        made.extend(admit(&mut *log, &two, now_ms));
        let [.., done, pending] = &made[..] else {
            panic!("two were made");
        };
        let retry = Verdict::RetryAt(now_ms + 99 * DAY);
        log.record(&[
            attempt(done, now_ms, Verdict::Delivered),
            attempt(pending, now_ms, retry),
        ])
        .unwrap();
    }
    let (now_ms, limit) = (NOW + 4 * DAY + 1, 2);
    let there = |day: usize| {
        let delivery = |due: &Due| engine.reads().delivery(due.id).unwrap().is_some();
        (delivery(&made[2 * day]), delivery(&made[2 * day + 1]))
    };
    // What the server counts on its own time it counts now.
    assert!(engine.by_hand("ANALYZE"));
    let shrink =
        |log: &mut dyn LogWriter, used| log.shrink(&bounds(used), limit, now_ms, &|_, _| false);
    let fits = shrink(&mut *log, u64::MAX).unwrap();
    assert!(fits.used > 1_000 && !fits.more && !fits.stuck, "{fits:?}");
    // A day that has begun to go goes whole.
    let mut shrunk = shrink(&mut *log, 0).unwrap();
    for _ in 0..99 {
        if !shrunk.more {
            break;
        }
        shrunk = shrink(&mut *log, u64::MAX).unwrap();
    }
    assert!(!shrunk.more && !shrunk.stuck);
    assert_eq!((there(0), there(3)), ((false, true), (true, true)));
    let forgotten = |log: &dyn LogReader| log.forgotten_up_to(None, true).unwrap();
    assert!(forgotten(&*engine.reads()) > EventId::new(0));
    // What is left of it is less than a day.
    let mut stuck = false;
    for _ in 0..999 {
        stuck = shrink(&mut *log, 0).unwrap().stuck;
        if stuck {
            break;
        }
    }
    assert!(stuck);
    assert_eq!((there(2), there(4)), ((false, true), (true, true)));
    let left = log.due("a", i64::MAX - 1, 99, usize::MAX, &|_| false);
    assert_eq!(left.unwrap().len(), 5, "with all that they need");
}
