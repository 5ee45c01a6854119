//! What is written before anything is asked: five events, seven attempts to be, orders, a row set aside, a pause.

use super::*;

/// What the engine called its rows.
pub(in crate::store::tests) struct Story {
    /// Of the events 1 to 4, that of webhook `a`.
    pub a: [Due; 4],
    /// That of webhook `b`.
    pub b: [Due; 4],
    /// Of event 5 for webhook `c`, which is inactive.
    pub c: Due,
    /// The first of `b`, sent again.
    pub again: DeliveryId,
    pub replay: ReplayId,
}

/// Of a delivery, an attempt that began so long after [`NOW`].
pub(super) fn attempt_at(due: &Due, after_ms: i64, verdict: Verdict) -> Attempt {
    attempt(due, NOW + after_ms, verdict)
}

pub(in crate::store::tests) fn asked() -> Replay {
    Replay {
        id: ReplayId::new(0),
        generation: Generation::new(3),
        since_ms: NOW - 5,
        until_ms: Some(NOW + 5),
        webhook: Some("a".into()),
        event: None,
        next_id: EventId::new(1),
        last_id: EventId::new(4),
        matched: 4,
        done: 0,
        finished: false,
    }
}

pub(super) fn pause() -> Pause {
    Pause {
        webhook: "b".into(),
        since_ms: NOW,
        until_ms: Some(NOW + 100_000),
        reason: Some("a visit".into()),
        next_try_ms: None,
    }
}

pub(in crate::store::tests) fn tell(log: &dyn Engine) -> Story {
    let mut log = log.open();
    log.register(
        &[("a".into(), true), ("b".into(), true), ("c".into(), false)],
        NOW - 10_000,
    )
    .unwrap();
    let mut first = admission(1..=4, &["a", "b"]);
    first.events[3].tenant = Some("acme".into());
    let dues = admit(&mut *log, &first, NOW);
    let of = |place: usize| [0, 1, 2, 3].map(|event: usize| dues[2 * event + place].clone());
    let (a, b) = (of(0), of(1));
    let c = admit(&mut *log, &admission(5..=5, &["c"]), NOW + 10).remove(0);
    let asked_to_wait = Attempt {
        held_until_ms: Some(NOW + 50_000),
        ..attempt_at(&a[1], 3_000, Verdict::RetryAt(NOW + 60_000))
    };
    log.record(&[
        attempt_at(&a[0], 1_000, Verdict::Delivered),
        attempt_at(&b[0], 2_000, Verdict::Failed),
    ])
    .unwrap();
    log.record(&[asked_to_wait, attempt_at(&a[2], 4_000, Verdict::Delivered)])
        .unwrap();
    log.record(&[attempt_at(&b[2], 4_500, Verdict::Failed)])
        .unwrap();
    let cancelled = log.cancel_by_order(&[b[1].id], NOW + 5_000, &|_, _| false);
    assert!(cancelled.unwrap()[0].is_ok());
    let ended = log.cancel("c", 99, NOW + 5_500, &|_, _| false);
    assert_eq!(ended.unwrap(), 1);
    let again = log.redeliver(&[b[0].id], &|_| true).unwrap().remove(0);
    let (again, _) = again.unwrap();
    let row = Rejected {
        event_id: EventId::new(9),
        event: "story-gone".into(),
        reason: "data is no JSON".into(),
        time_ms: NOW,
        tenant: None,
    };
    log.set_aside(Generation::new(3), &[row], false, NOW + 6_000)
        .unwrap();
    log.pause(&pause()).unwrap();
    let replay = log.begin_replay(&asked(), NOW + 6_200).unwrap();
    assert!(log.mark(NOW + 6_500).unwrap());
    log.flush(NOW + 7_000).unwrap();
    Story {
        a,
        b,
        c,
        again,
        replay,
    }
}
