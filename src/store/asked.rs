//! What is asked of a log, whatever engine keeps it.
//!
//! Commands, the page, the socket and the metrics hold a [`LogReader`] and know no engine. Each question is one short
//! read at one moment, bounded whatever the log's size, or it says how far it looked. Opening a log is `store`'s.
//! How an engine answers is its own: SQLite's answers are in `read` and beside what they are about.

mod sqlite;

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use super::Error;
use super::control::{Ended, Replay};
use super::nodes::NodeShare;
use super::read::{
    Closely, Count, DeliveryRow, DeliveryTrace, EventTrace, HeldBy, HeldOf, Holding, LogFilter,
    LogRow, LogText, MadeFor, Newest, WebhookHealth, WebhookRow,
};
use super::summary::LastFailure;
use super::withdraw::PendingPage;
use crate::model::{
    AttemptId, DeliveryId, Dialect, EventId, Generation, IdRange, Pause, ReplayId, Snapshot,
    TimeWindow,
};

/// A log, opened for reading: works beside the daemon, and after it stopped.
///
/// # Errors
/// Each question fails where the log can't be read, and with nothing else.
pub(crate) trait LogReader: Debug + Send {
    /// Its size in bytes, where that is not its files' ([`super::log_size`]); `None` too where it can't be asked.
    fn bytes(&self) -> Option<u64> {
        None
    }

    /// The nodes that share it, by name; none of a log that one process has for itself.
    fn nodes(&self) -> Result<Vec<NodeShare>, Error> {
        Ok(Vec::new())
    }

    /// The name of the node that each of these webhooks is at the moment, where it is one's.
    fn owners(&self, _names: &[String]) -> Result<HashMap<String, String>, Error> {
        Ok(HashMap::new())
    }

    // The attempts.

    /// The newest `rows` of the log, the oldest of them first.
    fn log(&self, rows: u32) -> Result<Vec<LogRow>, Error>;

    /// The newest `count` attempts that the filter lets through. Without `since_ms` it looks through
    /// a bounded number of rows and says where it stopped.
    fn newest(&self, filter: &LogFilter, count: usize) -> Result<Newest, Error>;

    /// Attempts with ids above `id` that the filter lets through, oldest first, out of at most
    /// `looked_through` rows, and the id of the last row looked at.
    fn after(
        &self,
        id: AttemptId,
        filter: &LogFilter,
        looked_through: usize,
    ) -> Result<(Vec<AttemptId>, AttemptId), Error>;

    /// The id of the newest attempt; 0 in an empty log.
    fn newest_id(&self) -> Result<AttemptId, Error>;

    /// One attempt; `None` where retention has taken it.
    fn attempt(&self, id: AttemptId) -> Result<Option<LogRow>, Error>;

    /// The headers and bodies of one attempt; `None` where retention has taken it.
    fn attempt_text(&self, id: AttemptId) -> Result<Option<LogText>, Error>;

    /// When the newest attempt was made, UNIX milliseconds; `None` in an empty log.
    fn newest_time(&self) -> Result<Option<i64>, Error>;

    /// When the oldest attempt of finished work was made, UNIX milliseconds. Of the oldest 1,000 attempts at
    /// most: where all of those are of pending work, it is the last of them.
    fn oldest(&self) -> Result<Option<i64>, Error>;

    /// How many attempts the log has since then, and in all, by their ids.
    fn attempts_since(&self, time_ms: i64) -> Result<(i64, i64), Error>;

    /// A number that is another than before where something was committed since.
    fn version(&self) -> Result<i64, Error>;

    // Deliveries and events.

    /// One delivery; `None` where there is none, or retention has taken it.
    fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRow>, Error>;

    /// Whether somebody has had a delivery sent again.
    fn was_sent_again(&self, id: DeliveryId) -> Result<bool, Error>;

    /// The newest `most` attempts of a delivery, the newest first.
    fn attempts_of(&self, id: DeliveryId, most: u32) -> Result<Vec<LogRow>, Error>;

    /// What the log says of the event with that outbox id.
    fn event(&self, event_id: EventId) -> Result<EventTrace, Error>;

    /// The newest `most` deliveries of an event that has more than `many`; `None` where it has not, as far as that is
    /// seen at once.
    fn last_of_many(
        &self,
        event_id: EventId,
        bounds: (usize, usize),
    ) -> Result<Option<Vec<DeliveryTrace>>, Error>;

    /// The bodies that were made for the event in a generation and kept, one for each dialect: its name
    /// and the bytes.
    fn bodies(
        &self,
        generation: Generation,
        event_id: EventId,
    ) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Whose event it was that got that id, where the log knows it. For events of webhooksd itself, whose ids are
    /// never another's.
    fn tenant(&self, event_id: EventId) -> Result<Option<String>, Error>;

