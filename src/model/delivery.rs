//! A delivery: one event for one webhook, from admission to its last attempt.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use super::{Batch, DeliveryId, Dialect, EventId, Generation, PayloadId, Print, Snapshot, Turn};

/// Why a delivery was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An event came through the outbox.
    Event,
    /// Somebody asked for a delivery of the log again; same bytes.
    Redelivery,
    /// Events of the outbox are sent again, from a point in time.
    Replay,
    /// Somebody tries the webhook out.
    Test,
}

impl Trigger {
    /// The word in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Redelivery => "redelivery",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }

    /// The origin of that word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Event, Self::Redelivery, Self::Replay, Self::Test]
            .into_iter()
            .find(|o| o.name() == name)
    }
}

/// A pending delivery with everything that its next attempt needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The delivery's id in the log.
    pub id: DeliveryId,
    /// The outbox id of its event.
    pub event_id: EventId,
    /// The event's name.
    pub event: Arc<str>,
    /// The webhook's name.
    pub webhook: Arc<str>,
    /// The wire contract it was made with.
    pub dialect: Dialect,
    /// Why it was made.
    pub origin: Trigger,
    /// Attempts made so far.
    pub attempts: u32,
    /// When the next attempt is due, UNIX milliseconds.
    pub due_at_ms: i64,
    /// When it was made, UNIX milliseconds.
    pub created_at_ms: i64,
    /// The body's id in the log.
    pub payload_id: PayloadId,
    /// The body, to the byte: what is signed and sent.
    pub body: Bytes,
    /// The id that Standard Webhooks sends in a header, where it is kept.
    pub message: Option<Arc<str>>,
    /// The batch that it went in and goes in again.
    pub batch: Option<Arc<Batch>>,
}

impl Due {
    /// The number of the attempt that is due, 1 for the first.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.attempts.saturating_add(1)
    }
}

/// How far the outbox has been taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Grows by one each time the outbox was found to have been put back or exchanged, so that ids
    /// given out a second time are other events in the log.
    pub generation: Generation,
    /// The id of the last row taken, or the highest where they don't come by their ids; 0 before the first.
    pub event_id: EventId,
    /// What is known of some rows at and behind `event_id`, newest first: `(id, print)`.
    pub fingerprints: Vec<(EventId, Print)>,
    /// The same of rows from before the outbox was last seen empty, newest first: by them a backup is
    /// known that is put back after that.
    pub former: Vec<(EventId, Print)>,
    /// When the outbox was last known to be in order up to here, UNIX milliseconds: a row that takes
    /// the id of one of these is written later.
    pub time_ms: i64,
    /// What else it is of an outbox in PostgreSQL.
    pub snapshot: Option<Box<Snapshot>>,
}

/// A row of the outbox that can't be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The row's id.
    pub event_id: EventId,
    /// The row's event name, as far as it is text; cut to 255 characters.
    pub event: String,
    /// Why, for people.
    pub reason: String,
    /// Its time as it stands there, UNIX milliseconds; 0 where that is no integer.
    pub time_ms: i64,
    /// Whose event it would be, where that stands there as it should.
    pub tenant: Option<Box<str>>,
}

/// An event with its bodies and the webhooks that want it.
#[derive(Clone, Debug)]
pub struct FanOut {
    /// The outbox id.
    pub event_id: EventId,
    /// The event's name.
    pub event: Arc<str>,
    /// The id that Standard Webhooks sends in a header, where somebody needs it.
    pub message: Option<Arc<str>>,
    /// One body for each dialect that is wanted.
    pub bodies: Vec<(Dialect, Bytes)>,
    /// The webhooks that get it, each with its place in `bodies`.
    pub webhooks: Vec<(Arc<str>, usize)>,
    /// Of those with an order: the place in `webhooks`, and the line that the event stands in there. In their order.
    pub turns: Vec<(usize, Turn)>,
    /// Whose event it is, where it has a tenant.
    pub tenant: Option<Box<str>>,
}

/// Deliveries of one event that are still to be made, with the body they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// Its id in the log.
    pub id: i64,
    /// The event's generation.
    pub generation: Generation,
    /// The outbox id.
    pub event_id: EventId,
    /// The event's name.
    pub event: Arc<str>,
    /// The wire contract of the body.
    pub dialect: Dialect,
    /// The body's id in the log.
    pub payload_id: PayloadId,
    /// The webhooks that get it.
    pub webhooks: Vec<Arc<str>>,
    /// The body.
    pub body: Bytes,
    /// The id that Standard Webhooks sends in a header, where it is kept.
    pub message: Option<Arc<str>>,
}

impl Deferred {
    /// Its delivery for a webhook, due now, without an id yet.
    #[must_use]
    pub fn due(&self, webhook: &Arc<str>, origin: Trigger, now_ms: i64) -> Due {
        Due {
            id: DeliveryId::NONE,
            event_id: self.event_id,
            event: self.event.clone(),
            webhook: webhook.clone(),
            dialect: self.dialect,
            origin,
            attempts: 0,
            due_at_ms: now_ms,
            created_at_ms: now_ms,
            payload_id: self.payload_id,
            body: self.body.clone(),
            message: self.message.clone(),
            batch: None,
        }
    }
}

/// What one batch of the outbox becomes in the log: one transaction, the cursor included.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The events that at least one webhook wants, in the order of their ids.
    pub events: Vec<FanOut>,
    /// The rows that can't be sent.
    pub rejected: Vec<Rejected>,
    /// Where the outbox has been taken in to, once this is committed.
    pub cursor: Cursor,
    /// The ids up to there of which there was no row, the lowest first.
    pub gaps: Vec<RangeInclusive<EventId>>,
}
