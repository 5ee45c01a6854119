//! Rows of an outbox become deliveries in the log, in one transaction with the cursor: of either engine.
//!
//! Nothing is sent here and nothing is waited for but the log. A row that can't be sent is set
//! aside with its reason in the same transaction, and those behind it go on.

use std::sync::Arc;

use super::error::IntakeError;
use crate::model::{Admission, Cursor, Deferred, EventId, Rejected, crash};
use crate::outbox::{Row, postgres};
use crate::pipeline::send::{Dispatch, Lane};
use crate::pipeline::shared::{Routes, thin};
use crate::transport::Transport;

/// Deliveries admitted in one transaction, so that events that many webhooks want hold the log's
/// lock no longer than others, and results are recorded meanwhile. One event's are never split.
const BATCH_DELIVERIES: usize = 1_024;

/// What rows were read by, as far as the cursor behind them depends on that.
pub(crate) enum From<'a> {
    /// Their ids, of SQLite; with the keys of some.
    Ids(&'a [(EventId, Box<str>)]),
    /// A snapshot, of PostgreSQL.
    Window(&'a postgres::Batch),
}

/// What became of rows.
pub(crate) struct Taken<E> {
    /// How many were taken, of those that were handed over.
    pub(crate) rows: usize,
    /// The lanes that got some.
    pub(crate) touched: Vec<Arc<Lane<E>>>,
    /// What was put off.
    pub(crate) owed: Vec<Deferred>,
    /// Where the outbox is taken in to now.
    pub(crate) cursor: Cursor,
}

/// Takes rows in, as far as one transaction goes. Blocks for the log's lock.
///
/// # Errors
/// The log can't be written: then none was taken.
pub(crate) fn take_in<T: Transport>(
    dispatch: &Arc<Dispatch<T>>,
    rows: &[Row],
    cursor: &Cursor,
    from: &From<'_>,
) -> Result<Taken<T::Endpoint>, IntakeError> {
    loop {
        let routes = dispatch.routes();
        let most_bytes = dispatch.log().hold().batch_bytes();
        let most = (dispatch.bounds().of(BATCH_DELIVERIES), most_bytes);
        let (mut admission, taken) = admission(&routes, rows, cursor, (from, most));
        let mut log = dispatch.store();
        // A reload exchanges the routes under this lock: what was fanned out by older ones
        // would be pending for a webhook that nobody serves any more.
        if !Arc::ptr_eq(&routes, &dispatch.routes()) {
            continue;
        }
        let now_ms = dispatch.clock().now_ms();
        admission.cursor.time_ms = now_ms;
        let silent = dispatch.defer(&admission.events);
        let mut room = dispatch.room_for_next(&log);
        let later = |name: &str| silent.contains(name);
        let (dues, owed) = log
            .admit(&admission, &later, &mut |due| room.takes(due), now_ms)
            .map_err(IntakeError::Store)?;
        let touched = dispatch.offer(&log, room, dues);
        dispatch.look_for_own(&mut log);
        drop(log);
        crash::point("take events in", "offered");
        for lane in &touched {
            dispatch.fill(lane);
        }
        dispatch
            .counters()
            .admitted(taken - admission.rejected.len(), admission.rejected.len());
        admission.rejected.iter().for_each(journal);
        return Ok(Taken {
            rows: taken,
            touched,
            owed,
            cursor: admission.cursor,
        });
    }
}

/// What rows become, as far as one transaction of at most so many deliveries, and bytes of bodies, goes, and how many rows that is.
fn admission(
    routes: &Routes,
    rows: &[Row],
    cursor: &Cursor,
    (from, (most, most_bytes)): (&From<'_>, (usize, usize)),
) -> (Admission, usize) {
    let (mut events, mut rejected) = (Vec::with_capacity(rows.len()), Vec::new());
    let (mut taken, mut deliveries, mut last) = (0, 0, cursor.event_id);
    let mut bytes = 0_usize;
    let mut gaps = Vec::new();
    for row in rows {
        let before = last;
        match row {
            Row::Event(event) => {
                let fanned = routes.fan_out(event);
                let more = fanned.as_ref().map_or(0, |f| f.webhooks.len());
                let bodies = fanned.iter().flat_map(|f| &f.bodies);
                let more_bytes: usize = bodies.map(|(_, body)| body.len()).sum();
                if taken > 0 && (deliveries + more > most || bytes + more_bytes > most_bytes) {
                    break;
                }
                deliveries += more;
                bytes += more_bytes;
                events.extend(fanned);
                last = event.id;
            }
            Row::Rejected(row) => {
                last = row.event_id;
                rejected.push(row.clone());
            }
        }
        if matches!(from, From::Ids(_)) && last > before.next() {
            gaps.push(before.next()..=last.back(1));
        }
        taken += 1;
    }
    let cursor = match from {
        From::Ids(keys) => Cursor {
            event_id: last,
            fingerprints: thin(&cursor.fingerprints, &rows[..taken], keys, last),
            former: cursor.former.clone(),
            snapshot: None,
            ..*cursor
        },
        From::Window(batch) => Cursor {
            event_id: rows[..taken]
                .iter()
                .map(Row::id)
                .fold(cursor.event_id, EventId::max),
            snapshot: cursor
                .snapshot
                .as_deref()
                .map(|at| Box::new(batch.behind(at, taken))),
            ..cursor.clone()
        },
    };
    (
        Admission {
            events,
            rejected,
            cursor,
            gaps,
        },
        taken,
    )
}

fn journal(row: &Rejected) {
    tracing::warn!(
        event_id = row.event_id.get(),
        event = row.event,
        reason = row.reason,
        "a row of the outbox can't be sent and was set aside in rejected"
    );
}
