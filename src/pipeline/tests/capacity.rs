//! Capacity comes back whatever becomes of a worker, and the stop waits for no request for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

use super::world::{Act, START_MS, World, webhook};
use crate::model::{Dialect, Webhook};

/// Panics at the first line about a fault of this machine, which a worker writes outside of what
/// catches the panics of an attempt.
struct PanicsOnce(Arc<AtomicBool>);

impl tracing::Subscriber for PanicsOnce {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let is_fault = event.metadata().fields().field("faults").is_some();
        assert!(
            !is_fault || self.0.swap(true, Ordering::Relaxed),
            "the journal panics, on purpose"
        );
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn hook(max_in_flight: usize) -> Webhook {
    Webhook {
        max_in_flight,
        ..webhook("w", Dialect::BoldCms)
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_gives_back_all_it_had_and_its_delivery_is_sent() {
    // Six in flight, two of them above the floor: all there is.
    let script = |_: &_, before| match before {
        0..6 => Act::LateFault(10),
        _ => Act::Answer(200, 1),
    };
    let mut world = World::new(vec![hook(6)], script).await;
    world.reconfigure(vec![hook(6)], 2).await;
    let panicked = Arc::new(AtomicBool::new(false));
    let journal = tracing::subscriber::set_default(PanicsOnce(panicked.clone()));
    world.data_bytes = 100;
    world.admit(20).await;
    world.settled().await;
    drop(journal);
    assert!(panicked.load(Ordering::Relaxed));
    assert_eq!(world.states().await, [("delivered".to_owned(), 20)]);
    let took_ms = world.clock.now_ms() - START_MS;
    assert!(took_ms < 10_000, "{took_ms} ms");
    world.assert_running();
    let dispatch = world.dispatch.clone();
    let drained = tokio::time::timeout(Duration::from_secs(60), world.stop()).await;
    assert!(drained.is_ok());
    assert_eq!(dispatch.in_flight(), 0);
    let in_use = dispatch.capacity_in_use();
    assert_eq!((in_use.permits, in_use.flying_bytes), (0, 0));
    assert_eq!(in_use.queued_bytes, 0);
    let lane = dispatch.lane("w").unwrap();
    assert!(lane.load().is_idle);
}

#[tokio::test(start_paused = true)]
async fn the_stop_waits_for_no_request_for_ever() {
    let script = |_: &_, before| match before {
        0 => Act::Never,
        _ => Act::Answer(200, 1),
    };
    let mut world = World::new(vec![hook(2)], script).await;
    world.admit(5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.dispatch.stop();
    let begun = world.clock.instant();
    assert_eq!(world.dispatch.drained().await, 1);
    let waited = world.clock.instant() - begun;
    assert_eq!(
        waited.as_secs(),
        42,
        "as long as an attempt can take, and three more"
    );
    assert_eq!(world.dispatch.recorded().await, 0);
    let states = [("delivered".to_owned(), 4), ("pending".to_owned(), 1)];
    assert_eq!(world.states().await, states);
}
