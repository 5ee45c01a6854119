//! Permits: how many requests may be in flight in all, and whose turn it is when that is reached.
//!
//! A webhook with fewer than [`FLOOR`] in flight always gets a permit, so that a hundred endpoints
//! that never answer cannot keep a healthy one waiting. The global limit counts what is above that.
//! Who finds no permit stands in line; the line moves by one with each permit that is given back, and
//! a worker at a permit above its lane's floor gives it back after its shift while others wait.
//!
//! While results come faster than the log takes them, fewer permits are given out: more requests in
//! flight would only make the results wait longer, in memory that they need.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Requests in flight that every webhook may have whatever the others do.
pub(crate) const FLOOR: usize = 4;

/// Permits above the floors that are left when the log can't follow. What two processors are busy with
/// is in flight then; with 64 permits, ten webhooks were sent a tenth less, for the state of so many
/// connections and requests is no longer in the processors' caches when they are turned to again.
const LEAST: usize = 24;

/// Results waiting for the log at which permits are taken away, and at which they are given again:
/// four of the recorder's batches, and less than one.
const LAG: (usize, usize) = (1_024, 192);

/// The permits above every webhook's floor.
pub(crate) struct Permits<L> {
    inner: Mutex<Inner<L>>,
    waiting: AtomicUsize,
    /// More permits are taken than there are by now.
    excess: AtomicBool,
}

struct Inner<L> {
    /// What the configuration allows.
    limit: usize,
    /// What the log can follow, never more than `limit`.
    window: usize,
    used: usize,
    line: VecDeque<L>,
}

impl<L> Permits<L> {
    pub(crate) fn new(limit: usize) -> Self {
        let inner = Inner {
            limit,
            window: limit,
            used: 0,
            line: VecDeque::new(),
        };
        Self {
            inner: Mutex::new(inner),
            waiting: AtomicUsize::new(0),
            excess: AtomicBool::new(false),
        }
    }

    /// Changes the limit; who is above a smaller one finishes first.
    pub(crate) fn resize(&self, limit: usize) {
        let mut inner = self.lock();
        inner.limit = limit;
        inner.window = limit;
        self.note(&inner);
    }

    /// Takes permits away or gives them again, by how many results wait for the log. True where
    /// there are more than before, for those who stand in line.
    pub(crate) fn steer(&self, lag: usize) -> bool {
        if LAG.1 <= lag && lag < LAG.0 {
            return false;
        }
        let mut inner = self.lock();
        let was = inner.window;
        inner.window = if lag >= LAG.0 {
            // From what is in use: a window that was never filled would take long to close.
            let busy = was.min(inner.used.max(LEAST));
            busy - busy / 4
        } else {
            was + was / 2
        };
        inner.window = inner.window.max(LEAST).min(inner.limit);
        self.note(&inner);
        inner.window > was
    }

    fn note(&self, inner: &Inner<L>) {
        self.waiting.store(inner.line.len(), Ordering::Relaxed);
        self.excess
            .store(inner.used > inner.window, Ordering::Relaxed);
    }

    /// Acquires a permit for a lane that has `active` in flight, or puts the lane that `lane` gives at
    /// the end of the line, in one step, so that no permit given back in between is missed.
    pub(crate) fn acquire_or_wait(&self, active: usize, lane: impl FnOnce() -> Option<L>) -> bool {
        if active < FLOOR {
            return true;
        }
        let mut inner = self.lock();
        if inner.used < inner.window {
            inner.used += 1;
            return true;
        }
        inner.line.extend(lane());
        self.note(&inner);
        false
    }

    /// Gives back a permit of a lane that had `active` in flight.
    pub(crate) fn give_back(&self, active: usize) {
        if active > FLOOR {
            let mut inner = self.lock();
            inner.used -= 1;
            self.note(&inner);
        }
    }

    /// The lane whose turn it is, where there is a free permit and somebody waits.
    pub(crate) fn next(&self) -> Option<L> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut inner = self.lock();
        if inner.used >= inner.window {
            return None;
        }
        let next = inner.line.pop_front();
        self.note(&inner);
        next
    }

    /// Whether a lane with `active` in flight should let another one have its permit, or nobody.
    pub(crate) fn should_yield(&self, active: usize) -> bool {
        active > FLOOR
            && (self.waiting.load(Ordering::Relaxed) > 0 || self.excess.load(Ordering::Relaxed))
    }

    /// Permits above the floors that are taken.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.lock().used
    }

    /// Whether one of them is free.
    #[cfg(test)]
    pub(crate) fn is_free(&self) -> bool {
        let inner = self.lock();
        inner.used < inner.window
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Inner<L>> {
        self.inner.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_free_and_the_rest_is_counted() {
        let permits = Permits::<u8>::new(2);
        assert!((0..FLOOR).all(|active| permits.acquire_or_wait(active, || None)));
        assert!(permits.acquire_or_wait(4, || None) && permits.acquire_or_wait(5, || None));
        assert!(!permits.acquire_or_wait(6, || None), "the limit is reached");
        assert!(
            permits.acquire_or_wait(0, || None),
            "another lane's floor is free all the same"
        );
        assert!(
            !permits.acquire_or_wait(4, || None),
            "but not what is above it"
        );
    }

    #[test]
    fn a_permit_given_back_goes_to_the_first_in_line() {
        let permits = Permits::new(1);
        assert!(permits.acquire_or_wait(4, || Some('x')));
        assert!(!permits.should_yield(5), "nobody waits");
        assert!(
            !permits.acquire_or_wait(4, || Some('a')) && !permits.acquire_or_wait(4, || Some('b'))
        );
        assert!(permits.should_yield(5));
        assert!(!permits.should_yield(4), "the floor is never given away");
        assert_eq!(permits.next(), None, "no permit is free");
        permits.give_back(4);
        assert_eq!(permits.next(), None, "a floor's permit was not counted");
        permits.give_back(5);
        assert_eq!(permits.next(), Some('a'));
    }

    #[test]
    fn a_smaller_limit_is_reached_by_finishing() {
        let permits = Permits::new(2);
        assert!(permits.acquire_or_wait(4, || None) && permits.acquire_or_wait(5, || None));
        permits.resize(1);
        assert!(!permits.acquire_or_wait(4, || Some('a')));
        permits.give_back(6);
        assert_eq!(permits.next(), None, "still at the new limit");
        permits.give_back(5);
        assert_eq!(permits.next(), Some('a'));
    }

    #[test]
    fn permits_go_while_the_log_lags_and_come_back() {
        let permits = Permits::<u8>::new(256);
        assert!((4..104).all(|active| permits.acquire_or_wait(active, || None)));
        assert!(
            !permits.steer(LAG.0) && permits.should_yield(5),
            "75 of 100"
        );
        assert!(!permits.should_yield(4), "a floor stays");
        (0..8).for_each(|_| assert!(!permits.steer(LAG.0)));
        for _ in 0..100 - LEAST {
            assert!(!permits.is_free());
            permits.give_back(5);
        }
        assert!(!permits.should_yield(5) && !permits.is_free(), "no fewer");
        assert!(!permits.steer(LAG.1), "neither much nor little waits");
        assert!(permits.steer(0) && permits.is_free());
        while permits.steer(0) {}
        assert!((LEAST..256).all(|active| permits.acquire_or_wait(active, || None)));
        assert!(!permits.acquire_or_wait(300, || None), "the limit stays");
    }
}
