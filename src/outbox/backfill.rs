//! When the WAL is copied into the file: once the outbox is left alone.
//!
//! SQLite copies it when the last connection closes, so who stops an application finds everything in
//! the one file. While webhooksd runs the application's connection is never the last, so this does
//! it, a moment after the last commit. The copying syncs the disk and has a thread of its own: no
//! event waits for it. Who may not write the file copies nothing, and nothing is said about it.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wal;

/// Without a commit for so long, the outbox is left alone. An application that commits more often
/// copies for itself, at 1,000 pages.
const QUIET: Duration = Duration::from_millis(700);

/// The longest pause between two tries where a reader of the application's, which needs the old
/// state, keeps some of it from being copied: a try opens a connection, some 0.2 ms.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Copies the WAL when its time has come.
#[derive(Debug)]
pub(crate) struct Backfill {
    path: PathBuf,
    /// When to try; `None` where nothing was committed since the file was whole.
    due: Option<Instant>,
    pause: Duration,
    /// Whether the file is whole, `None` where it can't be made so.
    copying: Option<JoinHandle<Option<bool>>>,
}

impl Backfill {
    /// For the outbox at `path`, which may have been left half copied.
    #[must_use]
    pub(crate) fn new(path: &Path, now: Instant) -> Self {
        let mut this = Self {
            path: path.to_owned(),
            due: None,
            pause: QUIET,
            copying: None,
        };
        this.touch(now);
        this
    }

    /// Somebody committed.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.pause = QUIET;
        self.due = Some(now + QUIET);
    }

    /// Begins to copy where it is time, and hears what came of it. To be called now and then; waits
    /// for nothing.
    pub(crate) fn look(&mut self, now: Instant) {
        if let Some(copying) = self.copying.take_if(|copying| copying.is_finished()) {
            let whole = copying.join().ok().flatten();
            if whole == Some(false) && self.due.is_none() {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.due = Some(now + self.pause);
            }
        }
        if self.copying.is_none() && self.due.is_some_and(|due| due <= now) {
            self.due = None;
            let wal = std::fs::metadata(wal::wal_of(&self.path));
            if wal.is_ok_and(|wal| wal.len() > 0) {
                let path = self.path.clone();
                let copy = move || wal::backfill(&path).ok();
                let name = "outbox-wal".to_owned();
                self.copying = std::thread::Builder::new().name(name).spawn(copy).ok();
            }
        }
    }

    /// Waits for what is being copied.
    pub(crate) fn end(mut self) {
        if let Some(copying) = self.copying.take() {
            copying.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::model::Clock;

    /// Looks, and waits for what began.
    fn look(it: &mut Backfill, now: Instant) -> bool {
        it.look(now);
        let began = it.copying.is_some();
        while it.copying.as_ref().is_some_and(|c| !c.is_finished()) {
            std::thread::yield_now();
        }
        began
    }

    #[test]
    fn it_is_tried_once_and_while_a_reader_is_in_the_way_at_longer_and_longer_pauses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let app = Connection::open(&path).unwrap();
        app.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .unwrap();
        let reader = Connection::open(&path).unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM t")
            .unwrap();
        app.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let begun = Clock::system().instant().into_std();
        let mut it = Backfill::new(&path, begun);
        let mut tries = Vec::new();
        for tenths in 0..300 {
            if look(&mut it, begun + Duration::from_millis(tenths * 100)) {
                tries.push(tenths);
            }
        }
        // Each try is heard of at the next look, a tenth later, from which the pause counts.
        assert_eq!(tries[..4], [7, 22, 51, 102]);
        assert!(
            tries.windows(2).all(|two| two[1] - two[0] <= 51),
            "{tries:?}"
        );
        drop(reader);
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(look(&mut it, after(60)) || look(&mut it, after(70)));
        for seconds in 80..90 {
            assert!(!look(&mut it, after(seconds)), "the file is whole");
        }
        it.touch(after(90));
        assert!(look(&mut it, after(91)));
    }
}
