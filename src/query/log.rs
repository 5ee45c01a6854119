//! The log, opened for those who ask.

use std::path::Path;

use crate::config::Config;
use crate::store::{self, Reader};

/// The log, opened for reading; `None` where there is none yet.
///
/// # Errors
/// It is no log, it is corrupt, or it was written by a newer version.
pub(crate) fn log(config: &Config) -> Result<Option<Reader>, store::Error> {
    let path = &config.log.path;
    is_there(path).then(|| Reader::open(path)).transpose()
}

/// Whether a file is there, or may be: in a folder that this user may not enter, opening it says more.
pub(super) fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
