//! What a worker does with a delivery that it does not send, step by step: no loop runs beside it.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::model::{
    Clock, DeliveryId, Dialect, Due, EventId, Exchange, Fault, Request, Trigger, Webhook,
};
use crate::pipeline::Pace;
use crate::pipeline::send::Dispatch;
use crate::pipeline::send::lane::{Lane, Leased};
use crate::pipeline::send::target::Target;
use crate::pipeline::shared::{Bounds, LogGuard};
use crate::store::Store;
use crate::transport::Transport;

const NOW_MS: i64 = 1_731_576_737_000;

/// Sends nothing.
struct Nowhere;

impl Transport for Nowhere {
    type Endpoint = ();

    async fn send(&self, (): &(), _: &Request) -> Result<Exchange, Fault> {
        Err(Fault("nothing is sent here".into()))
    }
}

fn dispatch(folder: &TempDir) -> Arc<Dispatch<Nowhere>> {
    let store = Store::open(&folder.path().join("log.db"), NOW_MS).unwrap();
    let clock = Clock::follow_tokio(NOW_MS);
    let runtime = Handle::current().into();
    Dispatch::new(Box::new(store), Nowhere, clock, Pace::default(), runtime)
}

fn target() -> Option<Arc<Target<()>>> {
    let webhook = Arc::new(Webhook::sample("w", "http://127.0.0.1:9/hook"));
    Some(Arc::new(Target::new(webhook, ())))
}

/// A lane with one delivery in hand.
fn in_hand(log: &LogGuard<'_>) -> (Arc<Lane<()>>, Leased<()>) {
    let lost = crate::store::Lost::default();
    let lane = Arc::new(Lane::new("w".into(), Bounds::default(), lost));
    let mut state = lane.lock();
    state.reconfigure(log, target());
    let due = Due {
        id: DeliveryId::new(1),
        event_id: EventId::new(1),
        event: "e".into(),
        webhook: "w".into(),
        dialect: Dialect::BoldCms,
        origin: Trigger::Event,
        attempts: 0,
        due_at_ms: NOW_MS,
        created_at_ms: NOW_MS,
        payload_id: crate::model::PayloadId::NONE,
        body: "{}".into(),
        message: None,
        batch: None,
    };
    state.push(log, due);
    let taken = state.take().unwrap();
    drop(state);
    (lane, taken)
}

#[tokio::test(start_paused = true)]
async fn what_is_let_go_of_during_a_refill_is_looked_for_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let dispatch = dispatch(&folder);
    let (lane, taken) = in_hand(&dispatch.store());
    let log = dispatch.store();
    lane.lock().reconfigure(&log, None);
    lane.lock().reconfigure(&log, target());
    drop(log);
    // A refill has read the log, and passed over what was in hand.
    assert!(lane.lock().came_due(NOW_MS));
    dispatch.put_back(&lane, taken);
    assert!(!lane.lock().holds(DeliveryId::new(1)));
    dispatch.queue(&dispatch.store(), &lane, Vec::new(), false);
    let looked_for = dispatch.calendar.come_due(NOW_MS);
    assert_eq!(looked_for, Some((NOW_MS, "w".into())));
    assert!(lane.lock().came_due(NOW_MS), "no refill would begin");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_the_stop_did_not_count_begins_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dispatch = dispatch(&folder);
    let (lane, _taken) = in_hand(&dispatch.store());
    assert!(dispatch.may_begin(&lane).await);
    dispatch.stop();
    assert!(!dispatch.may_begin(&lane).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_hand_while_the_gate_was_shut_is_the_logs() {
    let folder = tempfile::tempdir().unwrap();
    let dispatch = dispatch(&folder);
    for origin in [Trigger::Event, Trigger::Test] {
        let log = dispatch.store();
        let (lane, mut taken) = in_hand(&log);
        taken.due.origin = origin;
        assert!(lane.lock().renew(&mut taken));
        // Another node has the webhook for a while, and may have sent it.
        lane.lock().shut(&log, false);
        lane.lock().open(&log);
        drop(log);
        let is_waited_for = origin == Trigger::Test;
        assert_eq!(lane.lock().renew(&mut taken), is_waited_for);
        dispatch.put_back(&lane, taken);
        let state = lane.lock();
        assert_eq!(state.holds(DeliveryId::new(1)), is_waited_for);
        assert_eq!(state.queued(), usize::from(is_waited_for));
    }
}
