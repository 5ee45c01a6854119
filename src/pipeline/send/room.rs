//! Room in the lanes' queues for deliveries that are about to be written.
//!
//! What a lane takes is written as queued, which costs less than what is parked in the log; so it is asked
//! before the commit, under the log's lock, and what it promised it takes right after. Where the log
//! refuses, the promises are void.

use std::sync::Arc;

use super::dispatch::Dispatch;
use super::lane::Lane;
use crate::model::Due;
use crate::pipeline::shared::LogGuard;
use crate::transport::Transport;

/// What was promised for one transaction.
pub(crate) struct Room<'a, T: Transport> {
    dispatch: &'a Dispatch<T>,
    /// For each delivery in turn.
    promises: Vec<bool>,
    /// Those that were asked, each once.
    lanes: Vec<Arc<Lane<T::Endpoint>>>,
}

impl<T: Transport> Dispatch<T> {
    /// Room for what the next transaction writes: one at a time, under the log's lock.
    pub(crate) fn room_for_next(&self, _log: &LogGuard<'_>) -> Room<'_, T> {
        Room {
            dispatch: self,
            promises: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Queues what was just written, as was promised, under the lock of the commit, so that no refill can
    /// come between it and the queue. Returns the lanes to be filled once the lock is free.
    pub(crate) fn offer(
        &self,
        log: &LogGuard<'_>,
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
                self.capacity.queue(due.body.len());
                state.push(log, due);
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
}

impl<T: Transport> Room<'_, T> {
    /// Whether its lane takes a delivery once that is written.
    pub(crate) fn takes(&mut self, due: &Due) -> bool {
        let promised = self.asks(due);
        self.promises.push(promised);
        promised
    }

    fn asks(&mut self, due: &Due) -> bool {
        let dispatch = self.dispatch;
        let lanes = dispatch.lanes.read();
        let Some(lane) = lanes.get(&due.webhook) else {
            return false;
        };
        let most_bytes = dispatch.capacity.queue_share();
        let bytes = due.body.len();
        let mut state = lane.lock();
        let promised = state.promise(bytes, most_bytes);
        if promised {
            dispatch.capacity.queue(bytes);
        }
        if !std::mem::replace(&mut state.touched, true) {
            self.lanes.push(lane.clone());
        }
        promised
    }

    /// In the order of the deliveries.
    pub(super) fn promises(&self) -> &[bool] {
        &self.promises
    }

    /// They were kept. Returns the lanes that were asked.
    pub(super) fn end(mut self) -> Vec<Arc<Lane<T::Endpoint>>> {
        self.free();
        std::mem::take(&mut self.lanes)
    }

    fn free(&self) {
        for lane in &self.lanes {
            let mut state = lane.lock();
            state.touched = false;
            let bytes = state.keep_promises();
            drop(state);
            self.dispatch.capacity.unqueue(bytes);
        }
    }
}

impl<T: Transport> Drop for Room<'_, T> {
    fn drop(&mut self) {
        self.free();
    }
}
