//! Looks that find nothing: what an outbox asks its server nearly always, for as little as it can be had.
//!
//! Left out: what is done where there may be something, which is a read like any other.

use tokio_postgres::Row as Found;
use tokio_postgres::types::Type;

use super::sql::MOMENT;
use super::start::Start;
use super::tail::Tail;
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

impl Tail {
    /// At what moment a read would find nothing; `None`: it may find something. The server parses and plans each look
    /// anew, and whether anything was committed at all it says in a tenth of a look's time, whether there are rows in a
    /// third. For a place behind all that was under way, where no window is open.
    pub(super) fn none_behind(
        &mut self,
        start: &Start,
        since: EventId,
    ) -> Result<Option<Moment>, Error> {
        if let Still(Some((still, of, from))) = &self.still
            && (of, *from) == (start, since)
        {
            let (moment, _) = self.moment(MOMENT, &[])?;
            if moment == *still {
                return Ok(Some(moment));
            }
        }
        let lowest = since.get();
        let [xid, id] = start.new_values();
        let values = [xid, id, (&lowest as _, Type::INT8)];
        let (moment, any) = self.moment(&self.sql.any, &values)?;
        if any {
            return Ok(None);
        }
        self.still = Still(Some((moment.clone(), start.clone(), since)));
        Ok(Some(moment))
    }

    /// What [`MOMENT`] finds, and what is asked beside it.
    fn moment(&self, sql: &str, values: &[Value<'_>]) -> Result<(Moment, bool), Error> {
        const STEP: &str = "look for rows";
        let found = self.link.rows(STEP, sql, values).map_err(Error::Server)?;
        let read = |row: &Found| {
            let moment = Moment {
                snapshot: row.try_get(0)?,
                timeline: row.try_get(1)?,
                written: row.try_get(2)?,
            };
            Ok((moment, row.len() > 3 && row.try_get(3)?))
        };
        let read = found.first().map(read).transpose();
        let (moment, any) = read
            .map_err(|error| self.failed(STEP, error))?
            .unwrap_or_default();
        self.check_timeline(&moment.timeline)?;
        Ok((moment, any))
    }
}
