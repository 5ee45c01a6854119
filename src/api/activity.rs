//! What a connection is doing, since when, and whether it takes too long over it.
//!
//! A connection is silent between requests, then sends a head, then a body, then it is our turn. Each
//! of its own turns has a limit, counted from the turn's begin, so that a byte a second buys no time.
//! When there are too many connections, the ones to go are those whose turn it is: the silent first,
//! the longest first. While it is our turn a connection is never let go.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::Clock;

/// A connection kept for a later request. Clients that reuse connections know that they end.
const IDLE: Duration = Duration::from_secs(60);

/// A connection of plain lines may be a logger that has little to say; it still goes first when
/// others need its place.
const IDLE_LINES: Duration = Duration::from_secs(3_600);

/// A request's head: a few hundred bytes over a local socket.
const HEAD: Duration = Duration::from_secs(10);

/// A body takes this long, and longer by [`PACE`].
const BODY: Duration = Duration::from_secs(10);

/// Bytes of a body per second after that: a hundredth of what a local socket carries.
const PACE: u64 = 1 << 20;

/// How often the limits are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Ours, for as long as the client likes: it looks at what comes. It goes first.
    Watches,
    /// The client's: it has sent nothing of a request.
    Silent,
    /// The client's: it has begun a head, or has an answer to read.
    Head,
    /// The client's: it sends a body.
    Body,
    /// Others': its body has to wait for theirs. It has no limit, and is let go only as the last.
    Waits,
    /// Ours.
    Busy,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    bytes: u64,
    lines: bool,
}

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    state: Mutex<State>,
    evicted: Notify,
}

impl Activity {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State {
            phase: Phase::Silent,
            since: clock.instant(),
            bytes: 0,
            lines: false,
        };
        Self {
            clock,
            state: Mutex::new(state),
            evicted: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A turn begins.
    pub(super) fn enter(&self, phase: Phase) {
        let now = self.clock.instant();
        let mut state = self.lock();
        (state.phase, state.since, state.bytes) = (phase, now, 0);
    }

    /// Bytes came. The first ones of a silent connection begin a head.
    pub(super) fn read(&self, bytes: usize) {
        let mut state = self.lock();
        if state.phase == Phase::Silent {
            let phase = if state.lines {
                Phase::Body
            } else {
                Phase::Head
            };
            (state.phase, state.since, state.bytes) = (phase, self.clock.instant(), 0);
        }
        state.bytes = state.bytes.saturating_add(bytes as u64);
    }

    /// The connection is one of plain lines: what has come of it is no head.
    pub(super) fn is_lines(&self) {
        let mut state = self.lock();
        state.lines = true;
        if state.phase == Phase::Head {
            state.phase = Phase::Body;
        }
    }

    /// Lets the connection go, for another one needs its place.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// What makes a connection go before others; `None` while it is our turn.
    pub(super) fn rank(&self) -> Option<(Phase, Instant)> {
        let state = self.lock();
        (state.phase != Phase::Busy).then_some((state.phase, state.since))
    }

    fn is_overdue(&self) -> bool {
        let state = self.lock();
        let limit = match state.phase {
            Phase::Silent if state.lines => IDLE_LINES,
            Phase::Silent => IDLE,
            Phase::Head => HEAD,
            Phase::Body => BODY + Duration::from_secs(state.bytes / PACE),
            Phase::Watches | Phase::Waits | Phase::Busy => return false,
        };
        self.clock.instant().saturating_duration_since(state.since) >= limit
    }

    /// Waits until the connection has to go.
    pub(super) async fn over(&self) {
        let mut evicted = std::pin::pin!(self.evicted.notified());
        while !self.is_overdue() {
            if tokio::time::timeout(TICK, evicted.as_mut()).await.is_ok() {
                // It may have become our turn since the choice was made.
                if self.rank().is_some() {
                    return;
                }
                evicted.set(self.evicted.notified());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ends_after(act: impl AsyncFnOnce(&Activity), within: Duration) -> bool {
        let activity = Activity::new(Clock::follow_tokio(0));
        act(&activity).await;
        tokio::time::timeout(within, activity.over()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn every_turn_of_the_client_has_a_limit() {
        let (short, long) = (Duration::from_secs(9), Duration::from_secs(12));
        assert!(!ends_after(async |_| {}, Duration::from_secs(58)).await);
        assert!(ends_after(async |_| {}, Duration::from_secs(62)).await);
        assert!(!ends_after(async |a| a.read(1), short).await);
        assert!(ends_after(async |a| a.read(1), long).await);
        assert!(ends_after(async |a| a.enter(Phase::Body), long).await);
        let paced = async |a: &Activity| {
            a.enter(Phase::Body);
            a.read(5 << 20);
        };
        assert!(!ends_after(paced, long).await, "5 MiB buy 5 s");
        let lines = async |a: &Activity| a.is_lines();
        assert!(!ends_after(lines, Duration::from_secs(3_500)).await);
        for phase in [Phase::Waits, Phase::Busy] {
            assert!(!ends_after(async |a| a.enter(phase), IDLE_LINES * 2).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_a_second_buys_no_time() {
        let activity = Activity::new(Clock::follow_tokio(0));
        let drip = async {
            loop {
                activity.read(1);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let over = async {
            tokio::select! { () = drip => {}, () = activity.over() => {} }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(12), over)
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_keeps_us_waiting_is_let_go() {
        let activity = Activity::new(Clock::follow_tokio(0));
        activity.enter(Phase::Busy);
        activity.evict();
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, activity.over()).await.is_err());
        activity.enter(Phase::Silent);
        activity.evict();
        assert!(tokio::time::timeout(second, activity.over()).await.is_ok());
    }
}
