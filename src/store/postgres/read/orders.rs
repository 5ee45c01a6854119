//! What orders ask before they are carried out: what there is to send again, to cancel or to replay.

use tokio_postgres::Row;

use super::{Read, Reader, int, word};
use crate::model::{DeliveryId, EventId, Generation, IdRange, ReplayId, TimeWindow};
use crate::store::Error;
use crate::store::control::{Ended, Replay};
use crate::store::withdraw::PendingPage;

/// What ended so, within a window of ids and one of times, and was not sent again since.
const ENDED: &str =
    "FROM webhooksd.again e WHERE e.state = $1 AND e.webhook = $2 AND e.id > $3 AND e.id <= $4
    AND e.finished_at >= $5 AND e.finished_at < $6";

/// Pending deliveries of a webhook, made within a window, up to an id; tests are none. From their end, so that what
/// waits for its turn, which has no due time, goes before the one whose turn it is.
const PENDING: &str = "FROM (SELECT id, coalesce(due_at, 9223372036854775807) AS due, created_at, origin
      FROM webhooksd.pending WHERE webhook = $1) q
    WHERE (due, id) < ($5, $6) AND id <= $2 AND created_at >= $3 AND created_at < $4 AND origin <> 'test'";

fn state(how: Ended) -> &'static str {
    match how {
        Ended::Failed => "failed",
        Ended::Cancelled => "cancelled",
    }
}

pub(in crate::store::postgres) const REPLAY: &str =
    "SELECT id, generation, since, until, webhook, event, next_id, last_id, matched, done, finished_at IS NOT NULL
       FROM webhooksd.replay";

pub(in crate::store::postgres) fn replay(row: &Row) -> Read<Replay> {
    Ok(Replay {
        id: ReplayId::new(row.try_get(0)?),
        generation: Generation::new(row.try_get(1)?),
        since_ms: row.try_get(2)?,
        until_ms: row.try_get(3)?,
        webhook: row.try_get(4)?,
        event: row.try_get(5)?,
        next_id: EventId::new(row.try_get(6)?),
        last_id: EventId::new(row.try_get(7)?),
        matched: row.try_get(8)?,
        done: row.try_get(9)?,
        finished: row.try_get(10)?,
    })
}

impl Reader {
    pub(super) fn ended_so(
        &self,
        (how, webhook): (Ended, &str),
        window: TimeWindow,
        ids: IdRange<DeliveryId>,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        let sql = format!("SELECT e.id {ENDED} ORDER BY e.id LIMIT $7");
        let (state, after, up_to) = (state(how), ids.after.get(), ids.up_to.get());
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let values = [
            word(&state),
            word(&webhook),
            int(&after),
            int(&up_to),
            int(&window.from_ms),
            int(&window.to_ms),
            int(&limit),
        ];
        self.all("list what can be sent again", &sql, &values, |row| {
            row.try_get(0).map(DeliveryId::new)
        })
    }

    pub(super) fn count_ended_so(
        &self,
        (how, webhook): (Ended, &str),
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        let sql = format!("SELECT count(*) {ENDED}");
        let (state, up_to) = (state(how), up_to.get());
        let values = [
            word(&state),
            word(&webhook),
            int(&0),
            int(&up_to),
            int(&window.from_ms),
            int(&window.to_ms),
        ];
        self.value("count what can be sent again", &sql, &values)
    }

    pub(super) fn page_of_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
        page: &mut PendingPage,
        max_rows: usize,
    ) -> Result<Vec<DeliveryId>, Error> {
        let sql = format!("SELECT id, due {PENDING} ORDER BY due DESC, id DESC LIMIT $7");
        let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
        let (up_to, due_at, id) = (up_to.get(), page.due_at, page.id.get());
        let values = [
            word(&webhook),
            int(&up_to),
            int(&window.from_ms),
            int(&window.to_ms),
            int(&due_at),
            int(&id),
            int(&limit),
        ];
        let found = self.all("list what can be cancelled", &sql, &values, |row| {
            Ok((DeliveryId::new(row.try_get(0)?), row.try_get(1)?))
        })?;
        if let Some((id, due_at)) = found.last() {
            (page.id, page.due_at) = (*id, *due_at);
        }
        Ok(found.into_iter().map(|(id, _)| id).collect())
    }

    pub(super) fn count_of_pending(
        &self,
        webhook: &str,
        window: TimeWindow,
        up_to: DeliveryId,
    ) -> Result<i64, Error> {
        let sql = format!("SELECT count(*) {PENDING}");
        let up_to = up_to.get();
        let values = [
            word(&webhook),
            int(&up_to),
            int(&window.from_ms),
            int(&window.to_ms),
            int(&i64::MAX),
            int(&i64::MAX),
        ];
        self.value("count what can be cancelled", &sql, &values)
    }

    pub(super) fn last_delivery(&self) -> Result<DeliveryId, Error> {
        // The sequence goes by the clock as well, and a log without any has none.
        let sql = "SELECT coalesce(greatest((SELECT max(id) FROM webhooksd.pending), (SELECT max(id) FROM webhooksd.ended),
                                   (SELECT max(delivery_id) FROM webhooksd.attempt)), 0)";
        let id = self.value("read the newest delivery", sql, &[])?;
        Ok(DeliveryId::new(id))
    }

    pub(super) fn replay_of(&self, id: ReplayId) -> Result<Option<Replay>, Error> {
        let sql = format!("{REPLAY} WHERE id = $1");
        self.first("read a replay", &sql, &[int(&id.get())], replay)
    }
}
