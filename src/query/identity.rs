//! Whether the row of the outbox and the history in the log are one event's.
//!
//! A row may have been changed after it was taken, or have got its id anew when the outbox was put
//! back or its counter set back. The history of one event is never told under the name of another:
//! the bodies that were made of it say what was taken, and where they are gone, its name.

use super::known::{Known, Remark};
use crate::dialect::{body, event_id_text};
use crate::model::{Dialect, Event, Generation};
use crate::store::{DeliveryTrace, Error, LogReader};

/// Leaves of outbox and log what is of one event: the one that was asked for, and by its number the
/// one that was taken. False for a string id that is nobody's here.
pub(super) fn resolve_cursor(
    known: &mut Known,
    typed: &str,
    log: Option<&dyn LogReader>,
    remarks: &mut Vec<Remark>,
) -> Result<bool, Error> {
    let (typed, dialect) = (typed.to_ascii_lowercase(), dialect_of(typed));
    let of_row = match (known.event(), dialect) {
        (Some(event), Some(dialect)) => Some(event_id_text(dialect, event) == typed),
        _ => None,
    };
    let of_log = match (log, dialect) {
        // The id is a string of its own in the body.
        (Some(log), Some(dialect)) => {
            log.generation_of_body(known.id, dialect, &format!("\"{typed}\""))?
        }
        _ => None,
    };
    match (of_log, log) {
        (Some(Some(generation)), _) => tell_of(known, generation),
        (None, Some(log)) if dialect.is_none() => note_earlier(known, log, remarks)?,
        _ => {}
    }
    match (of_row, of_log.map(|generation| generation.is_some())) {
        (Some(false), Some(true)) => is_another(known),
        (Some(false), _) | (None, Some(false)) => return Ok(false),
        // The row is the one that was asked for.
        (Some(true), _) if is_other(known, log)? => forget(known, remarks),
        (None, _) if is_other(known, log)? => {
            let (generation, taken) = known.trace.cursor.unwrap_or_default();
            if known.id > taken && generation_of(known) < generation {
                forget(known, remarks);
            } else {
                is_another(known);
            }
        }
        _ => {}
    }
    Ok(true)
}

/// Tells of the event that had the id in that generation.
fn tell_of(known: &mut Known, generation: Generation) {
    let trace = &mut known.trace;
    let of = |deliveries: &[DeliveryTrace]| deliveries.iter().any(|d| d.generation == generation);
    if !of(&trace.deliveries) && of(&trace.earlier) {
        trace.deliveries = std::mem::take(&mut trace.earlier);
        trace.deliveries.retain(|d| d.generation == generation);
        trace.rejected = None;
    }
}

/// Says which other events had the id in generations before. One that was sent again after a backup
/// was put back is none: its body is the same.
fn note_earlier(
    known: &Known,
    log: &dyn LogReader,
    remarks: &mut Vec<Remark>,
) -> Result<(), Error> {
    let of_row = |d: &&DeliveryTrace| d.origin != "test";
    let Some(newest) = known.trace.deliveries.iter().find(of_row) else {
        return Ok(());
    };
    let bodies = log.bodies(newest.generation, known.id)?;
    let mut last = newest.generation;
    for delivery in known.trace.earlier.iter().filter(of_row) {
        if delivery.generation == last {
            continue;
        }
        last = delivery.generation;
        let before = log.bodies(last, known.id)?;
        let same = if bodies.is_empty() || before.is_empty() {
            delivery.event == newest.event
        } else {
            before.iter().any(|body| bodies.contains(body))
        };
        if !same {
            remarks.push(Remark::Earlier(delivery.event.clone(), last));
        }
    }
    Ok(())
}

/// The row is another event's: by the log alone.
fn is_another(known: &mut Known) {
    known.row = None;
    known.other = true;
}

/// The history is another event's: by the row alone.
fn forget(known: &mut Known, remarks: &mut Vec<Remark>) {
    let names = known.trace.deliveries.first().map(|d| d.event.clone());
    let name = names.or_else(|| known.trace.rejected.as_ref().map(|r| r.event.clone()));
    remarks.push(Remark::HadTheId(name.unwrap_or_default()));
    known.trace.deliveries.clear();
    known.trace.rejected = None;
}

fn generation_of(known: &Known) -> Generation {
    let delivery = known.trace.deliveries.first().map(|d| d.generation);
    let rejected = known.trace.rejected.as_ref().map(|r| r.generation);
    delivery.or(rejected).unwrap_or_default()
}

/// Whether the row, which could be sent, is not the event that the log has a history of.
fn is_other(known: &Known, log: Option<&dyn LogReader>) -> Result<bool, Error> {
    let (Some(event), Some(log)) = (known.event(), log) else {
        return Ok(false);
    };
    // A test's event has no row, and the number of no row.
    let of_row = |d: &&DeliveryTrace| d.origin != "test";
    let Some(delivery) = known.trace.deliveries.iter().find(of_row) else {
        let (generation, _) = known.trace.cursor.unwrap_or_default();
        let rejected = known.trace.rejected.as_ref();
        return Ok(rejected.is_some_and(|r| r.generation < generation));
    };
    let bodies = log.bodies(delivery.generation, known.id)?;
    if bodies.is_empty() {
        return Ok(*delivery.event != *event.name);
    }
    Ok(!bodies
        .iter()
        .any(|(name, bytes)| is_body(event, name, bytes)))
}

/// Whether that body was made of the event. Ids that are strings are a digest of all of it.
fn is_body(event: &Event, dialect: &str, bytes: &[u8]) -> bool {
    match Dialect::from_name(dialect) {
        // Their ids are in no body, or say less than the body does.
        Some(dialect @ (Dialect::BoldCms | Dialect::StandardWebhooks)) => {
            body(dialect, event, None) == bytes
        }
        Some(dialect) => {
            let id = format!("\"{}\"", event_id_text(dialect, event));
            bytes.windows(id.len()).any(|part| part == id.as_bytes())
        }
        None => false,
    }
}

fn dialect_of(typed: &str) -> Option<Dialect> {
    if typed.starts_with("evt_") {
        Some(Dialect::BoldFactory)
    } else if typed.starts_with("evt-") {
        Some(Dialect::OpenboxesLift)
    } else {
        None
    }
}
