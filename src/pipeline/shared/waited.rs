//! Whether the intake waits for room in the log, for those who are to know: the journal, status and metrics.
//!
//! A log that keeps a size is full for some milliseconds whenever much is written, and nobody is to see to that. So
//! waits count as one where little lies between them, and are told of once that has lasted; whoever looks seldom
//! sees it then too, and a burst every few seconds does not fill the journal. Left out: who waits, and for how long
//! (`hold`).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// A wait that is over within this is not worth a word.
const BRIEF_MS: i64 = 1_000;

/// Waits with no more than this between them are one.
const BETWEEN_MS: i64 = 10_000;

/// The waits of the intake. One thread writes, any may read. Times are UNIX milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    /// Since when it waits, again and again; 0 while it does not.
    since_ms: AtomicI64,
    /// When it last did.
    last_ms: AtomicI64,
    told: AtomicBool,
}

impl Waited {
    /// The intake waits now. Whether somebody is to be told: once, when it has lasted.
    pub(crate) fn waits(&self, now_ms: i64) -> bool {
        self.last_ms.store(now_ms, Ordering::Relaxed);
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        // A clock that was set back begins it anew.
        if since_ms == 0 || since_ms > now_ms {
            self.since_ms.store(now_ms.max(1), Ordering::Relaxed);
            return false;
        }
        now_ms - since_ms >= BRIEF_MS && !self.told.swap(true, Ordering::Relaxed)
    }

    /// The intake does not wait now. Whether that ends what somebody was told of.
    pub(crate) fn goes_on(&self, now_ms: i64) -> bool {
        if !self.is_any() || self.is_recent(now_ms) {
            return false;
        }
        self.since_ms.store(0, Ordering::Relaxed);
        self.told.swap(false, Ordering::Relaxed)
    }

    /// Since when it waits, where somebody was told of that.
    pub(crate) fn since_ms(&self) -> Option<i64> {
        let told = self.told.load(Ordering::Relaxed);
        told.then(|| self.since_ms.load(Ordering::Relaxed))
    }

    /// Whether it waits, or did lately.
    pub(crate) fn is_any(&self) -> bool {
        self.since_ms.load(Ordering::Relaxed) != 0
    }

    fn is_recent(&self, now_ms: i64) -> bool {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        now_ms.abs_diff(last_ms) < BETWEEN_MS.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_lasts_is_told_once_and_so_is_its_end() {
        let waited = Waited::default();
        assert!(!waited.goes_on(1_000), "there was none");
        assert!(!waited.waits(1_000), "it may be over soon");
        assert!(!waited.goes_on(1_200));
        assert_eq!(waited.since_ms(), None);
        assert!(!waited.waits(1_999));
        assert!(waited.waits(2_000), "and again and again");
        assert!(!waited.waits(30_000), "once");
        assert_eq!(waited.since_ms(), Some(1_000));
        assert!(!waited.goes_on(39_999), "a batch is none of its end");
        assert_eq!(waited.since_ms(), Some(1_000));
        assert!(waited.goes_on(40_000));
        assert_eq!(waited.since_ms(), None);
        assert!(!waited.goes_on(50_000), "once");
    }

    #[test]
    fn a_short_wait_now_and_then_is_not_told_of() {
        let waited = Waited::default();
        for second in 0..100 {
            let now_ms = 1 + second * (BETWEEN_MS + 500);
            assert!(!waited.waits(now_ms));
            assert!(!waited.waits(now_ms + 400));
            assert!(!waited.goes_on(now_ms + BETWEEN_MS + 450), "nor its end");
        }
    }

    #[test]
    fn a_clock_that_was_set_keeps_nobody_waiting_for_ever() {
        let waited = Waited::default();
        waited.waits(1_000_000);
        assert!(waited.waits(1_002_000));
        assert!(waited.goes_on(500_000), "back");
        waited.waits(500_000);
        assert!(waited.waits(502_000));
        assert!(waited.goes_on(9_000_000), "and forth");
    }
}
