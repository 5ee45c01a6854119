//! Faults of the log on purpose, for simulations: a call fails as a locked or full file makes it fail.
//!
//! Every step of a call asks [`trip`] after it was done and before its transaction commits, so a
//! fault leaves nothing behind, as SQLite promises of its own. A watch is told of every commit, at
//! once, with nothing between the two. Schedule and watch belong to one thread: tests beside it see
//! neither.

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
type Watch = Box<dyn FnMut(&'static str)>;

thread_local! {
    static SCHEDULE: RefCell<Option<Schedule>> = const { RefCell::new(None) };
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Has this thread's calls fail as the schedule says; `None` ends it.
pub(crate) fn schedule(schedule: Option<Schedule>) {
    SCHEDULE.set(schedule);
}

/// Has this thread's commits told, each by its step; `None` ends it.
pub(crate) fn watch(watch: Option<Watch>) {
    WATCH.set(watch);
}

/// A transaction of that step was committed.
pub(super) fn committed(step: &'static str) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch(step);
        }
    });
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
