//! Taking events in: the outbox is followed, and each batch of its rows becomes deliveries in the log.
//!
//! A thread of its own runs it. What is taken in is queued by `send`; nothing else of the pipeline
//! imports this.

mod awaiting;
mod batch;
mod below;
mod error;
mod follow;

pub use awaiting::follow_later;
pub use batch::{Intake, Step, journal_settled};
pub use error::IntakeError;
pub use follow::{Claim, Follow, Followed, follow};
