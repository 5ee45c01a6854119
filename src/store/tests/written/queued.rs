//! What is pending.

use super::*;

pub(super) fn in_the_order_of_their_times(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=6, &["a"]));
    let of = |order: &[usize]| order.iter().map(|n| made[*n].id).collect::<Vec<_>>();
    let later =
        [(0, 50), (3, 20)].map(|(n, after)| attempt(&made[n], NOW, Verdict::RetryAt(NOW + after)));
    log.record(&later).unwrap();
    assert_eq!(ids(&due_by(&mut *log, "a", NOW)), of(&[1, 2, 4, 5]));
    let all = due_by(&mut *log, "a", NOW + 50);
    assert_eq!(ids(&all), of(&[1, 2, 4, 5, 3, 0]));
    assert_eq!((all[5].attempts, all[5].due_at_ms), (1, NOW + 50));
    assert_eq!(due_by(&mut *log, "a", NOW - 1), []);
    assert_eq!(due_by(&mut *log, "b", NOW), []);

    let third = made[2].id;
    let some = log.due("a", NOW, 2, usize::MAX, &|id| id == third).unwrap();
    assert_eq!(ids(&some), of(&[1, 4]));
    let body = made[0].body.len();
    for (max_rows, max_bytes, count) in [(9, 2 * body, 2), (9, 1, 1), (0, 1, 0)] {
        let some = log.due("a", NOW, max_rows, max_bytes, &|_| false).unwrap();
        assert_eq!(some.len(), count, "{max_rows} {max_bytes}");
    }

    assert_eq!(log.next_due("a").unwrap(), Some(NOW));
    assert_eq!(log.next_due_after("a", NOW).unwrap(), Some(NOW + 20));
    assert_eq!(log.next_due_after("a", NOW + 50).unwrap(), None);
    assert_eq!(log.next_due("b").unwrap(), None);
    assert_eq!(log.pending_webhooks().unwrap(), ["a"]);
    assert_eq!(log.take_unreadable(), []);
}

pub(super) fn in_memory_until_it_is_let_go_of(engine: &dyn Engine) {
    let mut log = engine.open();
    // By the opening all was let go of; from here on only what somebody says.
    assert_eq!(due_by(&mut *log, "a", NOW), []);
    let mut takes = |due: &Due| due.event_id.get() != 2;
    let (made, _) = log
        .admit(&admission(1..=4, &["a"]), &|_| false, &mut takes, NOW)
        .unwrap();
    assert_eq!(made.len(), 4);
    assert_eq!(ids(&due_by(&mut *log, "a", NOW)), [made[1].id]);
    log.record(&[attempt(&made[0], NOW, Verdict::Delivered)])
        .unwrap();
    log.lost().tell();
    assert_eq!(due_by(&mut *log, "a", NOW), made[1..]);
    drop(log);
    assert_eq!(due_by(&mut *engine.open(), "a", NOW), made[1..]);
}

pub(super) fn no_longer_than_the_clock_allows(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=3, &["a"]));
    let waits = [1_000, 5_000, 9_000];
    let later = made
        .iter()
        .zip(waits)
        .map(|(due, wait)| attempt(due, NOW, Verdict::RetryAt(NOW + wait)));
    log.record(&later.collect::<Vec<_>>()).unwrap();
    let mut rows = 0;
    for _ in 0..100 {
        let clamped = log.clamp_due(NOW, &|_, _| 2_000, 2).unwrap();
        rows += clamped.rows;
        if !clamped.more {
            break;
        }
    }
    assert_eq!(rows, 2);
    let due_at = made.iter().map(|due| told(engine, due.id).unwrap().2);
    let expected = [1_000, 2_000, 2_000].map(|wait| Some(NOW + wait));
    assert_eq!(due_at.collect::<Vec<_>>(), expected);
}

pub(super) fn until_their_webhook_is_gone(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=5, &["a"]));
    let cancel = |log: &mut dyn LogWriter, rows| log.cancel("a", rows, NOW + 7, &|_, _| false);
    assert_eq!(cancel(&mut *log, 2).unwrap(), 2);
    assert_eq!(ids(&due_by(&mut *log, "a", NOW)), ids(&made[2..]));
    let ended = Some(("cancelled".to_owned(), 0, None, Some(NOW + 7)));
    assert_eq!(told(engine, made[0].id), ended);
    assert_eq!(cancel(&mut *log, 99).unwrap(), 3, "none is left");
    assert_eq!(cancel(&mut *log, 99).unwrap(), 0);
    assert!(log.pending_webhooks().unwrap().is_empty());
}
