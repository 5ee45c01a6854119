//! What is held of any input: the properties that both the fuzzers and the plain tests try.
//!
//! Each target is one function of bytes that panics where a promise is broken. It uses the library
//! only as a program could, and judges by other means: by SQLite, by the `toml` crate, by reading
//! JSON, by an HMAC written out. Inputs of several parts are text with the parts divided by the
//! octet 0x1E, so that seeds can be read and a mutation of one part leaves the others as they are.

pub(crate) mod config;
pub(crate) mod dialects;
pub(crate) mod filters;
pub(crate) mod rows;
pub(crate) mod socket;

/// Stands for what must not be told, in the seeds and in the words that they are mutated with.
const MARKER: &str = "hunter2";

/// Divides the parts of an input; no JSON, TOML or SQL text has it where it means something.
const DIVIDER: u8 = 0x1e;

/// The parts of an input, as many as there are.
fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == DIVIDER)
}

/// Whether a terminal could obey something in the text, but for line ends.
fn obeys(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

/// A folder that is gone with the process, in memory where there is such a place.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = tempfile::Builder::new()
        .prefix("webhooksd-fuzz-")
        .tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}
