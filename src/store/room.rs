//! What room there is for the log to grow, and how fast it does: about, and by no count over a table.

use std::path::Path;

use super::Reader;
use super::{Error, error::Doing as _};

/// The bytes that its file system has left for whoever is not root; `None` where that can't be said.
#[must_use]
pub(crate) fn free(database: &Path) -> Option<u64> {
    let of = rustix::fs::statvfs(database).ok()?;
    of.f_bavail.checked_mul(of.f_frsize)
}

impl Reader {
    /// How many attempts the log has since then, and in all, by their ids.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn attempts_since(&self, time_ms: i64) -> Result<(i64, i64), Error> {
        let step = "look how fast the log grows";
        let first = self.first_attempt_at(time_ms).doing(step)?;
        let ends = "SELECT coalesce((SELECT min(id) FROM attempt), 0), coalesce((SELECT max(id) FROM attempt), -1)";
        let (least, last): (i64, i64) = self
            .connection
            .prepare_cached(ends)
            .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
            .doing(step)?;
        Ok(((last + 1 - first.get()).max(0), last + 1 - least))
    }
}
