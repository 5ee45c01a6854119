//! Whose turn it is where a delivery is held by the order of its webhook.

use tokio_postgres::Row;

use super::{HELD_COUNTED, Read, Reader, int, up_to, word};
use crate::model::{DeliveryId, EventId};
use crate::store::Error;
use crate::store::read::{Count, HeldBy, HeldOf, Holder, Holding};

const HELD_BY: &str = "SELECT h.delivery_id, coalesce(q.attempts, e.attempts, 0), h.state, h.since, p.event_id, q.due_at
   FROM webhooksd.pending k JOIN webhooksd.turn t ON t.delivery_id = k.id
   JOIN LATERAL (SELECT u.* FROM webhooksd.turn u WHERE u.webhook = t.webhook AND u.value = t.value
                  ORDER BY u.delivery_id LIMIT 1) h ON true
   LEFT JOIN webhooksd.pending q ON q.id = h.delivery_id
   LEFT JOIN webhooksd.ended e ON e.id = h.delivery_id
   LEFT JOIN webhooksd.payload p ON p.id = coalesce(q.payload_id, e.payload_id)
  WHERE k.id = $1 AND k.due_at IS NULL AND h.delivery_id <> $1";

/// By one look at the index for each webhook that has some.
const HOLDING: &str = "WITH RECURSIVE w (name) AS (
    SELECT min(webhook) FROM webhooksd.turn WHERE state = 'failed'
    UNION ALL
    SELECT (SELECT min(t.webhook) FROM webhooksd.turn t WHERE t.state = 'failed' AND t.webhook > w.name)
      FROM w WHERE w.name IS NOT NULL)
  SELECT name FROM w WHERE name IS NOT NULL ORDER BY name COLLATE \"C\"";

fn held_by(row: &Row) -> Read<HeldBy> {
    let state: Option<String> = row.try_get(2)?;
    let since: Option<i64> = row.try_get(3)?;
    Ok(HeldBy {
        id: DeliveryId::new(row.try_get(0)?),
        attempts: u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0),
        event_id: row.try_get::<_, Option<i64>>(4)?.map(EventId::new),
        why: match state.as_deref() {
            None => Holder::Pending(row.try_get(5)?),
            Some("cancelled") => Holder::Leaves,
            Some(_) => Holder::Failed(since.unwrap_or_default()),
        },
    })
}

impl Reader {
    pub(super) fn holder_of(&self, id: DeliveryId) -> Result<Option<HeldBy>, Error> {
        let id = id.get();
        self.first("look whose turn it is", HELD_BY, &[int(&id)], held_by)
    }

    pub(super) fn held_of_webhook(&self, webhook: &str) -> Result<Option<HeldOf>, Error> {
        let sql = "SELECT count(*) FROM (SELECT FROM webhooksd.pending WHERE webhook = $1 AND due_at IS NULL LIMIT $2) q";
        let most = HELD_COUNTED + 1;
        let values = [word(&webhook), int(&most)];
        let count = up_to(HELD_COUNTED, self.value("look what is held", sql, &values)?);
        let holding = self.holding_of(webhook)?;
        let is_any = count.count > 0 || holding.is_some();
        Ok(is_any.then_some(HeldOf { count, holding }))
    }

    fn holding_of(&self, webhook: &str) -> Result<Option<Holding>, Error> {
        let sql = "SELECT count(*) OVER (), delivery_id, since FROM (SELECT delivery_id, since FROM webhooksd.turn
             WHERE state = 'failed' AND webhook = $1 LIMIT $2) t ORDER BY since, delivery_id LIMIT 1";
        let most = HELD_COUNTED + 1;
        let values = [word(&webhook), int(&most)];
        self.first("look what holds its line", sql, &values, |row| {
            Ok(Holding {
                count: up_to(HELD_COUNTED, row.try_get(0)?),
                oldest: DeliveryId::new(row.try_get(1)?),
                since_ms: row.try_get::<_, Option<i64>>(2)?.unwrap_or_default(),
            })
        })
    }

    pub(super) fn names_that_hold(&self) -> Result<Vec<String>, Error> {
        self.all("look which webhooks hold a line", HOLDING, &[], |row| {
            row.try_get(0)
        })
    }

    pub(super) fn all_holding(&self) -> Result<Vec<(String, Holding)>, Error> {
        let mut all = Vec::new();
        for name in self.names_that_hold()? {
            if let Some(holding) = self.holding_of(&name)? {
                all.push((name, holding));
            }
        }
        Ok(all)
    }

    pub(super) fn behind_one(&self, id: DeliveryId) -> Result<Option<Count>, Error> {
        let sql = "SELECT (SELECT count(*) FROM (SELECT FROM webhooksd.turn t
                 WHERE t.webhook = h.webhook AND t.value = h.value AND t.delivery_id > h.delivery_id LIMIT $2) b)
             FROM webhooksd.turn h WHERE h.delivery_id = $1 AND h.state = 'failed'";
        let (id, most) = (id.get(), HELD_COUNTED + 1);
        let values = [int(&id), int(&most)];
        let counted = self.first("look what is behind a delivery", sql, &values, |row| {
            row.try_get(0)
        })?;
        Ok(counted.map(|counted| up_to(HELD_COUNTED, counted)))
    }
}
