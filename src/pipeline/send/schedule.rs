//! Scheduling: each permit that can be had is given to a lane's next delivery, with a worker that goes on
//! from there.
//!
//! A [`Permit`] is one request that may be in flight. Its drop gives back all that it stands for, so a
//! worker that panics costs its delivery a second and nobody anything else. A [`Worker`] is counted as
//! long as it lives, and the stop waits for the last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dispatch::Dispatch;
use super::lane::{Lane, Leased, State};
use super::pace::Opens;
use crate::model::DeliveryId;
use crate::transport::Transport;

/// How long a worker keeps its permit while others stand in line. To change after each attempt took a
/// twentieth of the time where endpoints answer at once.
const SHIFT: Duration = Duration::from_millis(5);

/// When the delivery of a worker that panicked is looked for in the log again: a defect that meets the
/// same one over and over is to leave the rest some time.
const PANIC_PAUSE_MS: i64 = 1_000;

/// What a worker begins with, on one lane.
pub(super) type Permitted<T> = (Permit<T>, Leased<<T as Transport>::Endpoint>);

/// One request of a lane that may be in flight: one of the lane's, one of those that all webhooks share
/// where it is above the lane's floor, the bytes of its body, and the delivery in hand.
pub(super) struct Permit<T: Transport> {
    dispatch: Arc<Dispatch<T>>,
    pub(super) lane: Arc<Lane<T::Endpoint>>,
    /// The delivery that this process would hold for ever if the worker came to no end with it.
    in_hand: Option<DeliveryId>,
    /// What goes with it in the same POST.
    and_more: Vec<DeliveryId>,
    /// Bytes of the body in flight.
    flying: Option<usize>,
    /// The delivery that it was given as the lane's next by its pace.
    turn: Option<DeliveryId>,
    given_back: bool,
}

impl<T: Transport> Permit<T> {
    /// What was in hand is the results', the queue's or the log's again.
    pub(super) fn hand_over(&mut self) {
        self.in_hand = None;
        self.and_more.clear();
    }

    /// Whether what it was given is still with its worker.
    pub(super) fn has_in_hand(&self) -> bool {
        self.in_hand.is_some()
    }

    /// The request has ended, or will not be made.
    pub(super) fn land(&mut self) {
        let Some(bytes) = self.flying.take() else {
            return;
        };
        self.dispatch.capacity.land(bytes);
        if self.lane.lock().landed(bytes) {
            self.dispatch.fill(&self.lane);
        }
    }

    /// The next delivery of a worker that has its permit `since` then, or the permit given back.
    pub(super) fn next(&mut self, since: Instant) -> Option<Leased<T::Endpoint>> {
        let dispatch = &self.dispatch;
        let shift_is_over = || dispatch.clock.instant() - since >= SHIFT;
        let mut state = self.lane.lock();
        state.spacing.give_back(self.turn.take());
        let limit = state.target.as_ref().map_or(0, |t| t.webhook.max_in_flight);
        let stays = !dispatch.is_stopping()
            && state.active <= limit
            && state.opens(&dispatch.clock) == Opens::Now
            && !(dispatch.capacity.permits.should_yield(state.active) && shift_is_over());
        let now_ms = || dispatch.clock.now_ms();
        if stays
            && state.next_fits(dispatch.capacity.flight_share())
            && (!state.is_batched() || state.gathers(state.active - 1, now_ms()).is_none())
            && let Some(taken) = dispatch.take(&mut state)
        {
            (self.in_hand, self.flying) = (Some(taken.due.id), Some(taken.bytes()));
            self.and_more.extend(taken.more.iter().map(|due| due.id));
            self.turn = Some(taken.due.id);
            return Some(taken);
        }
        dispatch.capacity.permits.give_back(state.active);
        state.active -= 1;
        self.given_back = true;
        if state.is_ordered() && self.lane.unrecorded() > 0 {
            // The next of a line goes once the one before it is in the log.
            dispatch.results.hurry();
        }
        None
    }
}

impl<T: Transport> Drop for Permit<T> {
    fn drop(&mut self) {
        if self.given_back {
            return;
        }
        // The worker did not come to its end: it panicked, or the runtime is gone.
        let dispatch = &self.dispatch;
        let panicked = std::thread::panicking();
        let mut state = self.lane.lock();
        state.spacing.give_back(self.turn.take());
        let looked_for_ms = dispatch.clock.now_ms() + PANIC_PAUSE_MS;
        let mut is_due = false;
        if let Some(id) = self.in_hand {
            state.lose(id);
            self.and_more.drain(..).for_each(|id| state.lose(id));
            is_due = panicked && state.note_due(looked_for_ms);
        }
        if let Some(bytes) = self.flying {
            dispatch.capacity.land(bytes);
            state.landed(bytes);
        }
        dispatch.capacity.permits.give_back(state.active);
        state.active -= 1;
        drop(state);
        if is_due {
            dispatch.calendar.enter(looked_for_ms, &self.lane);
        }
        if panicked {
            dispatch.fill(&self.lane);
        }
    }
}

