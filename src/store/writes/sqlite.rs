//! SQLite's writer, under the names that the pipeline calls. How each call works is said where it is made.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Admits, LogWriter, Obeys, Orders, Pauses, Queues, Records, Retains, Shares, Syncs};
use crate::model::{
    Admission, Announce, Attempt, Batch, Bodies, Cursor, Deferred, DeliveryId, Dialect, Due,
    EventId, FanOut, Generation, LogId, Pause, Rejected, ReplayId, Trigger, TurnRule,
};
use crate::store::control::{Again, Replay};
use crate::store::early::Shrunk;
use crate::store::fill::{Fill, SizeBounds};
use crate::store::insert::Takes;
use crate::store::queue::Clamped;
use crate::store::retain::Swept;
use crate::store::transition::CameOver;
use crate::store::turn::InHand;
use crate::store::withdraw::Cancelled;
use crate::store::{Error, Lost, Store, WalBounds, WalState};

impl LogWriter for Store {
    fn log_id(&self) -> LogId {
        Self::log_id(self)
    }

    #[cfg(test)]
    fn states(&self) -> Result<Vec<(String, i64)>, Error> {
        Self::states(self)
    }

    #[cfg(test)]
    fn attempts(&self) -> Result<i64, Error> {
        Self::attempts(self)
    }
}

impl Shares for Store {}

impl Admits for Store {
    fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        Self::cursor(self)
    }

    fn set_cursor(&mut self, cursor: &Cursor, now_ms: i64) -> Result<(), Error> {
        Self::set_cursor(self, cursor, now_ms)
    }

    fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Error> {
        Self::admit(self, admission, later, takes, now_ms)
    }

    fn set_aside(
        &mut self,
        generation: Generation,
        rows: &[Rejected],
        unless_traced: bool,
        now_ms: i64,
    ) -> Result<usize, Error> {
        Self::set_aside(self, generation, rows, unless_traced, now_ms)
    }

    fn add(
        &mut self,
        generation: Generation,
        events: &[FanOut],
        origin: Trigger,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        Self::add(self, generation, events, origin, takes, now_ms)
    }

    fn owed(&mut self, rows: usize) -> Result<Vec<Deferred>, Error> {
        Self::owed(self, rows)
    }

    fn materialize(
        &mut self,
        owed: &[Deferred],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        Self::materialize(self, owed, takes, now_ms)
    }

    fn gaps(&mut self) -> Result<Vec<RangeInclusive<EventId>>, Error> {
        Self::gaps(self)
    }

    fn traced(
        &mut self,
        generation: Generation,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, Error> {
        Self::traced(self, generation, ids)
    }
}

impl Queues for Store {
    fn due(
        &mut self,
        webhook: &str,
        now_ms: i64,
        max_rows: usize,
        max_bytes: usize,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<Vec<Due>, Error> {
        Self::due(self, webhook, now_ms, max_rows, max_bytes, skip)
    }

    fn take_unreadable(&mut self) -> Vec<DeliveryId> {
        Self::take_unreadable(self)
    }

    fn next_due(&mut self, webhook: &str) -> Result<Option<i64>, Error> {
        Self::next_due(self, webhook)
    }

    fn next_due_after(&mut self, webhook: &str, after_ms: i64) -> Result<Option<i64>, Error> {
        Self::next_due_after(self, webhook, after_ms)
    }

    fn pending_webhooks(&mut self) -> Result<Vec<String>, Error> {
        Self::pending_webhooks(self)
    }

    fn lost(&self) -> Lost {
        Self::lost(self)
    }

    fn cancel(
        &mut self,
        webhook: &str,
        max_rows: usize,
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<usize, Error> {
        Self::cancel(self, webhook, max_rows, now_ms, in_hand)
    }

    fn clamp_due(
        &mut self,
        now_ms: i64,
        longest_delay_ms: &dyn Fn(Dialect, u32) -> i64,
        max_rows: usize,
    ) -> Result<Clamped, Error> {
        Self::clamp_due(self, now_ms, longest_delay_ms, max_rows)
    }

    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        Self::held(self, now_ms)
    }

    fn changed(&mut self) -> Result<bool, Error> {
        Self::changed(self)
    }

    fn redelivered_since(&mut self, last_seen: i64) -> Result<(i64, Vec<String>), Error> {
        Self::redelivered_since(self, last_seen)
    }
}

impl Records for Store {
    fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error> {
        Self::record(self, attempts)
    }

    fn form(&mut self, batch: &Batch) -> Result<(), Error> {
        Self::form(self, batch)
    }

    fn holder(&self, id: DeliveryId) -> Result<Option<DeliveryId>, Error> {
        Self::holder(self, id)
    }

    fn keep_bodies(&mut self, bodies: Bodies) {
        Self::keep_bodies(self, bodies);
    }

    fn roll_up(&mut self, now_ms: i64) -> Result<(), Error> {
        Self::roll_up(self, now_ms)
    }

    fn flush(&mut self, now_ms: i64) -> Result<(), Error> {
        Self::flush(self, now_ms)
    }
}

impl Orders for Store {
    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        Self::keep_order(self, rules)
    }

    fn take_held_back(&mut self) -> Vec<(DeliveryId, Arc<str>)> {
        Self::take_held_back(self)
    }

