//! A worker: a future that holds one permit and makes one attempt after another.
//!
//! It ends when there is nothing left to send with any permit that can be had. An attempt is five calls
//! in a row: take → the dialect builds the request → the transport sends → the verdict → hand to the
//! recorder. Nothing here writes the log and nothing reads it: `record` and `refill` do.
//!
//! The endpoint's failure is a value. A fault of our own machine puts the delivery back, unspent.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::dispatch::Dispatch;
use super::lane::{Lane, Leased, State};
use super::permits::FLOOR;
use super::schedule::{Permit, Permitted, Worker};
use crate::dialect::{self, Sending};
use crate::model::{Attempt, Batch, Due, Fault, Traceparent, Trigger, Webhook, crash};
use crate::transport::Transport;

/// How long a worker waits after a fault of our own machine before it tries again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// When what a node let go of, since it had not heard from the log in time, is looked for again.
const LAPSED_MS: i64 = 500;

/// What became of a delivery between its being taken and its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    ToSend,
    /// Its request may not begin yet, or goes in another form by now.
    NotYet,
    /// It is not in hand any more.
    Gone,
}

impl<T: Transport> Worker<T> {
    /// Attempts in a row on one permit, and then on the next that can be had.
    pub(super) async fn work(self, first: Permitted<T>) {
        let dispatch = &self.0;
        let mut seat = Some(first);
        while let Some((mut permit, first)) = seat.take() {
            let mut next = Some(first);
            let since = dispatch.clock.instant();
            while let Some(mut taken) = next {
                if taken.refill {
                    dispatch.calendar.list(&permit.lane);
                }
                if Dispatch::<T>::goes_in_turn(&taken)
                    && let Some(found) = dispatch.look_whose_turn(&mut permit, &mut taken).await
                {
                    dispatch.let_go_as(found, &mut permit, taken);
                // Before all that is waited for: what it waits for itself is the log.
                } else if Dispatch::<T>::goes_together(&taken)
                    && let Err(fault) = dispatch.form(&mut taken).await
                {
                    dispatch.put_back_after(&mut permit, taken, &fault).await;
                } else if !dispatch.may_begin(&permit.lane).await {
                    dispatch.let_go_for_now(&permit.lane, &taken);
                    permit.hand_over();
                } else {
                    match dispatch.look_again(&mut permit, &mut taken) {
                        Found::ToSend => dispatch.attempt_or_put_back(&mut permit, taken).await,
                        found => dispatch.let_go_as(found, &mut permit, taken),
                    }
                }
                permit.land();
                next = permit.next(since);
            }
            dispatch.schedule(Some(&permit.lane), |another| match seat {
                None => seat = Some(another),
                Some(_) => dispatch.start(another),
            });
        }
    }
}

impl<T: Transport> Dispatch<T> {
    /// Waits until an attempt may begin; false where the pipeline stops first, for what was not sent
    /// yet is better left for the next start.
    async fn may_begin(&self, lane: &Lane<T::Endpoint>) -> bool {
        // Once more, now that this worker is counted: a stop before that may have counted none, and
        // nobody records any more.
        if self.is_stopping() || !self.share.lasts(&self.clock) {
            return false;
        }
        if lane.takes_turns()
            && let Some(turn) = self.capacity.pacer.take(self.clock.instant())
            && !Box::pin(self.wait_for(turn)).await
        {
            return false;
        }
        let few = lane.unrecorded() < FLOOR && self.results.has_bytes_left();
        few || !self.results.is_full() || Box::pin(self.results.room(self.stopping())).await
    }

    /// Whether what was taken is to be sent, after all that was waited for since: its webhook may have
    /// become inactive, and what was pending for it been cancelled; or its pace may be another.
    fn look_again(&self, permit: &mut Permit<T>, taken: &mut Leased<T::Endpoint>) -> Found {
        let mut state = permit.lane.lock();
        if state.renew(taken) {
            let goes =
                !Self::was_taken_otherwise(taken) && state.spacing.claim(&taken.due, &self.clock);
            return if goes { Found::ToSend } else { Found::NotYet };
        }
        let found = self.found(&permit.lane, &mut state, taken);
        drop(state);
        found
    }

