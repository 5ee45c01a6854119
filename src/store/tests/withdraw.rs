//! Cancelling by order: what is queued and what is parked, what has ended, and the pages of what is pending.

use super::*;
use crate::model::{DeliveryId, TimeWindow};

const ALWAYS: TimeWindow = TimeWindow {
    from_ms: 0,
    to_ms: i64::MAX,
};

fn states(log: &Log) -> String {
    log.ask("SELECT group_concat(id || ' ' || state || ' ' || attempts, ', ') FROM (SELECT * FROM delivery ORDER BY id)")
}

fn ids(of: impl IntoIterator<Item = i64>) -> Vec<DeliveryId> {
    of.into_iter().map(DeliveryId::new).collect()
}

#[test]
fn what_is_pending_ends_and_what_has_ended_or_never_was_is_told() {
    let log = Log::new();
    let mut store = log.open();
    let admission = admission(1..=5, &["a"]);
    // The first three are in memory's hands, the others are parked.
    let mut takes = |due: &Due| due.event_id.get() <= 3;
    let (dues, _) = store
        .admit(&admission, &|_| false, &mut takes, NOW)
        .unwrap();
    let delivered = attempt(&dues[0], NOW, Verdict::Delivered);
    store.record(&[delivered]).unwrap();
    let answers = store
        .cancel_by_order(&ids([1, 2, 4, 4, 99]), NOW + 1, &|_, _| false)
        .unwrap();
    let cancelled = || Ok(("a".to_owned(), Withdrawal::Cancelled));
    assert_eq!(
        answers,
        [
            Err(CancelError::Ended),
            cancelled(),
            cancelled(),
            Err(CancelError::Ended),
            Err(CancelError::Unknown),
        ]
    );
    assert_eq!(
        states(&log),
        "1 delivered 1, 2 cancelled 0, 3 pending 0, 4 cancelled 0, 5 pending 0"
    );
    // An attempt that was under way: its failure is counted and no more, its success counts.
    let failed = attempt(&dues[1], NOW, Verdict::RetryAt(NOW + 9));
    let success = attempt(&dues[3], NOW, Verdict::Delivered);
    store.record(&[failed, success]).unwrap();
    assert_eq!(
        states(&log),
        "1 delivered 1, 2 cancelled 1, 3 pending 0, 4 delivered 1, 5 pending 0"
    );
    drop(store);
    let mut store = log.open();
    let due = store.due("a", NOW + 99, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(
        due.iter().map(|due| due.id.get()).collect::<Vec<_>>(),
        [3, 5]
    );
}

#[test]
fn what_somebody_cancelled_is_not_among_what_was_cancelled_with_its_webhook() {
    let log = Log::new();
    let mut store = log.open();
    store.admit_all(&admission(1..=3, &["a"]), NOW).unwrap();
    store
        .cancel_by_order(&ids([2]), NOW, &|_, _| false)
        .unwrap();
    store.cancel("a", 99, NOW, &|_, _| false).unwrap();
    let reader = Reader::open(&log.path).unwrap();
    let up_to = reader.newest_delivery().unwrap();
    let range = crate::model::IdRange {
        after: DeliveryId::NONE,
        up_to,
    };
    let found = reader
        .ended(Ended::Cancelled, "a", ALWAYS, range, 9)
        .unwrap();
    assert_eq!(found, ids([1, 3]));
    let count = reader.count_ended(Ended::Cancelled, "a", ALWAYS, up_to);
    assert_eq!(count.unwrap(), 2);
    let traces = reader.event(EventId::new(2)).unwrap().deliveries;
    assert!(traces[0].by_order && traces[0].state == "cancelled");
    let traces = reader.event(EventId::new(1)).unwrap().deliveries;
    assert!(!traces[0].by_order && traces[0].state == "cancelled");
    // By its id it is sent again.
    let again = store.redeliver(&ids([2]), &|_| true).unwrap();
    assert!(again[0].is_ok(), "{again:?}");
}

#[test]
fn pages_of_what_is_pending_go_through_all_of_it_once() {
    let log = Log::new();
    let mut store = log.open();
    let mut takes = |due: &Due| due.event_id.get() <= 5;
    let first = admission(1..=12, &["a", "b"]);
    store.admit(&first, &|_| false, &mut takes, NOW).unwrap();
    store
        .admit_all(&admission(13..=14, &["a"]), NOW + 1_000)
        .unwrap();
    let reader = Reader::open(&log.path).unwrap();
    let up_to = reader.newest_delivery().unwrap();
    let all = |window: TimeWindow, up_to: DeliveryId, rows: usize| {
        let (mut page, mut found) = (PendingPage::default(), Vec::new());
        loop {
            let ids = reader
                .pending_page("a", window, up_to, &mut page, rows)
                .unwrap();
            if ids.is_empty() {
                break;
            }
            assert!(ids.len() <= rows);
            found.extend(ids);
        }
        found.sort_unstable();
        let count = reader.count_pending("a", window, up_to).unwrap();
        assert_eq!(usize::try_from(count), Ok(found.len()));
        found
    };
    let of_a = ids((1..=12).map(|n| 2 * n - 1).chain([25, 26]));
    for rows in [1, 2, 5, 100] {
        assert_eq!(all(ALWAYS, up_to, rows), of_a);
    }
    let until = TimeWindow {
        from_ms: 0,
        to_ms: NOW + 1,
    };
    assert_eq!(all(until, up_to, 3), of_a[..12]);
    let since = TimeWindow {
        from_ms: NOW + 1,
        to_ms: i64::MAX,
    };
    assert_eq!(all(since, up_to, 3), of_a[12..]);
    // What is made after the question is not meant.
    assert_eq!(all(ALWAYS, DeliveryId::new(25), 3), of_a[..13]);
    let none = reader.count_pending("c", ALWAYS, up_to).unwrap();
    assert_eq!(none, 0);
}
