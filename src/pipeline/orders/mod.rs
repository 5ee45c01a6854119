//! Orders: what people and other programs ask of a running pipeline.
//!
//! Each goes the way that events go: a row in the log, which is then sent. Status only looks.

mod cancel;
mod chunks;
mod error;
mod pause;
mod redeliver;
mod reload;
mod replay;
mod status;
mod test;

pub(crate) use error::OrderError;
pub(crate) use replay::Wanted;
pub(crate) use status::{PARTS, Snapshot, Ticks, WebhookSnapshot};
pub(crate) use test::{TEST_WAIT, Tested};
