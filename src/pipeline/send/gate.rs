//! Gates: a paused webhook begins no attempt, and has nothing in memory.
//!
//! The table `pause` of the log says who is paused; here is a copy of it, exchanged under the log's lock, so
//! that no refill and no admission comes between. A lane whose gate is shut lets go of its queue and takes
//! nothing: what comes is parked in the log and costs the others neither a permit nor a byte. Once the gate
//! opens the lane is filled from the log like any other, the oldest first. What a person waits for, a test,
//! passes a shut gate.
//!
//! Left out: when gates are shut and opened (`heed`), who reads the table (`log/pauses.rs`) and who changes it
//! (`orders/pause.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::lane::State;
use crate::model::{Due, Pause, Trigger};
use crate::pipeline::shared::LogGuard;

/// Who is paused, by the table as it was last read.
#[derive(Default)]
pub(crate) struct Gates(pub(super) Mutex<BTreeMap<Arc<str>, Pause>>);

impl Gates {
    /// The webhook's pause.
    pub(crate) fn of(&self, webhook: &str) -> Option<Pause> {
        self.0.lock().get(webhook).cloned()
    }

    /// Every pause, by the webhook's name.
    pub(crate) fn all(&self) -> Vec<Pause> {
        self.0.lock().values().cloned().collect()
    }

    /// When the next pause is over, UNIX milliseconds.
    pub(crate) fn next_end_ms(&self) -> Option<i64> {
        let all = self.0.lock();
        all.values().filter_map(|pause| pause.until_ms).min()
    }
}

impl<E> State<E> {
    /// Whether it takes what is written or read: a webhook that gets something and is not paused does.
    pub(super) fn takes_some(&self) -> bool {
        self.target.is_some() && !self.is_shut
    }

    /// Whether an attempt of that delivery may begin.
    pub(super) fn lets_pass(&self, due: &Due) -> bool {
        !self.is_shut || due.origin == Trigger::Test
    }

    /// Whether there is a next delivery that may be sent.
    pub(super) fn has_next(&self) -> bool {
        self.queue.front().is_some_and(|due| self.lets_pass(due))
    }

    /// Begins nothing any more, and lets go of all that is queued but what passes. What is in flight ends.
    pub(super) fn shut(&mut self, _log: &LogGuard<'_>) {
        self.is_shut = true;
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
        self.log_has_more = false;
        self.next_due_ms = None;
    }

    pub(super) fn open(&mut self, _log: &LogGuard<'_>) {
        self.is_shut = false;
    }
}
