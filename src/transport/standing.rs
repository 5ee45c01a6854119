//! What use has taught of a name's addresses: which answered, which did not.
//!
//! The one that answered last is tried first, those that connected and then said nothing come last,
//! the others stay in the system's order. What was learnt is forgotten after a while, so that a name
//! that spreads its clients over several servers still does.

use std::cmp::Reverse;
use std::net::SocketAddr;

use tokio::time::Instant;

use super::keep_alive::MAX_AGE;

/// Addresses of which something is known; no more of a name are kept.
const MARKS: usize = 16;

/// The addresses of one name.
#[derive(Default)]
pub(super) struct Standing(Vec<Mark>);

struct Mark {
    address: SocketAddr,
    answered: bool,
    at: Instant,
}

impl Mark {
    /// As long as a connection to it may have been kept.
    fn holds(&self, now: Instant) -> bool {
        now < self.at + MAX_AGE
    }
}

impl Standing {
    /// Takes note of what came of a new connection to that address.
    pub(super) fn note(&mut self, address: SocketAddr, answered: bool, now: Instant) {
        self.0.retain(|mark| mark.holds(now));
        let last = self.0.iter().rfind(|mark| mark.answered);
        // Not renewed, or it would stand first for ever.
        if answered && last.is_some_and(|mark| mark.address == address) {
            return;
        }
        self.0.retain(|mark| mark.address != address);
        if self.0.len() == MARKS {
            self.0.remove(0);
        }
        self.0.push(Mark {
            address,
            answered,
            at: now,
        });
    }

    /// Brings addresses into the order to try them in.
    pub(super) fn order(&self, addresses: &mut [SocketAddr], now: Instant) {
        // Marks stand in the order in which they were made.
        let rank = |address: &SocketAddr| {
            let same = |mark: &Mark| mark.address == *address && mark.holds(now);
            match self.0.iter().position(same) {
                Some(at) if self.0[at].answered => (0, Some(Reverse(at)), 0),
                None => (1, None, 0),
                Some(at) => (2, None, at),
            }
        };
        addresses.sort_by_key(rank);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn addresses() -> [SocketAddr; 3] {
        ["10.0.0.1:0", "10.0.0.2:0", "10.0.0.3:0"].map(|text| text.parse().unwrap())
    }

    fn ordered(standing: &Standing, now: Instant) -> Vec<usize> {
        let all = addresses();
        let mut sorted = all;
        standing.order(&mut sorted, now);
        let index = |address| all.iter().position(|one| *one == address).unwrap();
        sorted.into_iter().map(index).collect()
    }

    #[test]
    fn who_answered_last_is_first_and_who_failed_is_last() {
        let now = Instant::now();
        let [a, b, c] = addresses();
        let mut standing = Standing::default();
        assert_eq!(ordered(&standing, now), [0, 1, 2]);
        for (address, answered, order) in [
            (b, true, [1, 0, 2]),
            (c, true, [2, 1, 0]),
            (c, true, [2, 1, 0]),
            (b, true, [1, 2, 0]),
            (b, false, [2, 0, 1]),
            (c, false, [0, 1, 2]),
            (a, false, [1, 2, 0]),
            (b, false, [2, 0, 1]),
        ] {
            standing.note(address, answered, now);
            assert_eq!(ordered(&standing, now), order, "{address} {answered}");
        }
    }

    #[test]
    fn what_was_learnt_is_forgotten_though_it_is_seen_again() {
        let begun = Instant::now();
        let [_, b, _] = addresses();
        let mut standing = Standing::default();
        for minute in 0..5 {
            let now = begun + Duration::from_secs(60 * minute);
            standing.note(b, true, now);
            assert_eq!(ordered(&standing, now), [1, 0, 2]);
        }
        let now = begun + MAX_AGE;
        assert_eq!(ordered(&standing, now), [0, 1, 2]);
        standing.note(b, true, now);
        assert_eq!(ordered(&standing, now), [1, 0, 2]);
    }
}
