//! Limits that more than one of these files keeps.

use std::time::Duration;

/// Who has connected just before the stop gets so long to begin, for a writer that was accepted must
/// not be worse off than one that waits for the next daemon.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Larger bodies in memory at a time. Two, so that one that is slow to come holds up nobody.
pub(super) const LARGE_AT_A_TIME: usize = 2;

/// Orders at a time. One may take half a minute, and the places of the socket are for events too.
pub(super) const ORDERS_AT_A_TIME: usize = 64;
