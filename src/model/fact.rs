//! Facts that events of webhooksd itself tell of, and who makes the events.

use std::sync::Arc;

use super::own::{FAILED, PAUSED, REJECTED, RESUMED};
use super::{DeliveryId, EventId, FanOut};

/// A webhook's pause, as far as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The webhook's name.
    pub webhook: Arc<str>,
    /// When it began, UNIX milliseconds.
    pub since_ms: i64,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A delivery was given up; none of an event of webhooksd itself, and no test.
    Failed {
        /// The webhook's name.
        webhook: Arc<str>,
        /// The delivery's id.
        delivery: DeliveryId,
        /// The event's name.
        event: Arc<str>,
        /// The event's outbox id.
        event_id: EventId,
        /// How many attempts were made.
        attempts: u32,
        /// The status of the last one, where there was an answer.
        status: Option<u16>,
        /// Why the last one was no success.
        error: Option<String>,
        /// Whose event it is, where that is known.
        tenant: Option<Box<str>>,
    },
    /// A webhook is paused.
    Paused(Halt),
    /// That pause has ended.
    Resumed(Halt),
    /// A row of the outbox was set aside.
    Rejected {
        /// The row's event name, as far as it is text.
        event: String,
        /// The row's id.
        event_id: EventId,
        /// Why.
        reason: String,
        /// Whose event it was, where the row says so.
        tenant: Option<Box<str>>,
    },
}

impl Fact {
    /// The name of the event that tells of it.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Failed { .. } => FAILED,
            Self::Paused(_) => PAUSED,
            Self::Resumed(_) => RESUMED,
            Self::Rejected { .. } => REJECTED,
        }
    }

    /// The tenant of the event concerned.
    #[must_use]
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Failed { tenant, .. } | Self::Rejected { tenant, .. } => tenant.as_deref(),
            Self::Paused(_) | Self::Resumed(_) => None,
        }
    }
}

/// Who gets an event about a fact, with its bodies. Pure: asked in the transaction that makes the fact.
pub trait Announce: Send + Sync {
    /// The event of that id and time, UNIX milliseconds; `None` where nobody asks for it.
    fn announce(&self, fact: &Fact, id: EventId, now_ms: i64) -> Option<FanOut>;
}
