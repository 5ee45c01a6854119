//! Admitting, the queue, and what an attempt does to a delivery.

use super::*;
use crate::model::{DeliveryId, EventId, Generation, IdRange, ReplayId, TimeWindow};
use crate::store::queue::Clamped;

fn all(store: &mut Store, webhook: &str, now_ms: i64) -> Vec<Due> {
    store
        .due(webhook, now_ms, 1000, usize::MAX, &|_| false)
        .unwrap()
}

fn ids(dues: &[Due]) -> Vec<i64> {
    dues.iter().map(|due| due.id.get()).collect()
}

fn state(log: &Log, id: i64) -> String {
    log.ask(&format!(
        "SELECT state || ' ' || attempts || ' ' || coalesce(due_at, '-') || ' '
         || coalesce(finished_at, '-') FROM delivery WHERE id = {id}"
    ))
}

#[test]
fn what_is_admitted_is_due_with_the_same_bytes_also_after_a_crash() {
    let log = Log::new();
    let mut store = log.open();
    assert_eq!(store.cursor().unwrap(), None);
    let mut batch = admission(1..=2, &["a", "b"]);
    batch.rejected.push(Rejected {
        event_id: EventId::new(2),
        event: "x".into(),
        reason: "bad JSON".into(),
        time_ms: 0,
        tenant: None,
    });
    let dues = store.admit_all(&batch, NOW).unwrap();
    assert_eq!(dues.len(), 4);
    drop(store);

    let mut store = log.open();
    assert_eq!(store.cursor().unwrap(), Some(batch.cursor));
    let mut read = all(&mut store, "a", NOW);
    read.extend(all(&mut store, "b", NOW));
    read.sort_by_key(|due| due.id);
    assert_eq!(read, dues);
    assert_eq!(&*read[1].body, "{\"lift\":\"\u{e4}\"}".as_bytes());
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM payload"), 4);
    assert_eq!(
        log.ask::<String>("SELECT reason FROM rejected WHERE generation = 3"),
        "bad JSON"
    );
    assert_eq!(
        log.ask::<String>("SELECT typeof(body) FROM payload"),
        "text"
    );
}

#[test]
fn a_batch_that_fails_leaves_the_cursor_where_it_was() {
    let log = Log::new();
    let mut store = log.open();
    store.set_cursor(&cursor(7), NOW).unwrap();
    let mut batch = admission(8..=9, &["a"]);
    batch.events[1].webhooks.push(("b".into(), 9));
    assert!(matches!(
        store.admit_all(&batch, NOW),
        Err(Error::NoBody { event_id }) if event_id.get() == 9
    ));

    store
        .connection
        .pragma_update(None, "max_page_count", 1)
        .unwrap();
    let mut large = admission(8..=9, &["a"]);
    large.events[0].bodies[0].1 = vec![b' '; 200_000].into();
    let error = store.admit_all(&large, NOW).unwrap_err();
    assert!(error.is_full() && error.is_transient() && error.hint().is_some());
    assert_eq!(store.cursor().unwrap(), Some(cursor(7)));
    assert!(store.pending_webhooks().unwrap().is_empty());
    store
        .connection
        .pragma_update(None, "max_page_count", 1_000_000)
        .unwrap();
    assert_eq!(store.admit_all(&large, NOW).unwrap().len(), 2);
}

#[test]
fn due_keeps_its_order_and_its_bounds() {
    let log = Log::new();
    let mut store = log.open();
    let first = store.admit_all(&admission(1..=6, &["a"]), NOW).unwrap();
    let later: Vec<_> = [(0, 50), (3, 20)]
        .map(|(n, after)| attempt(&first[n], NOW, Verdict::RetryAt(NOW + after)))
        .into();
    store.record(&later).unwrap();
    assert_eq!(ids(&all(&mut store, "a", NOW)), [2, 3, 5, 6]);
    assert_eq!(ids(&all(&mut store, "a", NOW + 50)), [2, 3, 5, 6, 4, 1]);
    assert!(all(&mut store, "a", NOW - 1).is_empty() && all(&mut store, "b", NOW).is_empty());
    let some = store
        .due("a", NOW, 2, usize::MAX, &|id| id.get() == 3)
        .unwrap();
    assert_eq!(ids(&some), [2, 5]);
    let body = first[0].body.len();
    assert_eq!(
        store.due("a", NOW, 9, 2 * body, &|_| false).unwrap().len(),
        2
    );
    assert_eq!(store.due("a", NOW, 9, 1, &|_| false).unwrap().len(), 1);
    assert_eq!(store.due("a", NOW, 0, 1, &|_| false).unwrap().len(), 0);

    assert_eq!(store.next_due("a").unwrap(), Some(NOW));
    assert_eq!(store.next_due_after("a", NOW).unwrap(), Some(NOW + 20));
    assert_eq!(store.next_due_after("a", NOW + 50).unwrap(), None);
    assert_eq!(store.next_due("b").unwrap(), None);
    let retried = &all(&mut store, "a", NOW + 50)[5];
    assert_eq!((retried.attempts, retried.due_at_ms), (1, NOW + 50));
}

