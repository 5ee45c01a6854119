//! Where to go on in the outbox: at the cursor, behind it, at its beginning, or not at all.
//!
//! Decides from the log's cursor and the rows that are really there. It changes neither; the
//! caller writes the cursor that it gets, and says to the person what a refusal needs.
//!
//! A counter below the cursor is certain: ids will be given anew. At or above it the known rows are
//! asked (`evidence`). A step back ends at the newest row that is known again; where none is, and
//! nothing in the outbox is older than the moment at which it was last in order, all of it is new,
//! and it begins at its beginning. Only where older rows are there that are not known does a person
//! decide, for they may be another installation's, or sent long ago. What was known before an outbox was
//! seen empty is known still: a backup that is put back then is gone on with, and not sent again.

use super::evidence::{SLACK_MS, Sight, Witness, is_a_clocks};
use super::fingerprint::{Known, former, is_of, print, thin};
use crate::model::{Cursor, EventId, Generation, Print};
use crate::outbox::{Error, Tail, Waiting};

/// Events older than this, in a log that is new, are somebody's decision to send.
const OLD_MS: i64 = 3_600_000;

/// The fingerprints of this many rows are taken when a cursor is set by hand.
const SETTLE_ROWS: usize = 1_024;

/// Distances behind a step back at which prints are made anew: half a million rows, in 38 looks.
const NEAR_DISTANCES: usize = 19;

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// The log is new, and so is the outbox: from its beginning.
    Fresh(Cursor),
    /// At the log's cursor.
    Same(Cursor),
    /// At the log's cursor, with prints of rows as an UPDATE has left them.
    Updated(Cursor),
    /// The outbox was put back or lost rows: from the newest row that is still the one taken, in a
    /// new generation.
    Back(Cursor),
    /// The outbox was emptied and its counter set back: from its beginning, in a new generation. With
    /// the number of events that are in it now, all of them new.
    Emptied(Cursor, i64),
}

impl Resume {
    /// The cursor to go on with.
    #[must_use]
    pub(crate) fn cursor(&self) -> &Cursor {
        match self {
            Self::Fresh(cursor)
            | Self::Same(cursor)
            | Self::Updated(cursor)
            | Self::Back(cursor)
            | Self::Emptied(cursor, _) => cursor,
        }
    }

    /// The moment that the log keeps with that cursor. Rows that are there and were judged new are not
    /// taken yet: whoever starts after a crash has to judge them by the same moment.
    #[must_use]
    pub(crate) fn known_ms(&self, now_ms: i64) -> i64 {
        match self {
            Self::Emptied(cursor, 1..) => cursor.time_ms,
            _ => now_ms,
        }
    }

    /// The same with another cursor.
    pub(crate) fn at(self, cursor: Cursor) -> Self {
        match self {
            Self::Fresh(_) => Self::Fresh(cursor),
            Self::Same(_) => Self::Same(cursor),
            Self::Updated(_) => Self::Updated(cursor),
            Self::Back(_) => Self::Back(cursor),
            Self::Emptied(_, count) => Self::Emptied(cursor, count),
        }
    }
}

/// Why nothing may be sent before a person has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// The log is new and the outbox is not.
    OldEvents {
        /// Events in the outbox.
        count: i64,
        /// The time of the oldest, UNIX milliseconds.
        oldest_ms: i64,
    },
    /// None of the rows that the log knows is in this outbox, and what is in it is not all new.
    Foreign {
        /// Events in the outbox.
        count: i64,
        /// The time of the oldest, UNIX milliseconds; `None` without a proper one.
        oldest_ms: Option<i64>,
        /// Where the log is.
        cursor: EventId,
        /// When it was last in order, UNIX milliseconds.
        since_ms: i64,
        /// The outbox's counter, where it stands below the log's place.
        counter: Option<EventId>,
    },
}

