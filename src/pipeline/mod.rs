//! The pipeline: outbox → intake → log → dispatch → endpoint → log.
//!
//! The log is the only joint. [`intake`] admits events, [`send`] queues their deliveries and makes the
//! attempts, [`log`] records those, reads back what is due and keeps the log in order, [`orders`] does
//! what people ask. All of them stand on [`shared`], and the three others on `send`; none of the three
//! knows another. What one tells another in memory is a hint that may be lost: everything pending is
//! in the log, and after a crash whatever is not finished is simply due again.
//!
//! Knows no configuration file, no signal, no SQL and no HTTP. Time comes from a `Clock`, endpoints
//! are behind the `Transport` trait, so the same code runs under paused time with scripted ones.

mod intake;
mod log;
mod nodes;
mod orders;
mod send;
mod shared;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use intake::{Behind, From, Step, take_in};
pub(crate) use intake::{
    Claim, Follow, Followed, Intake, IntakeError, follow, follow_later, follow_server,
    follow_shared, log_resume, settle, settle_in,
};
pub(crate) use nodes::{Member, Named, Tenure, digest};
pub(crate) use orders::{
    OrderError, PARTS, Snapshot, TEST_WAIT, Tested, Ticks, Wanted, WebhookSnapshot,
};
pub use send::Dispatch;
pub(crate) use send::Node;
pub(crate) use shared::{Applied, Resume, ResumeError, chain, cursor_at, resolve_cursor};
pub use shared::{Pace, PipelineConfig, Retention};
