//! Capacity: what all webhooks share, as permits, turns, bytes in memory and workers, and how much of it
//! is taken.
//!
//! Counts and limits only. Who takes something gives it back: `schedule` by the drop of a permit and of a
//! worker, `dispatch` as rows enter the queues and leave them.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::lane::QUEUE_BYTES;
use super::pacing::Pacer;
use super::permits::Permits;
use crate::pipeline::shared::Bounds;

/// Bytes of bodies queued in memory for all the webhooks together. A webhook may queue a quarter of
/// what is left of it, so that it never runs out: a thousand dead endpoints have little each, and a
/// healthy one beside them still gets its share.
const ALL_QUEUES_BYTES: usize = 16 << 20;

/// Bytes of bodies in flight for all the webhooks together. A webhook may have a quarter of what is left
/// of it, so that those that hang with large bodies leave some to the others.
const FLIGHT_BYTES: usize = 32 << 20;

/// Bytes of bodies that each webhook may have in flight in any case; one body it always may.
const FLIGHT_FLOOR_BYTES: usize = 64 << 10;

/// What all webhooks share. `L` is who stands in line for a permit.
pub(super) struct Capacity<L> {
    pub(super) permits: Permits<L>,
    pub(super) pacer: Pacer,
    bounds: Bounds,
    // The bytes steer shares and guard nothing, so their order against other memory is of no account.
    queued_bytes: AtomicUsize,
    flying_bytes: AtomicUsize,
    workers: AtomicUsize,
    last_ended: Notify,
}

impl<L> Capacity<L> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            permits: Permits::new(0),
            pacer: Pacer::default(),
            bounds,
            queued_bytes: AtomicUsize::new(0),
            flying_bytes: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            last_ended: Notify::new(),
        }
    }

    /// A body of so many bytes was queued.
    pub(super) fn queue(&self, bytes: usize) {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes left a queue, and are not sent by this process now.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A body left its queue to be sent.
    pub(super) fn take_off(&self, bytes: usize) {
        self.flying_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Its request has ended, or will not be made.
    pub(super) fn land(&self, bytes: usize) {
        self.flying_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many bytes one webhook may have queued at the moment.
    pub(super) fn queue_share(&self) -> usize {
        let used = self.queued_bytes.load(Ordering::Relaxed);
        let all = self.bounds.of(ALL_QUEUES_BYTES);
        (all.saturating_sub(used) / 4).min(self.bounds.of(QUEUE_BYTES))
    }

    /// How many bytes one webhook may have in flight at the moment.
    pub(super) fn flight_share(&self) -> usize {
        let used = self.flying_bytes.load(Ordering::Relaxed);
        (FLIGHT_BYTES.saturating_sub(used) / 4).max(FLIGHT_FLOOR_BYTES)
    }

    /// A worker is about to begin.
    pub(super) fn worker_begins(&self) {
        // Relaxed: nothing is handed over by it. Who must not miss it is the worker itself, which
        // asks for the stop once more after this.
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has ended.
    pub(super) fn worker_ended(&self) {
        // Released, so that whoever reads none sees what each of them has left; acquired, so that the
        // last one passes on what the others released.
        if self.workers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.last_ended.notify_waiters();
        }
    }

    /// Workers that have not ended.
    pub(super) fn workers(&self) -> usize {
        // Whoever reads none sees what the last has left, its result among it.
        self.workers.load(Ordering::Acquire)
    }

    /// Waits until there is no worker.
    pub(super) async fn idle(&self) {
        loop {
            let mut idle = pin!(self.last_ended.notified());
            idle.as_mut().enable();
            if self.workers() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// What is taken of the capacity that all lanes share.
#[cfg(test)]
pub(crate) struct InUse {
    pub(crate) permits: usize,
    pub(crate) is_permit_free: bool,
    pub(crate) queued_bytes: usize,
    pub(crate) flying_bytes: usize,
}

#[cfg(test)]
impl<L> Capacity<L> {
    pub(super) fn in_use(&self) -> InUse {
        InUse {
            permits: self.permits.used(),
            is_permit_free: self.permits.is_free(),
            queued_bytes: self.queued_bytes.load(Ordering::Relaxed),
            flying_bytes: self.flying_bytes.load(Ordering::Relaxed),
        }
    }
}
