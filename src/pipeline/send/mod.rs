//! Sending: a delivery is queued in its webhook's lane, gets a permit, and becomes an attempt.
//!
//! [`dispatch`] holds the lanes, [`schedule`] gives permits out, [`worker`] makes the attempts, and
//! [`results`] keeps them for the log. [`capacity`] is what all of them share, [`handover`] what the wing `log`
//! calls. Of the log `pending` counts what waits and `deferred` writes what was put off; all else that is read or
//! recorded the wing `log` hands over.

mod alarm;
mod calendar;
mod capacity;
mod deferred;
mod dispatch;
mod exchange;
mod gate;
mod handover;
mod heed;
mod lane;
mod owning;
mod pace;
mod pacing;
mod pending;
mod permits;
mod probe;
mod results;
mod room;
mod schedule;
mod share;
mod target;
mod together;
mod waiters;
mod waiting;
mod worker;

pub use dispatch::Dispatch;
pub(crate) use lane::Lane;
#[cfg(test)]
pub(crate) use lane::QUEUE_ROWS;
#[cfg(test)]
pub(crate) use permits::FLOOR;
#[cfg(test)]
pub(crate) use results::UNRECORDED;
pub(crate) use share::{Names, Node};