    fn take_released(&mut self) -> Result<Vec<Arc<str>>, Error> {
        Self::take_released(self)
    }

    fn let_lines_go(&mut self, now_ms: i64, in_hand: InHand<'_>) -> Result<bool, Error> {
        Self::let_lines_go(self, now_ms, in_hand)
    }
}

impl Pauses for Store {
    fn pauses(&mut self) -> Result<Vec<Pause>, Error> {
        Self::pauses(self)
    }

    fn pause(&mut self, pause: &Pause) -> Result<(), Error> {
        Self::pause(self, pause)
    }

    fn resume(&mut self, webhook: &str, now_ms: i64) -> Result<bool, Error> {
        Self::resume(self, webhook, now_ms)
    }

    fn end_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        Self::end_pauses(self, now_ms)
    }

    fn pause_by_themselves(&mut self, spans_ms: HashMap<Arc<str>, i64>) -> Result<(), Error> {
        Self::pause_by_themselves(self, spans_ms)
    }

    fn take_pauses_changed(&mut self) -> bool {
        Self::take_pauses_changed(self)
    }

    fn tell_pauses(&mut self, now_ms: i64) -> Result<(), Error> {
        Self::tell_pauses(self, now_ms)
    }

    fn ask_for_own(&mut self, asks: bool) -> Result<(), Error> {
        Self::ask_for_own(self, asks)
    }

    fn announce_by(&mut self, announce: Option<Arc<dyn Announce>>) {
        Self::announce_by(self, announce);
    }

    fn take_announced(&mut self) -> Vec<Arc<str>> {
        Self::take_announced(self)
    }
}

impl Obeys for Store {
    fn register(&mut self, webhooks: &[(Arc<str>, bool)], now_ms: i64) -> Result<(), Error> {
        Self::register(self, webhooks, now_ms)
    }

    fn know_dialects(&mut self, webhooks: &[(Arc<str>, Dialect)]) -> Result<(), Error> {
        Self::know_dialects(self, webhooks)
    }

    fn next_test_id(&mut self, now_ms: i64) -> Result<EventId, Error> {
        Self::next_test_id(self, now_ms)
    }

    fn redeliver(
        &mut self,
        ids: &[DeliveryId],
        is_served: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Again>, Error> {
        Self::redeliver(self, ids, is_served)
    }

    fn cancel_by_order(
        &mut self,
        ids: &[DeliveryId],
        now_ms: i64,
        in_hand: InHand<'_>,
    ) -> Result<Vec<Cancelled>, Error> {
        Self::cancel_by_order(self, ids, now_ms, in_hand)
    }

    fn begin_replay(&mut self, replay: &Replay, now_ms: i64) -> Result<ReplayId, Error> {
        Self::begin_replay(self, replay, now_ms)
    }

    fn unfinished_replay(&mut self) -> Result<Option<Replay>, Error> {
        Self::unfinished_replay(self)
    }

    fn replay_step(
        &mut self,
        replay: &Replay,
        next_id: EventId,
        events: &[FanOut],
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<Vec<Due>, Error> {
        Self::replay_step(self, replay, next_id, events, takes, now_ms)
    }

    fn finish_replay(&mut self, id: ReplayId, now_ms: i64) -> Result<(), Error> {
        Self::finish_replay(self, id, now_ms)
    }
}

impl Retains for Store {
    fn mark(&mut self, now_ms: i64) -> Result<bool, Error> {
        Self::mark(self, now_ms)
    }

    fn leapt(&mut self) -> Result<bool, Error> {
        Self::leapt(self)
    }

    fn outbox_mark(&mut self, before_ms: i64) -> Result<Option<(Generation, EventId)>, Error> {
        Self::outbox_mark(self, before_ms)
    }

    fn sweep(&mut self, before_ms: i64, max_rows: usize) -> Result<Swept, Error> {
        Self::sweep(self, before_ms, max_rows)
    }

    fn limit_size(&mut self, bounds: Option<SizeBounds>) {
        Self::limit_size(self, bounds);
    }

    fn fill(&self) -> Fill {
        Self::fill(self)
    }

    fn shrink(
        &mut self,
        bounds: &SizeBounds,
        max_rows: usize,
        now_ms: i64,
        held: InHand<'_>,
    ) -> Result<Shrunk, Error> {
        Self::shrink(self, bounds, max_rows, now_ms, held)
    }

    fn come_over(&mut self, max_rows: usize) -> Result<CameOver, Error> {
        Self::come_over(self, max_rows)
    }
}

impl Syncs for Store {
    fn is_unsynced(&self) -> bool {
        Self::is_unsynced(self)
    }

    fn set_unsynced(&mut self, unsynced: bool) {
        Self::set_unsynced(self, unsynced);
    }

    fn checkpoint(&mut self) -> Result<WalState, Error> {
        Self::checkpoint(self)
    }

    fn wal_bounds(&self) -> WalBounds {
        Self::wal_bounds(self)
    }

    fn bound_wal(&mut self, bounds: WalBounds) -> Result<(), Error> {
        Self::bound_wal(self, bounds)
    }

    fn start_wal_over(&mut self) -> Result<(), Error> {
        Self::start_wal_over(self)
    }
}
