//! Lines to standard output and standard error.

use std::io::{self, Write};

use super::failure::{Failure, shown};

/// Prints a line.
pub(super) fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    shown(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Prints a line on standard error. Nobody may be left to read it; the exit code says it too.
pub(super) fn note(text: impl std::fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints on standard error without ending the line.
pub(super) fn note_in_place(text: impl std::fmt::Display) {
    let mut stderr = io::stderr().lock();
    drop(write!(stderr, "{text}").and_then(|()| stderr.flush()));
}
