//! What a file is that is no plain one, in a word for people.
//!
//! A database has to be a plain file: SQLite waits for ever where it opens a pipe, and meets a folder as a
//! disk that fails.

use std::fs::Metadata;
use std::os::unix::fs::FileTypeExt as _;

/// What it is; `None`: a plain file.
#[must_use]
pub(crate) fn other_kind(file: &Metadata) -> Option<&'static str> {
    let kind = file.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}
