//! The text of a `pg_snapshot`, `xmin:xmax:xip,…`: what it has not seen, and one that claims to have seen less.
//!
//! A snapshot that claims less is always right: its rows are only looked at again. One that claims too much loses
//! rows: a crash or a failover gives numbers again that left no trace, so none beyond the rows that were taken is kept.

use crate::model::{EventId, Snapshot};

/// What a snapshot has not seen: transactions from a number on, and those that were under way.
pub(super) fn unseen(snapshot: &str) -> (String, Vec<String>) {
    let mut parts = snapshot.split(':').skip(1);
    let max = parts.next().filter(|max| !max.is_empty()).unwrap_or("3");
    let late = parts.next().unwrap_or_default().split(',');
    let late = late.filter(|xid| !xid.is_empty()).map(str::to_owned);
    (max.to_owned(), late.collect())
}

/// From which transaction on a snapshot has seen none.
pub(super) fn end_of(snapshot: &str) -> u64 {
    unseen(snapshot).0.parse().unwrap_or(3)
}

/// The same snapshot as if it had seen no transaction from `end` on.
pub(super) fn up_to(snapshot: &str, end: u64) -> String {
    let (max, late) = unseen(snapshot);
    let max = max.parse().unwrap_or(3).min(end.max(3));
    let late: Vec<u64> = late
        .iter()
        .filter_map(|xid| xid.parse().ok())
        .filter(|xid| *xid < max)
        .collect();
    let min = late.iter().copied().min().unwrap_or(max);
    let late: Vec<String> = late.iter().map(u64::to_string).collect();
    format!("{min}:{max}:{}", late.join(","))
}

/// Which rows were taken up to a place.
pub(crate) struct Taken<'a> {
    place: &'a Snapshot,
    seen: Seen,
    /// Of the window that is being taken.
    window: Option<Seen>,
}

/// The transactions that a snapshot has seen.
struct Seen {
    end: u64,
    late: Vec<u64>,
}

impl Seen {
    fn of(snapshot: &str) -> Self {
        let (end, late) = unseen(snapshot);
        Self {
            end: end.parse().unwrap_or(3),
            late: late.iter().filter_map(|xid| xid.parse().ok()).collect(),
        }
    }

    fn has(&self, xid: u64) -> bool {
        xid < self.end && !self.late.contains(&xid)
    }
}

impl<'a> Taken<'a> {
    /// Up to that place.
    #[must_use]
    pub(crate) fn up_to(place: &'a Snapshot) -> Self {
        Self {
            place,
            seen: Seen::of(&place.seen),
            window: (!place.window.is_empty()).then(|| Seen::of(&place.window)),
        }
    }

    /// Whether that row was. What a person had left out counts.
    #[must_use]
    pub(crate) fn has(&self, xid: i64, id: EventId) -> bool {
        let number = u64::try_from(xid).unwrap_or(0);
        let in_window =
            |window: &Seen| window.has(number) && (xid, id) <= (self.place.xid, self.place.id);
        id < self.place.since
            || self.seen.has(number)
            || self.window.as_ref().is_some_and(in_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_was_taken_if_its_transaction_was_seen_or_its_window_is_beyond_it() {
        let id = EventId::new;
        let mut place = Snapshot {
            seen: "10:20:10,14".to_owned(),
            since: id(5),
            ..Snapshot::default()
        };
        let taken = Taken::up_to(&place);
        assert!(taken.has(9, id(100)) && taken.has(19, id(100)));
        assert!(!taken.has(10, id(100)) && !taken.has(14, id(100)) && !taken.has(20, id(100)));
        assert!(taken.has(20, id(4)), "left out");
        (place.window, place.xid, place.id) = ("14:30:14,25".to_owned(), 22, id(50));
        let taken = Taken::up_to(&place);
        assert!(taken.has(10, id(100)) && taken.has(20, id(100)) && taken.has(22, id(50)));
        assert!(!taken.has(22, id(51)) && !taken.has(23, id(1_000)));
        assert!(!taken.has(14, id(100)) && !taken.has(25, id(100)));
    }

    #[test]
    fn what_a_snapshot_has_not_seen() {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            unseen("10:20:10,14"),
            ("20".to_owned(), texts(&["10", "14"]))
        );
        assert_eq!(unseen(Snapshot::NOTHING), ("3".to_owned(), texts(&[])));
        assert_eq!(unseen(""), ("3".to_owned(), texts(&[])));
        assert_eq!(end_of("10:20:10,14"), 20);
    }

    #[test]
    fn a_snapshot_is_made_to_claim_less_and_never_more() {
        assert_eq!(up_to("10:20:10,14", 30), "10:20:10,14");
        assert_eq!(up_to("10:20:10,14", 14), "10:14:10");
        assert_eq!(up_to("10:20:10,14", 10), "10:10:");
        assert_eq!(up_to("10:20:", 15), "15:15:");
        assert_eq!(up_to(Snapshot::NOTHING, 900), "3:3:");
        assert_eq!(up_to("10:20:", 0), "3:3:");
    }
}
