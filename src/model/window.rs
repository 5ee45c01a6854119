//! Spans of time and of ids, each with its edges said once.

/// Moments from `from_ms` on and before `to_ms`, UNIX milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeWindow {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// Ids above `after`, up to `up_to` and with it, as they are read in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange<Id> {
    pub after: Id,
    pub up_to: Id,
}
