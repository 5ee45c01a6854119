//! Counts of connections and of what came over them, for the metrics.
//!
//! Left out: what becomes of an event, which the pipeline counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts of connections and of what came over them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) open: AtomicUsize,
    pub(super) evicted: AtomicU64,
    asked: AtomicU64,
}

impl Counts {
    /// Events came, refused ones included.
    pub(super) fn asked(&self, events: usize) {
        self.asked.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Connections now; those let go and events since the start.
    pub(super) fn read(&self) -> (usize, u64, u64) {
        (
            self.open.load(Ordering::Relaxed),
            self.evicted.load(Ordering::Relaxed),
            self.asked.load(Ordering::Relaxed),
        )
    }
}
