//! Why events can't be taken in.

use std::fmt;

use crate::outbox;
use crate::pipeline::shared::ResumeError;
use crate::store;

/// Why the intake can't go on.
#[derive(Debug)]
pub(crate) enum IntakeError {
    /// The outbox can't be read.
    Outbox(outbox::Error),
    /// The log can't be written.
    Store(store::Error),
    /// The thread that follows the outbox can't be made.
    Thread(std::io::Error),
    /// The outbox is another one now.
    Refused(ResumeError),
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outbox(_) => "take events in",
            Self::Store(_) => "admit events",
            Self::Thread(_) => "make a thread",
            Self::Refused(_) => "the outbox is not the one that the log followed",
        })
    }
}

impl std::error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Outbox(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Thread(error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}