    /// The newest generation in which a body that was made in that dialect for an event of that id
    /// holds `text`, if any does; `None` where the log has no such body.
    fn generation_of_body(
        &self,
        event_id: EventId,
        dialect: Dialect,
        text: &str,
    ) -> Result<Option<Option<Generation>>, Error>;

    /// Of which events of that range there is a delivery to the webhook.
    fn made_for(&self, webhook: &str, ids: &RangeInclusive<EventId>) -> Result<MadeFor, Error>;

    /// The last event whose deliveries may be gone from the log: what was taken before `kept_since_ms`, where
    /// that is a moment, and what went early, where something may. To the hour, and rather too many.
    fn forgotten_up_to(
        &self,
        kept_since_ms: Option<i64>,
        may_go_early: bool,
    ) -> Result<EventId, Error>;

    /// The outbox id up to which events were taken in; 0 in a log that never was told.
    fn cursor(&self) -> Result<EventId, Error>;

    /// How far an outbox in PostgreSQL was taken; `None` of one in SQLite, and before the first look.
    fn snapshot(&self) -> Result<Option<Box<Snapshot>>, Error>;

    /// How many of the newest 1,000 rows that were set aside were so since then.
    fn set_aside_since(&self, time_ms: i64) -> Result<i64, Error>;

    // What is pending, and what waits for what.

    /// How many deliveries are pending, for each webhook that has some. Takes as long as there are
    /// many of them.
    fn pending(&self) -> Result<Vec<(String, i64)>, Error>;

    /// How many are pending in all, up to the limit.
    fn pending_in_all(&self) -> Result<Count, Error>;

    /// How many of a webhook are due before this delivery, which is due then; up to the limit.
    fn pending_before(&self, webhook: &str, due_at_ms: i64, id: DeliveryId)
    -> Result<Count, Error>;

    /// When the pending delivery that is due first was made, for one webhook, UNIX milliseconds.
    fn oldest_pending(&self, webhook: &str) -> Result<Option<i64>, Error>;

    /// What holds a delivery that waits for its turn; `None` where it does not wait for that.
    fn held_by(&self, id: DeliveryId) -> Result<Option<HeldBy>, Error>;

    /// What the order of a webhook holds back; `None` where that is nothing.
    fn held_of(&self, webhook: &str) -> Result<Option<HeldOf>, Error>;

    /// What was given up and holds its line, by webhook.
    fn holding(&self) -> Result<Vec<(String, Holding)>, Error>;

    /// How many deliveries wait behind one that was given up and holds its line; `None` where it holds none.
    fn behind(&self, id: DeliveryId) -> Result<Option<Count>, Error>;

    /// Until when webhooks are not to be tried, UNIX milliseconds, by name; those that may be by now are not
    /// among them, and none is in a log of an earlier shape.
    fn held(&self, now_ms: i64) -> Result<HashMap<String, i64>, Error>;

    // How the webhooks are.

    /// Every webhook that the daemon knows or knew, by name.
    fn webhooks(&self) -> Result<Vec<WebhookRow>, Error>;

    /// Every webhook that the daemon knew when it last ran, by name.
    fn health(&self, now_ms: i64) -> Result<Vec<WebhookHealth>, Error>;

    /// These webhooks, in this order; one that the daemon does not know, or that left, is left out.
    fn closely(&self, names: &[String], now_ms: i64) -> Result<Vec<Closely>, Error>;

    /// The names of all webhooks that the daemon knows, by name, those first that somebody should look at: paused, or
    /// failing as [`WebhookHealth::is_failing`] says it. Where more than a hundred may be failing, the others of these
    /// stand behind them, unjudged.
    fn by_need(&self, now_ms: i64) -> Result<Vec<String>, Error>;

    /// The active webhook whose newest attempt failed, the last one where there are several.
    fn last_failure(&self) -> Result<Option<LastFailure>, Error>;

    /// The pauses that are in force then, by the webhook's name.
    fn pauses(&self, now_ms: i64) -> Result<Vec<Pause>, Error>;

    // What orders find.

    /// A webhook's deliveries that ended so within `window` and were not sent again since: up to
    /// `max_rows` of these ids, in their order.
    fn ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        ids: IdRange<DeliveryId>,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error>;

    /// How many [`ended`](Self::ended) would list, up to the delivery `up_to`.
    fn count_ended(
        &self,
        how: Ended,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error>;

    /// The next page of a webhook's pending deliveries that were made within `window`, up to that id; none at the
    /// end. What moves meanwhile may be missed or come twice: list anew until nothing comes.
    fn pending_page(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
        page: &mut PendingPage,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error>;

    /// How many there are to list.
    fn count_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error>;

    /// The highest delivery id given out.
    fn newest_delivery(&self) -> Result<DeliveryId, Error>;

    /// The replay of that id.
    fn replay(&self, id: ReplayId) -> Result<Option<Replay>, Error>;
}
