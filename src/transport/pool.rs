//! The idle connections of one endpoint.
//!
//! The newest is used first, so that the others grow old and leave when the load falls. There is no
//! timer per connection: the old ones go when the pool is used, and when it is swept. A connection is
//! looked at once more before it is handed out; one that its peer closed meanwhile is passed over, and
//! teaches how long the next ones may idle. Where one meets silence, those that were idle beside it go. Once a second at most it is asked whether the peers are
//! still addresses of the endpoint's name.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::http1::Connection;
use super::keep_alive::{Experience, Keep, MAX_AGE};

/// Between two looks at the addresses of the name.
const LOOK: Duration = Duration::from_secs(1);

/// The idle connections, and what is known of their peer.
pub(super) struct Pool {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Default)]
struct State {
    /// The oldest in front.
    idle: VecDeque<Idle>,
    experience: Experience,
    looked_at: Option<Instant>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
    until: Instant,
}

/// A connection that may be used again.
pub(super) struct Kept {
    pub(super) connection: Box<Connection>,
    /// How long it was idle.
    pub(super) idle: Duration,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        let state = Mutex::default();
        Self { state, limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The connection that was used last and is still good.
    pub(super) async fn take(&self, now: Instant) -> Option<Kept> {
        loop {
            // The lock must not be held while a connection is polled.
            let next = self.state().idle.pop_back();
            let mut next = next?;
            if now >= next.until {
                continue;
            }
            let idle = now.saturating_duration_since(next.since);
            if next.connection.is_idle().await {
                return Some(Kept {
                    connection: next.connection,
                    idle,
                });
            }
            self.closed_after(idle, now);
        }
    }

    /// Takes note that a connection was found closed after it had been idle for so long.
    pub(super) fn closed_after(&self, idle: Duration, now: Instant) {
        self.state().experience.closed_after(idle, now);
    }

    /// Keeps a connection for the next request, where the limit and its age let it.
    pub(super) fn put(&self, connection: Box<Connection>, keep: Keep, now: Instant) {
        let mut old = Vec::new();
        let mut state = self.state();
        let span = keep.idle.min(state.experience.limit(now));
        let until = (now + span).min(connection.born + MAX_AGE);
        if until <= now {
            drop(state);
            return drop(connection);
        }
        let idle = &mut state.idle;
        while idle.len() >= self.limit || idle.front().is_some_and(|oldest| oldest.until <= now) {
            match idle.pop_front() {
                Some(oldest) => old.push(oldest),
                None => return,
            }
        }
        idle.push_back(Idle {
            connection,
            since: now,
            until,
        });
        drop(state);
        // Closing sockets is not done under the lock.
        drop(old);
    }

    /// Whether it is time to ask for the addresses of the name; then it is not for a while.
    pub(super) fn looks(&self, now: Instant) -> bool {
        let mut state = self.state();
        let due = state.looked_at.is_none_or(|last| now >= last + LOOK);
        if !state.idle.is_empty() && due {
            state.looked_at = Some(now);
            return true;
        }
        false
    }

    /// Closes what is connected to none of these addresses.
    pub(super) fn keep_to(&self, addresses: &[SocketAddr]) {
        self.keep_those(|idle| {
            let mut peer = idle.connection.peer();
            peer.set_port(0);
            addresses.contains(&peer)
        });
    }

    /// Closes what was idle beside a connection to that peer, taken at that instant, on which a request
    /// met silence: whoever forgot the one on the way (a NAT, a balancer) has forgotten those too. What
    /// has answered since is good.
    pub(super) fn doubt(&self, peer: SocketAddr, taken: Instant) {
        self.keep_those(|idle| idle.connection.peer() != peer || idle.since > taken);
    }

    fn keep_those(&self, stays: impl Fn(&Idle) -> bool) {
        let mut away = Vec::new();
        let mut stay = VecDeque::new();
        let mut state = self.state();
        for idle in std::mem::take(&mut state.idle) {
            if stays(&idle) {
                stay.push_back(idle);
            } else {
                away.push(idle);
            }
        }
        state.idle = stay;
        drop(state);
        drop(away);
    }

    /// Closes what is too old or was closed by the peer; returns how many are left.
    pub(super) fn sweep(&self, now: Instant) -> usize {
        let mut all = std::mem::take(&mut self.state().idle);
        let mut closed = Vec::new();
        all.retain_mut(|idle| {
            if now >= idle.until {
                return false;
            }
            let good = idle.connection.is_idle_unwatched();
            if !good {
                closed.push(now.saturating_duration_since(idle.since));
            }
            good
        });
        let mut state = self.state();
        for span in closed {
            state.experience.closed_after(span, now);
        }
        // What came back meanwhile is newer.
        all.append(&mut state.idle);
        while all.len() > self.limit {
            drop(all.pop_front());
        }
        state.idle = all;
        state.idle.len()
    }
}
