//! Logs that have little room, and an application that writes more than they have: the intake waits for room.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. The oracle holds in any of them that all is
//! delivered in the end and at rest the log is below its size; here it holds that no wait lasts.

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 31_500_000_000;

/// A batch waits no longer than ten seconds, and what a simulated call takes beside that.
pub(in super::super) const LONGEST_MS: i64 = 25_000;

/// Events that are written at once, at most.
pub(super) fn most(seed: u64, most: usize) -> usize {
    if seed < FROM { most } else { 40 }
}

/// The least padding of an event's data, and the most.
pub(super) fn padding(seed: u64, most: usize) -> (usize, usize) {
    if seed < FROM {
        (0, most)
    } else {
        (1_000, 3_500)
    }
}
