//! Faults of the log on purpose, for simulations: a call fails as a locked or full file makes it fail.
//!
//! Every step of a call asks [`trip`] after it was done and before its transaction commits, so a
//! fault leaves nothing behind, as SQLite promises of its own. The schedule belongs to one thread:
//! tests beside it see no fault.

use std::cell::RefCell;

use rusqlite::ffi;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Somebody else holds the write lock.
    Busy,
    /// The disk is full.
    Full,
    /// The disk fails.
    Disk,
}

type Schedule = Box<dyn FnMut(&'static str) -> Option<Trouble>>;

thread_local! {
    static SCHEDULE: RefCell<Option<Schedule>> = const { RefCell::new(None) };
}

/// Has this thread's calls fail as the schedule says; `None` ends it.
pub(crate) fn schedule(schedule: Option<Schedule>) {
    SCHEDULE.set(schedule);
}

/// Fails where the schedule says so.
pub(super) fn trip(step: &'static str) -> rusqlite::Result<()> {
    let trouble = SCHEDULE.with_borrow_mut(|schedule| schedule.as_mut()?(step));
    let code = match trouble {
        None => return Ok(()),
        Some(Trouble::Busy) => ffi::SQLITE_BUSY,
        Some(Trouble::Full) => ffi::SQLITE_FULL,
        Some(Trouble::Disk) => ffi::SQLITE_IOERR,
    };
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}
