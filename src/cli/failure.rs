//! What a command ends with: its exit code, or an error for the person, with its causes and a hint.
//!
//! Left out: who prints it (`run` has the journal for that, every other command standard error).

use std::error::Error;
use std::io;
use std::process::ExitCode;

use super::rights::lacking;
use super::text;
use crate::config::LoadError;
use crate::pipeline::chain;

/// What a command ends with: its exit code, or an error to be printed.
pub(super) type Ended = Result<ExitCode, Failure>;

/// An error on its way to the person.
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) hint: Option<String>,
    pub(super) code: u8,
}

impl Failure {
    /// An error with its causes, and exit code 1.
    pub(super) fn new(error: &dyn Error) -> Self {
        Self {
            text: chain(error),
            hint: None,
            code: 1,
        }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            code: 1,
        }
    }

    /// What is printed of it.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        if !self.text.is_empty() {
            // It may quote what others wrote.
            lines.push_str(text::block(&self.text, "").trim_end());
            lines.push('\n');
        }
        if let Some(hint) = &self.hint {
            lines.push_str("hint: ");
            lines.push_str(hint);
            lines.push('\n');
        }
        lines
    }

    /// The error and what to do, on one line.
    pub(super) fn in_one_line(self) -> String {
        match self.hint {
            Some(hint) => format!("{}: {hint}", self.text),
            None => self.text,
        }
    }

    pub(super) fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    pub(super) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl From<crate::daemon::Error> for Failure {
    fn from(error: crate::daemon::Error) -> Self {
        use crate::daemon::Error as E;
        let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        let lacking = match &error {
            E::Config(LoadError::Read { path, source }) if denied(source) => lacking::hint(path),
            E::Lock { path, source } if denied(source) => lacking::hint(path),
            E::Store(error) => to_log(error),
            _ => None,
        };
        let hint = lacking.or_else(|| error.hint());
        Self::new(&error).hint(hint).code(error.exit_code())
    }
}

impl From<crate::outbox::Error> for Failure {
    fn from(error: crate::outbox::Error) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        let hint = to_log(&error).or_else(|| error.hint());
        Self::new(&error).hint(hint)
    }
}

/// What helps where the log could not be opened because this user lacks a right.
fn to_log(error: &crate::store::Error) -> Option<String> {
    match error {
        crate::store::Error::Open { path, .. } => lacking::hint(path),
        _ => None,
    }
}

/// The only error of this kind that a command leaves as it is comes from standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever reads has seen enough.
            return Self::text("").code(0);
        }
        Self::text(format!("write the output: {error}"))
    }
}

/// What became of output that somebody may have stopped reading: that is no error, and the command's
/// exit code is what it is.
pub(super) fn shown(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
