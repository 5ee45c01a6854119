//! Whether anything happened to an outbox's files, by path alone: none of them is opened.
//!
//! For who waits for a database that may not be there. It is a hint: a change within the same tick of
//! the file system's clock that leaves the length as it was is not seen.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The files of a database as they were: their identities, lengths and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace([Option<[u64; 3]>; 2], [(i64, i64); 2]);

impl Trace {
    /// Of the database at `path`, and of its `-wal`.
    #[must_use]
    pub(crate) fn of(path: &Path) -> Self {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut wal = real.clone().into_os_string();
        wal.push("-wal");
        let files = [std::fs::metadata(&real).ok(), std::fs::metadata(wal).ok()];
        let which = files.each_ref().map(|file| {
            let file = file.as_ref()?;
            Some([file.dev(), file.ino(), file.len()])
        });
        let when = files.each_ref().map(|file| {
            let time = |file: &std::fs::Metadata| (file.mtime(), file.mtime_nsec());
            file.as_ref().map_or((0, 0), time)
        });
        Self(which, when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_grows_or_goes_leaves_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let mut seen = Trace::of(&path);
        let mut differs = |what: &str| {
            let now = Trace::of(&path);
            assert_ne!(now, seen, "{what}");
            assert_eq!(now, Trace::of(&path), "{what}");
            seen = now;
        };
        std::fs::write(&path, "").unwrap();
        differs("it came");
        std::fs::write(&path, "1").unwrap();
        differs("it grew");
        std::fs::write(folder.path().join("app.db-wal"), "").unwrap();
        differs("its -wal came");
        std::fs::remove_file(&path).unwrap();
        differs("it went");
    }
}
