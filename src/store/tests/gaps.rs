//! Gaps of the outbox through the calls that the intake makes.

use super::*;

#[test]
fn a_gap_is_in_the_log_with_its_batch_and_closed_by_the_row_that_comes_late() {
    let log = Log::new();
    let mut store = log.open();
    let id = EventId::new;
    let mut batch = admission(5..=6, &["a"]);
    batch.gaps = vec![id(2)..=id(4)];
    store.admit_all(&batch, NOW).unwrap();
    drop(store);
    let mut store = log.open();
    assert_eq!(store.gaps().unwrap(), [id(2)..=id(4)]);
    let late = Rejected {
        event_id: id(3),
        event: "e".into(),
        reason: "late".into(),
        time_ms: NOW,
        tenant: None,
    };
    let count = store
        .set_aside(batch.cursor.generation, &[late], false, NOW)
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(store.gaps().unwrap(), [id(2)..=id(2), id(4)..=id(4)]);
}

#[test]
fn a_batch_that_fails_leaves_no_gap() {
    let log = Log::new();
    let mut store = log.open();
    let mut batch = admission(5..=6, &["a"]);
    batch.gaps = vec![EventId::new(2)..=EventId::new(4)];
    batch.events[0].webhooks.push(("b".into(), 9));
    store.admit_all(&batch, NOW).unwrap_err();
    assert_eq!(store.gaps().unwrap(), []);
}
