//! A vendor's wire contract, whole: what a webhook's endpoint gets, and what its answer means.
//!
//! Floor 1: pure functions of their arguments. No clock, no generator, no socket, no SQL; what was
//! signed once is signed the same tomorrow, on any machine, by any version. The vendors' documents
//! are the source: Bold CMS "Webhooks" (2022), Bold Factory "Webhooks", OpenBoxes Lift "Webhooks", and
//! "Standard Webhooks" 1.0.0 (github.com/standard-webhooks).
//!
//! | file | noun |
//! |---|---|
//! | `envelope.rs` | the body around the event's data |
//! | `id.rs` | the digest of a row, and the event's id as the dialects write it |
//! | `timestamp.rs` | UTC to the second |
//! | `headers.rs` | the request: every header, in order |
//! | `sign.rs` | HMAC-SHA256, and in hex |
//! | `standard.rs` | the headers of Standard Webhooks, of its dialect and beside the others |
//! | `base64.rs` | its secrets and signatures |
//! | `traceparent.rs` | the trace that an attempt tells of |
//! | `batch.rs` | several events in one POST |
//! | `retry_after.rs` | until when an answer asks to wait |
//! | `schedule.rs` | time-outs, when to try again, and when to stop |
//! | `verdict.rs` | what counts as success, and the words for what does not |
//!
//! Left out: which URLs a dialect takes (`config` checks them) and how time-outs are kept
//! (`transport`). A further vendor is a variant of [`crate::model::Dialect`]: every `match` below
//! then fails to compile; the comparisons that a compiler can't show are in CONTRIBUTING.md.

mod base64;
mod batch;
mod envelope;
mod headers;
mod id;
mod retry_after;
mod schedule;
mod sign;
mod standard;
mod timestamp;
mod traceparent;
mod verdict;

pub(crate) use base64::{NoKey, key};
pub(crate) use batch::{BRACKETS, Judged, array, batch_id, is_batched, splits, verdicts};
pub(crate) use envelope::DATA_AT;
pub use envelope::body;
pub use headers::request;
pub(crate) use headers::{BATCH, request_of};
pub(crate) use headers::{signature, signed};
pub(crate) use id::digest;
pub use id::{event_id_text, row_id_of};
pub(crate) use retry_after::{LONGEST_HOLD_MS, held_until_ms};
pub(crate) use schedule::{
    Timeouts, longest_attempt, longest_attempt_of, longest_delay_ms, sends, timeouts,
};
pub(crate) use sign::derived;
pub(crate) use standard::{
    STANDARD_HEADERS, Sending, keeps_message_id, message_id, standard_signature,
};
pub(crate) use traceparent::traceparent;
pub(crate) use verdict::verdict;

#[cfg(test)]
mod tests;
