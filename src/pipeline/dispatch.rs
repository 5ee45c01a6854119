//! Dispatch: due deliveries become attempts, within every webhook's limit and the global one.
//!
//! A worker is a tokio future that holds one place of a lane and makes one attempt after another
//! until the lane's queue is empty. An attempt is five calls in a row: take → the dialect builds the
//! request → the transport sends → the verdict → hand to the recorder. Nothing here writes the log
//! and nothing reads it: `record` and `refill` do.
//!
//! The endpoint's failure is a value. A fault of our own machine puts the delivery back, unspent.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{FairMutex, FairMutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::control::Watched;
use super::lane::{Lane, QUEUE_BYTES, State, Taken, Target};
use super::places::{FLOOR, Places};
use super::record::Results;
use super::refill::Calendar;
use super::routes::Routes;
use super::status::Counters;
use super::sweep::Retention;
use super::turns::Turns;
use super::{Pace, within};
use crate::dialect;
use crate::model::{Attempt, Clock, Due, Fault, Origin, Verdict, crash};
use crate::store::Store;
use crate::transport::Transport;

/// Bytes of bodies queued in memory for all the webhooks together. A webhook may queue a quarter of
/// what is left of it, so that it never runs out: a thousand dead endpoints have little each, and a
/// healthy one beside them still gets its share.
const ALL_QUEUES_BYTES: usize = 16 << 20;

/// Bytes of bodies in flight for all the webhooks together. A webhook may have a quarter of what is left
/// of it, so that those that hang with large bodies leave some to the others.
const FLIGHT_BYTES: usize = 32 << 20;

/// Bytes of bodies that each webhook may have in flight in any case; one body it always may.
const FLIGHT_FLOOR_BYTES: usize = 64 << 10;

/// How long a worker waits after a fault of our own machine before it tries again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

type Lanes<E> = HashMap<Arc<str>, Arc<Lane<E>>>;

/// Everything between the admitted delivery and its attempt's record.
pub struct Dispatch<T: Transport> {
    pub(crate) clock: Clock,
    pub(crate) pace: Pace,
    pub(crate) transport: T,
    /// Fair: whoever asks first is next. The recorder, which comes back at once with the next batch,
    /// would else keep the intake waiting for as long as a burst of results lasts.
    store: FairMutex<Store>,
    runtime: Handle,
    pub(crate) lanes: RwLock<Lanes<T::Endpoint>>,
    pub(crate) routes: RwLock<Arc<Routes>>,
    pub(crate) places: Places<Arc<Lane<T::Endpoint>>>,
    turns: Turns,
    pub(crate) results: Results,
    pub(crate) calendar: Calendar<T::Endpoint>,
    pub(crate) counters: Counters,
    pub(crate) watched: Watched,
    pub(crate) replay_asked: Notify,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) retention: watch::Sender<Retention>,
    /// Bytes of `data` above which an event is set aside; the intake reads it before each look.
    pub(crate) max_data_bytes: AtomicUsize,
    pub(crate) queued_bytes: AtomicUsize,
    flying_bytes: AtomicUsize,
    workers: AtomicUsize,
    idle: Notify,
}

impl<T: Transport> Dispatch<T> {
    /// A dispatch without webhooks; [`Dispatch::direct`] gives it some.
    #[must_use]
    pub fn new(store: Store, transport: T, clock: Clock, pace: Pace, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            clock,
            pace,
            transport,
            store: FairMutex::new(store),
            runtime,
            lanes: RwLock::default(),
            routes: RwLock::new(Arc::new(Routes::new(Vec::new(), None))),
            places: Places::new(0),
            turns: Turns::default(),
            results: Results::default(),
            calendar: Calendar::default(),
            counters: Counters::default(),
            watched: Watched::default(),
            replay_asked: Notify::new(),
            stop: watch::Sender::new(false),
            retention: watch::Sender::new(Retention::default()),
            max_data_bytes: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            flying_bytes: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// The log, for one short call. Blocks: not for futures, which use [`Dispatch::with_store`].
    pub(crate) fn store(&self) -> FairMutexGuard<'_, Store> {
        self.store.lock()
    }