#[test]
fn a_delivery_that_cannot_be_read_stops_nobody() {
    let log = Log::new();
    let mut store = log.open();
    store.admit_all(&admission(1..=3, &["a"]), NOW).unwrap();
    log.execute(
        "DELETE FROM payload WHERE id = (SELECT payload_id FROM delivery WHERE id = 1);
         UPDATE payload SET dialect = 'none' WHERE id = (SELECT payload_id FROM delivery WHERE id = 2);",
    )
    .unwrap();
    assert_eq!(ids(&all(&mut store, "a", NOW + 5)), [3]);
    assert_eq!(store.take_unreadable(), [1, 2].map(DeliveryId::new));
    assert!(store.take_unreadable().is_empty(), "each is told of once");
    assert_eq!(state(&log, 1), format!("failed 0 - {}", NOW + 5));
    assert_eq!(state(&log, 2), format!("failed 0 - {}", NOW + 5));
}

#[test]
fn pending_webhooks_and_cancelling_in_chunks() {
    let log = Log::new();
    let mut store = log.open();
    store
        .admit_all(&admission(1..=5, &["b", "a", "c"]), NOW)
        .unwrap();
    assert_eq!(store.pending_webhooks().unwrap(), ["a", "b", "c"]);
    assert_eq!(store.cancel("b", 3, NOW + 1, &|_, _| false).unwrap(), 3);
    assert_eq!(store.cancel("b", 3, NOW + 1, &|_, _| false).unwrap(), 2);
    assert_eq!(store.cancel("b", 3, NOW + 1, &|_, _| false).unwrap(), 0);
    assert_eq!(store.pending_webhooks().unwrap(), ["a", "c"]);
    assert_eq!(state(&log, 1), format!("cancelled 0 - {}", NOW + 1));
    assert_eq!(state(&log, 2), format!("pending 0 {NOW} -"));
}

#[test]
fn verdicts_and_what_was_cancelled_meanwhile() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=6, &["a"]), NOW).unwrap();
    let verdicts = [
        Verdict::Delivered,
        Verdict::RetryAt(NOW + 9),
        Verdict::Failed,
    ];
    let (kept, cancelled) = dues.split_at(3);
    let make = |dues: &[Due]| -> Vec<Attempt> {
        let pairs = dues.iter().zip(verdicts);
        pairs
            .map(|(due, verdict)| attempt(due, NOW, verdict))
            .collect()
    };
    store.record(&make(kept)).unwrap();
    assert_eq!(store.cancel("a", 99, NOW + 1, &|_, _| false).unwrap(), 4);
    store.record(&make(cancelled)).unwrap();
    let (end, cut) = (NOW + 12, NOW + 1);
    assert_eq!(state(&log, 1), format!("delivered 1 - {end}"));
    assert_eq!(state(&log, 2), format!("cancelled 1 - {cut}"));
    assert_eq!(state(&log, 3), format!("failed 1 - {end}"));
    assert_eq!(state(&log, 4), format!("delivered 1 - {end}"));
    assert_eq!(state(&log, 5), format!("cancelled 1 - {cut}"));
    assert_eq!(state(&log, 6), format!("cancelled 1 - {cut}"));
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM attempt"), 6);
}

#[test]
fn a_clock_step_brings_forward_only_what_is_too_late() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store
        .admit_all(&admission(1..=4, &["a", "b"]), NOW)
        .unwrap();
    let retries: Vec<_> = dues
        .iter()
        .map(|due| attempt(due, NOW, Verdict::RetryAt(NOW + 1000 * due.id.get())))
        .collect();
    store.record(&retries).unwrap();
    // The webhook b has openboxes-lift, whose longest delay here is longer.
    let longest = |dialect: Dialect, attempts: u32| {
        assert_eq!(attempts, 1);
        if dialect == Dialect::BoldCms {
            2000
        } else {
            6000
        }
    };
    let (mut rows, mut calls) = (0, 0);
    loop {
        let clamped = store.clamp_due(NOW, &longest, 3).unwrap();
        (rows, calls) = (rows + clamped.rows, calls + 1);
        if !clamped.more {
            break;
        }
    }
    assert_eq!((rows, calls), (4, 4));
    for (id, due_at) in [
        (1, 1000),
        (3, 2000),
        (5, 2000),
        (7, 2000),
        (4, 4000),
        (6, 6000),
        (8, 6000),
    ] {
        assert_eq!(
            state(&log, id),
            format!("pending 1 {} -", NOW + due_at),
            "{id}"
        );
    }
    assert_eq!(
        store.clamp_due(NOW, &longest, 99).unwrap(),
        Clamped::default()
    );
}

