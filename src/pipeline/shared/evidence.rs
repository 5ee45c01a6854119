//! What a row that differs from its print is: the same, changed by an UPDATE, or another INSERT.
//!
//! An application may change any column of a row that was taken but its id, one or all, of one row
//! or all; that is no event. A backup put back, a power cut and another file under the path give ids
//! anew; that is. Each row says what it can:
//!
//! - An equal `key` is the same event; an equal `time` the same insert, for a later one is later;
//!   an equal `data`, where no other known row has the like, the same row with another time.
//! - A time before the year 2000 (0, seconds) or of a whole day (a date) is no clock's, and says little.
//! - A row of which nothing is equal is **strange**.
//!
//! Strange rows alone are not enough, and a pattern decides:
//!
//! - What was put back has a boundary: all known rows above it are strange or gone. Behind a row that
//!   is known again, strange ones were merely changed.
//! - While one connection reads one database whose schema is the same ([`Tail::vouch`]), nothing was
//!   put back, and strange rows were changed; but where all of them, or the newest several, are later than
//!   the outbox was last in order, or none is known and new ones are behind, a counter was set back and
//!   ids were given anew. Not so by one statement that wrote the same time and data into all, or into the
//!   newest alone.
//! - A new time alone, in the newest row or the same in all, and nothing behind, is an UPDATE.
//! - An application that begins anew writes the same data once more. So data alone makes nothing known where
//!   the counter is certainly back, nor in a file that was made after the outbox was last in order, where
//!   no row is known and all are later than that.
//! - Times that were all moved by the same span, out of where a new insert's would be, were changed.
//!
//! What stays ambiguous, and falls on sending again rather than on losing: with the daemon stopped (or
//! the schema changed, or the file replaced) rows without a key, of which the newest or all have a
//! new `time` *and* new `data`; the like of events that all have the same `data`, with a new time
//! between then and now; of rows whose time is no clock's, `data` changed in the newest but not in
//! all; while running, new `time` and new `data` in several rows, of each row its own. What falls the
//! other way: the data of taken rows once more, under their ids, in the same file with the counter where
//! it was; the newest row alone deleted and its id given anew between two looks; events that are
//! alike, time too or in but one row, in the place of just as many; and a row that can't be sent and whose
//! time is no clock's, under the id of one that was taken: it says nothing either way, and is not set
//! aside where no other row tells.
//!
//! [`Tail::vouch`]: crate::outbox::Tail::vouch

use super::fingerprint::{is_of, print};
use crate::model::Cursor;
use crate::model::print::{Columns, Print};
use crate::outbox::Row;

const DAY_MS: i64 = 86_400_000;

const YEAR_2000_MS: i64 = 946_684_800_000;

/// Times moved by one span are a pattern from so many different ones on; fewer are chance.
const SHIFTED: usize = 3;

/// So much earlier than it is written may an event's time be: seconds, and a transaction that takes long.
pub(super) const SLACK_MS: i64 = 5_000;

/// Whether a time can be a clock's: later than 1999, and no whole day.
pub(super) fn is_a_clocks(time_ms: i64) -> bool {
    time_ms >= YEAR_2000_MS && time_ms % DAY_MS != 0
}

/// How many different times rows had before; of each the time then and now.
fn different(times: &[(i64, i64)]) -> usize {
    let mut different: Vec<i64> = times.iter().map(|(was, _)| *was).collect();
    different.sort_unstable();
    different.dedup();
    different.len()
}

/// What the row of a print is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The same to the byte.
    Same,
    /// Changed, and known again.
    Changed,
    /// Only the time is equal, and it is no clock's.
    Weak,
    /// Nothing that tells is equal.
    Strange(Strange),
}

/// What is left to judge a strange row by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strange {
    /// Its time in the print, where that has one.
    was_ms: Option<i64>,
    /// Its time now.
    now_ms: i64,
    /// The hash of its data now.
    data: u32,
    /// All but the time is equal.
    retimed: bool,
}

impl Sight {
    /// Whether the row is the one that was taken.
    pub(super) fn is_known(self) -> bool {
        matches!(self, Self::Same | Self::Changed)
    }
}

/// What is asked of rows: the prints, since when, and the time now.
pub(super) struct Witness<'a> {
    pub(super) cursor: &'a Cursor,
    pub(super) now_ms: i64,
    /// Data alone makes no row known whose time may be a new one's.
    pub(super) strict: bool,
}

