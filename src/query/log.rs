//! The log, opened for those who ask.

use std::path::Path;

use crate::config::Config;
use crate::outbox::Tail;
use crate::store::{self, LogReader};

/// The log, opened for reading; `None` where there is none yet.
///
/// # Errors
/// It is no log, it is corrupt, or it was written by a newer version.
pub(crate) fn log(config: &Config) -> Result<Option<Box<dyn LogReader>>, store::Error> {
    store::find_log(&config.log.place)
}

/// How many events of the outbox the daemon has not taken in yet, by the files alone; `None` where that can't be read.
#[must_use]
pub(crate) fn lag(config: &Config, log: &dyn LogReader) -> Option<i64> {
    let path = &config.outbox.path;
    // Only its ids are asked for, whatever is in its rows.
    let newest = is_there(path).then(|| Tail::open(path, 0)?.sequence())?;
    Some(newest.ok()?.distance_from(log.cursor().ok()?).max(0))
}

/// Whether a file is there, or may be: in a folder that this user may not enter, opening it says more.
pub(super) fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}