#[test]
fn webhooks_are_registered_with_where_they_began() {
    let log = Log::new();
    let mut store = log.open();
    store
        .register(&[("a".into(), true), ("b".into(), false)], NOW)
        .unwrap();
    store.set_cursor(&cursor(40), NOW).unwrap();
    store
        .register(&[("a".into(), true), ("c".into(), true)], NOW + 1)
        .unwrap();
    let row = |name: &str| -> String {
        log.ask(&format!(
            "SELECT state || ' ' || (created_at - {NOW}) || ' ' || (since - {NOW}) || ' ' || generation
             || ' ' || after_event_id FROM webhook WHERE name = '{name}'"
        ))
    };
    assert_eq!(row("a"), "active 0 0 0 0");
    assert_eq!(row("b"), "removed 0 1 3 40");
    assert_eq!(row("c"), "active 1 1 3 40");
    store.register(&[("b".into(), true)], NOW + 2).unwrap();
    assert_eq!(row("b"), "active 0 2 3 40");
}

#[test]
fn a_test_has_an_id_that_never_comes_again() {
    let log = Log::new();
    let mut store = log.open();
    assert_eq!(store.next_test_id(NOW).unwrap(), EventId::new(NOW));
    assert_eq!(store.next_test_id(NOW).unwrap(), EventId::new(NOW + 1));
    assert_eq!(
        store.next_test_id(NOW - 50).unwrap(),
        EventId::new(NOW + 2),
        "a clock that went back"
    );
    drop(store);
    assert_eq!(
        log.open().next_test_id(NOW - 50).unwrap(),
        EventId::new(NOW + 3)
    );
}

#[test]
fn a_replay_moves_with_its_deliveries_and_leaves_the_cursor() {
    let log = Log::new();
    let mut store = log.open();
    let admitted = admission(1..=3, &["a"]);
    store.admit_all(&admitted, NOW).unwrap();
    let mut replay = Replay {
        id: ReplayId::NONE,
        generation: Generation::new(3),
        since_ms: 0,
        until_ms: None,
        webhook: None,
        event: Some("story-*".into()),
        next_id: EventId::new(1),
        last_id: EventId::new(3),
        matched: 3,
        done: 0,
        finished: false,
    };
    replay.id = store.begin_replay(&replay, NOW).unwrap();
    assert_eq!(store.unfinished_replay().unwrap().unwrap(), replay);
    let dues = store
        .replay_step(
            &replay,
            EventId::new(3),
            &admitted.events[..2],
            &mut |_| false,
            NOW,
        )
        .unwrap();
    assert!(
        dues.iter()
            .all(|due| due.origin == crate::model::Trigger::Replay)
    );
    let mut lacking = admitted.events[2].clone();
    lacking.bodies.clear();
    store
        .replay_step(&replay, EventId::new(4), &[lacking], &mut |_| false, NOW)
        .unwrap_err();
    let seen = store.unfinished_replay().unwrap().unwrap();
    assert_eq!((seen.next_id.get(), seen.done), (3, 2));
    store.finish_replay(replay.id, NOW).unwrap();
    assert_eq!(store.unfinished_replay().unwrap(), None);
    assert!(
        Reader::open(&log.path)
            .unwrap()
            .replay(replay.id)
            .unwrap()
            .unwrap()
            .finished
    );
    assert_eq!(store.cursor().unwrap().unwrap(), cursor(3));
}

#[test]
fn what_ended_is_listed_once_and_sent_again_by_its_rules() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=4, &["a"]), NOW).unwrap();
    let failed: Vec<Attempt> = dues[..3]
        .iter()
        .map(|d| attempt(d, NOW, Verdict::Failed))
        .collect();
    store.record(&failed).unwrap();
    let reader = Reader::open(&log.path).unwrap();
    let (how, to_ms, id) = (Ended::Failed, i64::MAX, DeliveryId::new);
    let all = TimeWindow { from_ms: 0, to_ms };
    let list = |after| {
        let ids = IdRange {
            after: id(after),
            up_to: id(99),
        };
        let ids = reader.ended(how, "a", all, ids, 2).unwrap();
        ids.into_iter().map(DeliveryId::get).collect::<Vec<_>>()
    };
    assert_eq!((list(0), list(2), list(3)), (vec![1, 2], vec![3], vec![]));
    let before = TimeWindow { to_ms: NOW, ..all };
    let count = |how, window| reader.count_ended(how, "a", window, id(99)).unwrap();
    assert_eq!(count(how, before), 0, "ended later");
    let answers = store
        .redeliver(&[1, 4, 9].map(id), &|name| name == "a")
        .unwrap();
    let expected = [
        Ok((id(5), "a".to_owned())),
        Err(RedeliverError::Pending),
        Err(RedeliverError::Unknown),
    ];
    assert_eq!(answers, expected);
    assert_eq!(list(0), [2, 3], "taken up");
    let unserved = store.redeliver(&[id(2)], &|_| false).unwrap();
    assert_eq!(unserved, [Err(RedeliverError::Unserved)]);
    assert_eq!(count(Ended::Cancelled, all), 0);
}
