//! The time-outs of one connection: one timer that is moved on, not one for each wait.
//!
//! To register a timer and to take it away again costs two locks that all connections share. To move
//! a registered one to a later time costs nothing: so it stays set while a connection is idle, and
//! whoever waited last may be woken once for nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer, once there was a wait. Boxed: it is large, and futures that hang would hold it.
#[derive(Default)]
pub(super) struct ReusableTimeout(Option<Pin<Box<Sleep>>>);

impl ReusableTimeout {
    /// What the future brings, or `None` where it takes longer.
    pub(super) async fn limit<T>(
        &mut self,
        until: Instant,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut is_set = false;
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            let sleep = match &mut self.0 {
                Some(sleep) => {
                    if !is_set {
                        sleep.as_mut().reset(until);
                    }
                    sleep
                }
                none => none.insert(Box::pin(sleep_until(until))),
            };
            is_set = true;
            // Even where the future has used up tokio's budget, or it would go on for ever.
            pin!(unconstrained(sleep.as_mut())).poll(cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_limit() {
        let mut timeout = ReusableTimeout::default();
        for wait in [SHORT, SHORT * 4, SHORT / 2, SHORT] {
            let begun = Instant::now();
            let late = timeout.limit(begun + wait, pin!(pending::<()>())).await;
            assert_eq!(late, None);
            assert!(begun.elapsed() >= wait && begun.elapsed() < wait + SHORT / 10);
        }
        // One that was soon over leaves a timer behind that must not end a later wait.
        let begun = Instant::now();
        let sleep = tokio::time::sleep(SHORT / 3);
        assert!(timeout.limit(begun + SHORT, pin!(sleep)).await.is_some());
        let sleep = tokio::time::sleep(SHORT * 2);
        assert!(
            timeout
                .limit(begun + SHORT * 4, pin!(sleep))
                .await
                .is_some()
        );
        assert_eq!(timeout.limit(begun, pin!(ready(1))).await, Some(1));
    }

    /// A future that always has more to do.
    #[tokio::test]
    async fn a_future_without_end_is_ended() {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let until = Instant::now() + SHORT / 100;
        let mut timeout = ReusableTimeout::default();
        assert_eq!(timeout.limit::<()>(until, pin!(busy)).await, None);
    }
}
