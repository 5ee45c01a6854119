//! Taking events in: the outbox is followed, and each batch of its rows becomes deliveries in the log.
//!
//! A thread of its own runs it. What is taken in is queued by `send`; nothing else of the pipeline
//! imports this.

mod again;
mod awaiting;
mod batch;
mod bell;
mod below;
mod catch_up;
mod error;
mod follow;
mod settle;
mod taking;
mod windows;

pub(crate) use awaiting::follow_later;
#[cfg(test)]
pub(crate) use batch::Step;
pub(crate) use batch::{Intake, log_resume};
pub(crate) use error::IntakeError;
pub(crate) use follow::{Claim, Follow, Followed, follow};
pub(crate) use settle::{settle, settle_in};
pub(crate) use windows::{follow_server, follow_shared};
#[cfg(test)]
pub(crate) use {
    catch_up::Behind,
    taking::{From, take_in},
};
