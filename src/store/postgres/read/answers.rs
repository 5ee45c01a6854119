//! PostgreSQL's answers, under the names of the questions.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::Reader;
use crate::model::when::parse_time_ms;
use crate::model::{
    AttemptId, DeliveryId, Dialect, EventId, Generation, IdRange, Pause, ReplayId, Snapshot,
    TimeWindow,
};
use crate::store::control::{Ended, Replay};
use crate::store::nodes::NodeShare;
use crate::store::postgres::cursor::cursor_at;
use crate::store::read::{
    Closely, Count, DeliveryRow, DeliveryTrace, EventTrace, HeldBy, HeldOf, Holding, LogFilter,
    LogRow, LogText, MadeFor, Newest, WebhookHealth, WebhookRow,
};
use crate::store::summary::LastFailure;
use crate::store::withdraw::PendingPage;
use crate::store::{Error, LogReader};

impl LogReader for Reader {
    fn bytes(&self) -> Option<u64> {
        self.whole_size().ok()
    }

    fn nodes(&self) -> Result<Vec<NodeShare>, Error> {
        self.sharers()
    }

    fn owners(&self, names: &[String]) -> Result<HashMap<String, String>, Error> {
        self.owners_of(names)
    }

    fn log(&self, rows: u32) -> Result<Vec<LogRow>, Error> {
        self.newest_rows(rows)
    }

    fn newest(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error> {
        self.search(filter, count)
    }

    fn after(
        &self,
        id: AttemptId,
        filter: &LogFilter,
        looked_through: usize,
    ) -> Result<(Vec<AttemptId>, AttemptId), Error> {
        self.behind_id(id, filter, looked_through)
    }

    fn newest_id(&self) -> Result<AttemptId, Error> {
        self.last_id()
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<LogRow>, Error> {
        self.one(id)
    }

    fn attempt_text(&self, id: AttemptId) -> Result<Option<LogText>, Error> {
        self.text_of(id)
    }

    fn newest_time(&self) -> Result<Option<i64>, Error> {
        let newest = self.newest_rows(1)?.pop();
        Ok(newest.and_then(|row| parse_time_ms(&row.time)))
    }

    fn oldest(&self) -> Result<Option<i64>, Error> {
        self.oldest_ended()
    }

    fn attempts_since(&self, time_ms: i64) -> Result<(i64, i64), Error> {
        self.grown_since(time_ms)
    }

    fn version(&self) -> Result<i64, Error> {
        self.seen()
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Error> {
        self.delivery_of(id)
    }

    fn was_sent_again(&self, id: DeliveryId) -> Result<bool, Error> {
        self.is_sent_again(id)
    }

    fn attempts_of(&self, id: DeliveryId, most: u32) -> Result<Vec<LogRow>, Error> {
        self.rows_of(id, most)
    }

    fn event(&self, event_id: EventId) -> Result<EventTrace, Error> {
        self.story(event_id)
    }

    fn last_of_many(
        &self,
        event_id: EventId,
        bounds: (usize, usize),
    ) -> Result<Option<Vec<DeliveryTrace>>, Error> {
        self.newest_of_many(event_id, bounds)
    }

    fn bodies(
        &self,
        generation: Generation,
        event_id: EventId,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.bodies_of(generation, event_id)
    }

    fn tenant(&self, event_id: EventId) -> Result<Option<String>, Error> {
        self.tenant_of(event_id)
    }

    fn generation_of_body(
        &self,
        event_id: EventId,
        dialect: Dialect,
        text: &str,
    ) -> Result<Option<Option<Generation>>, Error> {
        self.generation_that_holds(event_id, dialect, text)
    }

    fn made_for(&self, webhook: &str, ids: &RangeInclusive<EventId>) -> Result<MadeFor, Error> {
        self.what_was_made(webhook, ids)
    }

    fn forgotten_up_to(
        &self,
        kept_since_ms: Option<i64>,
        may_go_early: bool,
    ) -> Result<EventId, Error> {
        self.forgotten(kept_since_ms, may_go_early)
    }

    fn cursor(&self) -> Result<EventId, Error> {
        Ok(self.cursor_of()?.unwrap_or_default().1)
    }

    fn snapshot(&self) -> Result<Option<Box<Snapshot>>, Error> {
        let cursor = cursor_at(self.link()).map_err(Error::Server)?;
        Ok(cursor.and_then(|cursor| cursor.snapshot))
    }

    fn set_aside_since(&self, time_ms: i64) -> Result<i64, Error> {
        self.aside_since(time_ms)
    }

    fn pending(&self) -> Result<Vec<(String, i64)>, Error> {
        self.pending_by_webhook()
    }

    fn pending_in_all(&self) -> Result<Count, Error> {
        self.all_pending()
    }

    fn pending_before(
        &self,
        webhook: &str,
        due_at_ms: i64,
        id: DeliveryId,
    ) -> Result<Count, Error> {
        self.due_before(webhook, due_at_ms, id)
    }

    fn oldest_pending(&self, webhook: &str) -> Result<Option<i64>, Error> {
        self.first_due(webhook)
    }

    fn held_by(&self, id: DeliveryId) -> Result<Option<HeldBy>, Error> {
        self.holder_of(id)
    }

    fn held_of(&self, webhook: &str) -> Result<Option<HeldOf>, Error> {
        self.held_of_webhook(webhook)
    }

    fn holding(&self) -> Result<Vec<(String, Holding)>, Error> {
        self.all_holding()
    }

    fn behind(&self, id: DeliveryId) -> Result<Option<Count>, Error> {
        self.behind_one(id)
    }

    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error> {
        self.asked_to_wait(now_ms)
    }

    fn webhooks(&self) -> Result<Vec<WebhookRow>, Error> {
        self.webhook_rows()
    }

    fn health(&self, now_ms: i64) -> Result<Vec<WebhookHealth>, Error> {
        self.health_of(None, now_ms)
    }

    fn closely(&self, names: &[String], now_ms: i64) -> Result<Vec<Closely>, Error> {
        self.closely_of(names, now_ms)
    }

    fn by_need(&self, now_ms: i64) -> Result<Vec<String>, Error> {
        self.names_by_need(now_ms)
    }

    fn last_failure(&self) -> Result<Option<LastFailure>, Error> {
        self.failed_last()
    }

    fn pauses(&self, now_ms: i64) -> Result<Vec<Pause>, Error> {
        self.pauses_at(now_ms)
    }

    fn ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        ids: IdRange<DeliveryId>,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        self.ended_so((how, webhook), window, ids, max_rows)
    }

    fn count_ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        self.count_ended_so((how, webhook), window, up_to)
    }

    fn pending_page(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
        page: &mut PendingPage,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        self.page_of_pending(webhook, window, up_to, page, max_rows)
    }

    fn count_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        self.count_of_pending(webhook, window, up_to)
    }

    fn newest_delivery(&self) -> Result<DeliveryId, Error> {
        self.last_delivery()
    }

    fn replay(&self, id: ReplayId) -> Result<Option<Replay>, Error> {
        self.replay_of(id)
    }
}
