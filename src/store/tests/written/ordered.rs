//! What people ask for.

use super::*;
use crate::model::{Pause, ReplayId, Trigger};

pub(super) fn to_be_sent_again(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=2, &["a"]));
    log.record(&[attempt(&made[0], NOW, Verdict::Failed)])
        .unwrap();
    let unknown = DeliveryId::new(made[1].id.get() + 1_000);
    let asked = [unknown, made[1].id, made[0].id];
    let unserved = log.redeliver(&asked, &|_| false).unwrap();
    let refused = [RedeliverError::Unknown, RedeliverError::Pending];
    assert_eq!(unserved[..2], refused.map(Err));
    assert_eq!(unserved[2], Err(RedeliverError::Unserved));
    let answers = log.redeliver(&asked, &|webhook| webhook == "a").unwrap();
    assert_eq!(answers[..2], refused.map(Err));
    let (id, webhook) = answers[2].clone().unwrap();
    assert!(id > made[1].id);
    assert_eq!(webhook, "a");
    drop(log);

    let mut log = engine.open();
    let all = due_by(&mut *log, "a", i64::MAX);
    let again = all.iter().find(|due| due.id == id).unwrap();
    assert_eq!((again.origin, again.attempts), (Trigger::Redelivery, 0));
    assert_eq!(again.body, made[0].body, "the same bytes");
    assert_eq!(state(engine, made[0].id), "failed", "it stays what it was");
    assert!(engine.reads().was_sent_again(made[0].id).unwrap());
    log.record(&[attempt(again, NOW + 9, Verdict::Delivered)])
        .unwrap();
    assert_eq!(state(engine, id), "delivered");
}

pub(super) fn to_be_cancelled(engine: &dyn Engine) {
    let mut log = engine.open();
    let made = admit(&mut *log, &admission(1..=3, &["a"]));
    log.record(&[attempt(&made[0], NOW, Verdict::Delivered)])
        .unwrap();
    let unknown = DeliveryId::new(made[2].id.get() + 1_000);
    let asked = [made[0].id, made[1].id, made[1].id, unknown];
    let answers = log.cancel_by_order(&asked, NOW + 1, &|_, _| false).unwrap();
    let expected = [
        Err(CancelError::Ended),
        Ok(("a".to_owned(), Withdrawal::Cancelled)),
        Err(CancelError::Ended),
        Err(CancelError::Unknown),
    ];
    assert_eq!(answers, expected);
    drop(log);
    assert_eq!(state(engine, made[0].id), "delivered");
    assert_eq!(state(engine, made[1].id), "cancelled");
    assert_eq!(due_by(&mut *engine.open(), "a", NOW), made[2..]);
}

pub(super) fn to_be_replayed(engine: &dyn Engine) {
    let mut log = engine.open();
    let batch = admission(1..=2, &["a"]);
    admit(&mut *log, &batch);
    assert_eq!(log.unfinished_replay().unwrap(), None);
    let mut replay = Replay {
        id: ReplayId::new(0),
        generation: Generation::new(3),
        since_ms: NOW - 5,
        until_ms: Some(NOW + 5),
        webhook: Some("a".into()),
        event: None,
        next_id: EventId::new(1),
        last_id: EventId::new(2),
        matched: 2,
        done: 0,
        finished: false,
    };
    replay.id = log.begin_replay(&replay, NOW).unwrap();
    assert_eq!(log.unfinished_replay().unwrap().as_ref(), Some(&replay));
    let next = EventId::new(2);
    let step = log.replay_step(&replay, next, &batch.events[..1], &mut |_| false, NOW);
    let made = step.unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(
        (made[0].origin, made[0].event_id.get()),
        (Trigger::Replay, 1)
    );
    drop(log);

    let mut log = engine.open();
    let (next_id, done) = (next, 1);
    let went_on = Replay {
        next_id,
        done,
        ..replay.clone()
    };
    assert_eq!(log.unfinished_replay().unwrap(), Some(went_on));
    assert_eq!(log.cursor().unwrap(), Some(batch.cursor), "it stays");
    assert_eq!(due_by(&mut *log, "a", NOW).len(), 3);
    log.finish_replay(replay.id, NOW).unwrap();
    assert_eq!(log.unfinished_replay().unwrap(), None);
    let told = engine.reads().replay(replay.id).unwrap().unwrap();
    assert!(told.finished);
}

pub(super) fn to_be_paused(engine: &dyn Engine) {
    let pause = |webhook: &str, until_ms| Pause {
        webhook: webhook.into(),
        since_ms: NOW,
        until_ms,
        reason: Some("why".into()),
        next_try_ms: None,
    };
    let mut log = engine.open();
    log.register(&[("a".into(), true), ("b".into(), true)], NOW)
        .unwrap();
    log.pause(&pause("a", None)).unwrap();
    log.pause(&pause("b", Some(NOW + 5))).unwrap();
    log.pause(&pause("a", Some(NOW + 9))).unwrap();
    assert!(log.pause(&pause("c", None)).is_err(), "nobody is called so");
    drop(log);

    let mut log = engine.open();
    let both = [pause("a", Some(NOW + 9)), pause("b", Some(NOW + 5))];
    assert_eq!(log.pauses().unwrap(), both);
    log.end_pauses(NOW + 4).unwrap();
    assert_eq!(log.pauses().unwrap(), both, "none is over");
    log.end_pauses(NOW + 5).unwrap();
    assert_eq!(log.pauses().unwrap(), both[..1]);
    assert_eq!(engine.reads().pauses(NOW + 5).unwrap(), both[..1]);
    assert!(log.resume("a", NOW).unwrap());
    assert!(!log.resume("a", NOW).unwrap(), "there is none any more");
    assert_eq!(log.pauses().unwrap(), []);
}

pub(super) fn to_be_tried(engine: &dyn Engine) {
    let mut log = engine.open();
    let first = log.next_test_id(NOW).unwrap();
    assert_eq!(first, EventId::new(NOW));
    assert_eq!(log.next_test_id(NOW).unwrap(), first.next());
    drop(log);
    let mut log = engine.open();
    assert_eq!(log.next_test_id(NOW - 9).unwrap(), first.next().next());
    let events = admission(1..=1, &["a"]).events;
    let generation = Generation::new(3);
    let made = log.add(generation, &events, Trigger::Test, &mut |_| false, NOW);
    let made = made.unwrap();
    assert_eq!(due_by(&mut *log, "a", NOW), made);
    assert_eq!(made[0].origin, Trigger::Test);
    assert_eq!(log.cursor().unwrap(), None, "nothing was taken in");
}
