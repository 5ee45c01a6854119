//! Which attempts a person asked for, and whether a row is one of them.
//!
//! What is asked of the body is judged last, since it alone reads more than the head of a row; a body that the
//! attempts of many webhooks have in common is read once.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

use crate::filter::Judge;
use crate::model::{AttemptId, EventId, Pattern, Rule};

/// Which attempts are wanted; the default wants all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogFilter {
    /// Only those of that webhook.
    pub webhook: Option<String>,
    /// Only those for events of such names.
    pub event: Option<Pattern>,
    /// Only those that were no success.
    pub failed: bool,
    /// Only those that began at that UNIX millisecond or later.
    pub since_ms: Option<i64>,
    /// Only those that were answered so.
    pub status: Option<StatusIs>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those for that event.
    pub event_id: Option<EventId>,
    /// Only those whose request's body, as the log keeps it, these hold for.
    pub body: Box<[Rule]>,
    /// Only those before that one.
    pub before: Option<AttemptId>,
    /// So many rows are looked through at most, whatever else is asked for; `None` is the default bound, and
    /// none at all where `since_ms` says how far back.
    pub looked_through: Option<usize>,
}

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusIs {
    /// There was no answer.
    Absent,
    /// One from the first to the last.
    Within(i64, i64),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is to be made again.
    Retry,
    /// It was a success.
    Delivered,
    /// Its delivery was given up.
    Failed,
}

impl Outcome {
    /// The word of the log.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl StatusIs {
    pub(in crate::store) fn holds(self, status: Option<i64>) -> bool {
        match (self, status) {
            (Self::Absent, status) => status.is_none(),
            (Self::Within(first, last), status) => {
                status.is_some_and(|status| (first..=last).contains(&status))
            }
        }
    }
}

/// A filter at work on the rows of a shape's queries.
pub(super) struct Sieve<'c, 'f> {
    filter: &'f LogFilter,
    events: CachedStatement<'c>,
    bodies: CachedStatement<'c>,
    judge: Judge,
    /// By what the last body was found, and whether it is one.
    last: Option<(i64, Option<bool>)>,
    /// Bytes of bodies that were read.
    pub(super) read_bytes: usize,
    /// Attempts that would be wanted but for their body, which is not kept.
    pub(super) unread: usize,
}

impl<'c, 'f> Sieve<'c, 'f> {
    /// `event` finds an event's name and id, `body` a body, by the same column of the shape's queries.
    pub(super) fn new(
        connection: &'c Connection,
        filter: &'f LogFilter,
        [event, body]: [&str; 2],
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            filter,
            events: connection.prepare_cached(event)?,
            bodies: connection.prepare_cached(body)?,
            judge: Judge::new(&filter.body),
            last: None,
            read_bytes: 0,
            unread: 0,
        })
    }

    /// Whether the filter lets a row of a shape's queries through; the webhook and `before` were looked at
    /// before. The columns are those that `log.rs` documents.
    pub(super) fn passes(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let filter = self.filter;
        let outcome: &str = row.get_ref(2)?.as_str()?;
        if filter.failed && outcome == Outcome::Delivered.word()
            || filter
                .outcome
                .is_some_and(|wanted| wanted.word() != outcome)
        {
            return Ok(false);
        }
        if let Some(since_ms) = filter.since_ms
            && row.get::<_, i64>(3)? < since_ms
        {
            return Ok(false);
        }
        if let Some(wanted) = filter.status
            && !wanted.holds(row.get(5)?)
        {
            return Ok(false);
        }
        let key = row.get(4)?;
        Ok(self.is_named(key)? && self.holds(key)?)
    }

    fn is_named(&mut self, key: i64) -> rusqlite::Result<bool> {
        let filter = self.filter;
        if filter.event.is_none() && filter.event_id.is_none() {
            return Ok(true);
        }
        let matches = self.events.query_row([key], |event| {
            let (name, id) = (event.get_ref(0)?.as_str()?, event.get::<_, EventId>(1)?);
            let named = filter.event.as_ref();
            Ok(named.is_none_or(|pattern| pattern.matches(name))
                && filter.event_id.is_none_or(|wanted| wanted == id))
        });
        Ok(matches.optional()?.unwrap_or(false))
    }

    /// Whether what is asked of the body holds.
    fn holds(&mut self, key: i64) -> rusqlite::Result<bool> {
        if self.filter.body.is_empty() {
            return Ok(true);
        }
        let known = self.last.filter(|(last, _)| *last == key);
        let holds = if let Some((_, holds)) = known {
            holds
        } else {
            let (judge, read) = (&mut self.judge, &mut self.read_bytes);
            let holds = self.bodies.query_row([key], |row| {
                let body = row.get_ref(0)?.as_bytes_or_null()?;
                Ok(body.map(|body| {
                    *read += body.len();
                    judge
                        .first_failing(&String::from_utf8_lossy(body))
                        .is_none()
                }))
            });
            let holds = holds.optional()?.flatten();
            self.last = Some((key, holds));
            holds
        };
        self.unread += usize::from(holds.is_none());
        Ok(holds.unwrap_or(false))
    }
}
