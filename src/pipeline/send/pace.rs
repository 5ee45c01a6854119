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
//! Beside its pace a lane knows until when its endpoint asked to wait, by the wall clock; a person's test goes all
//! the same. That is in the log too.
//!
//! Plain data of a lane. `alarm` moves it.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::model::{Clock, DeliveryId, Due, Trigger};

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
    /// Until when the endpoint asked to wait, UNIX milliseconds; long over, where it never did.
    held_until_ms: i64,
}

/// Two moments that are so near are one: the wall clock counts in milliseconds.
const SAME: Duration = Duration::from_millis(2);

/// Whether the next request may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    Now,
    At(Instant),
    /// Not before the one that was handed out has begun, or was given back.
    Behind,
}

impl Spacing {
    /// Whether there is anything to wait for, or was.
    pub(super) fn is_on(&self) -> bool {
        self.gap.is_some() || self.held_until_ms != 0
    }

    /// Whether who waits for the lane would wait in vain.
    pub(super) fn is_slow(&self, now_ms: i64) -> bool {
        self.gap.is_some() || self.held_until_ms > now_ms
    }

    /// The endpoint asked to wait until then. True where it had not asked before, or that is over.
    pub(super) fn hold(&mut self, until_ms: i64, now_ms: i64) -> bool {
        let is_new = self.held_until_ms <= now_ms && until_ms > now_ms;
        self.held_until_ms = self.held_until_ms.max(until_ms);
        is_new
    }

    /// It is not waited for longer than that. True where it asked to wait at all.
    pub(super) fn hold_at_most_until(&mut self, longest_ms: i64) -> bool {
        self.held_until_ms = self.held_until_ms.min(longest_ms);
        self.held_until_ms != 0
    }

    /// Until when the endpoint asked to wait, where that is not over.
    pub(super) fn held_until_ms(&self, now_ms: i64) -> Option<i64> {
        (self.held_until_ms > now_ms).then_some(self.held_until_ms)
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
        let near = |set: Instant| set.max(at) - set.min(at) < SAME;
        self.alarm.as_ref().is_some_and(|(set, _)| near(*set))
    }

    /// Has an alarm in place of the one before.
    pub(super) fn set_alarm(&mut self, at: Instant, alarm: AbortHandle) {
        self.close();
        self.alarm = Some((at, alarm));
    }

    /// The alarm of that moment rang; by then another one may have been set.
    pub(super) fn rang(&mut self, at: Instant) {
        if self.alarm.as_ref().is_some_and(|(set, _)| *set == at) {
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

    /// Whether the next request may begin, and when it may. Asks for the time only where there is something
    /// to wait for.
    pub(super) fn opens(&self, is_test: bool, clock: &Clock) -> Opens {
        if !self.is_on() {
            return Opens::Now;
        }
        if self.gap.is_some() && self.turn.is_some() {
            return Opens::Behind;
        }
        let now = clock.instant();
        let by_pace = self.next().filter(|next| now < *next);
        let now_ms = clock.now_ms();
        let held = self.held_until_ms(now_ms).filter(|_| !is_test);
        let by_hold = held.map(|until_ms| {
            let left_ms = until_ms.saturating_sub(now_ms).unsigned_abs();
            now + Duration::from_millis(left_ms)
        });
        by_pace.max(by_hold).map_or(Opens::Now, Opens::At)
    }

    /// A delivery was taken, to be the next that begins.
    pub(super) fn hand_out(&mut self, id: DeliveryId) {
        if self.gap.is_some() {
            self.turn = Some(id);
        }
    }

    /// Whether the delivery, which was taken, may begin now: there may be another pace by then, or the endpoint
    /// may have asked to wait. If so, no other one begins before it.
    pub(super) fn claim(&mut self, due: &Due, clock: &Clock) -> bool {
        self.give_back(Some(due.id));
        let is_open = self.opens(due.origin == Trigger::Test, clock) == Opens::Now;
        if is_open {
            self.hand_out(due.id);
        }
        is_open
    }

    /// Its request begins.
    pub(super) fn begins(&mut self, id: DeliveryId, now: Instant) {
        self.give_back(Some(id));
        if self.gap.is_some() {
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
mod tests;