/// Compares the log's cursor with the outbox at a start, when anything may have happened meanwhile.
///
/// # Errors
/// The outbox can't be read.
pub(crate) fn resolve_cursor(
    tail: &mut Tail,
    known: Option<Cursor>,
    now_ms: i64,
) -> Result<Result<Resume, ResumeError>, Error> {
    let Some(cursor) = known else {
        return Ok(match tail.oldest_ms(EventId::NONE)? {
            // To count many takes longer than all the rest of a start, so it is done only to refuse.
            Some(oldest_ms) if oldest_ms < now_ms - OLD_MS => Err(ResumeError::OldEvents {
                count: tail.waiting(EventId::NONE)?.count,
                oldest_ms,
            }),
            _ => Ok(Resume::Fresh(Cursor::default())),
        });
    };
    resolve_again(tail, cursor, now_ms, false)
}

/// Compares the cursor with the outbox. `steady`: this very connection has vouched for the rows, and
/// its database was not put back since.
///
/// # Errors
/// The outbox can't be read.
pub(crate) fn resolve_again(
    tail: &mut Tail,
    cursor: Cursor,
    now_ms: i64,
    steady: bool,
) -> Result<Result<Resume, ResumeError>, Error> {
    let sequence = tail.sequence()?;
    let lost = sequence < cursor.event_id;
    // Times before the clock was set back tell nothing of what is new.
    let tells = now_ms >= cursor.time_ms;
    let (looked, begun_anew) = Looked::at(tail, &cursor, now_ms, lost)?;
    let known = looked.known;
    let again = |event_id, fingerprints, former| Cursor {
        event_id,
        fingerprints,
        former,
        ..of_next_generation(&cursor, now_ms)
    };
    if known.is_none()
        && let Some(fingerprints) = returned(tail, &cursor)?
    {
        let cursor = again(fingerprints[0].0, near(tail, &fingerprints)?, Vec::new());
        return Ok(Ok(Resume::Back(cursor)));
    }
    let foreign = |waiting: Waiting| ResumeError::Foreign {
        count: waiting.count,
        oldest_ms: waiting.oldest_ms,
        cursor: cursor.event_id,
        since_ms: cursor.time_ms,
        counter: lost.then_some(sequence),
    };
    let begins = cursor.event_id == EventId::NONE
        && !(cursor.fingerprints.is_empty() && cursor.former.is_empty());
    if begins && tells && !steady {
        // Not the rows of before, and older than the outbox was seen empty.
        let is_older = |ms| is_a_clocks(ms) && ms < cursor.time_ms - OLD_MS;
        if tail.oldest_ms(EventId::NONE)?.is_some_and(is_older) {
            return Ok(Err(foreign(tail.waiting(EventId::NONE)?)));
        }
    }
    if !lost && !begun_anew {
        match (looked.unknown.is_empty(), known) {
            (true, None | Some((_, Sight::Same))) => return Ok(Ok(Resume::Same(cursor))),
            (true, Some(_)) => return Ok(Ok(looked.updated(cursor, now_ms))),
            (false, _) => {}
        }
        let waiting = tail.waiting(cursor.event_id)?.count > 0;
        let refilled =
            steady && known.is_none() && tells && waiting && tail.all_later_than(cursor.time_ms)?;
        let witness = Witness {
            cursor: &cursor,
            now_ms,
            strict: false,
        };
        let (rows, is_known) = (&looked.unknown, known.is_some());
        let changed = witness.were_changed(rows, is_known, waiting);
        let anew = !steady || witness.were_written_anew(rows, is_known, waiting);
        if !refilled && (changed || !anew) {
            return Ok(Ok(looked.updated(cursor, now_ms)));
        }
    }
    if let Some((index, _)) = known {
        let back = looked.back(&cursor, index);
        let fingerprints = near(tail, &back)?;
        let cursor = again(back[0].0, fingerprints, cursor.former.clone());
        return Ok(Ok(Resume::Back(cursor)));
    }
    let waiting = tail.waiting(EventId::NONE)?;
    if waiting.count == 0 || (tells && tail.all_later_than(cursor.time_ms - SLACK_MS)?) {
        let since_ms = cursor.time_ms;
        let mut cursor = again(EventId::NONE, Vec::new(), former(&cursor));
        if waiting.count > 0 {
            cursor.time_ms = since_ms;
        }
        return Ok(Ok(Resume::Emptied(cursor, waiting.count)));
    }
    Ok(Err(foreign(waiting)))
}

