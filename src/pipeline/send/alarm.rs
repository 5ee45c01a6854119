//! Alarms: a lane whose next request may not begin yet is filled when it may.
//!
//! One for each lane that has something queued, set by whoever finds that it is too early. It is a task that ends
//! when it rings, when another is set in its place, when the lane is closed or when the pipeline stops. What a
//! lane's next request waits for is in `pace`.

use std::sync::Arc;

use tokio::time::Instant;

use super::dispatch::Dispatch;
use super::lane::{Lane, Leased, State};
use super::pace::Opens;
use crate::dialect::LONGEST_HOLD_MS;
use crate::model::clock::utc;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Whether the lane's next request may begin; where it may later, the lane is filled then.
    pub(super) fn is_open(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
        state: &mut State<T::Endpoint>,
    ) -> bool {
        match state.opens(&self.clock) {
            Opens::Now => true,
            // Whoever has that fills the lane.
            Opens::Behind => false,
            Opens::At(at) => {
                self.set_alarm(lane, state, at);
                false
            }
        }
    }

    fn set_alarm(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
        state: &mut State<T::Endpoint>,
        at: Instant,
    ) {
        if state.spacing.rings_at(at) {
            return;
        }
        let (this, lane) = (self.clone(), lane.clone());
        let ring = async move {
            let mut stop = this.stopping();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                () = this.clock.until(at) => {}
            }
            lane.lock().spacing.rang(at);
            this.fill(&lane);
        };
        let task = self.log.runtime().handle.spawn(ring);
        state.spacing.set_alarm(at, task.abort_handle());
    }

    /// The request of what was taken begins now; the lane's next one is due a gap later.
    pub(super) fn begins(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
        taken: &Leased<T::Endpoint>,
    ) {
        if taken.target.webhook.max_per_second.is_some() {
            let now = self.clock.instant();
            lane.lock().spacing.begins(taken.due.id, now);
            self.fill(lane);
        }
    }
    /// The endpoint asked to wait until then: its webhook is not tried before.
    pub(super) fn hold(&self, lane: &Lane<T::Endpoint>, until_ms: i64) {
        let now_ms = self.clock.now_ms();
        if lane.lock().spacing.hold(until_ms, now_ms) {
            let seconds = (until_ms - now_ms) / 1_000;
            tracing::info!(
                webhook = &*lane.name,
                until = utc(until_ms),
                seconds,
                "the endpoint asks to wait by Retry-After: the webhook is not tried before"
            );
        }
    }

    /// The wall clock was stepped: nobody is left alone for longer than may be from now, and who may be tried
    /// earlier by the new time is.
    pub(crate) fn look_at_holds(self: &Arc<Self>) {
        let longest_ms = self.clock.now_ms().saturating_add(LONGEST_HOLD_MS);
        for lane in self.all_lanes() {
            let is_held = lane.lock().spacing.hold_at_most_until(longest_ms);
            if is_held {
                self.fill(&lane);
            }
        }
    }
}
