//! The integration tests: one crate, which drives the real binary.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on fails, wherever that is"
)]

mod config_errors;
mod floors;
