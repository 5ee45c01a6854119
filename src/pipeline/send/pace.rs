//! Pace: the requests of a webhook with `max_per_second` begin at least so far apart, whatever they are for.
//!
//! A lane with a pace hands one delivery out at a time, and the next one only when the gap since the begin of
//! that one's request is over; what is handed out and not sent gives its turn back. Meanwhile the lane holds no
//! permit. It has one alarm where something is queued, and none where nothing is.
//!
//! Only what was measured counts: the moment at which a request began, not the one at which it was to begin. So a
//! machine that is late makes gaps longer and never a later one shorter. After a restart nothing is known of the
//! request before.
//!
//! Plain data of a lane. `alarm` moves it.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::model::DeliveryId;

/// When a lane's next request may begin. Without a pace: at any time.
#[derive(Default)]
pub(super) struct Spacing {
    gap: Option<Duration>,
    /// When the last request began.
    last: Option<Instant>,
    /// The delivery that was handed out and has not begun.
    turn: Option<DeliveryId>,
    /// When the lane is to be filled, and what sees to that.
    alarm: Option<(Instant, AbortHandle)>,
}

/// Whether the next request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    Now,
    At(Instant),
    /// Not before the one that was handed out has begun, or was given back.
    Behind,
}

impl Spacing {
    /// Whether there is a pace.
    pub(super) fn is_on(&self) -> bool {
        self.gap.is_some()
    }

    /// Sets or changes the pace, or takes it away. `has_sent`: requests of the lane began before, of which
    /// nothing is known where it had no pace.
    pub(super) fn set(&mut self, gap: Option<Duration>, has_sent: bool, now: Instant) {
        self.last = match (self.gap, gap) {
            (_, None) => None,
            (None, Some(_)) if has_sent => Some(now),
            (None | Some(_), Some(_)) => self.last,
        };
        self.gap = gap;
        // Who fills the lane next sets it anew.
        self.close();
    }

    /// The lane was closed: what is known of its requests stays known.
    pub(super) fn close(&mut self) {
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
    }

    /// Whether its alarm is set for that moment.
    pub(super) fn rings_at(&self, at: Instant) -> bool {
        self.alarm.as_ref().is_some_and(|(set, _)| *set == at)
    }

    /// Has an alarm in place of the one before.
    pub(super) fn set_alarm(&mut self, at: Instant, alarm: AbortHandle) {
        self.close();
        self.alarm = Some((at, alarm));
    }

    /// The alarm of that moment rang; by then another one may have been set.
    pub(super) fn rang(&mut self, at: Instant) {
        if self.rings_at(at) {
            self.alarm = None;
        }
    }

    /// Whether the gap since the last request is not over yet.
    pub(super) fn opens_later(&self, now: Instant) -> bool {
        self.next().is_some_and(|next| now < next)
    }

    fn next(&self) -> Option<Instant> {
        Some(self.last? + self.gap?)
    }

    /// Whether the next request may begin, and when it may.
    pub(super) fn opens(&self, now: Instant) -> Opens {
        match self.next() {
            _ if self.is_on() && self.turn.is_some() => Opens::Behind,
            Some(next) if now < next => Opens::At(next),
            _ => Opens::Now,
        }
    }

    /// Whether the next request may begin. Asks for the time only where there is a pace.
    pub(super) fn is_open(&self, now: impl FnOnce() -> Instant) -> bool {
        !self.is_on() || self.opens(now()) == Opens::Now
    }

    /// A delivery was taken, to be the next that begins.
    pub(super) fn hand_out(&mut self, id: DeliveryId) {
        if self.is_on() {
            self.turn = Some(id);
        }
    }

    /// Whether the delivery, which was taken, may begin now: the pace may be another by then. If so, no other
    /// one begins before it.
    pub(super) fn claim(&mut self, id: DeliveryId, now: impl FnOnce() -> Instant) -> bool {
        if self.turn == Some(id) {
            self.turn = None;
        }
        let is_open = self.is_open(now);
        if is_open {
            self.hand_out(id);
        }
        is_open
    }

