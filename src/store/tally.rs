//! What was recorded since the roll-up was last written: attempts counted by webhook, in memory.
//!
//! Left out: the roll-up itself (`rollup`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{AttemptId, LOG_BUCKETS, LOG_EDGES_MS};

const MINUTE_MS: i64 = 60_000;

pub(super) const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A span of the roll-up: its word, its length, and how long its rows are kept. `health` reads an
/// hour of the short ones and a day of the long ones; twice that leaves room for a clock step.
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) length_ms: i64,
    pub(super) keep_ms: i64,
}

pub(super) const SPANS: [Span; 2] = [
    Span {
        name: "5min",
        length_ms: 5 * MINUTE_MS,
        keep_ms: 120 * MINUTE_MS,
    },
    Span {
        name: "hour",
        length_ms: 60 * MINUTE_MS,
        keep_ms: 48 * 60 * MINUTE_MS,
    },
];

/// Days are not counted: hours become them when they go.
pub(super) const DAY: Span = Span {
    name: "day",
    length_ms: DAY_MS,
    keep_ms: 32 * DAY_MS,
};

/// Attempts in one span.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) attempts: i64,
    pub(super) failures: i64,
    /// How many took at most the edge, for each edge.
    pub(super) le: [i64; LOG_BUCKETS],
}

/// The newest of a webhook.
#[derive(Debug, Default)]
pub(super) struct Last {
    pub(super) success_at: Option<i64>,
    pub(super) failure_at: Option<i64>,
    pub(super) error: Option<Box<str>>,
}

/// What was recorded since the last flush. Bounded by the webhooks and the spans of a second or two.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: HashMap<(i64, Arc<str>), Counts>,
    pub(super) last: HashMap<Arc<str>, Last>,
    /// The id of the last attempt in it; 0 where there is none.
    pub(super) attempt_id: AttemptId,
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        self.attempt_id == AttemptId::NONE
    }

    /// Counts one attempt.
    pub(super) fn add(
        &mut self,
        webhook: &Arc<str>,
        time_ms: i64,
        duration_us: i64,
        success: bool,
        error: Option<&str>,
    ) {
        let start = start_of(time_ms, SPANS[0].length_ms);
        let counts = self.counts.entry((start, webhook.clone())).or_default();
        counts.attempts += 1;
        counts.failures += i64::from(!success);
        for (count, edge) in counts.le.iter_mut().zip(LOG_EDGES_MS) {
            *count += i64::from(duration_us <= edge * 1000);
        }
        let last = self.last.entry(webhook.clone()).or_default();
        if success {
            last.success_at = last.success_at.max(Some(time_ms));
        } else {
            last.failure_at = last.failure_at.max(Some(time_ms));
            last.error = error.map(Into::into);
        }
    }

    /// Says which attempt was the last that [`Self::add`] counted.
    pub(super) fn counted_to(&mut self, attempt_id: AttemptId) {
        self.attempt_id = self.attempt_id.max(attempt_id);
    }
}

pub(super) fn start_of(time_ms: i64, length_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(length_ms)
}
