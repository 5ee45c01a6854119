//! How a log is opened: by which VFS, and with what faults; the product's has none.
//!
//! A simulation has steps fail as a locked or full file makes them fail. Every step of a call of the
//! writer's or the checkpointer's asks, after it was done and before its transaction commits, so a fault
//! leaves nothing behind, as SQLite promises of its own. Of every commit it is told at once, with nothing
//! between the two. Left out: readers, who change nothing, and what fails when.

use std::fmt;
use std::sync::Arc;

use rusqlite::ffi;

use super::error::{Doing as _, Error};
use crate::model::Vfs;

/// What a log is opened with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    pub(crate) vfs: Vfs,
    pub(crate) faults: Faults,
}

/// What makes steps fail; the default nothing does.
#[derive(Clone, Default)]
pub(crate) struct Faults(pub(crate) Option<Arc<dyn Inject>>);

/// Decides what fails.
pub(crate) trait Inject: Send + Sync {
    /// The result code of SQLite's that a step fails with though it was done; `None` where it does not.
    fn fails(&self, step: &'static str) -> Option<i32>;

    /// A transaction of that step was committed.
    fn committed(&self, step: &'static str);
}

impl Faults {
    /// Fails where it is to.
    fn trip(&self, step: &'static str) -> rusqlite::Result<()> {
        match self.0.as_ref().and_then(|inject| inject.fails(step)) {
            None => Ok(()),
            Some(code) => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }

    /// A transaction of that step was committed.
    pub(super) fn committed(&self, step: &'static str) {
        if let Some(inject) = &self.0 {
            inject.committed(step);
        }
    }
}

/// Names the step of a failed call of the writer's or the checkpointer's, which may be made to fail.
pub(super) trait DoingWith<T> {
    fn doing_with(self, faults: &Faults, step: &'static str) -> Result<T, Error>;
}

impl<T> DoingWith<T> for rusqlite::Result<T> {
    fn doing_with(self, faults: &Faults, step: &'static str) -> Result<T, Error> {
        self.and_then(|value| faults.trip(step).map(|()| value))
            .doing(step)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults" } else { "None" })
    }
}