    /// What became of what was taken and is not to be sent as it is.
    fn found(
        &self,
        lane: &Lane<T::Endpoint>,
        state: &mut State<T::Endpoint>,
        taken: &Leased<T::Endpoint>,
    ) -> Found {
        if state.is_divided(taken) {
            return Found::NotYet;
        }
        state.lose_all(taken);
        self.have_looked_at(lane, state);
        Found::Gone
    }

    /// Gives back what is not sent.
    fn let_go_as(&self, found: Found, permit: &mut Permit<T>, taken: Leased<T::Endpoint>) {
        permit.hand_over();
        if found == Found::NotYet {
            self.put_back(&permit.lane, taken);
        }
    }

    /// Lets go of what may not begin now. Where that is not for a stop, the log is looked at for it after a while: nobody
    /// else knows of it.
    fn let_go_for_now(&self, lane: &Arc<Lane<T::Endpoint>>, taken: &Leased<T::Endpoint>) {
        let mut state = lane.lock();
        state.lose_all(taken);
        let at_ms = self.clock.now_ms() + LAPSED_MS;
        if !self.is_stopping() && state.note_due(at_ms) {
            self.calendar.enter(at_ms, lane);
        }
    }

    /// Whether one POST at a time goes, of several deliveries that have one turn.
    fn goes_in_turn(taken: &Leased<T::Endpoint>) -> bool {
        let webhook = &taken.target.webhook;
        webhook.order.is_some() && webhook.batch.is_some()
    }

    /// Waits until what the lane has sent is in the log, for that decides whether the rest of what had one turn goes
    /// now. `None` where it does.
    async fn look_whose_turn(
        &self,
        permit: &mut Permit<T>,
        taken: &mut Leased<T::Endpoint>,
    ) -> Option<Found> {
        let lane = &permit.lane;
        let waits = || lane.unrecorded() > 0 && !self.results.is_closed();
        while waits() {
            self.results.hurry();
            let mut recorded = pin!(self.results.changed());
            recorded.as_mut().enable();
            if waits() {
                recorded.await;
            }
        }
        let mut state = lane.lock();
        if state.renew(taken) {
            return None;
        }
        Some(self.found(lane, &mut state, taken))
    }

    /// Has the log looked at for what was let go of: while it was in hand no refill saw it, and where
    /// it is still pending, one has to. By the calendar, for a refill that is under way and has passed
    /// it over would end with the lane off the list.
    fn have_looked_at(&self, lane: &Lane<T::Endpoint>, state: &mut State<T::Endpoint>) {
        let now_ms = self.clock.now_ms();
        if state.note_due(now_ms) {
            self.calendar.enter(now_ms, lane);
        }
    }

    async fn wait_for(&self, turn: Instant) -> bool {
        let mut stop = self.stopping();
        tokio::time::timeout_at(turn, stop.wait_for(|stop| *stop))
            .await
            .is_err()
    }

    async fn attempt_or_put_back(
        self: &Arc<Self>,
        permit: &mut Permit<T>,
        taken: Leased<T::Endpoint>,
    ) {
        let made = if Self::goes_together(&taken) {
            caught(Box::pin(self.attempt_together(permit, &taken))).await
        } else {
            caught(self.attempt(permit, &taken)).await
        };
        let fault = match made {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault,
            // It is among the results: it is not sent again.
            Err(Panicked) if !permit.has_in_hand() => return,
            Err(Panicked) => Fault("the attempt panicked; this is a defect of webhooksd".into()),
        };
        self.put_back_after(permit, taken, &fault).await;
    }

    /// A fault of our own machine costs the delivery no try, and this worker a pause.
    async fn put_back_after(
        &self,
        permit: &mut Permit<T>,
        taken: Leased<T::Endpoint>,
        fault: &Fault,
    ) {
        self.counters
            .fault(&self.clock, &permit.lane.name, taken.due.id, fault);
        permit.hand_over();
        self.put_back(&permit.lane, taken);
        Box::pin(self.pause()).await;
    }