/// A cursor of the generation behind that of another, at the beginning.
fn of_next_generation(cursor: &Cursor, now_ms: i64) -> Cursor {
    Cursor {
        generation: cursor.generation.next(),
        time_ms: now_ms,
        ..Cursor::default()
    }
}

/// The prints with those of rows that were left out while they were far behind: after a step back they
/// are near, and by one print alone nobody can tell what became of several rows.
fn near(tail: &mut Tail, prints: &[Known]) -> Result<Vec<Known>, Error> {
    let Some((at, _)) = prints.first() else {
        return Ok(Vec::new());
    };
    let mut near = Vec::with_capacity(2 * NEAR_DISTANCES + prints.len());
    // The ends of each distance; between them `thin` would keep none.
    for distance in 0..NEAR_DISTANCES {
        for back in [1 << distance, (2 << distance) - 1] {
            // Ids of no counter are left out.
            if let Some(id) = (tail.newest_up_to(at.back(back))?).filter(|id| *id > EventId::NONE)
                && let Some((row, key)) = tail.row_and_key(id)?
            {
                near.push((id, print(&row, key.as_deref())));
            }
        }
    }
    near.retain(|(id, _)| prints.iter().all(|(known, _)| known != id));
    near.extend(prints);
    Ok(thin(&near, &[], &[], *at))
}

/// The prints up to the newest row that was taken before the outbox was seen empty and is back, to the
/// byte. A time that is no clock's tells nothing: such a row may have been written again.
fn returned(tail: &mut Tail, cursor: &Cursor) -> Result<Option<Vec<Known>>, Error> {
    for (index, (id, kept)) in cursor.former.iter().enumerate() {
        let Some((row, key)) = tail.row_and_key(*id)? else {
            continue;
        };
        let key = key.as_deref();
        let Print::Columns(now) = print(&row, key) else {
            continue;
        };
        if is_of(kept, &row, key) == Some(true) && is_a_clocks(now.time_ms) {
            let mut back = cursor.former[index..].to_vec();
            back.dedup_by_key(|(id, _)| *id);
            return Ok(Some(back));
        }
    }
    Ok(None)
}

/// The known rows that were looked at, newest first, up to the first that is known again.
struct Looked {
    /// What those are that were not known again.
    unknown: Vec<Sight>,
    /// The index of the one that was, and what it is.
    known: Option<(usize, Sight)>,
    /// The prints of all of them as they are now, by their indexes.
    prints: Vec<(usize, Print)>,
}

impl Looked {
    /// What the known rows are, and whether the file and all that is in it came after the outbox was last
    /// in order. Data alone makes rows known only where neither that nor the counter speaks against it.
    fn at(
        tail: &mut Tail,
        cursor: &Cursor,
        now_ms: i64,
        lost: bool,
    ) -> Result<(Self, bool), Error> {
        let strictly = Self::new(tail, cursor, now_ms, true)?;
        if lost {
            return Ok((strictly, false));
        }
        if now_ms >= cursor.time_ms && strictly.begun_anew(tail, cursor, now_ms)? {
            return Ok((strictly, true));
        }
        Ok((Self::new(tail, cursor, now_ms, false)?, false))
    }

