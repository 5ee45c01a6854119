//! How long a connection may be idle: what its peer says, and what its closes have taught.
//!
//! A request that meets its connection's close costs a second one, so we leave earlier than the peer
//! does. It may say when, by `Keep-Alive`; but many say nothing, and a proxy may hand on what the
//! server behind it said of another connection. So each close that is found counts, too.

use std::time::Duration;

use tokio::time::Instant;

/// How long a connection is kept idle at most. Common servers close theirs after 60 to 75 s.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How long a connection is kept at all: names move, and servers behind one address are replaced.
pub(super) const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// How much earlier than the peer's own limit we stop using a connection, for its close may be on
/// the way.
const MARGIN: Duration = Duration::from_secs(1);

/// No close teaches less than this: a server that starts anew closes all, however long they idled.
const LEAST: Duration = Duration::from_secs(1);
/// How long what a close has taught holds, before twice as long is tried.
const HOLDS: Duration = Duration::from_secs(5 * 60);

/// What an answer lets become of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    /// How long it may idle.
    pub(super) idle: Duration,
    /// How many requests it may still have.
    pub(super) requests: u32,
}

/// What an answer's `Keep-Alive` headers say.
#[derive(Clone, Copy, Default)]
pub(super) struct Hint {
    timeout: Option<u64>,
    max: Option<u32>,
}

impl Hint {
    /// Takes note of one of the headers; what was said first counts.
    pub(super) fn take(&mut self, value: &str) {
        for part in value.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            let is = |other| name.trim().eq_ignore_ascii_case(other);
            if is("timeout") {
                self.timeout = self.timeout.or(value.trim().parse().ok());
            } else if is("max") {
                self.max = self.max.or(value.trim().parse().ok());
            }
        }
    }

    /// What they let become of the connection; `None`: it is not to be used again.
    pub(super) fn keep(self) -> Option<Keep> {
        let idle = match self.timeout.map(Duration::from_secs) {
            None => IDLE,
            Some(limit) => limit.checked_sub(MARGIN)?.min(IDLE),
        };
        let requests = self.max.unwrap_or(u32::MAX);
        (!idle.is_zero() && requests > 0).then_some(Keep { idle, requests })
    }
}

/// What the closes of one endpoint's connections have taught.
#[derive(Default)]
pub(super) struct Experience(Option<Lesson>);

/// A limit, and until when it holds.
#[derive(Clone, Copy)]
struct Lesson {
    limit: Duration,
    until: Instant,
}

impl Experience {
    /// A connection was found closed after that span: the next ones leave a quarter earlier.
    pub(super) fn closed_after(&mut self, idle: Duration, now: Instant) {
        let limit = (idle - idle / 4).max(LEAST).min(self.limit(now));
        let until = now + HOLDS;
        self.0 = Some(Lesson { limit, until });
    }

    /// How long a connection may idle, whatever its peer says.
    pub(super) fn limit(&mut self, now: Instant) -> Duration {
        while let Some(Lesson { limit, until }) = &mut self.0 {
            if now < *until {
                return *limit;
            }
            *limit *= 2;
            *until += HOLDS;
            if *limit >= IDLE {
                self.0 = None;
            }
        }
        IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(values: &[&str]) -> Option<Keep> {
        let mut hint = Hint::default();
        values.iter().for_each(|value| hint.take(value));
        hint.keep()
    }

    #[test]
    fn the_peer_may_shorten_the_idle_time_but_not_lengthen_it() {
        let of = |value: &str| said(&[value]).map(|keep| keep.idle);
        let unsaid = Keep {
            idle: IDLE,
            requests: u32::MAX,
        };
        assert_eq!(said(&[]), Some(unsaid));
        assert_eq!(of("timeout=5, max=100"), Some(4 * SECOND));
        assert_eq!(of("max=7, Timeout = 600"), Some(IDLE));
        assert_eq!(of("timeout=1"), None);
        assert_eq!(of("timeout=0"), None);
        assert_eq!(of("timeout=soon"), Some(IDLE));
    }

    #[test]
    fn the_peer_may_count_the_requests() {
        let of = |values: &[&str]| said(values).map(|keep| keep.requests);
        assert_eq!(of(&["timeout=5, max=100"]), Some(100));
        assert_eq!(of(&["timeout=5", "Max = 1"]), Some(1));
        assert_eq!(of(&["timeout=5, max=0"]), None);
        assert_eq!(of(&["max=many"]), Some(u32::MAX));
    }

    #[test]
    fn a_close_shortens_the_idle_time_and_is_forgotten_by_and_by() {
        let begun = Instant::now();
        let mut experience = Experience::default();
        assert_eq!(experience.limit(begun), IDLE);
        experience.closed_after(8 * SECOND, begun);
        assert_eq!(experience.limit(begun), 6 * SECOND);
        experience.closed_after(20 * SECOND, begun);
        assert_eq!(experience.limit(begun), 6 * SECOND, "the shorter one holds");
        experience.closed_after(4 * SECOND, begun);
        assert_eq!(experience.limit(begun), 3 * SECOND);
        experience.closed_after(Duration::ZERO, begun);
        assert_eq!(experience.limit(begun), LEAST);
        assert_eq!(experience.limit(begun + HOLDS), 2 * LEAST);
        assert_eq!(experience.limit(begun + 3 * HOLDS), 8 * LEAST);
        assert_eq!(experience.limit(begun + 6 * HOLDS), IDLE);
        experience.closed_after(600 * SECOND, begun + 6 * HOLDS);
        assert_eq!(experience.limit(begun + 6 * HOLDS), IDLE);
    }
}
