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
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Whether the lane's next request may begin; where it may later, the lane is filled then.
    pub(super) fn is_open(
        self: &Arc<Self>,
        lane: &Arc<Lane<T::Endpoint>>,
        state: &mut State<T::Endpoint>,
    ) -> bool {
        if !state.spacing.is_on() {
            return true;
        }
        match state.spacing.opens(self.clock.instant()) {
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
}
