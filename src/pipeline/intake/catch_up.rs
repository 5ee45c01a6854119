//! With a backlog, the intake lets lanes that move catch up before the next batch, or the queues would overflow into the
//! log and every row be read back from there.

use std::sync::Arc;
use std::time::Duration;

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
    let begun = dispatch.clock().instant();
    for lane in lanes {
        let mut seen = (begun, lane.load().taken);
        while dispatch.is_half_full(lane) {
            let now = dispatch.clock().instant();
            if now.saturating_duration_since(begun) >= CATCH_UP {
                return;
            }
            if now.saturating_duration_since(seen.0) >= MOVING.0 {
                let taken = lane.load().taken;
                if taken - seen.1 < MOVING.1 {
                    break;
                }
                seen = (now, taken);
            }
            pause_a_millisecond();
        }
    }
}

/// A bounded wait of this thread's own, where no condition is worth a signal on the hot path.
fn pause_a_millisecond() {
    std::thread::park_timeout(Duration::from_millis(1));
}