    /// Hands the attempts of one POST to the recorder: one, and those of the others that went with it.
    pub(super) fn hand_over(&self, permit: &mut Permit<T>, attempt: Attempt, more: Vec<Attempt>) {
        let lane = &permit.lane;
        lane.note_answer(attempt.exchange.result.is_ok());
        if let Some(until_ms) = attempt.held_until_ms {
            self.hold(lane, until_ms);
        }
        lane.count_unrecorded(1 + more.len());
        // Before they are pushed: what was sent is not to be sent again, come what may.
        permit.hand_over();
        self.results.push(attempt, more);
    }

    fn put_back(&self, lane: &Arc<Lane<T::Endpoint>>, taken: Leased<T::Endpoint>) {
        let bytes = taken.bytes();
        self.capacity.queue(bytes);
        let mut state = lane.lock();
        let back = state.put_back(taken);
        self.capacity.unqueue(bytes - back);
        if back < bytes {
            self.have_looked_at(lane, &mut state);
        }
    }

    async fn pause(&self) {
        let mut stop = self.stopping();
        let stopped = tokio::time::timeout(FAULT_PAUSE, stop.wait_for(|stop| *stop)).await;
        drop(stopped);
    }

    async fn attempt(
        self: &Arc<Self>,
        permit: &mut Permit<T>,
        taken: &Leased<T::Endpoint>,
    ) -> Result<(), Fault> {
        let Leased { due, target, .. } = taken;
        crash::point("send", "taken");
        let started_at_ms = self.clock.now_ms();
        let trace = self.trace_of(&target.webhook, due, None);
        let sending = Sending {
            batch: None,
            message: due.message.as_deref(),
            event_id: due.event_id,
            now_ms: started_at_ms,
            trace: trace.as_deref(),
        };
        let request = dialect::request_of(due.dialect, &target.webhook, &due.body, &sending);
        if let Some(tell) = self.log.runtime().sending {
            tell(due, &target.webhook);
        }
        crash::point("send", "before the request");
        self.begins(&permit.lane, taken);
        let exchange = self.transport.send(&target.endpoint, &request).await?;
        crash::point("send", "answered");
        let finished_at_ms = self.clock.now_ms();
        let max_attempts = target.webhook.max_attempts;
        let (verdict, error) = dialect::verdict(due, max_attempts, &exchange, finished_at_ms);
        let held_until_ms = dialect::held_until_ms(due.dialect, &exchange, finished_at_ms);
        // Handed over here, where it is made: it is half a kilobyte, and each move of it can be seen in the rate.
        let attempt = Attempt {
            due: kept(due),
            number: due.number(),
            started_at_ms,
            finished_at_ms,
            url: target.url.clone(),
            request_headers: target.sent(due.dialect, &request),
            trace,
            exchange,
            verdict: verdict.not_before(held_until_ms),
            error,
            posted: None,
            held_until_ms,
        };
        self.hand_over(permit, attempt, Vec::new());
        Ok(())
    }
}

impl<T: Transport> Dispatch<T> {
    /// The trace that an attempt of a delivery tells of, where its webhook's do: with others, in that batch.
    pub(super) fn trace_of(
        &self,
        webhook: &Webhook,
        due: &Due,
        batch: Option<&Batch>,
    ) -> Option<Box<Traceparent>> {
        webhook.traceparent.then(|| {
            let name = batch.map(|batch| &*batch.name);
            dialect::traceparent(self.log_id, due.id, due.number(), name).into()
        })
    }
}

/// The delivery as its attempt keeps it: without its body, for the log has that, and results may have to wait.
pub(super) fn kept(due: &Due) -> Due {
    Due {
        event: due.event.clone(),
        webhook: due.webhook.clone(),
        body: match due.origin {
            Trigger::Test => due.body.clone(),
            Trigger::Event | Trigger::Redelivery | Trigger::Replay => Bytes::new(),
        },
        message: None,
        batch: None,
        ..*due
    }
}

#[cfg(test)]
mod tests;

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
