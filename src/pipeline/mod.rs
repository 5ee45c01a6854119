//! The pipeline: outbox → intake → log → dispatch → endpoint → log.
//!
//! The log is the only joint. `intake` admits events, `dispatch` gives them places, `work` makes the
//! attempts, `record` writes what came of them, `refill` reads back what is due, `durable` and
//! `sweep` keep the log in order. What one tells another in memory is a hint that may be lost:
//! everything pending is in the log, and after a crash whatever is not finished is simply due again.
//!
//! Knows no configuration file, no signal, no SQL and no HTTP. Time comes from a `Clock`, endpoints
//! are behind the `Transport` trait, so the same code runs under paused time with scripted ones.

mod awaiting;
mod below;
mod control;
mod direct;
mod dispatch;
mod durable;
mod evidence;
mod fingerprint;
mod follow;
mod intake;
mod lane;
mod origin;
mod owed;
mod places;
mod record;
mod refill;
mod replay;
mod routes;
mod standing;
mod status;
mod sweep;
mod turns;
mod work;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use awaiting::follow_later;
pub use control::{Asked, Refused, Tested};
pub use direct::{Change, Directed};
pub use dispatch::Dispatch;
pub use follow::{Claim, Follow, Followed, follow};
pub use intake::{Intake, IntakeError, Step, journal_settled};
pub use origin::{Refusal, Settled, settle, settle_at};
pub use replay::{Found, Wanted};
pub use routes::Routes;
pub use status::{Counters, DURATION_EDGES_MS, Rounds, Snapshot, WebhookSnapshot};
pub use sweep::Retention;

#[cfg(test)]
pub(crate) use simulation::within;

/// A bound of this module, as it is; a simulation makes bounds smaller, so that they are reached.
#[cfg(not(test))]
pub(crate) const fn within(bound: usize) -> usize {
    bound
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

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
