//! Heeding: the gates of all lanes become what the table `pause` says, and the journal is told.
//!
//! Always under the log's lock; see `gate` for what a shut gate is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dispatch::Dispatch;
use super::gate::Gates;
use super::lane::Lane;
use crate::model::Pause;
use crate::model::clock::utc;
use crate::pipeline::shared::LogGuard;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Who is paused.
    pub(crate) fn gates(&self) -> &Gates {
        &self.gates
    }

    /// Shuts the gates of those who are paused, of all lanes that there are, and opens the others'. The
    /// journal is told of each that changed.
    pub(crate) fn heed_pauses(&self, log: &LogGuard<'_>, pauses: Vec<Pause>) {
        let paused = pauses.into_iter().map(|p| (p.webhook.clone(), p));
        let paused: BTreeMap<_, _> = paused.collect();
        let before = std::mem::replace(&mut *self.gates.0.lock(), paused.clone());
        for (name, pause) in &paused {
            if let Some(lane) = self.lane(name) {
                self.shut(log, &lane);
            }
            if before.get(name) != Some(pause) {
                tell(pause);
                // It may be the next that is over.
                self.calendar.wake();
            }
        }
        for name in before.keys().filter(|name| !paused.contains_key(*name)) {
            if let Some(lane) = self.lane(name) {
                self.open(log, &lane);
            }
            tracing::info!(
                webhook = &**name,
                "resumed: what is pending goes, the oldest first"
            );
        }
    }

    fn shut(&self, log: &LogGuard<'_>, lane: &Lane<T::Endpoint>) {
        let mut state = lane.lock();
        let before = state.queued_bytes();
        state.shut(log);
        self.capacity.unqueue(before - state.queued_bytes());
    }

    fn open(&self, log: &LogGuard<'_>, lane: &Arc<Lane<T::Endpoint>>) {
        let mut state = lane.lock();
        state.open(log);
        if state.came_due(self.clock.now_ms()) {
            drop(state);
            self.calendar.list(lane);
        }
    }
}

fn tell(pause: &Pause) {
    let until = pause.until_ms.map(utc);
    tracing::info!(
        webhook = &*pause.webhook,
        since = utc(pause.since_ms),
        until,
        reason = pause.reason.as_deref(),
        "paused: no attempt begins, and what comes waits"
    );
}
