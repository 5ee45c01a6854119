//! Taking events in.

use std::collections::BTreeSet;

use super::*;

pub(super) fn once_with_the_cursor(engine: &dyn Engine) {
    let mut log = engine.open();
    let own = log.log_id();
    assert_eq!(log.cursor().unwrap(), None);
    let batch = admission(1..=2, &["a", "b"]);
    let dues = admit(&mut *log, &batch);
    let order = dues.iter().map(|due| (due.event_id.get(), &*due.webhook));
    let order: Vec<_> = order.collect();
    assert_eq!(order, [(1, "a"), (1, "b"), (2, "a"), (2, "b")]);
    assert!(ids(&dues).is_sorted_by(|one, next| one < next));
    assert_eq!(log.cursor().unwrap(), Some(batch.cursor.clone()));
    drop(log);

    let mut log = engine.open();
    assert_eq!(log.log_id(), own, "it is the same log");
    assert_eq!(log.cursor().unwrap(), Some(batch.cursor));
    let mut read = due_by(&mut *log, "a", NOW);
    read.extend(due_by(&mut *log, "b", NOW));
    read.sort_by_key(|due| due.id);
    assert_eq!(read, dues, "to the byte");
    assert_eq!(&*read[1].body, "{\"lift\":\"\u{e4}\"}".as_bytes());
    let ids = [1, 2, 3].map(EventId::new);
    let traced = log.traced(Generation::new(3), &ids).unwrap();
    assert_eq!(traced, BTreeSet::from([ids[0], ids[1]]));
    assert!(log.traced(Generation::new(4), &ids).unwrap().is_empty());
    log.set_cursor(&cursor(40), NOW).unwrap();
    assert_eq!(log.cursor().unwrap(), Some(cursor(40)));
}

pub(super) fn or_nothing_of_it(engine: &dyn Engine) {
    let mut log = engine.open();
    log.set_cursor(&cursor(7), NOW).unwrap();
    let mut batch = admission(8..=9, &["a"]);
    batch.gaps = vec![EventId::new(2)..=EventId::new(4)];
    let good = batch.clone();
    // The second event has no such body.
    batch.events[1].webhooks.push(("b".into(), 9));
    let failed = log.admit(&batch, &|_| false, &mut |_| false, NOW);
    assert!(matches!(failed, Err(Error::NoBody { event_id }) if event_id.get() == 9));
    assert_eq!(log.cursor().unwrap(), Some(cursor(7)));
    assert!(log.pending_webhooks().unwrap().is_empty());
    assert_eq!(log.gaps().unwrap(), []);
    assert_eq!(admit(&mut *log, &good).len(), 2, "the same again, once");
    assert_eq!(due_by(&mut *log, "a", NOW).len(), 2);
}

pub(super) fn with_its_gaps_and_what_is_set_aside(engine: &dyn Engine) {
    let row = |id| Rejected {
        event_id: EventId::new(id),
        event: "e".into(),
        reason: "late".into(),
        time_ms: NOW,
        tenant: None,
    };
    let id = EventId::new;
    let mut log = engine.open();
    let mut batch = admission(5..=6, &["a"]);
    batch.gaps = vec![id(2)..=id(4)];
    batch.rejected.push(row(7));
    admit(&mut *log, &batch);
    let generation = batch.cursor.generation;
    assert_eq!(engine.reads().set_aside_since(NOW).unwrap(), 1);
    assert_eq!(log.gaps().unwrap(), [id(2)..=id(4)]);
    assert_eq!(log.set_aside(generation, &[row(3)], false, NOW).unwrap(), 1);
    assert_eq!(log.gaps().unwrap(), [id(2)..=id(2), id(4)..=id(4)]);
    // Of 3, 5 and 7 the log knows what became of them.
    let rows = [row(2), row(3), row(5), row(7)];
    assert_eq!(log.set_aside(generation, &rows, true, NOW).unwrap(), 1);
    assert_eq!(log.gaps().unwrap(), [id(4)..=id(4)]);
    assert_eq!(engine.reads().set_aside_since(NOW).unwrap(), 3);
    assert_eq!(engine.reads().set_aside_since(NOW + 1).unwrap(), 0);
}

pub(super) fn later_where_it_is_owed(engine: &dyn Engine) {
    let mut log = engine.open();
    let batch = admission(1..=2, &["a", "b"]);
    let later = |webhook: &str| webhook == "b";
    let (dues, owed) = log.admit(&batch, &later, &mut |_| false, NOW).unwrap();
    assert_eq!((dues.len(), owed.len()), (2, 2));
    assert!(due_by(&mut *log, "b", NOW).is_empty());
    drop(log);

    let mut log = engine.open();
    assert_eq!(log.owed(9).unwrap(), owed);
    assert_eq!(log.owed(1).unwrap(), owed[..1]);
    let paid = log.materialize(&owed, &mut |_| false, NOW + 5).unwrap();
    assert_eq!(paid.len(), 2);
    assert_eq!((&*paid[0].webhook, paid[0].due_at_ms), ("b", NOW + 5));
    assert_eq!(due_by(&mut *log, "b", NOW + 5), paid);
    assert_eq!(log.owed(9).unwrap(), []);
    let again = log.materialize(&owed, &mut |_| false, NOW + 6).unwrap();
    assert_eq!(again, [], "a debt is paid once");
}