    /// Its request begins.
    pub(super) fn begins(&mut self, id: DeliveryId, now: Instant) {
        self.give_back(Some(id));
        if self.is_on() {
            self.last = Some(now);
        }
    }

    /// Its request has begun, or will not.
    pub(super) fn give_back(&mut self, id: Option<DeliveryId>) {
        if self.turn.is_some() && self.turn == id {
            self.turn = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP: Duration = Duration::from_millis(200);

    fn paced(now: Instant) -> Spacing {
        let mut spacing = Spacing::default();
        spacing.set(Some(GAP), false, now);
        spacing
    }

    fn id(number: i64) -> DeliveryId {
        DeliveryId::new(number)
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_handed_out_at_a_time_and_the_next_a_gap_after_it_began() {
        let now = Instant::now();
        let mut spacing = paced(now);
        assert_eq!(spacing.opens(now), Opens::Now);
        spacing.hand_out(id(1));
        assert_eq!(spacing.opens(now + GAP * 9), Opens::Behind);
        // It waited for something else meanwhile: the gap counts from its begin.
        let later = now + GAP * 3;
        assert!(spacing.claim(id(1), || later));
        spacing.begins(id(1), later);
        assert_eq!(spacing.opens(later), Opens::At(later + GAP));
        assert_eq!(spacing.opens(later + GAP), Opens::Now);
        assert!(
            !spacing.claim(id(2), || later),
            "it was taken without a pace"
        );
        assert!(spacing.claim(id(2), || later + GAP));
        assert!(
            !spacing.claim(id(3), || later + GAP),
            "another one is about to begin"
        );
        spacing.give_back(Some(id(3)));
        assert_eq!(spacing.opens(later + GAP), Opens::Behind);
        spacing.give_back(Some(id(2)));
        assert_eq!(spacing.opens(later + GAP), Opens::Now, "it was not sent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_pace_counts_from_the_last_request() {
        let now = Instant::now();
        let mut spacing = paced(now);
        spacing.begins(id(1), now);
        spacing.set(Some(GAP * 5), true, now + GAP / 2);
        assert_eq!(spacing.opens(now + GAP), Opens::At(now + GAP * 5));
        spacing.set(Some(GAP / 2), true, now + GAP);
        assert_eq!(spacing.opens(now + GAP), Opens::Now);
        spacing.set(None, true, now + GAP);
        assert_eq!(spacing.opens(now), Opens::Now);
        // Requests may have begun right before this.
        spacing.set(Some(GAP), true, now + GAP);
        assert_eq!(spacing.opens(now + GAP), Opens::At(now + GAP * 2));
    }

    proptest! {
        /// Whatever is taken, given back and changed: no two begin nearer than the pace of the moment says, and
        /// something may begin whenever the gap is over and nothing is handed out.
        #[test]
        fn no_two_begin_too_near(steps in proptest::collection::vec((0_u64..500, 0_u8..6), 1..200)) {
            let mut now = Instant::now();
            let mut spacing = paced(now);
            let (mut gap, mut last) = (GAP, None::<Instant>);
            let (mut number, mut out) = (0, None);
            for (wait_ms, step) in steps {
                now += Duration::from_millis(wait_ms);
                match (step, out) {
                    (0, Some(taken)) => {
                        spacing.give_back(Some(taken));
                        out = None;
                    }
                    (1, _) => {
                        gap = Duration::from_millis(wait_ms + 1);
                        spacing.set(Some(gap), true, now);
                    }
                    (_, Some(taken)) => {
                        let over = last.is_none_or(|last| now >= last + gap);
                        prop_assert_eq!(spacing.claim(taken, || now), over);
                        if over {
                            spacing.begins(taken, now);
                            last = Some(now);
                        }
                        out = None;
                    }
                    (_, None) => {
                        let over = last.is_none_or(|last| now >= last + gap);
                        prop_assert_eq!(spacing.is_open(|| now), over);
                        if over {
                            number += 1;
                            spacing.hand_out(id(number));
                            out = Some(id(number));
                        }
                    }
                }
            }
        }
    }
}