/// A worker, counted until it is dropped.
pub(super) struct Worker<T: Transport>(pub(super) Arc<Dispatch<T>>);

impl<T: Transport> Drop for Worker<T> {
    fn drop(&mut self) {
        self.0.capacity.worker_ended();
    }
}

impl<T: Transport> Dispatch<T> {
    /// Starts workers for what is queued, as far as permits go.
    pub(crate) fn fill(self: &Arc<Self>, lane: &Arc<Lane<T::Endpoint>>) {
        self.schedule(Some(lane), |seat| self.start(seat));
    }

    /// Starts workers for those who stand in line, as far as permits go.
    pub(crate) fn fill_line(self: &Arc<Self>) {
        self.schedule(None, |seat| self.start(seat));
    }

    pub(super) fn start(self: &Arc<Self>, seat: Permitted<T>) {
        self.capacity.worker_begins();
        let worker = Worker(self.clone());
        // Counted rather than joined: a set to join them from would be locked for each of them.
        drop(self.log.runtime().handle.spawn(worker.work(seat)));
    }

    /// Gives every permit that can be had to a delivery of those who stand in line, and of `own`.
    pub(super) fn schedule(
        self: &Arc<Self>,
        mut own: Option<&Arc<Lane<T::Endpoint>>>,
        mut start: impl FnMut(Permitted<T>),
    ) {
        // Who stands in line goes first, or a lane would take back the very permit that it gave up.
        loop {
            let first = self.first_in_line();
            let Some(lane) = first.as_ref().or_else(|| own.take()) else {
                return;
            };
            while let Some(seat) = self.acquire(lane) {
                start(seat);
            }
        }
    }

    /// The lane whose turn it is at a free permit.
    fn first_in_line(&self) -> Option<Arc<Lane<T::Endpoint>>> {
        let next = self.capacity.permits.next()?;
        next.lock().in_line = false;
        Some(next)
    }

    /// Acquires one permit, for one delivery of a lane.
    fn acquire(self: &Arc<Self>, lane: &Arc<Lane<T::Endpoint>>) -> Option<Permitted<T>> {
        let mut state = lane.lock();
        let limit = state.target.as_ref()?.webhook.max_in_flight;
        if self.is_stopping() || !state.has_next() || state.active >= limit {
            return None;
        }
        if !self.is_open(lane, &mut state) || !state.next_fits(self.capacity.flight_share()) {
            return None;
        }
        if state.is_batched()
            && let Some(left) = state.gathers(state.active, self.clock.now_ms())
        {
            self.come_back(lane, &mut state, left);
            return None;
        }
        let in_line = state.in_line;
        if !self
            .capacity
            .permits
            .acquire_or_wait(state.active, || (!in_line).then(|| lane.clone()))
        {
            state.in_line = true;
            return None;
        }
        let taken = self.take(&mut state)?;
        state.active += 1;
        let permit = Permit {
            dispatch: self.clone(),
            lane: lane.clone(),
            in_hand: Some(taken.due.id),
            and_more: taken.more.iter().map(|due| due.id).collect(),
            flying: Some(taken.bytes()),
            turn: Some(taken.due.id),
            given_back: false,
        };
        Some((permit, taken))
    }

    /// Takes a delivery out of the queue, to be sent.
    fn take(&self, state: &mut State<T::Endpoint>) -> Option<Leased<T::Endpoint>> {
        let taken = state.take()?;
        state.spacing.hand_out(taken.due.id);
        self.capacity.take_off(taken.bytes());
        Some(taken)
    }

    /// Looks at the lane again when what it gathers has waited long enough; once, however often it is asked.
    fn come_back(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
        state: &mut State<T::Endpoint>,
        left: Duration,
    ) {
        if std::mem::replace(&mut state.is_gathering, true) {
            return;
        }
        let (this, lane, mut stop) = (self.clone(), lane.clone(), self.stopping());
        let wait = async move {
            drop(tokio::time::timeout(left, stop.wait_for(|stop| *stop)).await);
            lane.lock().is_gathering = false;
            this.fill(&lane);
        };
        // It ends by itself, within the longest wait there may be, or at the stop.
        drop(self.log.runtime().handle.spawn(wait));
    }
}