impl Witness<'_> {
    /// What that row is, of which `kept` was kept; `None` where it says nothing either way, for it was
    /// sent, its data can't be read now, and its time is none that a new row would have.
    pub(super) fn look(&self, kept: &Print, row: &Row, key: Option<&str>) -> Option<Sight> {
        if is_of(kept, row, key) == Some(true) {
            return Some(Sight::Same);
        }
        let Print::Columns(now) = print(row, key) else {
            return None;
        };
        match kept {
            Print::Columns(was) => self.compare(was, &now),
            Print::Whole(_) if self.says_nothing(&now) => None,
            Print::Whole(_) if self.may_be_new(now.time_ms) => Some(Sight::Strange(Strange {
                was_ms: None,
                now_ms: now.time_ms,
                data: now.data,
                retimed: false,
            })),
            Print::Whole(_) => Some(Sight::Changed),
        }
    }

    fn compare(&self, was: &Columns, now: &Columns) -> Option<Sight> {
        let same_data = was.data != 0 && was.data == now.data;
        if was.key != 0 && was.key == now.key {
            return Some(Sight::Changed);
        }
        if was.time_ms == now.time_ms {
            return Some(if same_data || is_a_clocks(was.time_ms) {
                Sight::Changed
            } else {
                Sight::Weak
            });
        }
        if was.data != 0 && self.says_nothing(now) {
            return None;
        }
        let known_by_data = !self.strict && self.is_alone(was);
        if same_data && (known_by_data || !self.may_be_new(now.time_ms)) {
            return Some(Sight::Changed);
        }
        Some(Sight::Strange(Strange {
            was_ms: Some(was.time_ms),
            now_ms: now.time_ms,
            data: now.data,
            retimed: same_data && (was.key, was.rest) == (now.key, now.rest),
        }))
    }

    /// Whether neither the data nor the time of a row that can't be sent tells. One that came after the
    /// outbox was last in order tells: it is to be set aside.
    fn says_nothing(&self, now: &Columns) -> bool {
        now.data == 0 && !(is_a_clocks(now.time_ms) && self.may_be_new(now.time_ms))
    }

    /// Whether a row that took an id anew may have that time: one that was written after the outbox
    /// was last in order. A clock that was set back says nothing.
    fn may_be_new(&self, time_ms: i64) -> bool {
        let since_ms = self.cursor.time_ms;
        self.now_ms < since_ms || (since_ms < time_ms && time_ms <= self.now_ms)
    }

    /// Whether no other of several known rows has this data.
    fn is_alone(&self, columns: &Columns) -> bool {
        let (mut all, mut alike) = (0, 0);
        for (_, print) in self.cursor.fingerprints.iter().chain(&self.cursor.former) {
            if let Print::Columns(other) = print {
                all += 1;
                alike += usize::from(other.data == columns.data);
            }
        }
        all > 1 && alike == 1
    }

    /// Whether rows that were not known again, newest first, were changed all the same. `known`:
    /// there is one behind them that is known again; `waiting`: there are rows that were not taken.
    pub(super) fn were_changed(&self, unknown: &[Sight], known: bool, waiting: bool) -> bool {
        if !known && unknown.iter().all(|sight| *sight == Sight::Weak) {
            return true;
        }
        let mut times: Vec<(i64, i64)> = Vec::with_capacity(unknown.len());
        let mut retimed = !waiting;
        for sight in unknown {
            let Sight::Strange(row) = sight else {
                return false;
            };
            let Some(was_ms) = row.was_ms else {
                return false;
            };
            times.push((was_ms, row.now_ms));
            retimed &= row.retimed;
        }
        // What was written at one time before may have been written at one time again.
        let at_once = times.len() > 1 && times.iter().all(|(was, _)| *was == times[0].0);
        if retimed && (known || !at_once) && times.iter().all(|(_, now)| *now == times[0].1) {
            return true;
        }
        let stopped = |(was, now): &(i64, i64)| is_a_clocks(*was) && !is_a_clocks(*now);
        if !known && times.iter().all(stopped) {
            return true;
        }
        let shift = |(was, now): &(i64, i64)| now - was;
        let moved = times.windows(2).all(|two| shift(&two[0]) == shift(&two[1]));
        let out = |(_, now): &(i64, i64)| !self.may_be_new(*now);
        moved && different(&times) >= SHIFTED && times.iter().any(out)
    }

    /// Whether rows that were not known again, and not changed by a pattern, got their ids anew though
    /// nothing was put back.
    pub(super) fn were_written_anew(&self, unknown: &[Sight], known: bool, waiting: bool) -> bool {
        let mut rows = Vec::with_capacity(unknown.len());
        for sight in unknown {
            match sight {
                Sight::Strange(row) => rows.push(row),
                _ => return false,
            }
        }
        let Some(first) = rows.first() else {
            return false;
        };
        let since_ms = self.cursor.time_ms - SLACK_MS;
        let is_late = |row: &&Strange| since_ms < row.now_ms && row.now_ms <= self.now_ms;
        // Behind rows that were written anew there may be others that were changed: prints of rows
        // behind one that is known are old.
        let late = if self.now_ms < self.cursor.time_ms {
            rows.len()
        } else {
            rows.iter().copied().take_while(is_late).count()
        };
        let is_run = late == rows.len() || late > 1;
        let run = &rows[..if is_run { late } else { rows.len() }];
        let alike = |row: &&Strange| (row.now_ms, row.data) == (first.now_ms, first.data);
        let by_one_statement = match run.len() {
            1 => known,
            _ => run.iter().copied().all(|row| alike(&row)),
        };
        !by_one_statement && (is_run || !known && waiting)
    }
}
