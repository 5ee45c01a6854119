//! How far an outbox in PostgreSQL has been taken: not an id, but what a snapshot of the server had seen.
//!
//! Transactions commit in another order than they begin, so no id or transaction number divides what was
//! taken from what was not. A `pg_snapshot` does.

use super::EventId;

/// How far an outbox in PostgreSQL has been taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Which server and database it is of: a snapshot of another one says nothing of this.
    pub system: String,
    /// The server's timeline, which changes where a standby takes over. `OLD>NEW` while the rows of the first
    /// window on the new one are compared with what was taken on the old one.
    pub timeline: String,
    /// The `pg_snapshot` all of whose rows were taken.
    pub seen: String,
    /// That of the window that is being taken, up to `xid` and `id`; empty: none is.
    pub window: String,
    /// The transaction of the last row that was taken of the window.
    pub xid: i64,
    /// The last row that was taken of the window.
    pub id: EventId,
    /// The first window begins with this id: those before it are left out by a person's decision.
    pub since: EventId,
}

impl Snapshot {
    /// What no transaction is in: all of an outbox is behind it. 3 is the first transaction of a server.
    pub const NOTHING: &str = "3:3:";

    /// Whether rows are looked at again, some of which may have been taken.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.timeline.contains('>')
    }

    /// The timeline of the server that is read.
    #[must_use]
    pub fn timeline_now(&self) -> &str {
        self.timeline.rsplit('>').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_says_whether_rows_are_looked_at_again() {
        let of = |timeline: &str| Snapshot {
            timeline: timeline.to_owned(),
            ..Snapshot::default()
        };
        let (plain, again) = (of("00000001"), of("00000001>00000002"));
        assert!(!plain.is_again() && again.is_again());
        assert_eq!(plain.timeline_now(), "00000001");
        assert_eq!(again.timeline_now(), "00000002");
        assert_eq!(of("").timeline_now(), "");
    }
}
