//! The log, opened for those who ask.

use crate::config::Config;
use crate::store::{self, Reader};

/// The log, opened for reading; `None` where there is none yet.
///
/// # Errors
/// It is no log, it is corrupt, or it was written by a newer version.
pub fn log(config: &Config) -> Result<Option<Reader>, store::Error> {
    let path = &config.log.path;
    path.exists().then(|| Reader::open(path)).transpose()
}
