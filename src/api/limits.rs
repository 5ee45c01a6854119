//! Limits that more than one of these files keeps.

use std::time::Duration;

/// Who has connected just before the stop gets so long to begin, for a writer that was accepted must
/// not be worse off than one that waits for the next daemon.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);
