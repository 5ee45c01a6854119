//! A batch: events of one webhook that go in one POST, as an array.
//!
//! Left out: which deliveries come together (`pipeline`), how the array is written (`dialect`) and where it
//! stands until it is over (`store`).

use std::sync::Arc;
use std::time::Duration;

use super::DeliveryId;

/// What a webhook asks for with `batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRule {
    /// Events in one POST at the most, at least 1.
    pub max_events: usize,
    /// Bytes of its body at the most, brackets and commas included; one larger event goes alone.
    pub max_bytes: usize,
    /// How long the oldest waits for others while a POST is in flight.
    pub wait: Duration,
}

/// Deliveries that go together. It is the same in each retry, and no more once it is split.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The value of its header.
    pub name: Box<str>,
    /// In the order in which they stand in the body; at least one.
    pub members: Box<[DeliveryId]>,
}

impl Batch {
    /// What it is known by in the log: its lowest delivery. No delivery is in two batches.
    #[must_use]
    pub fn first(&self) -> DeliveryId {
        let first = self.members.iter().min();
        first.copied().unwrap_or(DeliveryId::NONE)
    }
}

/// What becomes of a batch by a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes again as it is.
    Again,
    /// Its deliveries have ended, or go on by themselves.
    Over,
    /// Its halves go at once, each a batch of its own. It was no send for any of its deliveries.
    Split,
}

/// The POST that an attempt was a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// What went; all attempts of a POST share it.
    pub batch: Arc<Batch>,
    /// What becomes of it.
    pub fate: Fate,
    /// The two halves, where it is split.
    pub halves: Option<Arc<[Batch; 2]>>,
}
