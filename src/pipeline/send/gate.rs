//! Gates: a paused webhook begins no attempt, and has nothing in memory.
//!
//! The table `pause` of the log says who is paused; here is a copy of it, exchanged under the log's lock, so
//! that no refill and no admission comes between. A lane whose gate is shut lets go of its queue and takes
//! nothing: what comes is parked in the log and costs the others neither a permit nor a byte. Once the gate
//! opens the lane is filled from the log like any other, the oldest first. What a person waits for, a test,
//! passes a shut gate; so does the one delivery by which a webhook that paused itself is tried.
//!
//! Left out: when gates are shut and opened (`heed`), who reads the table (`log/pauses.rs`) and who changes it
//! (`orders/pause.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::lane::State;
use super::probe::Probe;
use crate::model::{DeliveryId, Due, Pause, Trigger};
use crate::pipeline::shared::LogGuard;

/// Until a try is asked for that was made and not recorded, or for which nothing was due.
const ASK_AGAIN_MS: i64 = 60_000;

/// The longest from one try to the next; what is later than that became so by a clock that went back.
const LONGEST_MS: i64 = 3_600_000;

/// Who is paused, by the table as it was last read.
#[derive(Default)]
pub(crate) struct Gates {
    pub(super) paused: Mutex<BTreeMap<Arc<str>, Pause>>,
    /// When a delivery of each webhook that paused itself is to be tried, UNIX milliseconds.
    asks: Mutex<BTreeMap<Arc<str>, i64>>,
    /// The table has changed, and could not be read.
    stale: AtomicBool,
}

impl Gates {
    /// The webhook's pause.
    pub(crate) fn of(&self, webhook: &str) -> Option<Pause> {
        self.paused.lock().get(webhook).cloned()
    }

    /// Every pause, by the webhook's name.
    pub(crate) fn all(&self) -> Vec<Pause> {
        self.paused.lock().values().cloned().collect()
    }

    /// When the next pause is over, UNIX milliseconds.
    pub(crate) fn next_end_ms(&self) -> Option<i64> {
        let all = self.paused.lock();
        all.values().filter_map(|pause| pause.until_ms).min()
    }

    /// When the next pause is over, or the next try is to be made, UNIX milliseconds.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let ask_ms = self.asks.lock().values().min().copied();
        self.next_end_ms().into_iter().chain(ask_ms).min()
    }

    /// The table has changed, and could not be read.
    pub(super) fn make_stale(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be read again.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// Takes what was read of the table; returns what was known before.
    pub(super) fn exchange(&self, paused: &BTreeMap<Arc<str>, Pause>) -> BTreeMap<Arc<str>, Pause> {
        let before = std::mem::replace(&mut *self.paused.lock(), paused.clone());
        self.stale.store(false, Ordering::Relaxed);
        let mut asks = self.asks.lock();
        let asked = std::mem::take(&mut *asks);
        for (name, pause) in paused {
            let Some(next_ms) = pause.next_try_ms else {
                continue;
            };
            let same = before
                .get(name)
                .is_some_and(|b| b.next_try_ms == Some(next_ms));
            let asked_ms = asked.get(name).copied().filter(|_| same);
            asks.insert(name.clone(), asked_ms.unwrap_or(next_ms));
        }
        before
    }

    /// The webhooks of which a delivery is to be tried now. Those of which nothing comes are named again.
    pub(super) fn due_asks(&self, now_ms: i64) -> Vec<Arc<str>> {
        let mut asks = self.asks.lock();
        let is_due = |at_ms: i64| at_ms <= now_ms || at_ms > now_ms.saturating_add(LONGEST_MS);
        let due = asks.iter_mut().filter(|(_, at_ms)| is_due(**at_ms));
        due.map(|(name, at_ms)| {
            *at_ms = now_ms.saturating_add(ASK_AGAIN_MS);
            name.clone()
        })
        .collect()
    }
}

impl<E> State<E> {
    /// Whether it takes what is written or read: a webhook that gets something and is not paused does.
    pub(super) fn takes_some(&self) -> bool {
        self.target.is_some() && !self.is_shut
    }

    /// Whether an attempt of that delivery may begin.
    pub(super) fn lets_pass(&self, due: &Due) -> bool {
        !self.is_shut || due.origin == Trigger::Test || self.probe == Probe::Of(due.id)
    }

    /// Whether there is a next delivery that may be sent.
    pub(super) fn has_next(&self) -> bool {
        self.queue.front().is_some_and(|due| self.lets_pass(due))
    }

    /// Begins nothing any more, and lets go of all that is queued but what passes. What is in flight ends.
    /// `is_tried`: but for the one that is tried, where the webhook paused itself.
    pub(super) fn shut(&mut self, _log: &LogGuard<'_>, is_tried: bool) {
        if !std::mem::replace(&mut self.is_shut, true) {
            self.shuts = self.shuts.wrapping_add(1);
        }
        if !is_tried {
            self.probe = Probe::No;
        }
        let queued = std::mem::take(&mut self.queue);
        let mut kept = VecDeque::new();
        for due in queued {
            if self.lets_pass(&due) {
                kept.push_back(due);
            } else {
                self.bytes -= due.body.len();
                self.lose(due.id);
            }
        }
        self.queue = kept;
        self.part();
        self.log_has_more = false;
        self.next_due_ms = None;
    }

    pub(super) fn open(&mut self, _log: &LogGuard<'_>) {
        self.is_shut = false;
        self.probe = Probe::No;
    }

    /// Has the next delivery that is due tried though the gate is shut, unless one is. True where the lane is to
    /// be filled.
    pub(super) fn want_probe(&mut self) -> bool {
        if let Probe::Of(id) = self.probe
            && self.holds(id)
        {
            return false;
        }
        if !self.is_shut || self.target.is_none() {
            return false;
        }
        self.probe = Probe::Wanted;
        self.list()
    }

    /// How many rows it takes of the log, if the gate is shut: the one that is tried.
    pub(super) fn probe_rows(&self) -> Option<usize> {
        let wanted = self.is_shut && self.target.is_some() && self.probe == Probe::Wanted;
        wanted.then_some(1)
    }

    /// What was read for a try goes through the gate.
    pub(super) fn note_probe(&mut self, id: Option<DeliveryId>) {
        if self.probe == Probe::Wanted {
            self.probe = id.map_or(Probe::No, Probe::Of);
        }
    }
}
