//! Keeping the log: attempts are recorded, due rows read back, commits brought to the disk, and what is
//! older than its days, or more than there is room for, deleted.
//!
//! One loop each, all of them started and awaited by the daemon.

mod days;
mod pauses;
mod record;
mod refill;
mod retention;
mod retention_server;
mod size;
mod sync;
mod transition;

#[cfg(test)]
pub(crate) use retention::prune;
