//! What a daemon is: the same from its start to its end.

use std::path::PathBuf;

use crate::model::LogPlace;

/// What a daemon says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The configuration's file.
    pub config: PathBuf,
    /// The outbox.
    pub outbox: PathBuf,
    /// The log.
    pub log: LogPlace,
    /// When it started, UNIX milliseconds.
    pub started_ms: i64,
}
