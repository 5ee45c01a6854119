//! Which of SQLite's VFSes a database is opened with: the part of it that knows the system's files and locks.
//!
//! All connections of a process to one file have to be opened with the same.

/// The name of a VFS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vfs(pub(crate) &'static str);

impl Default for Vfs {
    /// With POSIX locks and an index of the WAL that all processes see.
    fn default() -> Self {
        Self("unix")
    }
}
