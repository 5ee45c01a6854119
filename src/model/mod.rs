//! The nouns: event, webhook, delivery, attempt, and the clock they are timed by.
//!
//! Floor 0 of the house. Nothing here does I/O, knows SQL, HTTP, TOML or a retry policy; these are
//! the values that the floors above hand to each other. Every type says its units in its names:
//! `_ms` is UNIX milliseconds or a span of them, `_us` is microseconds.

#[cfg(test)]
pub(crate) mod alone;
pub mod attempt;
pub mod clock;
pub mod crash;
pub mod delivery;
mod durations;
pub mod event;
pub mod headers;
mod host;
mod kind;
pub mod print;
pub mod url;
pub mod webhook;

pub use attempt::{
    Answer, Attempt, Class, Exchange, Failure, Fault, Header, Phases, Request, Verdict,
};
pub use clock::Clock;
pub use delivery::{Admission, Cursor, Due, Fanned, Origin, Owed, Rejected};
pub use durations::{LOG_EDGES_MS, METRICS_EDGES_MS};
pub use event::Event;
pub use headers::Headers;
pub use kind::other_kind;
pub use print::Print;
pub use url::Url;
pub use webhook::{Dialect, Pattern, Secret, Unwanted, Webhook};
