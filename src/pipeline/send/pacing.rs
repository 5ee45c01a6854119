//! Pacing: endpoints that don't answer get their attempts one after another, not all at once.
//!
//! A thousand requests that time out together would else be closed, recorded and begun again in the
//! same millisecond, at some 60 us of CPU each, and whoever does answer would wait behind them. Each
//! time they come again they would come together again. Taking turns spreads them for good.
//!
//! Holds no line and no timer: a turn is a time, and who has one sleeps until then.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between two turns: 8,000 a second keep half a core busy, and are more than [`super::permits`] and
/// time-outs of 3 s let a machine begin.
const APART: Duration = Duration::from_micros(125);

/// Turns that are this near begin at once: the timer counts in milliseconds.
const NEAR: Duration = Duration::from_millis(1);

/// Attempts in a row without an answer after which a webhook takes turns. A reset now and then is
/// no reason to wait behind the dead.
pub(crate) const UNANSWERED: u32 = 4;

/// Attempts begun without an answer to any after which the next ones take turns: as many as a webhook
/// may have in flight if it says nothing else. A thousand that begin together come to their time-outs
/// together; an endpoint that is only slow loses some tenths of a second, once.
pub(crate) const UNHEARD: u32 = 64;

/// When the next turn is.
#[derive(Default)]
pub(crate) struct Pacer {
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    /// Takes a turn: when it is, `None` where that is now.
    pub(crate) fn take(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + APART);
        (turn > now + NEAR).then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_begin_at_once_and_many_apart() {
        let pacer = Pacer::default();
        let now = Instant::now();
        let taken: Vec<_> = (0..80).map(|_| pacer.take(now)).collect();
        assert!(taken.iter().take(9).all(Option::is_none));
        assert_eq!(taken[79], Some(now + APART * 79));
        let later = now + Duration::from_secs(1);
        assert_eq!(pacer.take(later), None, "turns are not saved up, nor owed");
        assert_eq!(pacer.take(now), Some(later + APART));
    }
}