    /// Runs one short call on the log, on a thread that may block.
    pub(crate) async fn with_store<R, F>(self: &Arc<Self>, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce(&Arc<Self>, &mut Store) -> R + Send + 'static,
    {
        let this = self.clone();
        self.with_blocking(move || call(&this, &mut this.store()))
            .await
    }

    /// Runs one short call that may block.
    pub(crate) async fn with_blocking<R, F>(&self, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        #[cfg(test)]
        let call = match super::simulation::blocking(call).await {
            Ok(value) => return value,
            Err(call) => call,
        };
        match self.runtime.spawn_blocking(call).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down: nobody is left to see what the call returned.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Lets no new attempt begin. What is in flight ends within its time-outs.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn lane(&self, name: &str) -> Option<Arc<Lane<T::Endpoint>>> {
        self.lanes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Becomes true when the pipeline stops.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Queues what was just admitted. Called with the log's lock held, so that no refill can come
    /// between the commit and the queue. Returns the lanes to be filled once the lock is free.
    pub(crate) fn offer(&self, dues: Vec<Due>) -> Vec<Arc<Lane<T::Endpoint>>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let mut touched: Vec<Arc<Lane<T::Endpoint>>> = Vec::new();
        for due in dues {
            let Some(lane) = lanes.get(&due.webhook) else {
                continue;
            };
            let most = self.share_bytes();
            let mut state = lane.lock();
            let before = state.queued_bytes();
            let refill = state.offer(due, most);
            self.queued_bytes
                .fetch_add(state.queued_bytes() - before, Ordering::Relaxed);
            if !std::mem::replace(&mut state.touched, true) {
                touched.push(lane.clone());
            }
            drop(state);
            if refill {
                self.calendar.list(lane);
            }
        }
        for lane in &touched {
            lane.lock().touched = false;
        }
        // Who answers goes first: a hundred connections to the others take their milliseconds.
        touched.sort_by_cached_key(|lane| lane.is_silent());
        touched
    }

    /// Queues rows that were read back from the log for `lane`, whose lock the caller holds not.
    pub(crate) fn queue(&self, lane: &Lane<T::Endpoint>, dues: Vec<Due>, more: bool) {
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
        (within(ALL_QUEUES_BYTES).saturating_sub(used) / 4).min(within(QUEUE_BYTES))
    }

    /// Directs a lane to a target, or closes it.
    pub(crate) fn direct_lane(
        &self,
        lane: &Lane<T::Endpoint>,
        target: Option<Arc<Target<T::Endpoint>>>,
    ) {
        let mut state = lane.lock();
        let before = state.queued_bytes();
        state.direct(target);
        self.queued_bytes
            .fetch_sub(before - state.queued_bytes(), Ordering::Relaxed);
    }

    /// Starts workers for what is queued, as far as places go.
    pub(crate) fn fill(self: &Arc<Self>, lane: &Arc<Lane<T::Endpoint>>) {
        self.seats(Some(lane.clone()), |lane, taken| self.start(lane, taken));
    }

    /// Starts workers for those who stand in line, as far as places go.
    pub(crate) fn fill_line(self: &Arc<Self>) {
        self.seats(None, |lane, taken| self.start(lane, taken));
    }

    fn start(self: &Arc<Self>, lane: Arc<Lane<T::Endpoint>>, taken: Taken<T::Endpoint>) {
        self.workers.fetch_add(1, Ordering::Relaxed);
        drop(self.runtime.spawn(self.clone().work(lane, taken)));
    }

    /// Gives every place that can be had to a delivery of those who stand in line, and of `own`.
    fn seats(
        &self,
        mut own: Option<Arc<Lane<T::Endpoint>>>,
        mut start: impl FnMut(Arc<Lane<T::Endpoint>>, Taken<T::Endpoint>),
    ) {
        // Who stands in line goes first, or a lane would take back the very place that it gave up.
        while let Some(lane) = self.first_in_line().or_else(|| own.take()) {
            while let Some(taken) = self.seat(&lane) {
                start(lane.clone(), taken);
            }
        }
    }

    /// The lane whose turn it is at a free place.
    fn first_in_line(&self) -> Option<Arc<Lane<T::Endpoint>>> {
        let next = self.places.next()?;
        next.lock().in_line = false;
        Some(next)
    }

    /// Takes one place and one delivery of a lane.
    fn seat(&self, lane: &Arc<Lane<T::Endpoint>>) -> Option<Taken<T::Endpoint>> {
        let mut state = lane.lock();
        let limit = state.target.as_ref()?.webhook.max_in_flight;
        if self.is_stopping() || state.queued() == 0 || state.active >= limit {
            return None;
        }
        if !state.next_fits(self.flight_share()) {
            return None;
        }
        let in_line = state.in_line;
        if !self
            .places
            .take_or_wait(state.active, || (!in_line).then(|| lane.clone()))
        {
            state.in_line = true;
            return None;
        }
        let taken = self.take(&mut state)?;
        state.active += 1;
        Some(taken)
    }

    /// Takes a delivery out of the queue, to be sent.
    fn take(&self, state: &mut State<T::Endpoint>) -> Option<Taken<T::Endpoint>> {
        let taken = state.take()?;
        let bytes = taken.due.body.len();
        self.flying_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(taken)
    }

    /// How many bytes one webhook may have in flight at the moment.
    fn flight_share(&self) -> usize {
        let used = self.flying_bytes.load(Ordering::Relaxed);
        (FLIGHT_BYTES.saturating_sub(used) / 4).max(FLIGHT_FLOOR_BYTES)
    }

    /// One worker: attempts in a row on one place, and then on the next that can be had.
    async fn work(self: Arc<Self>, lane: Arc<Lane<T::Endpoint>>, first: Taken<T::Endpoint>) {
        let mut seat = Some((lane, first));
        while let Some((lane, first)) = seat.take() {
            let mut next = Some(first);
            while let Some(taken) = next {
                let bytes = taken.due.body.len();
                if taken.refill {
                    self.calendar.list(&lane);
                }
                if self.may_begin(&lane).await {
                    self.attempt_or_put_back(&lane, taken).await;
                } else {
                    lane.lock().release(taken.due.id);
                }
                self.flying_bytes.fetch_sub(bytes, Ordering::Relaxed);
                if lane.lock().landed(bytes) {
                    self.fill(&lane);
                }
                next = self.go_on(&lane);
            }
            self.seats(Some(lane), |lane, taken| match seat {
                None => seat = Some((lane, taken)),
                Some(_) => self.start(lane, taken),
            });
        }
        if self.workers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Waits until an attempt may begin; false where the pipeline stops first, for what was not sent
    /// yet is better left for the next start.
    async fn may_begin(&self, lane: &Lane<T::Endpoint>) -> bool {
        if lane.takes_turns()
            && let Some(turn) = self.turns.take(self.clock.instant())
            && !Box::pin(self.wait_for(turn)).await
        {
            return false;
        }
        let few = lane.unrecorded.load(Ordering::Relaxed) < FLOOR && self.results.has_bytes_left();
        few || !self.results.is_full() || Box::pin(self.results.room(self.stopping())).await
    }

    async fn wait_for(&self, turn: Instant) -> bool {
        let mut stop = self.stop.subscribe();
        tokio::time::timeout_at(turn, stop.wait_for(|stop| *stop))
            .await
            .is_err()
    }

    /// The next delivery of a worker, or its place given back.
    fn go_on(&self, lane: &Lane<T::Endpoint>) -> Option<Taken<T::Endpoint>> {
        let mut state = lane.lock();
        let limit = state.target.as_ref().map_or(0, |t| t.webhook.max_in_flight);
        let stays =
            !self.is_stopping() && state.active <= limit && !self.places.should_yield(state.active);
        let taken = if stays && state.next_fits(self.flight_share()) {
            self.take(&mut state)
        } else {
            None
        };
        if taken.is_none() {
            self.places.give_back(state.active);
            state.active -= 1;
        }
        taken
    }

    async fn attempt_or_put_back(&self, lane: &Arc<Lane<T::Endpoint>>, taken: Taken<T::Endpoint>) {
        let fault = match caught(self.attempt(&taken)).await {
            Ok(Ok(attempt)) => {
                lane.note_answer(attempt.exchange.result.is_ok());
                lane.unrecorded.fetch_add(1, Ordering::Relaxed);
                return self.results.push(attempt);
            }
            Ok(Err(fault)) => fault,
            Err(Panicked) => Fault("the attempt panicked; this is a defect of webhooksd".into()),
        };
        self.counters
            .fault(&self.clock, &lane.name, taken.due.id, &fault);
        self.put_back(lane, taken);
        Box::pin(self.pause()).await;
    }

    fn put_back(&self, lane: &Arc<Lane<T::Endpoint>>, taken: Taken<T::Endpoint>) {
        let bytes = taken.due.body.len();
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut state = lane.lock();
        if state.put_back(taken) {
            return;
        }
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        // While it was in hand no refill saw it: where it is still pending, one has to.
        if state.target.is_some() && state.came_due(self.clock.now_ms()) {
            self.calendar.list(lane);
        }
    }

    async fn pause(&self) {
        let mut stop = self.stop.subscribe();
        let stopped = tokio::time::timeout(FAULT_PAUSE, stop.wait_for(|stop| *stop)).await;
        drop(stopped);
    }

    async fn attempt(&self, taken: &Taken<T::Endpoint>) -> Result<Attempt, Fault> {
        let Taken { due, target, .. } = taken;
        crash::point("send", "taken");
        let request = dialect::request(due.dialect, &target.webhook, &due.body);
        let started_at_ms = self.clock.now_ms();
        #[cfg(test)]
        super::simulation::sending(due, &target.webhook);
        crash::point("send", "before the request");
        let exchange = self.transport.send(&target.endpoint, &request).await?;
        crash::point("send", "answered");
        let finished_at_ms = self.clock.now_ms();
        let number = due.attempts.saturating_add(1);
        let sends = if due.origin == Origin::Test {
            1
        } else {
            target.webhook.max_attempts
        };
        let (mut verdict, error) = dialect::verdict(
            due.dialect,
            sends,
            due.id,
            number,
            &exchange,
            finished_at_ms,
        );
        if due.origin == Origin::Test && verdict != Verdict::Delivered {
            verdict = Verdict::Failed;
        }
        let mut kept = Due {
            event: due.event.clone(),
            webhook: due.webhook.clone(),
            // The log has it, and results may have to wait.
            body: Bytes::new(),
            ..*due
        };
        if due.origin == Origin::Test {
            kept.body = due.body.clone();
        }
        Ok(Attempt {
            due: kept,
            number,
            started_at_ms,
            finished_at_ms,
            url: target.url.clone(),
            request_headers: request.header_lines(),
            exchange,
            verdict,
            error,
        })
    }

    /// Waits until no request is in flight. No new one begins once `stop` was sent.
    pub async fn drained(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.workers.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

struct Panicked;

/// Runs a future and turns a panic of it into a value: one poisonous delivery must not end the rest.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}
