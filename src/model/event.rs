//! An event: one row of the outbox, checked, before it is fanned out.
//!
//! An `Event` always satisfies the rules of the outbox schema, whether or not the application's
//! table enforces them: `outbox` makes one only from a row that does, and says why of the others.

use std::sync::Arc;

use super::EventId;

/// The largest id an event may have: 2^53 - 1, the largest integer that every JSON reader keeps exact.
pub const MAX_ID: i64 = 9_007_199_254_740_991;

/// The latest time an event may have: the last millisecond of the year 9999.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// The deepest nesting of `data` that is sent on. SQLite's own JSON reader stops there too.
pub const MAX_DEPTH: usize = 1_000;

/// One row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The row's id, 1 to [`MAX_ID`]; grows in commit order.
    pub id: EventId,
    /// The event's name, 1 to 255 of `A-Z a-z 0-9 - _ . : /`.
    pub name: Arc<str>,
    /// The JSON text that the application wrote, to the byte.
    pub data: Box<str>,
    /// When it happened, UNIX milliseconds, 0 to [`MAX_TIME_MS`].
    pub time_ms: i64,
    /// Whose event it is, for applications that serve several.
    pub tenant: Option<Box<str>>,
}

/// Whether `name` is an event's name by the outbox schema's rule.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(b))
}
