//! Where to go on in an outbox in PostgreSQL, by what the log knows of it.

use std::ops::DerefMut;

use super::again::look_again;
use super::error::IntakeError;
use crate::model::{Cursor, EventId, Server, Snapshot};
use crate::outbox;
use crate::outbox::postgres::{Tail, Trouble};
use crate::pipeline::shared::ResumeError;
use crate::store::LogWriter;

/// Events older than this, in a log that is new, are somebody's decision to send.
const OLD_MS: i64 = 3_600_000;

/// Settles with what the log knows where to go on in an outbox, and whether that is new to the log.
///
/// # Errors
/// The outbox can't be read, is another one than the log followed, or a person decides where to begin.
pub(crate) fn settle(
    tail: &mut Tail,
    server: &Server,
    known: Option<Cursor>,
) -> Result<(Cursor, bool), IntakeError> {
    let cursor = known.unwrap_or_default();
    match &cursor.snapshot {
        Some(at) if tail.is_of(at) => return Ok((cursor, false)),
        None if is_untouched(&cursor) => {}
        // A log that followed another database, or an outbox in SQLite.
        _ => {
            let trouble = Trouble::elsewhere(server);
            return Err(IntakeError::Outbox(outbox::Error::Server(trouble)));
        }
    }
    let oldest_ms = tail.oldest_ms().map_err(IntakeError::Outbox)?;
    // By the clock that the rows have their time by: a node whose own is hours ahead takes new ones for old.
    let now_ms = tail.server_ms().map_err(IntakeError::Outbox)?;
    if let Some(oldest_ms) = oldest_ms.filter(|ms| *ms < now_ms - OLD_MS) {
        let count = tail.count().map_err(IntakeError::Outbox)?;
        return Err(IntakeError::Refused(ResumeError::OldEvents {
            count,
            oldest_ms,
        }));
    }
    let place = tail.place(Snapshot::NOTHING, EventId::NONE);
    let snapshot = Some(Box::new(place));
    Ok((Cursor { snapshot, ..cursor }, true))
}

/// The same with the log at hand, which is told where that is new to it.
///
/// # Errors
/// As [`settle`], or the log can't be read or written.
pub(crate) fn settle_in<S: DerefMut<Target = dyn LogWriter>>(
    tail: &mut Tail,
    server: &Server,
    store: &mut dyn FnMut() -> S,
    now_ms: i64,
) -> Result<Cursor, IntakeError> {
    let known = store().cursor().map_err(IntakeError::Store)?;
    let (mut cursor, mut is_new) = settle(tail, server, known)?;
    // The log is let go of while the server is asked.
    let again = look_again(tail, &cursor, &mut |generation, ids| {
        let traced = store().traced(generation, ids);
        traced.map_err(IntakeError::Store)
    })?;
    if let Some(again) = again {
        (cursor, is_new) = (again, true);
    }
    if is_new {
        let told = store().set_cursor(&cursor, now_ms);
        told.map_err(IntakeError::Store)?;
    }
    Ok(cursor)
}

/// Whether the log has taken nothing of any outbox.
fn is_untouched(cursor: &Cursor) -> bool {
    cursor.event_id == EventId::NONE && cursor.fingerprints.is_empty() && cursor.former.is_empty()
}
