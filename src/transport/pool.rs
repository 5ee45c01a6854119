//! The idle connections of one endpoint.
//!
//! The newest is used first, so that the others grow old and leave when the load falls. There is no
//! timer per connection: the old ones go when the pool is used, and when it is swept. A connection is
//! looked at once more before it is handed out; one that its peer closed meanwhile is passed over.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;

/// How long a connection is kept idle at most. Common servers close theirs after 60 to 75 s.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How much earlier than the peer's own limit we stop using a connection, for its close may be on
/// the way.
const MARGIN: Duration = Duration::from_secs(1);

/// Idle connections, the oldest in front.
pub(super) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    limit: usize,
}

struct Idle {
    connection: Box<Connection>,
    until: Instant,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        let idle = Mutex::default();
        Self { idle, limit }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still good.
    pub(super) async fn take(&self, now: Instant) -> Option<Box<Connection>> {
        loop {
            // The lock must not be held while a connection is polled.
            let next = self.idle().pop_back();
            let mut idle = next?;
            if now < idle.until && idle.connection.is_idle().await {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection for the next request, where the limit lets it. Its peer does for `span`.
    pub(super) fn put(&self, connection: Box<Connection>, span: Duration, now: Instant) {
        let until = now + span;
        let mut old = Vec::new();
        let mut idle = self.idle();
        while idle.len() >= self.limit || idle.front().is_some_and(|oldest| oldest.until <= now) {
            match idle.pop_front() {
                Some(oldest) => old.push(oldest),
                None => return,
            }
        }
        idle.push_back(Idle { connection, until });
        drop(idle);
        // Closing sockets is not done under the lock.
        drop(old);
    }

    /// Closes what is too old or was closed by the peer; returns how many are left.
    pub(super) fn sweep(&self, now: Instant) -> usize {
        let mut all = std::mem::take(&mut *self.idle());
        all.retain_mut(|idle| now < idle.until && idle.connection.is_idle_unwatched());
        let mut idle = self.idle();
        // What came back meanwhile is newer.
        all.append(&mut idle);
        while all.len() > self.limit {
            drop(all.pop_front());
        }
        *idle = all;
        idle.len()
    }
}

/// How long the answer's `Keep-Alive` headers let the connection idle; `None`: not at all.
pub(super) fn keep_for<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<Duration> {
    let said = values.find_map(|value| {
        value.split(',').find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
            is_timeout.then(|| value.trim().parse().ok()).flatten()
        })
    });
    match said.map(Duration::from_secs) {
        None => Some(IDLE),
        Some(limit) => Some(limit.checked_sub(MARGIN)?.min(IDLE)).filter(|span| !span.is_zero()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_may_shorten_the_idle_time_but_not_lengthen_it() {
        let of = |value: &str| keep_for([value].into_iter());
        assert_eq!(keep_for([].into_iter()), Some(IDLE));
        assert_eq!(of("timeout=5, max=100"), Some(Duration::from_secs(4)));
        assert_eq!(of("max=7, Timeout = 600"), Some(IDLE));
        assert_eq!(of("timeout=1"), None);
        assert_eq!(of("timeout=0"), None);
        assert_eq!(of("timeout=soon"), Some(IDLE));
    }
}
