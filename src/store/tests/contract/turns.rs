//! Questions about what waits for its turn.

use super::*;
use crate::model::Turn;

pub(super) fn are_told(log: &dyn Engine) {
    let mut writes = log.open();
    writes.register(&[("a".into(), true)], NOW).unwrap();
    let rule = TurnRule {
        holds: true,
        together: None,
    };
    writes.keep_order([("a".into(), rule)].into()).unwrap();
    let mut admission = admission(1..=3, &["a"]);
    for event in &mut admission.events {
        event.turns = vec![(0, Turn::of_text(b"x"))];
    }
    let first = admit(&mut *writes, &admission, NOW);
    assert_eq!(first.len(), 1, "the others wait");
    let reader = log.reads();
    let of = |id: i64| reader.event(EventId::new(id)).unwrap().deliveries.remove(0);
    let waits = of(2);
    assert_eq!((&*waits.state, waits.due_at_ms), ("pending", None));
    let mut held_by = HeldBy {
        id: first[0].id,
        event_id: Some(EventId::new(1)),
        attempts: 0,
        why: Holder::Pending(Some(NOW)),
    };
    assert_eq!(reader.held_by(waits.id).unwrap(), Some(held_by.clone()));
    assert_eq!(reader.held_by(first[0].id).unwrap(), None);
    assert_eq!(reader.holding().unwrap(), []);

    writes
        .record(&[attempt(&first[0], NOW + 1_000, Verdict::Failed)])
        .unwrap();
    (held_by.attempts, held_by.why) = (1, Holder::Failed(NOW + 1_012));
    assert_eq!(reader.held_by(waits.id).unwrap(), Some(held_by));
    let exactly = |count| Count { count, more: false };
    let holding = Holding {
        count: exactly(1),
        oldest: first[0].id,
        since_ms: NOW + 1_012,
    };
    let held_of = HeldOf {
        count: exactly(2),
        holding: Some(holding.clone()),
    };
    assert_eq!(reader.held_of("a").unwrap(), Some(held_of));
    assert_eq!(reader.holding().unwrap(), [("a".to_owned(), holding)]);
    assert_eq!(reader.behind(first[0].id).unwrap(), Some(exactly(2)));
    assert_eq!(reader.behind(waits.id).unwrap(), None);
    writes.flush(NOW + 2_000).unwrap();
    assert!(reader.health(NOW + 2_000).unwrap()[0].is_failing());
    assert_eq!(reader.by_need(NOW + 2_000).unwrap(), ["a"]);
}
