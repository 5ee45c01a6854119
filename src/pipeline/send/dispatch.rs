//! Dispatch: due deliveries become attempts, within every webhook's limit and the global one.
//!
//! What was admitted or read back is queued in its lane here; `schedule` gives it a permit, and `worker`
//! makes the attempt. Nothing here writes the log and nothing reads it: `record` and `refill` do.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::calendar::Calendar;
use super::lane::{Lane, QUEUE_BYTES, QUEUE_ROWS};
use super::pacing::Pacer;
use super::permits::Permits;
use super::results::Results;
use super::room::Room;
use super::waiters::Waiters;
use crate::model::{Attempt, Clock, Due, Verdict, Vfs};
use crate::pipeline::shared::{Bounds, Counters, Log, LogGuard, Pace, Retention, Routes, Runtime};
use crate::store::{Lost, Store};
use crate::transport::Transport;

/// Bytes of bodies queued in memory for all the webhooks together. A webhook may queue a quarter of
/// what is left of it, so that it never runs out: a thousand dead endpoints have little each, and a
/// healthy one beside them still gets its share.
const ALL_QUEUES_BYTES: usize = 16 << 20;

/// How long the stop waits for what is in flight: for the 9 s of an attempt, and some more of a busy
/// machine. What is left then is due again at the next start.
const DRAIN: Duration = Duration::from_secs(15);

type Lanes<E> = HashMap<Arc<str>, Arc<Lane<E>>>;

/// Everything between the admitted delivery and its attempt's record.
pub struct Dispatch<T: Transport> {
    pub(crate) clock: Clock,
    /// The wall clock and the other when this was made, before anything went by either.
    pub(crate) made: (i64, Instant),
    pub(crate) pace: Pace,
    pub(crate) transport: T,
    pub(crate) log: Log,
    pub(super) lanes: RwLock<Lanes<T::Endpoint>>,
    pub(super) routes: RwLock<Arc<Routes>>,
    pub(super) permits: Permits<Arc<Lane<T::Endpoint>>>,
    pub(super) pacer: Pacer,
    pub(crate) results: Results,
    pub(crate) calendar: Calendar<T::Endpoint>,
    pub(crate) counters: Counters,
    pub(super) waiters: Waiters,
    pub(crate) replay_asked: Notify,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) retention: watch::Sender<Retention>,
    /// Bytes of `data` above which an event is set aside; the intake reads it before each look.
    pub(crate) max_data_bytes: AtomicUsize,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) flying_bytes: AtomicUsize,
    pub(super) workers: AtomicUsize,
    pub(super) last_ended: Notify,
    /// Where lanes say that they let go of something.
    pub(super) lost: Lost,
}

impl<T: Transport> Dispatch<T> {
    /// A dispatch without webhooks; [`Dispatch::reconfigure`] gives it some.
    #[must_use]
    pub fn new(
        store: Store,
        transport: T,
        clock: Clock,
        pace: Pace,
        runtime: Runtime,
    ) -> Arc<Self> {
        let results = Results::new(runtime.bounds);
        let lost = store.lost();
        Arc::new(Self {
            made: (clock.now_ms(), clock.instant()),
            clock,
            pace,
            transport,
            log: Log::new(store, runtime),
            lanes: RwLock::default(),
            routes: RwLock::new(Arc::new(Routes::new(Vec::new(), None))),
            permits: Permits::new(0),
            pacer: Pacer::default(),
            results,
            calendar: Calendar::default(),
            counters: Counters::default(),
            waiters: Waiters::default(),
            replay_asked: Notify::new(),
            stop: watch::Sender::new(false),
            retention: watch::Sender::new(Retention::default()),
            max_data_bytes: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            flying_bytes: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            last_ended: Notify::new(),
            lost,
        })
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
        self.stop.send_replace(true);
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
        self.routes.read().clone()
    }

    /// Whether a webhook gets anything by today's configuration.
    pub(crate) fn is_served(&self, name: &str) -> bool {
        self.lane(name)
            .is_some_and(|lane| lane.lock().target.is_some())
    }

    /// Becomes true when the pipeline stops.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Bytes of `data` above which an event is not taken by today's configuration.
    pub fn max_data_bytes(&self) -> usize {
        self.max_data_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        // Whoever reads none sees what the last has left, its result among it.
        self.workers.load(Ordering::Acquire)
    }

