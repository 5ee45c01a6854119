//! The second signal, which ends a stop at once.
//!
//! timeout(1) and some supervisors signal their child and then its whole group, so the child gets one
//! wish twice. What comes right behind the first signal is the same one.

use std::time::Duration;

use crate::model::Clock;

/// Signals so close to each other are one: far more than lies between two calls of kill(2), and less than
/// a person takes to press Ctrl-C again.
const SAME: Duration = Duration::from_millis(100);

/// Waits for a signal that is not the first one's twin; the stop begins now.
pub(super) async fn signal(clock: &Clock, mut next: impl AsyncFnMut()) {
    let begun = clock.instant();
    loop {
        next().await;
        if clock.instant().saturating_duration_since(begun) > SAME {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_right_behind_the_first_is_the_same_one() {
        let clock = Clock::system();
        let mut count = 0;
        signal(&clock, async || {
            count += 1;
            tokio::time::sleep(Duration::from_millis(40)).await;
        })
        .await;
        assert_eq!(
            count, 3,
            "at 40 and 80 ms it is no other one, at 120 ms it is"
        );
    }
}
