//! Dispatch: due deliveries become attempts, within every webhook's limit and the global one.
//!
//! What was admitted or read back is queued in its lane here; `schedule` gives it a permit, and `worker`
//! makes the attempt. Nothing here writes the log and nothing reads it: `record` and `refill` do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use super::calendar::Calendar;
use super::capacity::Capacity;
use super::gate::Gates;
use super::lane::{Lane, QUEUE_ROWS};
use super::results::Results;
use super::share::Share;
use crate::dialect::longest_attempt;
use crate::model::{Attempt, Clock, Due, LogId, Vfs};
use crate::pipeline::shared::{
    Bounds, Counters, Log, LogGuard, Pace, Routes, Running, Runtime, Signals,
};
use crate::store::LogWriter;
use crate::transport::Transport;

/// How long the stop waits for what is in flight: for an attempt, and some more of a busy machine. What
/// is left then is due again at the next start.
const DRAIN: Duration = longest_attempt().saturating_add(Duration::from_secs(3));

type Lanes<E> = HashMap<Arc<str>, Arc<Lane<E>>>;

/// Everything between the admitted delivery and its attempt's record. Its fields are for this wing; the
/// others have its calls.
pub struct Dispatch<T: Transport> {
    pub(super) clock: Clock,
    pub(super) transport: T,
    pub(super) log: Log,
    pub(super) log_id: LogId,
    pub(super) running: Running,
    pub(super) signals: Signals,
    pub(super) counters: Counters,
    pub(super) lanes: RwLock<Lanes<T::Endpoint>>,
    pub(super) calendar: Calendar<T::Endpoint>,
    pub(super) capacity: Capacity<Arc<Lane<T::Endpoint>>>,
    pub(super) results: Results,
    pub(super) gates: Gates,
    pub(super) share: Share,
}

impl<T: Transport> Dispatch<T> {
    /// A dispatch without webhooks; [`Dispatch::reconfigure`] gives it some.
    #[must_use]
    pub fn new(
        store: Box<dyn LogWriter>,
        transport: T,
        clock: Clock,
        pace: Pace,
        runtime: Runtime,
    ) -> Arc<Self> {
        let bounds = runtime.bounds;
        Arc::new(Self {
            running: Running::new(&clock, pace),
            clock,
            transport,
            log_id: store.log_id(),
            log: Log::new(store, runtime),
            signals: Signals::default(),
            counters: Counters::default(),
            lanes: RwLock::default(),
            calendar: Calendar::default(),
            capacity: Capacity::new(bounds),
            results: Results::new(bounds),
            gates: Gates::default(),
            share: Share::default(),
        })
    }

    /// The time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the requests go through.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The running configuration.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// What the loops wait for.
    pub(crate) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// The counts, for those who add to them.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The log behind its lock.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The log, locked for one short call. Blocks: not for futures, which use
    /// [`Dispatch::with_store`].
    pub(crate) fn store(&self) -> LogGuard<'_> {
        self.log.lock()
    }

    /// Runs one short call on the log, on a thread that may block.
    pub(crate) async fn with_store<R, F>(self: &Arc<Self>, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce(&Arc<Self>, &mut LogGuard<'_>) -> R + Send + 'static,
    {
        let this = self.clone();
        self.log
            .blocking(move || call(&this, &mut this.store()))
            .await
    }

    /// How large bounds are.
    pub(crate) fn bounds(&self) -> Bounds {
        self.log.runtime().bounds
    }

    /// What the outbox is opened with.
    pub(crate) fn vfs(&self) -> Vfs {
        self.log.runtime().vfs
    }

    /// Runs one short call that may block.
    pub(crate) async fn with_blocking<R, F>(&self, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        self.log.blocking(call).await
    }

    /// Lets no new attempt begin. What is in flight ends within its time-outs.
    pub fn stop(&self) {
        self.signals.stop();
    }

    pub(crate) fn lane(&self, name: &str) -> Option<Arc<Lane<T::Endpoint>>> {
        self.lanes.read().get(name).cloned()
    }

    /// Every lane, in no order.
    pub(crate) fn all_lanes(&self) -> Vec<Arc<Lane<T::Endpoint>>> {
        let lanes = self.lanes.read();
        lanes.values().cloned().collect()
    }

    /// The subscriptions of the moment.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.running.routes()
    }

    /// Whether a webhook gets anything by today's configuration.
    pub(crate) fn is_served(&self, name: &str) -> bool {
        self.lane(name)
            .is_some_and(|lane| lane.lock().target.is_some())
    }

    /// Becomes true when the pipeline stops.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.signals.stopping()
    }

    /// Bytes of `data` above which an event is not taken by today's configuration.
    pub fn max_data_bytes(&self) -> usize {
        self.running.max_data_bytes()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.signals.is_stopping()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.capacity.workers()
    }

    /// Whether a lane's queue would soon overflow into the log, and it is worth to wait for the lane: one with a
    /// pace goes no faster for that, and one whose endpoint asked to wait not at all.
    pub(crate) fn is_half_full(&self, lane: &Lane<T::Endpoint>) -> bool {
        let share_bytes = self.capacity.queue_share();
        let state = lane.lock();
        !state.spacing.is_slow(self.clock.now_ms())
            && (state.queued() > QUEUE_ROWS / 2 || state.queued_bytes() > share_bytes / 2)
    }

    /// Queues a delivery before all others and returns the end of its attempt, once that is in the log.
    pub(crate) fn offer_first(
        &self,
        log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
        due: Due,
    ) -> oneshot::Receiver<Attempt> {
        let told = self.results.watch(due.id);
        self.capacity.queue(due.body.len());
        lane.lock().push_first(log, due);
        told
    }

    /// Waits until no request is in flight, but no longer than an attempt can take. No new one begins
    /// once the pipeline was stopped. Returns how many are in flight yet.
    pub async fn drained(&self) -> usize {
        match tokio::time::timeout(DRAIN, self.idle()).await {
            Ok(()) => 0,
            Err(_) => self.in_flight(),
        }
    }

    /// Waits until no request is in flight.
    pub(crate) async fn idle(&self) {
        self.capacity.idle().await;
    }
}

#[cfg(test)]
impl<T: Transport> Dispatch<T> {
    /// How long [`Dispatch::drained`] waits at most.
    pub(crate) const DRAIN: Duration = DRAIN;

    pub(crate) fn capacity_in_use(&self) -> super::capacity::InUse {
        self.capacity.in_use()
    }
}