    /// Queues what was just written, as was promised, under the lock of the commit, so that no refill can
    /// come between it and the queue. Returns the lanes to be filled once the lock is free.
    pub(crate) fn offer(
        &self,
        _log: &LogGuard<'_>,
        room: Room<'_, T>,
        dues: Vec<Due>,
    ) -> Vec<Arc<Lane<T::Endpoint>>> {
        let lanes = self.lanes.read();
        for (due, promised) in dues.into_iter().zip(room.promises()) {
            let Some(lane) = lanes.get(&due.webhook) else {
                continue;
            };
            let mut state = lane.lock();
            if *promised {
                self.queued_bytes
                    .fetch_add(due.body.len(), Ordering::Relaxed);
                state.push(due);
            } else if state.left() {
                drop(state);
                self.calendar.list(lane);
            }
        }
        let mut touched = room.end();
        // Who answers goes first: a hundred connections to the others take their milliseconds.
        touched.sort_by_cached_key(|lane| lane.is_silent());
        touched
    }

    /// Queues rows that were read back from the log for `lane`, whose lock the caller holds not: under
    /// the log's lock, so that none of them is recorded in between.
    pub(crate) fn queue(
        &self,
        _log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
        dues: Vec<Due>,
        more: bool,
    ) {
        let mut state = lane.lock();
        for due in dues {
            if state.target.is_some() && !state.holds(due.id) {
                self.queued_bytes
                    .fetch_add(due.body.len(), Ordering::Relaxed);
                state.push(due);
            }
        }
        state.refilled(more);
    }

    /// How many bytes one webhook may have queued at the moment.
    pub(crate) fn share_bytes(&self) -> usize {
        let used = self.queued_bytes.load(Ordering::Relaxed);
        let bounds = self.bounds();
        (bounds.of(ALL_QUEUES_BYTES).saturating_sub(used) / 4).min(bounds.of(QUEUE_BYTES))
    }

    /// Whether a lane's queue would soon overflow into the log.
    pub(crate) fn is_half_full(&self, lane: &Lane<T::Endpoint>) -> bool {
        let share_bytes = self.share_bytes();
        let state = lane.lock();
        state.queued() > QUEUE_ROWS / 2 || state.queued_bytes() > share_bytes / 2
    }

    /// Queues a delivery before all others and returns the end of its attempt, once that is in the log.
    pub(crate) fn offer_first(
        &self,
        _log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
        due: Due,
    ) -> oneshot::Receiver<Attempt> {
        let told = self.waiters.watch(due.id);
        self.queued_bytes
            .fetch_add(due.body.len(), Ordering::Relaxed);
        lane.lock().push_first(due);
        told
    }

    /// Has the log looked at for rows of the lane that are due by now.
    pub(crate) fn look_for_due(&self, lane: &Arc<Lane<T::Endpoint>>) {
        if lane.lock().came_due(self.clock.now_ms()) {
            self.calendar.list(lane);
        }
    }

    /// Lets go of a delivery whose attempt was recorded, under the lock of that commit, so that a refill
    /// sees either the row as it was with the delivery held, or as it is with the delivery let go.
    pub(crate) fn let_go(&self, _log: &LogGuard<'_>, attempt: &Attempt) {
        if let Some(lane) = self.lane(&attempt.due.webhook) {
            lane.tally.count(attempt);
            // A lane stays until the last of its results is here, so this never falls below none.
            lane.unrecorded.fetch_sub(1, Ordering::Relaxed);
            let mut state = lane.lock();
            state.recorded(attempt.due.id);
            if let Verdict::RetryAt(at_ms) = attempt.verdict
                && state.note_due(at_ms)
            {
                drop(state);
                self.calendar.enter(at_ms, &lane);
            }
        }
        self.waiters.tell(attempt);
    }

    /// Makes room for as many results as were recorded, and gives out permits by how many are left.
    pub(crate) fn make_room(self: &Arc<Self>, recorded: &[Attempt]) {
        self.results.recorded(recorded);
        if self.permits.steer(self.results.unrecorded()) {
            self.fill_line();
        }
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
        loop {
            let mut idle = pin!(self.last_ended.notified());
            idle.as_mut().enable();
            if self.workers.load(Ordering::Acquire) == 0 {
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
impl<T: Transport> Dispatch<T> {
    /// How long [`Dispatch::drained`] waits at most.
    pub(crate) const DRAIN: Duration = DRAIN;

    pub(crate) fn capacity_in_use(&self) -> InUse {
        InUse {
            permits: self.permits.used(),
            is_permit_free: self.permits.is_free(),
            queued_bytes: self.queued_bytes.load(Ordering::Relaxed),
            flying_bytes: self.flying_bytes.load(Ordering::Relaxed),
        }
    }
}
