//! An alarm that rings on time: tokio's timers count in milliseconds, which is too coarse for a thousand
//! requests a second.
//!
//! Short waits are a timer of the kernel's of their own, which rings some tens of microseconds late. Where
//! there is none to be had (no descriptor), tokio's does: later, but never early.

use std::io;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Of a longer wait a millisecond is less than a hundredth, and it takes no descriptor.
const LONG: Duration = Duration::from_millis(150);

/// To set a timer takes longer than this.
const SHORT: Duration = Duration::from_micros(15);

/// Waits until that moment.
pub(super) async fn until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if left >= LONG || left >= SHORT && ring_after(left).await.is_err() {
        tokio::time::sleep_until(at).await;
    }
    while Instant::now() < at {
        tokio::task::yield_now().await;
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for descriptors that are closed by others: nobody else has this one"
)]
async fn ring_after(span: Duration) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
    let once = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: 0,
            tv_nsec: span.subsec_nanos().into(),
        },
    };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
    drop(timer.readable().await?);
    Ok(())
}

/// Milliseconds of `CLOCK_BOOTTIME` (`clock_gettime(2)`).
pub(super) fn boot_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_never_early() {
        for us in [0, 1, 14, 15, 100, 900, 1_000, 3_700, 149_999, 150_000] {
            let at = Instant::now() + Duration::from_micros(us);
            until(at).await;
            assert!(Instant::now() >= at, "{us} us");
        }
    }
}
