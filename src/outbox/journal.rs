//! Whether the rollback journal beside an outbox belongs to a transaction that is under way.
//!
//! It does while it holds bytes, but for the mode PERSIST, which leaves the journal and has its first
//! 28 bytes be zero at the commit. While it is used these are not all zero: the page size is in them
//! from the beginning (<https://sqlite.org/fileformat2.html#the_rollback_journal>).
//!
//! This is the one file of a database that is opened here, and not by SQLite: it is never locked, so
//! that closing it costs no lock. Opened it is only where it holds bytes.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The part of the header that a commit in the mode PERSIST overwrites.
const HEADER_BYTES: usize = 28;

/// The journal of the database that `path` leads to.
pub(super) fn path_of(path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut journal = real.into_os_string();
    journal.push("-journal");
    journal.into()
}

/// Whether a transaction is under way, by its journal.
pub(super) fn is_used(journal: &Path) -> bool {
    std::fs::metadata(journal).is_ok_and(|journal| journal.len() > 0) && !is_over(journal)
}

/// Whether the header is of a transaction that has ended. What can't be read is not.
fn is_over(journal: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(journal, flags, Mode::empty()) else {
        return false;
    };
    let mut header = [0_u8; HEADER_BYTES];
    let read = rustix::io::pread(&file, &mut header, 0);
    read == Ok(HEADER_BYTES) && header == [0; HEADER_BYTES]
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_journal_is_used_from_the_first_write_to_the_commit_in_every_mode() {
        for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.db");
            let journal = path_of(&path);
            let app = Connection::open(&path).unwrap();
            app.pragma_update(None, "journal_mode", mode).unwrap();
            app.execute_batch("CREATE TABLE t (x)").unwrap();
            for end in ["COMMIT", "ROLLBACK", "COMMIT"] {
                assert!(!is_used(&journal), "{mode}, before it");
                app.execute_batch("BEGIN; INSERT INTO t VALUES (1)")
                    .unwrap();
                assert!(is_used(&journal), "{mode}, within it");
                app.execute_batch(end).unwrap();
                assert!(!is_used(&journal), "{mode}, after {end}");
            }
            let kept = std::fs::metadata(&journal).map_or(0, |journal| journal.len());
            assert_eq!(kept > 0, mode == "PERSIST", "{mode}");
        }
    }
}
