//! The hold: while the log is as large as it may be, what takes work in waits for what goes out.
//!
//! What is not taken in stands in the outbox, so waiting loses nothing. It lasts as long as room comes:
//! deletion has something to delete, or the workers finish something that it may delete then. Where
//! nothing goes, what is left is pending work that nobody finishes, an endpoint that is down, and to wait
//! for it would have every other webhook wait too: then events are taken in, and the log grows, until
//! there is room again. Left out: who makes room (`log/size.rs`, `log/sync.rs`), who waits and what is under way
//! (`send/waiting.rs`), and who is told (`waited`).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::waited::Waited;
use crate::store::Fill;

/// Nothing went for so long: then nothing will, as an endpoint that answers does so in less, by far. Where deletion says
/// that there is nothing, and nothing is under way to one that answers, nobody waits for that.
const QUIET: Duration = Duration::from_secs(5);

/// So long may one batch wait while something goes, so that webhooks wait no longer for one that is slow. Not less: a
/// batch is a 64th of the log at most, so one that can't get smaller grows by a tenth in a minute.
const LONGEST: Duration = Duration::from_secs(10);

/// Of a log's size one batch has this part at most: four dialects' bodies of it are a sixteenth.
const BATCH_SHARE: u64 = 64;

/// Wakes a thread that waits for something else too.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Whether the log is full, and who is told that it no longer is.
pub(crate) struct Hold {
    /// More is in use than may be. Relaxed, as all here: a hint that is looked at again with the next batch.
    over: AtomicBool,
    /// The WAL is too long for what else there is.
    tight: AtomicBool,
    /// Deletion found nothing that may go, and what is in use is too much.
    stuck: AtomicBool,
    /// Becomes another one when something went.
    gone: AtomicU64,
    /// Bytes of bodies in one batch.
    batch_bytes: AtomicUsize,
    wake: Mutex<Option<Wake>>,
    freed: Notify,
    waited: Waited,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            over: AtomicBool::new(false),
            tight: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            gone: AtomicU64::new(0),
            batch_bytes: AtomicUsize::new(usize::MAX),
            wake: Mutex::default(),
            freed: Notify::new(),
            waited: Waited::default(),
        }
    }
}

impl Hold {
    pub(super) fn set(&self, fill: Fill) {
        let was_full = self.is_full();
        self.over.store(fill.over, Ordering::Relaxed);
        self.tight.store(fill.tight, Ordering::Relaxed);
        if was_full && !fill.is_full() {
            self.wake();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.tight.load(Ordering::Relaxed)
    }

    /// Says that something went.
    pub(crate) fn went(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }

    /// Says whether deletion has found nothing that may go though what is in use is too much.
    pub(crate) fn set_stuck(&self, is_stuck: bool) {
        if !self.stuck.swap(is_stuck, Ordering::Relaxed) && is_stuck {
            // Who waits need not.
            self.wake();
        }
    }

    /// Why there is no room.
    pub(crate) fn cause(&self) -> &'static str {
        if self.stuck.load(Ordering::Relaxed) {
            "what is pending fills it"
        } else if self.over.load(Ordering::Relaxed) {
            "events come faster than finished work can be deleted"
        } else {
            "its -wal grows faster than it is copied into the database"
        }
    }

    /// Whether the intake waits, as far as it is told.
    pub(crate) fn waited(&self) -> &Waited {
        &self.waited
    }

    fn wake(&self) {
        self.freed.notify_waiters();
        if let Some(wake) = &*self.wake.lock() {
            wake();
        }
    }

    /// Has this called when there is room again, or none to wait for, in place of what was called before.
    pub(crate) fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.wake.lock() = Some(Box::new(wake));
    }

    /// Waits until there is room again, or none to wait for. Whoever was not here then looks after a while.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Has batches be a small part of a log of that size.
    pub(crate) fn limit(&self, max_bytes: Option<u64>) {
        let bytes = max_bytes.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes / BATCH_SHARE).unwrap_or(usize::MAX)
        });
        self.batch_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of bodies that one batch may have; one event has as many as it has.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch_bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("over", &self.over)
            .field("tight", &self.tight)
            .field("stuck", &self.stuck)
            .finish_non_exhaustive()
    }
}

