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
    /// The server's timeline, which changes where a standby takes over.
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
}
