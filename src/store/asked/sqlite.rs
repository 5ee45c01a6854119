//! SQLite's answers, under the names of the questions. How each is found is said where it is found.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::LogReader;
use crate::model::{
    AttemptId, DeliveryId, Dialect, EventId, Generation, IdRange, Pause, ReplayId, Snapshot,
    TimeWindow,
};
use crate::store::Error;
use crate::store::control::{Ended, Replay};
use crate::store::read::{
    Closely, Count, DeliveryRow, DeliveryTrace, EventTrace, HeldBy, HeldOf, Holding, LogFilter,
    LogRow, LogText, MadeFor, Newest, Reader, WebhookHealth, WebhookRow,
};
use crate::store::summary::LastFailure;
use crate::store::withdraw::PendingPage;

impl LogReader for Reader {
    fn log(&self, rows: u32) -> Result<Vec<LogRow>, Error> {
        Reader::log(self, rows)
    }

    fn newest(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error> {
        Reader::newest(self, filter, count)
    }

    fn after(
        &self,
        id: AttemptId,
        filter: &LogFilter,
        looked_through: usize,
    ) -> Result<(Vec<AttemptId>, AttemptId), Error> {
        Reader::after(self, id, filter, looked_through)
    }

    fn newest_id(&self) -> Result<AttemptId, Error> {
        Reader::newest_id(self)
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<LogRow>, Error> {
        Reader::attempt(self, id)
    }

    fn attempt_text(&self, id: AttemptId) -> Result<Option<LogText>, Error> {
        Reader::attempt_text(self, id)
    }

    fn newest_time(&self) -> Result<Option<i64>, Error> {
        Reader::newest_time(self)
    }

    fn oldest(&self) -> Result<Option<i64>, Error> {
        Reader::oldest(self)
    }

    fn attempts_since(&self, time_ms: i64) -> Result<(i64, i64), Error> {
        Reader::attempts_since(self, time_ms)
    }

    fn version(&self) -> Result<i64, Error> {
        Reader::data_version(self)
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Error> {
        Reader::delivery(self, id)
    }

    fn was_sent_again(&self, id: DeliveryId) -> Result<bool, Error> {
        Reader::was_sent_again(self, id)
    }

    fn attempts_of(&self, id: DeliveryId, most: u32) -> Result<Vec<LogRow>, Error> {
        Reader::attempts_of(self, id, most)
    }

    fn event(&self, event_id: EventId) -> Result<EventTrace, Error> {
        Reader::event(self, event_id)
    }

    fn last_of_many(
        &self,
        event_id: EventId,
        bounds: (usize, usize),
    ) -> Result<Option<Vec<DeliveryTrace>>, Error> {
        Reader::last_of_many(self, event_id, bounds)
    }

    fn bodies(
        &self,
        generation: Generation,
        event_id: EventId,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Reader::bodies(self, generation, event_id)
    }

    fn tenant(&self, event_id: EventId) -> Result<Option<String>, Error> {
        Reader::tenant(self, event_id)
    }

    fn generation_of_body(
        &self,
        event_id: EventId,
        dialect: Dialect,
        text: &str,
    ) -> Result<Option<Option<Generation>>, Error> {
        Reader::generation_of_body(self, event_id, dialect, text)
    }

    fn made_for(&self, webhook: &str, ids: &RangeInclusive<EventId>) -> Result<MadeFor, Error> {
        Reader::made_for(self, webhook, ids)
    }

    fn forgotten_up_to(
        &self,
        kept_since_ms: Option<i64>,
        may_go_early: bool,
    ) -> Result<EventId, Error> {
        Reader::forgotten_up_to(self, kept_since_ms, may_go_early)
    }

    fn cursor(&self) -> Result<EventId, Error> {
        Reader::cursor(self)
    }

    fn snapshot(&self) -> Result<Option<Box<Snapshot>>, Error> {
        Reader::snapshot(self)
    }

    fn set_aside_since(&self, time_ms: i64) -> Result<i64, Error> {
        Reader::set_aside_since(self, time_ms)
    }

    fn pending(&self) -> Result<Vec<(String, i64)>, Error> {
        Reader::pending(self)
    }

    fn pending_in_all(&self) -> Result<Count, Error> {
        Reader::pending_in_all(self)
    }

    fn pending_before(
        &self,
        webhook: &str,
        due_at_ms: i64,
        id: DeliveryId,
    ) -> Result<Count, Error> {
        Reader::pending_before(self, webhook, due_at_ms, id)
    }

    fn oldest_pending(&self, webhook: &str) -> Result<Option<i64>, Error> {
        Reader::oldest_pending(self, webhook)
    }

    fn held_by(&self, id: DeliveryId) -> Result<Option<HeldBy>, Error> {
        Reader::held_by(self, id)
    }

    fn held_of(&self, webhook: &str) -> Result<Option<HeldOf>, Error> {
        Reader::held_of(self, webhook)
    }

    fn holding(&self) -> Result<Vec<(String, Holding)>, Error> {
        Reader::holding(self)
    }

    fn behind(&self, id: DeliveryId) -> Result<Option<Count>, Error> {
        Reader::behind(self, id)
    }

    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        Reader::held(self, now_ms)
    }

    fn webhooks(&self) -> Result<Vec<WebhookRow>, Error> {
        Reader::webhooks(self)
    }

    fn health(&self, now_ms: i64) -> Result<Vec<WebhookHealth>, Error> {
        Reader::health(self, now_ms)
    }

    fn closely(&self, names: &[String], now_ms: i64) -> Result<Vec<Closely>, Error> {
        Reader::closely(self, names, now_ms)
    }

    fn by_need(&self, now_ms: i64) -> Result<Vec<String>, Error> {
        Reader::by_need(self, now_ms)
    }

    fn last_failure(&self) -> Result<Option<LastFailure>, Error> {
        Reader::last_failure(self)
    }

    fn pauses(&self, now_ms: i64) -> Result<Vec<Pause>, Error> {
        Reader::pauses(self, now_ms)
    }

    fn ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        ids: IdRange<DeliveryId>,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        Reader::ended(self, how, webhook, window, ids, max_rows)
    }

    fn count_ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        Reader::count_ended(self, how, webhook, window, up_to)
    }

    fn pending_page(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
        page: &mut PendingPage,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        Reader::pending_page(self, webhook, window, up_to, page, max_rows)
    }

    fn count_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        Reader::count_pending(self, webhook, window, up_to)
    }

    fn newest_delivery(&self) -> Result<DeliveryId, Error> {
        Reader::newest_delivery(self)
    }

    fn replay(&self, id: ReplayId) -> Result<Option<Replay>, Error> {
        Reader::replay(self, id)
    }
}
