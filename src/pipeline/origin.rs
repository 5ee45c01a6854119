//! Where to go on in the outbox: at the cursor, behind it, or not at all.
//!
//! Decides from the log's cursor and the rows that are really there. It changes neither; the
//! caller writes the cursor that it gets, and says to the person what a refusal needs.

use super::fingerprint::{is_of, thin};
use crate::model::Cursor;
use crate::outbox::{Error, Tail};

/// Events older than this, in a log that is new, are somebody's decision to send.
const OLD_MS: i64 = 3_600_000;

/// The fingerprints of this many rows are taken when a cursor is set by hand.
const SETTLE_ROWS: usize = 1_024;

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The log is new, and so is the outbox: from its beginning.
    Fresh(Cursor),
    /// At the log's cursor.
    Same(Cursor),
    /// The outbox was put back or lost rows: from the newest row that is still the one taken.
    Back {
        /// Where to go on, in a new generation.
        cursor: Cursor,
        /// Where the log had been.
        was: i64,
    },
}

impl Settled {
    /// The cursor to go on with.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        match self {
            Self::Fresh(cursor) | Self::Same(cursor) | Self::Back { cursor, .. } => cursor,
        }
    }
}

/// Why nothing may be sent before a person has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log is new and the outbox is not.
    OldEvents {
        /// Events in the outbox.
        count: i64,
        /// The time of the oldest, UNIX milliseconds.
        oldest_ms: i64,
    },
    /// None of the rows that the log knows is in this outbox.
    Foreign {
        /// Events in the outbox.
        count: i64,
        /// The time of the oldest, UNIX milliseconds; `None` without events.
        oldest_ms: Option<i64>,
        /// Where the log is.
        cursor: i64,
    },
}

/// Compares the log's cursor with the outbox.
///
/// # Errors
/// The outbox can't be read.
pub fn settle(
    tail: &mut Tail,
    known: Option<Cursor>,
    now_ms: i64,
) -> Result<Result<Settled, Refusal>, Error> {
    let Some(cursor) = known else {
        return Ok(match tail.oldest_ms(0)? {
            // To count many takes longer than all the rest of a start, so it is done only to refuse.
            Some(oldest_ms) if oldest_ms < now_ms - OLD_MS => Err(Refusal::OldEvents {
                count: tail.waiting(0)?.count,
                oldest_ms,
            }),
            _ => Ok(Settled::Fresh(Cursor::default())),
        });
    };
    let lost = tail.sequence()? < cursor.event_id;
    let mut mismatch = lost;
    for (place, (id, digest)) in cursor.fingerprints.iter().enumerate() {
        match tail.row(*id)?.and_then(|row| is_of(&row, digest)) {
            Some(true) => {
                if !mismatch {
                    return Ok(Ok(Settled::Same(cursor)));
                }
                let back = Cursor {
                    generation: cursor.generation + 1,
                    event_id: *id,
                    fingerprints: cursor.fingerprints[place..].to_vec(),
                };
                return Ok(Ok(Settled::Back {
                    cursor: back,
                    was: cursor.event_id,
                }));
            }
            Some(false) => mismatch = true,
            // A row that is gone was pruned unless the whole tail is.
            None => {}
        }
    }
    if mismatch && cursor.event_id > 0 {
        let waiting = tail.waiting(0)?;
        let (count, oldest_ms) = (waiting.count, waiting.oldest_ms);
        return Ok(Err(Refusal::Foreign {
            count,
            oldest_ms,
            cursor: cursor.event_id,
        }));
    }
    Ok(Ok(Settled::Same(cursor)))
}

/// Whether the newest taken row that is still there is the one that was taken. Where rows were read
/// behind the cursor, asked after that: what they were read from, or something later, is looked at.
///
/// # Errors
/// The outbox can't be read.
pub(super) fn is_same(tail: &mut Tail, cursor: &Cursor) -> Result<bool, Error> {
    for (id, digest) in &cursor.fingerprints {
        if let Some(same) = tail.row(*id)?.and_then(|row| is_of(&row, digest)) {
            return Ok(same);
        }
    }
    Ok(true)
}

/// Whether the outbox is in order up to the cursor: what is there at or behind it was taken. Asked
/// by those who would do something with such rows, in the database that they do it in.
///
/// # Errors
/// The outbox can't be read.
pub(super) fn is_in_order(tail: &mut Tail, cursor: &Cursor) -> Result<bool, Error> {
    Ok(tail.sequence()? >= cursor.event_id && is_same(tail, cursor)?)
}

/// A cursor set by hand: behind it is taken as done, what comes after it will be sent.
///
/// # Errors
/// The outbox can't be read.
pub fn settle_at(tail: &mut Tail, event_id: i64, generation: i64) -> Result<Cursor, Error> {
    let first = event_id
        .saturating_sub(i64::try_from(SETTLE_ROWS).unwrap_or(i64::MAX))
        .max(0);
    let batch = tail.read(first, SETTLE_ROWS, usize::MAX)?;
    let behind = batch.rows.partition_point(|row| row.id() <= event_id);
    Ok(Cursor {
        generation,
        event_id,
        fingerprints: thin(&[], &batch.rows[..behind], event_id),
    })
}
