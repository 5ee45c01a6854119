//! Where the passes over the log are, which go on in chunks: the writer keeps them from one to the next.
//!
//! Left out: what a pass does (`queue`, `retain`, `early`, `earlier`).

use crate::model::{AttemptId, DeliveryId};

/// Tables whose ids a mark knows.
const MARKED: usize = 5;

/// Where the pass of [`super::Store::clamp_due`] is: before `webhook`, or in it behind `(due_at, id)`.
#[derive(Debug, Default)]
pub(super) struct ClampPass {
    pub(super) webhook: Option<i64>,
    pub(super) due_at: i64,
    pub(super) id: DeliveryId,
}

/// Where the pass of [`super::Store::sweep`] is. After a restart it begins anew, which costs little.
#[derive(Debug, Default)]
pub(super) struct SweepPass {
    pub(super) current: Option<Pass>,
    /// The time of the mark that the last whole pass went by.
    pub(super) done: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) mark: Mark,
    /// Whether there were tables of the shape before when it began.
    pub(super) with_earlier: bool,
    pub(super) stage: usize,
    /// Rows of the stage's table up to this id have been looked at.
    pub(super) after_id: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) time: i64,
    /// The highest ids, of attempts, deliveries, payloads, rejected, redeliveries; plain numbers, for each
    /// is of a kind of its own.
    pub(super) ids: [i64; MARKED],
}

/// In that webhook, behind that delivery.
pub(super) type Place = (i64, DeliveryId);

/// Where the steps are by which the work of the shape before comes over. After a restart they begin anew, which costs
/// little.
#[derive(Debug, Default)]
pub(super) struct EarlierPass {
    /// The webhook whose turn was last.
    pub(super) webhook: String,
    /// Whether anything came over in this round of all webhooks.
    pub(super) found: bool,
}

/// Where the look at what is finished goes on. After a restart it begins anew, which costs little.
#[derive(Debug, Default)]
pub(super) struct EarlyPass {
    /// Attempts up to this one were looked at: those that are left are of what was pending then, and go
    /// with a later attempt.
    pub(super) after: AttemptId,
    /// When that one was made.
    pub(super) time_ms: i64,
    /// Where the look at cancelled deliveries is, where one has begun: in this webhook, behind this id.
    pub(super) place: Option<Place>,
    /// How late the attempts that went were when the last such look was over.
    pub(super) looked_ms: Option<i64>,
}
