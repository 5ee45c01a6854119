//! The log behind its lock: one call at a time, in the order in which they were asked for.
//!
//! Whoever holds the lock holds a [`LogGuard`], and what is right only under the lock takes the guard as
//! an argument. What a call commits is on disk later; the guard's end tells the one who sees to that.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{FairMutex, FairMutexGuard};
use tokio::sync::Notify;

use super::hold::Hold;
use super::runtime::Runtime;
use crate::store::{Fill, LogWriter};

/// The log, and the threads on which its calls may block.
pub(crate) struct Log {
    /// Fair: whoever asks first is next. The recorder, which comes back at once with the next batch,
    /// would else keep the intake waiting for as long as a burst of results lasts.
    inner: FairMutex<Inner>,
    runtime: Runtime,
    /// Something was committed that is not known to be on disk, or the WAL is to be looked at again.
    unsynced: Notify,
    growth: Growth,
}

/// What concerns the size of the log alone. Where there is no limit, nobody waits for it.
#[derive(Default)]
struct Growth {
    /// Whether `grown` was told of the commits since the last look at the size.
    told: AtomicBool,
    /// Something was committed since then.
    grown: Notify,
    /// The WAL is too long to wait for the next synchronisation.
    hurried: Notify,
    /// The log is so large that nobody may commit until its WAL was copied.
    tight: AtomicBool,
    /// Its size is to be looked at now.
    urged: Notify,
    hold: Hold,
}

struct Inner {
    /// Whatever engine keeps the log: one virtual call more for a transaction.
    store: Box<dyn LogWriter>,
    /// Whether `unsynced` was told of what is not on disk yet.
    told: bool,
    /// How full it was when that was last told.
    fill: Fill,
}

/// The log, locked.
pub(crate) struct LogGuard<'a> {
    inner: FairMutexGuard<'a, Inner>,
    unsynced: &'a Notify,
    growth: &'a Growth,
}

impl Log {
    pub(crate) fn new(store: Box<dyn LogWriter>, runtime: Runtime) -> Self {
        Self {
            inner: FairMutex::new(Inner {
                store,
                told: false,
                fill: Fill::default(),
            }),
            runtime,
            unsynced: Notify::new(),
            growth: Growth::default(),
        }
    }

    /// Locks it, for one short call. Blocks: not for futures.
    pub(crate) fn lock(&self) -> LogGuard<'_> {
        LogGuard {
            inner: self.inner.lock(),
            unsynced: &self.unsynced,
            growth: &self.growth,
        }
    }

    /// Waits until something is to be synchronised or looked at.
    pub(crate) async fn unsynced(&self) {
        self.unsynced.notified().await;
    }

    /// Has the WAL looked at again though nobody commits.
    pub(crate) fn look_again(&self) {
        self.unsynced.notify_one();
    }

    /// Waits until something was committed since the last [`Log::look_at_size`].
    pub(crate) async fn grown(&self) {
        self.growth.grown.notified().await;
    }

    /// What is committed from here on is told of anew.
    pub(crate) fn look_at_size(&self) {
        self.growth.told.store(false, Ordering::Relaxed);
    }

    /// Has the WAL copied at once; `tight`: and nobody commits meanwhile.
    pub(crate) fn hurry(&self, tight: bool) {
        self.growth.hurry(tight);
        self.unsynced.notify_one();
    }

    /// Who waits while it is full.
    pub(crate) fn hold(&self) -> &Hold {
        &self.growth.hold
    }

    /// Waits until its size is to be looked at now.
    pub(crate) async fn urged(&self) {
        self.growth.urged.notified().await;
    }

    /// Waits until the WAL is to be copied at once.
    pub(crate) async fn hurried(&self) {
        self.growth.hurried.notified().await;
    }

    /// Whether nobody may commit while the WAL is copied; asked once.
    pub(crate) fn take_tight(&self) -> bool {
        self.growth.tight.swap(false, Ordering::Relaxed)
    }

    /// What its calls run on.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Runs one short call that may block.
    pub(crate) async fn blocking<R, F>(&self, call: F) -> R
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        self.runtime.blocking(call).await
    }
}

impl Growth {
    fn hurry(&self, tight: bool) {
        if tight {
            self.tight.store(true, Ordering::Relaxed);
        }
        self.hurried.notify_one();
    }

    /// Tells of what became of the room since it was told last; whether the WAL is to be copied at once.
    fn changed(&self, before: Fill, now: Fill) -> bool {
        if now.is_full() && !before.is_full() {
            self.urged.notify_one();
        }
        self.hold.set(now);
        let hurries = (now.long && !before.long) || (now.tight && !before.tight);
        if hurries {
            self.hurry(now.tight);
        }
        hurries
    }
}

impl LogGuard<'_> {
    /// A checkpoint that begins after this call has the disk keep all that was committed so far: what
    /// is committed from here on is told of anew.
    pub(crate) fn begin_sync(&mut self) {
        self.inner.told = false;
        self.inner.store.set_unsynced(false);
    }

    /// It did not, or could not even begin: told of once more, so that somebody tries again.
    pub(crate) fn not_synced(&mut self) {
        self.inner.told = false;
        self.inner.store.set_unsynced(true);
    }
}

impl Deref for LogGuard<'_> {
    type Target = dyn LogWriter;

    fn deref(&self) -> &Self::Target {
        &*self.inner.store
    }
}

impl DerefMut for LogGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.inner.store
    }
}

impl Drop for LogGuard<'_> {
    fn drop(&mut self) {
        if self.inner.store.is_unsynced() && !self.inner.told {
            self.inner.told = true;
            self.unsynced.notify_one();
        }
        if self.inner.store.is_unsynced() && !self.growth.told.load(Ordering::Relaxed) {
            self.growth.told.store(true, Ordering::Relaxed);
            self.growth.grown.notify_one();
        }
        let (before, now) = (self.inner.fill, self.inner.store.fill());
        if before != now {
            self.inner.fill = now;
            if self.growth.changed(before, now) {
                self.unsynced.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Cursor;
    use crate::store::Store;

    async fn is_told(log: &Log) -> bool {
        let told = tokio::time::timeout(Duration::from_millis(1), log.unsynced()).await;
        told.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn every_commit_is_told_of_once_until_it_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("log.db"), 0).unwrap();
        let log = Log::new(Box::new(store), tokio::runtime::Handle::current().into());
        drop(log.lock());
        assert!(is_told(&log).await, "what the process before left");
        log.lock().begin_sync();
        log.lock().cursor().unwrap();
        assert!(!is_told(&log).await, "nothing was committed");
        // The commits that nobody used to tell of.
        type Commit = fn(&mut dyn LogWriter);
        let commits: [Commit; 3] = [
            |store| store.set_cursor(&Cursor::default(), 1).unwrap(),
            |store| store.register(&[("w".into(), true)], 1).unwrap(),
            |store| assert!(store.mark(1).unwrap()),
        ];
        for commit in commits {
            commit(&mut *log.lock());
            log.lock().cursor().unwrap();
            assert!(is_told(&log).await);
            assert!(!is_told(&log).await, "once");
            log.lock().not_synced();
            assert!(is_told(&log).await, "it could not begin: once more");
            log.lock().begin_sync();
            assert!(!is_told(&log).await);
            log.lock().not_synced();
            assert!(is_told(&log).await, "it failed: once more");
            log.lock().begin_sync();
        }
    }
}
