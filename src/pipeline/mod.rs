//! The pipeline: outbox → intake → log → dispatch → endpoint → log.
//!
//! The log is the only joint. `intake` admits events, `dispatch` makes attempts, `record` writes
//! what came of them, `refill` reads back what is due, `durable` and `sweep` keep the log in order.
//! What one tells another in memory is a hint that may be lost: everything pending is in the log,
//! and after a crash whatever is not finished is simply due again.
//!
//! Knows no configuration file, no signal, no SQL and no HTTP. Time comes from a `Clock`, endpoints
//! are behind the `Transport` trait, so the same code runs under paused time with scripted ones.

mod direct;
mod dispatch;
mod durable;
mod fingerprint;
mod follow;
mod intake;
mod lane;
mod origin;
mod places;
mod record;
mod refill;
mod routes;
mod sweep;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

pub use direct::{Change, Directed};
pub use dispatch::Dispatch;
pub use follow::{Follow, Followed, follow};
pub use intake::{Intake, IntakeError, Step, journal_back};
pub use origin::{Refusal, Settled, settle, settle_at};
pub use routes::Routes;
pub use sweep::Retention;

use crate::model::{Attempt, Clock, Fault};

/// How often the loops look around by themselves. Wake-ups do the rest.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at what others wrote into the log, and at the wall clock.
    pub poll: Duration,
    /// Between the first commit that is not yet on disk and the one that synchronises it.
    pub durable: Duration,
    /// Between two marks of the retention.
    pub marks: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            durable: Duration::from_secs(1),
            marks: Duration::from_secs(3_600),
        }
    }
}

/// Between two journal lines about faults of our own machine, which would come by the thousand.
const FAULT_LINE_MS: i64 = 10_000;

/// What has happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    taken: AtomicU64,
    rejected: AtomicU64,
    attempts: AtomicU64,
    faults: AtomicU64,
    fault_line_ms: AtomicI64,
}

impl Counters {
    /// Events taken from the outbox.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Rows of the outbox set aside.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Attempts in the log.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Attempts that our own machine could not make.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    fn admitted(&self, events: usize, rejected: usize) {
        self.taken.fetch_add(events as u64, Ordering::Relaxed);
        self.rejected.fetch_add(rejected as u64, Ordering::Relaxed);
    }

    fn attempted(&self, _: &Attempt) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    fn fault(&self, clock: &Clock, webhook: &str, delivery: i64, fault: &Fault) {
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        let (now_ms, last_ms) = (clock.now_ms(), self.fault_line_ms.load(Ordering::Relaxed));
        if (now_ms - last_ms).abs() >= FAULT_LINE_MS {
            self.fault_line_ms.store(now_ms, Ordering::Relaxed);
            tracing::warn!(step = "make an attempt", webhook, delivery, %fault, faults,
                "this machine can't send at the moment; the delivery waits and loses no try");
        }
    }
}
