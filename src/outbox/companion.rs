//! The `-wal` and `-shm` beside an outbox: whether they are still the ones that SQLite has open.
//!
//! Who puts a backup in place by `rm outbox.db-wal outbox.db-shm; cp backup.db outbox.db` leaves our
//! connections with files that have no name any more: they would never see another commit, and what
//! they write would go nowhere, or into the wrong file. SQLite shares the index among a process's
//! connections, so only a process that starts anew gets out of that. Files are looked at by path.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::connect::Identity;

/// How long they may be missing: who puts a backup in place removes them first, and a daemon that
/// starts anew should find a whole file.
const MISSING: Duration = Duration::from_secs(5);

/// The two, as they were when first seen.
#[derive(Debug)]
pub(super) struct Companions {
    both: [Companion; 2],
    missing_since: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct Companion {
    path: PathBuf,
    seen: Cell<Option<Identity>>,
}

/// How the two are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As they were.
    Same,
    /// One is missing.
    Missing,
    /// One is missing for long, or another file is in its place.
    Lost,
}

impl Companions {
    /// Of the database at `path`, which SQLite has just read.
    pub(super) fn of(path: &Path) -> Self {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let beside = |suffix| {
            let mut path = real.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            let seen = Cell::new(Identity::of(&path).ok());
            Companion { path, seen }
        };
        Self {
            both: [beside("-wal"), beside("-shm")],
            missing_since: Cell::new(None),
        }
    }

    /// Looks at them.
    pub(super) fn look(&self, now: Instant) -> Standing {
        let mut missing = false;
        for companion in &self.both {
            let there = Identity::of(&companion.path).ok();
            // The application may have changed to WAL since; it can't change back while we are here.
            let seen = companion.seen.get().or(there);
            companion.seen.set(seen);
            missing |= seen.is_some() && there.is_none();
            if there.is_some() && there != seen {
                return Standing::Lost;
            }
        }
        let since = missing.then(|| self.missing_since.get().unwrap_or(now));
        self.missing_since.set(since);
        match since {
            None => Standing::Same,
            Some(since) if now.saturating_duration_since(since) < MISSING => Standing::Missing,
            Some(_) => Standing::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_in_its_place_counts_at_once_and_none_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        std::fs::write(&path, "").unwrap();
        let wal = folder.path().join("outbox.db-wal");
        let held = folder.path().join("held");
        let companions = Companions::of(&path);
        let begun = tokio::time::Instant::now().into_std();
        let after = |seconds| companions.look(begun + Duration::from_secs(seconds));
        assert_eq!(after(0), Standing::Same, "there is none yet");
        std::fs::write(&wal, "1").unwrap();
        assert_eq!(after(0), Standing::Same, "the first one");
        std::fs::write(&wal, "22").unwrap();
        assert_eq!(after(9), Standing::Same, "the same one, longer");
        // Kept, as SQLite does by having it open: else the next file might get its inode.
        std::fs::rename(&wal, &held).unwrap();
        assert_eq!(after(10), Standing::Missing);
        assert_eq!(after(14), Standing::Missing);
        assert_eq!(after(15), Standing::Lost);
        std::fs::rename(&held, &wal).unwrap();
        assert_eq!(after(16), Standing::Same, "it is back");
        std::fs::rename(&wal, &held).unwrap();
        assert_eq!(after(17), Standing::Missing);
        std::fs::write(&wal, "1").unwrap();
        assert_eq!(after(17), Standing::Lost);
    }
}
