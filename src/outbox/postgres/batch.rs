//! Rows that were read together, and the place behind some of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use tokio_postgres::Row as Found;

use super::seen::{end_of, unseen, up_to};
use crate::model::{EventId, Snapshot};
use crate::outbox::Row;
use crate::outbox::row::{Columns, Judge, Sized};

/// Rows behind a place, in their order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// The transaction of each.
    pub(super) xids: Vec<i64>,
    /// The window that they are of.
    pub(super) window: String,
    /// Whether they are all that is left of it.
    pub(super) ends: bool,
    /// The last row that was read, left out or not.
    pub(super) last: Option<(i64, EventId)>,
    /// The timeline that they were read on.
    pub(super) timeline: String,
}

impl Batch {
    /// Whether there is nothing left behind these rows, as far as this window sees.
    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    /// Leaves out rows that are known to have been taken.
    pub(crate) fn leave_out(&mut self, known: &BTreeSet<EventId>) {
        let rows = std::mem::take(&mut self.rows).into_iter();
        let xids = std::mem::take(&mut self.xids);
        let left = rows.zip(xids).filter(|(row, _)| !known.contains(&row.id()));
        (self.rows, self.xids) = left.unzip();
    }

    /// What is left behind the first `taken` of the rows; `None`: nothing.
    #[must_use]
    pub(crate) fn rest(mut self, taken: usize) -> Option<Self> {
        if taken >= self.rows.len() {
            return None;
        }
        self.rows.drain(..taken);
        self.xids.drain(..taken);
        Some(self)
    }

    /// The transactions that were under way.
    pub(crate) fn under_way(&self) -> Vec<String> {
        unseen(&self.window).1
    }

    /// The place behind the first `taken` of the rows.
    #[must_use]
    pub(crate) fn behind(&self, from: &Snapshot, taken: usize) -> Snapshot {
        let all = taken == self.rows.len();
        if all && self.ends {
            let last = self.last.and_then(|(xid, _)| u64::try_from(xid).ok());
            let end = last.map_or(0, |xid| xid.saturating_add(1));
            return Snapshot {
                // Numbers beyond the last row were of nobody's rows, and a crash may give them again.
                seen: up_to(&self.window, end.max(end_of(&from.seen))),
                timeline: from.timeline_now().to_owned(),
                window: String::new(),
                xid: 0,
                id: EventId::NONE,
                since: EventId::NONE,
                ..from.clone()
            };
        }
        let last = match taken.checked_sub(1) {
            _ if all => self.last,
            Some(at) => self
                .xids
                .get(at)
                .copied()
                .zip(self.rows.get(at).map(Row::id)),
            None => None,
        };
        let (xid, id) = last.unwrap_or((from.xid, from.id));
        Snapshot {
            window: self.window.clone(),
            xid,
            id,
            ..from.clone()
        }
    }
}

/// What a row is, from its columns from the name on.
pub(super) fn judged(
    judge: Judge,
    id: i64,
    row: &Found,
    from: usize,
    name: &mut Option<Arc<str>>,
) -> Result<Row, tokio_postgres::Error> {
    let sized = |at: usize| -> Result<Sized<'_>, tokio_postgres::Error> {
        let text: Option<&str> = row.try_get(at)?;
        let octets: Option<i32> = row.try_get(at + 1)?;
        Ok(match text {
            Some(text) => Sized {
                value: ValueRef::Text(text.as_bytes()),
                octets: None,
            },
            None => Sized {
                value: ValueRef::Null,
                octets: octets.map(i64::from),
            },
        })
    };
    let ms: Option<i64> = row.try_get(from + 4)?;
    let columns = Columns {
        id: EventId::new(id),
        event: sized(from)?,
        data: sized(from + 2)?,
        time: ms.map_or(ValueRef::Null, ValueRef::Integer),
        tenant: sized(from + 5)?,
    };
    Ok(judge.row(columns, name))
}
