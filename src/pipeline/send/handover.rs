//! Handover: what the log's loops ask of sending, as calls. Results go out to be recorded, and what is due
//! comes in to be queued.
//!
//! Nothing here reads the log or writes it: `log/record.rs` and `log/refill.rs` do.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::dispatch::Dispatch;
use super::lane::Lane;
use crate::model::{Attempt, DeliveryId, Due, Verdict};
use crate::pipeline::shared::LogGuard;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Waits for results to record: for a whole batch until then, later for any. None when the pipeline
    /// has stopped and all are in the log.
    pub(crate) async fn next_results(&self, gather_until: Instant) -> Option<Vec<Attempt>> {
        loop {
            // After a commit with nothing behind it there is nothing to wake up for.
            let some = self.results.is_any();
            if some && !self.is_stopping() && self.clock.instant() < gather_until {
                self.results.gather(gather_until).await;
            }
            let batch = self.results.take();
            if !batch.is_empty() {
                return Some(batch);
            }
            if self.is_stopping() && self.in_flight() == 0 && self.unrecorded() == 0 {
                return None;
            }
            self.next_result().await;
        }
    }

    /// Waits for a result, or for the end of the last worker.
    async fn next_result(&self) {
        let mut stop = self.stopping();
        let ended = async {
            if stop.wait_for(|stop| *stop).await.is_ok() {
                self.idle().await;
            }
        };
        tokio::select! {
            biased;
            () = self.results.arrived() => {}
            () = ended => {}
        }
    }

    /// Results that are not in the log yet.
    pub(crate) fn unrecorded(&self) -> usize {
        self.results.unrecorded()
    }

    /// Says that nothing will be recorded any more: the log failed for good.
    pub(crate) fn end_recording(&self) {
        self.results.close();
    }

    /// Waits until every result is in the log, or will never be. Returns how many are not.
    pub async fn recorded(&self) -> usize {
        let open = || self.unrecorded() > 0 && !self.results.is_closed();
        while open() {
            let mut room = pin!(self.results.changed());
            room.as_mut().enable();
            if open() {
                room.await;
            }
        }
        self.unrecorded()
    }

    /// Lets go of a delivery whose attempt was recorded, under the lock of that commit, so that a refill
    /// sees either the row as it was with the delivery held, or as it is with the delivery let go. Whether it was
    /// cancelled by order while the attempt was under way.
    pub(crate) fn let_go(&self, log: &LogGuard<'_>, attempt: &Attempt) -> bool {
        let mut is_withdrawn = false;
        if let Some(lane) = self.lane(&attempt.due.webhook) {
            lane.count_recorded(attempt);
            let mut state = lane.lock();
            is_withdrawn = state.recorded(log, attempt.due.id);
            if let Verdict::RetryAt(at_ms) = attempt.verdict
                && !is_withdrawn
                && state.note_due(at_ms)
            {
                drop(state);
                self.calendar.enter(at_ms, &lane);
            }
        }
        self.results.tell(attempt);
        is_withdrawn
    }

    /// Makes room for as many results as were recorded, and gives out permits by how many are left.
    pub(crate) fn make_room(self: &Arc<Self>, recorded: &[Attempt]) {
        self.results.recorded(recorded);
        if self.capacity.permits.steer(self.unrecorded()) {
            self.fill_line();
        }
    }

    /// Waits for a new due time, or a lane that runs low.
    pub(crate) async fn refill_asked(&self) {
        self.calendar.changed().await;
    }

    /// The lanes to be filled from the log: those whose time has come, and those that run low.
    pub(crate) fn lanes_to_fill(&self) -> Vec<Arc<Lane<T::Endpoint>>> {
        while let Some((at_ms, name)) = self.calendar.come_due(self.clock.now_ms()) {
            if let Some(lane) = self.lane(&name)
                && lane.lock().came_due(at_ms)
            {
                self.calendar.list(&lane);
            }
        }
        self.calendar.listed()
    }

    /// Takes lanes back that could not be filled. Wakes nobody, for the log is to be left alone a while.
    pub(crate) fn fill_later(&self, lanes: impl Iterator<Item = Arc<Lane<T::Endpoint>>>) {
        self.calendar.list_again(lanes);
    }

    /// The next due time that is known.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.calendar.next_ms()
    }

    /// Has the lane filled when rows of it in the log come due.
    pub(crate) fn note_due(&self, lane: &Lane<T::Endpoint>, at_ms: i64) {
        let is_new = lane.lock().note_due(at_ms);
        if is_new {
            self.calendar.enter(at_ms, lane);
        }
    }

    /// How many rows and bytes the lane takes from the log. None where that is nothing: then it stays one
    /// that has more, and asks again as its queue empties.
    pub(crate) fn room(
        &self,
        _log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
    ) -> Option<(usize, usize)> {
        let mut state = lane.lock();
        let open = state.takes_some();
        if open {
            let (rows, bytes) = state.room(self.capacity.queue_share());
            if rows > 0 && bytes > 0 {
                return Some((rows, bytes));
            }
        }
        if let Some(rows) = state.probe_rows() {
            return Some((rows, 1));
        }
        state.refilled(open);
        None
    }

    /// Queues rows that were read back from the log for `lane`: under the log's lock, so that none of
    /// them is recorded in between.
    pub(crate) fn queue(
        &self,
        log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
        dues: Vec<Due>,
        more: bool,
    ) {
        let mut state = lane.lock();
        state.note_probe(dues.first().map(|due| due.id));
        let more = more && state.takes_some();
        for due in dues {
            if state.target.is_some() && !state.holds(due.id) {
                self.capacity.queue(due.body.len());
                state.push(log, due);
            }
        }
        state.refilled(more);
    }

    /// Lets go of deliveries, each with its webhook, that were cancelled by order: under the lock of that commit,
    /// so that none of them begins behind it. What is in flight ends, and is recorded.
    pub(crate) fn withdraw<'n>(
        &self,
        log: &LogGuard<'_>,
        cancelled: impl Iterator<Item = (DeliveryId, &'n str)>,
    ) {
        let mut by_webhook: BTreeMap<&str, HashSet<DeliveryId>> = BTreeMap::new();
        for (id, webhook) in cancelled {
            by_webhook.entry(webhook).or_default().insert(id);
        }
        for (webhook, ids) in by_webhook {
            let Some(lane) = self.lane(webhook) else {
                continue;
            };
            let mut state = lane.lock();
            let before = state.queued_bytes();
            let is_low = state.withdraw(log, &ids);
            let bytes = before - state.queued_bytes();
            drop(state);
            self.capacity.unqueue(bytes);
            if is_low {
                self.calendar.list(&lane);
            }
        }
    }

    /// Whether a worker has that delivery in hand, or its result waits for the log. An answer that lasts needs the
    /// log's lock.
    pub(crate) fn is_in_hand(&self, webhook: &str, id: DeliveryId) -> bool {
        if !self.share.has(webhook) {
            // Another node may have it: who looks for what is due there sees that it was cancelled.
            return true;
        }
        let lane = self.lane(webhook);
        lane.is_some_and(|lane| lane.lock().is_in_hand(id))
    }

    /// Lets go of what waits for its turn again, in what the log's guard has committed, but for what was `recorded` by
    /// that, which is let go of as such. Before that is, for a worker that waits for the record goes on then.
    pub(crate) fn hold_back(&self, log: &mut LogGuard<'_>, recorded: &[Attempt]) {
        let held = log.take_held_back();
        if held.is_empty() {
            return;
        }
        let recorded: HashSet<DeliveryId> = recorded.iter().map(|one| one.due.id).collect();
        let held = held.iter().filter(|(id, _)| !recorded.contains(id));
        self.withdraw(log, held.map(|(id, webhook)| (*id, &**webhook)));
    }

    /// Has the log looked at where the turn of something came, in what the log's guard has committed.
    pub(crate) fn heed_turns(&self, log: &mut LogGuard<'_>) {
        // Where the log can't be asked for the names, it is asked by the next who calls.
        for name in log.take_released().unwrap_or_default() {
            if let Some(lane) = self.lane(&name) {
                self.look_for_due(&lane);
            }
        }
    }

    /// Has the lanes looked at that were just given events of webhooksd itself: those are in the log alone.
    pub(crate) fn look_for_own(&self, log: &mut LogGuard<'_>) {
        for name in log.take_announced() {
            if let Some(lane) = self.lane(&name) {
                self.look_for_due(&lane);
            }
        }
    }

    /// Has the log looked at for rows of the lane that are due by now.
    pub(crate) fn look_for_due(&self, lane: &Arc<Lane<T::Endpoint>>) {
        if lane.lock().came_due(self.clock.now_ms()) {
            self.calendar.list(lane);
        }
    }
}
