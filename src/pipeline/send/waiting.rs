//! Waiting for room: whether who takes work in has to, and who is told that the intake does.
//!
//! What is waited for is that something goes. Where deletion has found nothing that may, and nothing is under way to an
//! endpoint that answers, nothing will for as long as a batch may wait, and nobody waits. Left out: how long a wait
//! lasts at most (`shared/hold.rs`), and who makes room (`log/size.rs`).

use super::dispatch::Dispatch;
use super::lane::Lane;
use crate::model::{bytes, clock::utc};
use crate::pipeline::shared::Patience;
use crate::transport::Transport;

/// What a person may do about it.
const HINT: &str = "events stay in the outbox meanwhile; `webhooksd status` says which webhook does not take its \
                    deliveries, and max_size can be raised by a reload";

impl<T: Transport> Dispatch<T> {
    /// Whether to wait before the next batch.
    pub(crate) fn waits_for_room(&self, patience: &mut Patience) -> bool {
        let goes = || self.is_any_on_its_way();
        patience.waits(self.log.hold(), self.clock.instant(), goes)
    }

    /// The same for the intake, whose waits are told of.
    pub(crate) fn intake_waits(&self, patience: &mut Patience) -> bool {
        let (waits, hold) = (self.waits_for_room(patience), self.log.hold());
        let waited = hold.waited();
        if !waits && !waited.is_any() {
            return false;
        }
        let now_ms = self.clock.now_ms();
        if waits && waited.waits(now_ms) {
            let retention = self.running.retention();
            tracing::warn!(
                step = "take events in",
                log = &*retention.log.shown(),
                max_size = retention.log_max_bytes.map(bytes::typed),
                cause = hold.cause(),
                hint = HINT,
                "the intake waits for room in the log"
            );
        } else if !waits && waited.goes_on(now_ms) {
            let log = self.running.retention().log;
            tracing::info!(
                step = "take events in",
                log = &*log.shown(),
                cause = if hold.is_full() {
                    // It would wait in vain.
                    "nothing in the log can go now, and it grows"
                } else {
                    "the log has room"
                },
                "the intake goes on"
            );
        }
        waits
    }

    /// Since when the intake waits for room, UNIX milliseconds, where that has lasted.
    pub(crate) fn waits_for_room_since_ms(&self) -> Option<i64> {
        self.log.hold().waited().since_ms()
    }

    /// What is said of that.
    pub(crate) fn waits_for_room_warning(&self) -> Option<String> {
        let since = utc(self.waits_for_room_since_ms()?);
        let cause = self.log.hold().cause();
        Some(format!(
            "the intake waits for room in the log since {since}: {cause}: {HINT}"
        ))
    }

    /// Whether something may be finished soon.
    fn is_any_on_its_way(&self) -> bool {
        let (lanes, now_ms) = (self.lanes.read(), self.clock.now_ms());
        lanes.values().any(|lane| may_finish(lane, now_ms))
    }
}

/// Whether some of its deliveries are under way to an endpoint that answers, as far as is known, or have been answered.
fn may_finish<E>(lane: &Lane<E>, now_ms: i64) -> bool {
    if lane.is_silent() {
        return false;
    }
    let load = lane.load_at(now_ms);
    let goes = load.queued > 0 && load.held_until_ms.is_none();
    load.in_flight > 0 || goes || lane.unrecorded() > 0
}
