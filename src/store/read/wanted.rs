//! Which attempts a person asked for, and whether a row is one of them.

use rusqlite::{CachedStatement, OptionalExtension, Row};

use crate::model::{AttemptId, EventId, Pattern};

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
    pub(super) fn holds(self, status: Option<i64>) -> bool {
        match (self, status) {
            (Self::Absent, status) => status.is_none(),
            (Self::Within(first, last), status) => {
                status.is_some_and(|status| (first..=last).contains(&status))
            }
        }
    }
}

/// Whether the filter lets a row of a shape's queries through; the webhook and `before` were looked at
/// before. The columns are those that `log.rs` documents.
pub(super) fn passes(
    events: &mut CachedStatement<'_>,
    filter: &LogFilter,
    row: &Row<'_>,
) -> rusqlite::Result<bool> {
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
    if filter.event.is_none() && filter.event_id.is_none() {
        return Ok(true);
    }
    let matches = events.query_row([row.get::<_, i64>(4)?], |event| {
        let (name, id) = (event.get_ref(0)?.as_str()?, event.get::<_, EventId>(1)?);
        let named = filter.event.as_ref();
        Ok(named.is_none_or(|pattern| pattern.matches(name))
            && filter.event_id.is_none_or(|wanted| wanted == id))
    });
    Ok(matches.optional()?.unwrap_or(false))
}
