//! What outbox and log know of one event, before anything follows from it.

use std::path::PathBuf;

use super::own::Own;
use crate::model::{Event, EventId, Generation, own};
use crate::outbox::{self, Row};
use crate::store::EventTrace;

/// What is to know beside an answer.
#[derive(Debug)]
pub(crate) enum Remark {
    /// There is no log yet: nothing was taken from the outbox.
    NoLog,
    /// There is no outbox under that path: the answer is by the log alone.
    NoOutbox(PathBuf),
    /// The outbox can't be read: the answer is by the log alone.
    Outbox(outbox::Error),
    /// An event of that name had the id before, and is in the log: the answer is by the row alone.
    HadTheId(String),
    /// An event of that name had the id in that generation, before the outbox was put back or its
    /// counter set back.
    Earlier(String, Generation),
}

/// An event, as far as outbox and log know it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: EventId,
    /// The row of the outbox, where it is still there.
    pub(super) row: Option<Row>,
    /// The row under that id is another than the event that is told of here.
    pub(super) other: bool,
    /// What the log has; empty where there is no log.
    pub(super) trace: EventTrace,
    /// What it was, where it is an event of webhooksd itself.
    pub(super) own: Option<Own>,
}

impl Known {
    pub(super) fn event(&self) -> Option<&Event> {
        match &self.row {
            Some(Row::Event(event)) => Some(event),
            _ => None,
        }
    }

    /// What there is to judge by: the row's event, or that of webhooksd itself.
    pub(super) fn judged(&self) -> Option<&Event> {
        let own = self.own.as_ref().map(|own| &own.event);
        self.event().or(own)
    }

    /// The event's name, from wherever it is known.
    pub(super) fn name(&self) -> Option<&str> {
        let row = self.row.as_ref().map(|row| match row {
            Row::Event(event) => &*event.name,
            Row::Rejected(rejected) => &*rejected.event,
        });
        let delivery = self.trace.deliveries.first().map(|d| &*d.event);
        let rejected = self.trace.rejected.as_ref().map(|r| &*r.event);
        row.or(delivery).or(rejected)
    }

    /// Whether it is an event of webhooksd itself, which has no row.
    pub(super) fn is_own(&self) -> bool {
        self.row.is_none() && self.name().is_some_and(|name| own::is_own(self.id, name))
    }

    /// Whether the daemon has passed the event's row.
    pub(super) fn is_taken(&self) -> bool {
        self.is_own() || self.trace.cursor.is_some_and(|(_, id)| self.id <= id)
    }

    pub(super) fn is_known(&self) -> bool {
        self.row.is_some() || !self.trace.deliveries.is_empty() || self.trace.rejected.is_some()
    }
}