/// How long one who takes work in has waited.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    waiting: Option<Waiting>,
    /// Nothing went for long: no wait until there is room again.
    given_up: bool,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// What had gone when something last went, and when that was.
    gone: (u64, Instant),
}

impl Patience {
    /// Whether to wait before the next batch. `goes`: whether something is under way that may be finished soon.
    pub(crate) fn waits(&mut self, hold: &Hold, now: Instant, goes: impl FnOnce() -> bool) -> bool {
        if !hold.is_full() {
            *self = Self::default();
            return false;
        }
        if self.given_up {
            return false;
        }
        let gone = hold.gone.load(Ordering::Relaxed);
        let waiting = self.waiting.get_or_insert(Waiting {
            since: now,
            gone: (gone, now),
        });
        if waiting.gone.0 != gone {
            waiting.gone = (gone, now);
        }
        let is_quiet = now.saturating_duration_since(waiting.gone.1) >= QUIET;
        let is_in_vain = || hold.stuck.load(Ordering::Relaxed) && !goes();
        self.given_up = is_quiet || is_in_vain();
        let is_long = now.saturating_duration_since(waiting.since) >= LONGEST;
        if self.given_up || is_long {
            self.waiting = None;
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const FULL: Fill = Fill {
        over: true,
        long: false,
        tight: false,
    };

    #[test]
    fn a_batch_waits_while_something_goes_and_no_longer_than_it_may() {
        let (hold, mut patience) = (Hold::default(), Patience::default());
        let mut now = Instant::now();
        assert!(!patience.waits(&hold, now, || true), "there is room");
        hold.set(FULL);
        for _ in 0..10 {
            hold.went();
            assert!(patience.waits(&hold, now, || true));
            now += SECOND;
        }
        hold.went();
        assert!(!patience.waits(&hold, now, || true), "one batch");
        assert!(
            patience.waits(&hold, now, || true),
            "and the next waits again"
        );
    }

    #[test]
    fn where_nothing_goes_nobody_waits_until_there_was_room() {
        let (hold, mut patience) = (Hold::default(), Patience::default());
        let now = Instant::now();
        hold.set(FULL);
        assert!(patience.waits(&hold, now, || true));
        assert!(patience.waits(&hold, now + 4 * SECOND, || true));
        assert!(!patience.waits(&hold, now + 5 * SECOND, || true));
        hold.went();
        assert!(
            !patience.waits(&hold, now + 6 * SECOND, || true),
            "still full of what is pending"
        );
        hold.set(Fill::default());
        assert!(!patience.waits(&hold, now + 7 * SECOND, || true));
        hold.set(FULL);
        assert!(patience.waits(&hold, now + 8 * SECOND, || true));
    }

    #[test]
    fn who_would_wait_in_vain_does_not_wait() {
        let (hold, mut patience) = (Hold::default(), Patience::default());
        let now = Instant::now();
        hold.set(FULL);
        assert!(
            patience.waits(&hold, now, || false),
            "deletion has not looked"
        );
        hold.set_stuck(true);
        assert!(
            patience.waits(&hold, now, || true),
            "something is under way"
        );
        assert!(!patience.waits(&hold, now, || false));
        assert!(!patience.waits(&hold, now, || true), "until there was room");
        hold.set(Fill::default());
        assert!(!patience.waits(&hold, now, || false));
        hold.set_stuck(false);
        hold.set(FULL);
        assert!(patience.waits(&hold, now, || false));
    }

    #[tokio::test]
    async fn room_wakes_who_waits_once() {
        let hold = Arc::new(Hold::default());
        let woken = Arc::new(AtomicU64::new(0));
        let count = woken.clone();
        hold.wake_by(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        hold.set(Fill::default());
        hold.set(FULL);
        hold.set(FULL);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        let waits = hold.freed();
        tokio::pin!(waits);
        assert!(futures_pending(waits.as_mut()).await);
        hold.set(Fill::default());
        waits.await;
        hold.set(Fill::default());
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        hold.set_stuck(false);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        hold.set_stuck(true);
        hold.set_stuck(true);
        assert_eq!(
            woken.load(Ordering::Relaxed),
            2,
            "there is nothing to wait for"
        );
    }

    async fn futures_pending(future: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_err()
    }
}
