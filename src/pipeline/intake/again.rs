//! A server that took over, or went back: which rows are looked at again.
//!
//! A standby that takes over may lack the last commits, and gives the numbers of their transactions again. By the
//! last snapshot these were seen, so their rows would never be read. What divides the old from the new is the newest
//! transaction that is there and that the log knows: all behind it may be new, and nothing before it is.
//! Found once and kept in the log, so that a crash meanwhile changes nothing; rows that the log has a trace of are
//! then left out, and those that nobody wanted are judged again.

use std::collections::BTreeSet;

use super::error::IntakeError;
use crate::model::{Cursor, EventId, Generation};
use crate::outbox::postgres::{Tail, first_id_of};

/// Rows with ids from before this are not looked at again, by the last time that something was taken: no clock of
/// a server is a day wrong, and no transaction that a failover cut was open for a day.
const MARGIN_MS: i64 = 86_400_000;

/// What the log knows of some events.
pub(super) type Traced<'a> =
    &'a mut dyn FnMut(Generation, &[EventId]) -> Result<BTreeSet<EventId>, IntakeError>;

/// Where to go on; `None` where the server is the one that it was.
///
/// # Errors
/// Server or log can't be asked.
pub(super) fn look_again(
    tail: &mut Tail,
    cursor: &Cursor,
    traced: Traced<'_>,
) -> Result<Option<Cursor>, IntakeError> {
    let Some(at) = cursor.snapshot.as_deref() else {
        return Ok(None);
    };
    if !tail.has_turned(at).map_err(IntakeError::Outbox)? {
        return Ok(None);
    }
    let since = first_id_of(cursor.time_ms - MARGIN_MS).max(at.since);
    let mut below = tail.top_of(at);
    let (mut lowest, mut known) = (None, None);
    while known.is_none() {
        let rows = tail.below(below, since).map_err(IntakeError::Outbox)?;
        let Some(last) = rows.last() else { break };
        (below, lowest) = (*last, Some(last.0));
        let ids: Vec<EventId> = rows.iter().map(|(_, id)| *id).collect();
        let found = traced(cursor.generation, &ids)?;
        known = rows
            .iter()
            .find(|(_, id)| found.contains(id))
            .map(|(xid, _)| *xid);
    }
    let place = tail.again(at, (known, lowest), since);
    let place = place.map_err(IntakeError::Outbox)?;
    tracing::warn!(
        was = at.timeline_now(),
        is = place.timeline_now(),
        "another server took over the outbox, or it was put back: rows of its last transactions are looked at \
         again; what the log has of them is not sent again"
    );
    Ok(Some(Cursor {
        snapshot: Some(Box::new(place)),
        ..cursor.clone()
    }))
}