    fn new(tail: &mut Tail, cursor: &Cursor, now_ms: i64, strict: bool) -> Result<Self, Error> {
        let witness = Witness {
            cursor,
            now_ms,
            strict,
        };
        let mut looked = Self {
            unknown: Vec::new(),
            known: None,
            prints: Vec::new(),
        };
        for (index, kept) in cursor.fingerprints.iter().enumerate() {
            // A row that is gone was pruned unless the whole tail is.
            let Some((row, key)) = tail.row_and_key(kept.0)? else {
                continue;
            };
            let key = key.as_deref();
            let Some(sight) = witness.look(&kept.1, &row, key) else {
                continue;
            };
            looked.prints.push((index, print(&row, key)));
            if sight.is_known() {
                looked.known = Some((index, sight));
                break;
            }
            looked.unknown.push(sight);
        }
        Ok(looked)
    }

    /// Whether the file and all that is in it came after the outbox was last in order.
    fn begun_anew(&self, tail: &mut Tail, cursor: &Cursor, now_ms: i64) -> Result<bool, Error> {
        let is_since = |ms| cursor.time_ms < ms && ms <= now_ms;
        Ok(self.known.is_none()
            && !self.unknown.is_empty()
            && tail.made_ms().is_some_and(is_since)
            && tail.all_later_than(cursor.time_ms)?)
    }

    /// The prints from an index on that is known again: of that as it is now, for it may have been changed,
    /// and the next look is to compare with that.
    fn back(&self, cursor: &Cursor, index: usize) -> Vec<Known> {
        let mut back = cursor.fingerprints[index..].to_vec();
        if let (Some((_, print)), Some(first)) = (self.prints.last(), back.first_mut()) {
            first.1 = *print;
        }
        back
    }

    /// The same place, with the prints of what was looked at: of these very looks, for by another
    /// one the outbox may have been put back.
    fn updated(&self, mut cursor: Cursor, now_ms: i64) -> Resume {
        for (index, print) in &self.prints {
            cursor.fingerprints[*index].1 = *print;
        }
        cursor.time_ms = now_ms;
        Resume::Updated(cursor)
    }
}

/// Whether the newest taken row that is still there is the one that was taken, to the byte. Where rows
/// were read behind the cursor, asked after that: what they were read from, or something later, is
/// looked at.
///
/// # Errors
/// The outbox can't be read.
pub(crate) fn is_same(tail: &mut Tail, cursor: &Cursor) -> Result<bool, Error> {
    for (id, kept) in &cursor.fingerprints {
        if let Some((row, key)) = tail.row_and_key(*id)? {
            // A row that can't be compared is looked at together with the others.
            return Ok(is_of(kept, &row, key.as_deref()) == Some(true));
        }
    }
    Ok(returned(tail, cursor)?.is_none())
}

/// Whether the outbox is in order up to the cursor: what is there at or behind it was taken. Asked
/// by those who would do something with such rows, in the database that they do it in.
///
/// # Errors
/// The outbox can't be read.
pub(crate) fn is_in_order(tail: &mut Tail, cursor: &Cursor, now_ms: i64) -> Result<bool, Error> {
    let settled = resolve_again(tail, cursor.clone(), now_ms, false)?;
    Ok(matches!(settled, Ok(Resume::Same(_) | Resume::Updated(_))))
}

/// A cursor set by hand: behind it is taken as done, what comes after it will be sent.
///
/// # Errors
/// The outbox can't be read.
pub(crate) fn cursor_at(
    tail: &mut Tail,
    event_id: EventId,
    generation: Generation,
    now_ms: i64,
) -> Result<Cursor, Error> {
    let first = event_id
        .back(i64::try_from(SETTLE_ROWS).unwrap_or(i64::MAX))
        .max(EventId::NONE);
    let batch = tail.read(first, SETTLE_ROWS, usize::MAX)?;
    let behind = batch.rows.partition_point(|row| row.id() <= event_id);
    Ok(Cursor {
        generation,
        event_id,
        fingerprints: thin(&[], &batch.rows[..behind], &batch.keys, event_id),
        former: Vec::new(),
        time_ms: now_ms,
        snapshot: None,
    })
}
