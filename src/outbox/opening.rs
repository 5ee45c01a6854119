//! Opening an outbox as the product does, by the VFS that all programs share; a simulation says another.
//!
//! Left out: what there is to do then, and how a connection is made (`connect`).

use std::path::Path;

use super::{Appender, Error, Tail, connect};
use crate::model::Vfs;

impl Tail {
    /// Opens the outbox at `path`, which must have a proper table.
    ///
    /// `max_data_bytes` is the longest `data` that makes an event. A table without `tenant` serves:
    /// its events have none.
    ///
    /// # Errors
    ///
    /// [`Error::Find`], [`Error::Open`], and those that say what is wrong with the table.
    pub fn open(path: &Path, max_data_bytes: usize) -> Result<Self, Error> {
        Self::open_by(Vfs::default(), path, max_data_bytes)
    }

    /// Takes back what a crash of the application left half done, so that reading works again.
    ///
    /// # Errors
    ///
    /// [`Error::Open`]: this user may not write the file.
    pub fn finish(&self) -> Result<(), Error> {
        connect::finish(&self.path, self.vfs)
    }
}

impl Appender {
    /// Opens the outbox at `path`, which must have a proper table.
    ///
    /// # Errors
    ///
    /// As [`Tail::open`].
    pub fn open(path: &Path, max_data_bytes: usize) -> Result<Self, Error> {
        Self::open_by(Vfs::default(), path, max_data_bytes)
    }
}
