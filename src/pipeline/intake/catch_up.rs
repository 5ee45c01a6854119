//! With a backlog, the intake lets lanes that move catch up before the next batch, or the queues would overflow into the
//! log and every row be read back from there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::pipeline::send::{Dispatch, Lane};
use crate::transport::Transport;

/// So long at most.
const CATCH_UP: Duration = Duration::from_millis(40);

/// How long a lane is watched, and how many deliveries it must have begun in it, to count as moving.
const MOVING: (Duration, u64) = (Duration::from_millis(8), 5);

/// Waits a little for lanes whose queue is nearly full, as long as they move.
pub(super) fn let_catch_up<T: Transport>(
    dispatch: &Arc<Dispatch<T>>,
    lanes: &[Arc<Lane<T::Endpoint>>],
) {
    let mut behind = Behind::new(dispatch, lanes);
    while behind.is_waited_for() {
        pause_a_millisecond();
    }
}

/// Lanes that are to catch up.
pub(crate) struct Behind<'a, T: Transport> {
    dispatch: &'a Dispatch<T>,
    begun: Instant,
    /// The first of them is looked at.
    lanes: &'a [Arc<Lane<T::Endpoint>>],
    /// How much it had begun, and when; none where it has not been looked at.
    seen: Option<(Instant, u64)>,
}

impl<'a, T: Transport> Behind<'a, T> {
    pub(crate) fn new(dispatch: &'a Dispatch<T>, lanes: &'a [Arc<Lane<T::Endpoint>>]) -> Self {
        Self {
            dispatch,
            begun: dispatch.clock().instant(),
            lanes,
            seen: None,
        }
    }

    /// Whether to look again in a millisecond.
    pub(crate) fn is_waited_for(&mut self) -> bool {
        while let Some((lane, rest)) = self.lanes.split_first() {
            let seen = self.seen.get_or_insert((self.begun, lane.load().taken));
            if self.dispatch.is_half_full(lane) {
                let now = self.dispatch.clock().instant();
                if now.saturating_duration_since(self.begun) >= CATCH_UP {
                    return false;
                }
                let is_long = now.saturating_duration_since(seen.0) >= MOVING.0;
                let taken = if is_long { lane.load().taken } else { seen.1 };
                if !is_long || taken - seen.1 >= MOVING.1 {
                    if is_long {
                        *seen = (now, taken);
                    }
                    return true;
                }
            }
            (self.lanes, self.seen) = (rest, None);
        }
        false
    }
}

/// A bounded wait of this thread's own, where no condition is worth a signal on the hot path.
fn pause_a_millisecond() {
    std::thread::park_timeout(Duration::from_millis(1));
}
