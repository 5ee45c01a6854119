//! Where what is behind a place begins, as the statements that read it have it.
//!
//! The rows of a window come in the order of (xid, id): first those of transactions that were under way when it was last
//! looked, then those that had no number yet. So behind a place are all of the later ones of the first, the rest of the
//! one that it is within, and what is new.

use tokio_postgres::types::Type;

use super::seen::unseen;
use crate::model::Snapshot;
use crate::postgres::Value;

/// The values `$1` to `$5` of the statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Behind these is what is new.
    xid: String,
    id: i64,
    /// Transactions that were under way and of which all is left.
    late: Vec<String>,
    /// The one of them of which some was read, and up to where; of none of that number there are rows.
    within: String,
    within_id: i64,
}

/// No transaction of a row has this number.
const NOBODY: &str = "0";

impl Start {
    pub(super) fn of(from: &Snapshot) -> Self {
        let (max, late) = unseen(&from.seen);
        let number = |xid: &str| xid.parse::<i64>().unwrap_or(i64::MAX);
        let (place, new) = ((from.xid, from.id.get()), (number(&max), 0));
        let (xid, id) = place.max(new);
        let is_within = late.iter().any(|xid| number(xid) == from.xid);
        Self {
            xid: xid.to_string(),
            id,
            late: late
                .into_iter()
                .filter(|xid| number(xid) > from.xid)
                .collect(),
            within: if is_within {
                from.xid.to_string()
            } else {
                NOBODY.to_owned()
            },
            within_id: from.id.get(),
        }
    }

    /// Whether there may be rows of transactions that were under way.
    pub(super) fn is_late(&self) -> bool {
        !self.late.is_empty() || self.within != NOBODY
    }

    /// Behind which is what is new.
    pub(super) fn new_values(&self) -> [Value<'_>; 2] {
        [(&self.xid as _, Type::TEXT), (&self.id as _, Type::INT8)]
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let mut values = self.new_values().to_vec();
        values.extend([
            (&self.late as _, Type::TEXT_ARRAY),
            (&self.within as _, Type::TEXT),
            (&self.within_id as _, Type::INT8),
        ] as [Value<'_>; 3]);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;

    fn start(seen: &str, (xid, id): (i64, i64)) -> (String, i64, String, String, i64) {
        let start = Start::of(&Snapshot {
            seen: seen.to_owned(),
            xid,
            id: EventId::new(id),
            ..Snapshot::default()
        });
        let late = start.late.join(",");
        (start.xid, start.id, late, start.within, start.within_id)
    }

    #[test]
    fn a_window_begins_with_what_was_under_way() {
        let of = |xid: &str, id, late: &str, within: &str, within_id| {
            (
                xid.to_owned(),
                id,
                late.to_owned(),
                within.to_owned(),
                within_id,
            )
        };
        assert_eq!(start("20:20:", (0, 0)), of("20", 0, "", "0", 0));
        assert_eq!(start("10:20:10,14", (0, 0)), of("20", 0, "10,14", "0", 0));
        assert_eq!(start("10:20:10,14", (10, 7)), of("20", 0, "14", "10", 7));
        assert_eq!(start("10:20:10,14", (14, 7)), of("20", 0, "", "14", 7));
        assert_eq!(start("10:20:10,14", (20, 7)), of("20", 7, "", "0", 7));
        assert_eq!(start("10:20:10,14", (25, 7)), of("25", 7, "", "0", 7));
        assert_eq!(start("", (0, 0)), of("3", 0, "", "0", 0));
    }
}
