//! The hold: while the log is as large as it may be, what takes work in waits for what goes out.
//!
//! What is not taken in stands in the outbox, so waiting loses nothing. It lasts as long as room comes:
//! deletion has something to delete, or the workers finish something that it may delete then. Where
//! nothing goes, what is left is pending work that nobody finishes, an endpoint that is down, and to wait
//! for it would have every other webhook wait too: then events are taken in, and the log grows, until
//! there is room again. Left out: who makes room (`log/size.rs`, `log/sync.rs`), and who waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Nothing went for so long: then nothing will, as an endpoint that answers does so in less, by far.
const QUIET: Duration = Duration::from_secs(5);

/// So long may one batch wait while something goes, so that webhooks wait no longer for one that is slow.
const LONGEST: Duration = Duration::from_secs(10);

/// Of a log's size one batch has this part at most: four dialects' bodies of it are a sixteenth.
const BATCH_SHARE: u64 = 64;

/// Wakes a thread that waits for something else too.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Whether the log is full, and who is told that it no longer is.
pub(crate) struct Hold {
    /// Relaxed, as all here: a hint that is looked at again with the next batch.
    full: AtomicBool,
    /// Becomes another one when something went.
    gone: AtomicU64,
    /// Bytes of bodies in one batch.
    batch_bytes: AtomicUsize,
    wake: Mutex<Option<Wake>>,
    freed: Notify,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            full: AtomicBool::new(false),
            gone: AtomicU64::new(0),
            batch_bytes: AtomicUsize::new(usize::MAX),
            wake: Mutex::default(),
            freed: Notify::new(),
        }
    }
}

impl Hold {
    pub(super) fn set(&self, is_full: bool) {
        if self.full.swap(is_full, Ordering::Relaxed) && !is_full {
            self.freed.notify_waiters();
            if let Some(wake) = &*self.wake.lock() {
                wake();
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Says that something went.
    pub(crate) fn went(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }

    /// Has this called when there is room again, in place of what was called before.
    pub(crate) fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.wake.lock() = Some(Box::new(wake));
    }

    /// Waits until there is room again. Whoever was not here then looks after a while.
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
            .field("full", &self.full)
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
    /// Whether to wait before the next batch.
    pub(crate) fn waits(&mut self, hold: &Hold, now: Instant) -> bool {
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
        self.given_up = now.saturating_duration_since(waiting.gone.1) >= QUIET;
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

    #[test]
    fn a_batch_waits_while_something_goes_and_no_longer_than_it_may() {
        let (hold, mut patience) = (Hold::default(), Patience::default());
        let mut now = Instant::now();
        assert!(!patience.waits(&hold, now), "there is room");
        hold.set(true);
        for _ in 0..10 {
            hold.went();
            assert!(patience.waits(&hold, now));
            now += SECOND;
        }
        hold.went();
        assert!(!patience.waits(&hold, now), "one batch");
        assert!(patience.waits(&hold, now), "and the next waits again");
    }

    #[test]
    fn where_nothing_goes_nobody_waits_until_there_was_room() {
        let (hold, mut patience) = (Hold::default(), Patience::default());
        let now = Instant::now();
        hold.set(true);
        assert!(patience.waits(&hold, now));
        assert!(patience.waits(&hold, now + 4 * SECOND));
        assert!(!patience.waits(&hold, now + 5 * SECOND));
        hold.went();
        assert!(
            !patience.waits(&hold, now + 6 * SECOND),
            "still full of what is pending"
        );
        hold.set(false);
        assert!(!patience.waits(&hold, now + 7 * SECOND));
        hold.set(true);
        assert!(patience.waits(&hold, now + 8 * SECOND));
    }

    #[tokio::test]
    async fn room_wakes_who_waits_once() {
        let hold = Arc::new(Hold::default());
        let woken = Arc::new(AtomicU64::new(0));
        let count = woken.clone();
        hold.wake_by(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        hold.set(false);
        hold.set(true);
        hold.set(true);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        let waits = hold.freed();
        tokio::pin!(waits);
        assert!(futures_pending(waits.as_mut()).await);
        hold.set(false);
        waits.await;
        hold.set(false);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    async fn futures_pending(future: impl Future<Output = ()>) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_err()
    }
}
