//! Looks that find nothing: what an outbox asks its server nearly always, for as little as it can be had.
//!
//! Left out: what is done where there may be something, which is a read like any other.

use tokio_postgres::Row as Found;
use tokio_postgres::types::Type;

use super::sql::MOMENT;
use super::start::Start;
use crate::model::EventId;
use crate::outbox::Error;
use crate::postgres::Value;

/// What a server has committed, in a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) snapshot: String,
    pub(super) timeline: String,
    written: String,
}

/// When nothing was found last, behind which place, and from which id on.
#[derive(Debug, Default)]
pub(super) struct Still(Option<(Moment, Start, EventId)>);

impl Still {
    /// At what moment a read would find nothing; `None`: it may find something. The server parses and plans each look
    /// anew, and whether anything was committed at all it says in a tenth of a look's time, whether there are rows in a
    /// third. For a place behind all that was under way, where no window is open; `moment` is what a statement finds that
    /// begins with [`MOMENT`], and what it asks beside that.
    pub(super) fn none_behind(
        &mut self,
        (start, since): (&Start, EventId),
        any: &str,
        moment: impl Fn(&str, &[Value<'_>]) -> Result<(Moment, bool), Error>,
    ) -> Result<Option<Moment>, Error> {
        if let Self(Some((still, of, from))) = &*self
            && (of, *from) == (start, since)
        {
            let (now, _) = moment(MOMENT, &[])?;
            if now == *still {
                return Ok(Some(now));
            }
        }
        let lowest = since.get();
        let [xid, id] = start.new_values();
        let (now, any) = moment(any, &[xid, id, (&lowest as _, Type::INT8)])?;
        if any {
            return Ok(None);
        }
        self.0 = Some((now.clone(), start.clone(), since));
        Ok(Some(now))
    }
}

impl Moment {
    /// Of a row that begins so.
    pub(super) fn of(row: &Found) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            snapshot: row.try_get(0)?,
            timeline: row.try_get(1)?,
            written: row.try_get(2)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::model::Snapshot;

    #[test]
    fn where_nothing_was_committed_nothing_else_is_asked() {
        let start = Start::of(&Snapshot::default());
        let (mut still, asked) = (Still::default(), RefCell::new(Vec::new()));
        let (written, any) = (Cell::new(1), Cell::new(false));
        let mut look = |since: i64| {
            asked.borrow_mut().clear();
            let behind = (&start, EventId::new(since));
            let none = still.none_behind(behind, "any", |sql, _| {
                asked.borrow_mut().push(sql == "any");
                let moment = Moment {
                    written: written.get().to_string(),
                    ..Moment::default()
                };
                Ok((moment, any.get()))
            });
            (none.unwrap().is_some(), asked.borrow().clone())
        };
        assert_eq!(look(0), (true, vec![true]), "at first for rows");
        assert_eq!(look(0), (true, vec![false]), "then for commits alone");
        assert_eq!(look(7), (true, vec![true]), "from another id on");
        written.set(2);
        assert_eq!(look(7), (true, vec![false, true]), "somebody committed");
        any.set(true);
        assert_eq!(look(7), (true, vec![false]), "and nobody since");
        written.set(3);
        assert_eq!(look(7), (false, vec![false, true]), "there are rows");
    }
}
