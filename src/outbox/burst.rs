//! When to look at the outbox again: the rhythm after a change, and the slow poll beside it.
//!
//! In WAL mode the kernel reports the write of a commit, which is before the commit can be seen;
//! no event comes when it can. So after each event the outbox is looked at again at growing gaps.
//! A new event starts the gaps afresh. Finding rows does not end them: the event of another commit,
//! not yet to be seen, may have come along with the first. Pure; waiting is `watch`'s.

use std::time::Duration;

/// The first gap after an event: a commit without fsync is seen within it.
const FIRST_GAP: Duration = Duration::from_micros(100);

/// How often the gap doubles: to 25.6 ms, 51 ms of looking in all, which covers the fsync of a disk.
const DOUBLINGS: u32 = 8;

/// The poll beside the events, for a slower fsync, a lost event, or a file system that has none.
const SLOW_POLL: Duration = Duration::from_millis(500);

/// The poll where there are no events at all: 13 ms in the middle, at 0.4 % of a core.
const BLIND_POLL: Duration = Duration::from_millis(25);

/// The gaps between looks at the outbox.
///
/// ```text
/// loop {
///     if tail.changed()? { read until !more }      // busy: as if unchanged
///     match watch.wait(burst.gap())? {
///         Wake::File => burst.restart(),
///         Wake::Quiet => burst.advance(),
///         Wake::Woken => {}
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Burst {
    /// Gaps waited for since the last event; beyond [`DOUBLINGS`] the slow poll.
    step: u32,
    slow: Duration,
}

impl Burst {
    /// Begins as after an event, for one may just have been missed.
    ///
    /// `blind` says that no events will come, see [`Watch::is_blind`](super::Watch::is_blind).
    #[must_use]
    pub(crate) fn new(blind: bool) -> Self {
        Self {
            step: 0,
            slow: if blind { BLIND_POLL } else { SLOW_POLL },
        }
    }

    /// How long to wait for an event now.
    #[must_use]
    pub(crate) fn gap(&self) -> Duration {
        if self.step > DOUBLINGS {
            self.slow
        } else {
            FIRST_GAP * 2_u32.pow(self.step)
        }
    }

    /// An event came.
    pub(crate) fn restart(&mut self) {
        self.step = 0;
    }

    /// The gap passed without one.
    pub(crate) fn advance(&mut self) {
        self.step = (self.step + 1).min(DOUBLINGS + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps_us(burst: &mut Burst, count: usize) -> Vec<u128> {
        (0..count)
            .map(|_| {
                let gap = burst.gap().as_micros();
                burst.advance();
                gap
            })
            .collect()
    }

    #[test]
    fn gaps_double_from_a_tenth_to_25_6_ms_and_end_in_the_slow_poll() {
        let mut burst = Burst::new(false);
        assert_eq!(
            gaps_us(&mut burst, 12),
            [
                100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 500_000, 500_000, 500_000
            ]
        );
    }

    #[test]
    fn an_event_starts_the_gaps_afresh_at_any_point() {
        for waited in 0..20 {
            let mut burst = Burst::new(false);
            gaps_us(&mut burst, waited);
            burst.restart();
            assert_eq!(gaps_us(&mut burst, 3), [100, 200, 400]);
        }
    }

    #[test]
    fn without_events_the_poll_is_faster() {
        let mut burst = Burst::new(true);
        assert_eq!(gaps_us(&mut burst, 11)[9..], [25_000, 25_000]);
    }
}
