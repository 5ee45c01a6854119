//! The text of a `pg_snapshot`, `xmin:xmax:xip,…`: what it has not seen, and one that claims to have seen less.
//!
//! A snapshot that claims less is always right: its rows are only looked at again. One that claims too much loses
//! rows: a crash or a failover gives numbers again that left no trace, so none beyond the rows that were taken is kept.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Snapshot;

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
