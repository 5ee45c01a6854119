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
        let before = self.gates.exchange(&paused);
        for (name, pause) in &paused {
            if let Some(lane) = self.lane(name) {
                let is_tried = pause.next_try_ms.is_some() && self.share.has(name);
                self.shut(log, &lane, is_tried);
            }
            let known = before.get(name);
            if known != Some(pause) {
                // It may be the next that is over or tried.
                self.calendar.wake();
            }
            let words = |pause: &Pause| (pause.since_ms, pause.until_ms, pause.reason.clone());
            if known.map(words) != Some(words(pause)) && self.share.has(name) {
                tell(pause);
            }
        }
        for name in before.keys().filter(|name| !paused.contains_key(*name)) {
            if !self.share.has(name) {
                continue;
            }
            if let Some(lane) = self.lane(name) {
                self.open(log, &lane);
            }
            tracing::info!(
                webhook = &**name,
                "resumed: what is pending goes, the oldest first"
            );
        }
    }

    /// Shuts the gates of those who are paused or another node's, and opens the others'. A webhook's first
    /// lane is open.
    pub(crate) fn heed_gates(&self, log: &LogGuard<'_>) {
        for lane in self.all_lanes() {
            let (name, has) = (&lane.name, self.share.has(&lane.name));
            match self.gates.of(name) {
                Some(pause) => self.shut(log, &lane, pause.next_try_ms.is_some() && has),
                None if has => self.open(log, &lane),
                None => self.shut(log, &lane, false),
            }
        }
        self.calendar.wake();
    }

    /// Has the table read once more, soon: it has changed, and could not be read.
    pub(crate) fn heed_later(&self) {
        self.gates.make_stale();
        self.calendar.wake();
    }

    /// Has a delivery tried of each webhook that paused itself and whose time for that has come.
    pub(crate) fn ask_for_tries(&self) {
        for name in self.gates.due_asks(self.clock.now_ms()) {
            if self.share.has(&name)
                && let Some(lane) = self.lane(&name)
                && lane.lock().want_probe()
            {
                self.calendar.list(&lane);
            }
        }
    }

    fn shut(&self, log: &LogGuard<'_>, lane: &Lane<T::Endpoint>, is_tried: bool) {
        let mut state = lane.lock();
        let before = state.queued_bytes();
        state.shut(log, is_tried);
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
    let (since, until) = (utc(pause.since_ms), pause.until_ms.map(utc));
    let (webhook, reason) = (&*pause.webhook, pause.reason.as_deref());
    if pause.next_try_ms.is_some() {
        tracing::warn!(
            webhook,
            since,
            reason,
            hint = "it is tried now and then, and goes on once an attempt succeeds; `webhooksd resume` ends it",
            "paused itself: what comes waits"
        );
    } else {
        tracing::info!(
            webhook,
            since,
            until,
            reason,
            "paused: no attempt begins, and what comes waits"
        );
    }
}
