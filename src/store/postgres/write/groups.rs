//! What of a webhook's one line goes in one POST, and how what had one turn parts.
//!
//! Left out: turns by themselves (`turns`), and batches as they were formed (`batches`).

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;

use super::Transaction;
use super::batches;
use super::values::{int, ints, word};
use crate::dialect;
use crate::model::{BatchRule, DeliveryId, Dialect, Turn};
use crate::postgres::Trouble;
use crate::store::postgres::days::among;

/// What of a line may go together, the first of it first.
const TOGETHER: &str = "SELECT t.delivery_id, k.payload_id, k.attempts
   FROM webhooksd.turn t JOIN webhooksd.pending k ON k.id = t.delivery_id
  WHERE t.webhook = $1 AND t.value = $2 ORDER BY t.delivery_id LIMIT $3";

/// Their bodies, by their ids: only the days are looked at that have them.
const BODIES: &str =
    "SELECT id, octet_length(body)::bigint, dialect FROM webhooksd.payload WHERE id = ANY ($1)";

/// The first of a line that are pending, with whether they are due.
const FOREMOST: &str = "SELECT t.delivery_id, k.due_at IS NOT NULL
   FROM webhooksd.turn t JOIN webhooksd.pending k ON k.id = t.delivery_id
  WHERE t.webhook = $1 AND t.value = $2 ORDER BY t.delivery_id LIMIT $3";

/// More than ever go in one POST, so that what is due of a line is among so many.
pub(super) const MOST_TOGETHER: i64 = 1_024;

/// A webhook's one line, as the table has it.
pub(super) const WHOLE: i64 = Turn::WHOLE.get();

/// What of a line goes in its first POST, as it is admitted.
pub(super) struct Group {
    count: usize,
    bytes: usize,
    dialect: Dialect,
}

impl Group {
    pub(super) fn of(bytes: usize, dialect: Dialect) -> Self {
        Self {
            count: 1,
            bytes: dialect::BRACKETS + bytes,
            dialect,
        }
    }

    /// Takes one more, where it goes in the same POST.
    pub(super) fn takes(&mut self, rule: BatchRule, bytes: usize, dialect: Dialect) -> bool {
        self.count += 1;
        self.bytes += 1 + bytes;
        let is_alike = self.dialect == dialect && dialect::is_batched(dialect);
        self.count <= rule.max_events && self.bytes <= rule.max_bytes && is_alike
    }
}

/// Those that are due among the first of a webhook's whole line that are pending.
pub(super) fn foremost(
    t: &Transaction<'_>,
    webhook: &str,
    most: i64,
) -> Result<Vec<DeliveryId>, Trouble> {
    let values = [word(&webhook), int(&WHOLE), int(&most)];
    let of = |row: &Row| Ok((DeliveryId::new(row.try_get(0)?), row.try_get(1)?));
    let found = t.all(FOREMOST, &values, of)?.into_iter();
    let due = found.filter(|(_, is_due): &(_, bool)| *is_due);
    Ok(due.map(|(id, _)| id).collect())
}

/// What of a line goes in its next POST: the first, and what goes with it. None where the first is no longer pending,
/// and holds it.
pub(super) fn head(
    t: &Transaction<'_>,
    webhook: &str,
    rule: Option<BatchRule>,
) -> Result<HashSet<DeliveryId>, Trouble> {
    let sql =
        "SELECT delivery_id, state IS NULL FROM webhooksd.turn WHERE webhook = $1 AND value = $2
        ORDER BY delivery_id LIMIT 1";
    let values = [word(&webhook), int(&WHOLE)];
    let of = |row: &Row| Ok((DeliveryId::new(row.try_get(0)?), row.try_get(1)?));
    let first: Option<(DeliveryId, bool)> = t.first(sql, &values, of)?;
    match (first, rule) {
        (None | Some((_, false)), _) => Ok(HashSet::new()),
        (Some((first, true)), None) => Ok(HashSet::from([first])),
        (Some((first, true)), Some(rule)) => {
            Ok(group(t, webhook, first, rule)?.into_iter().collect())
        }
    }
}

/// What of a line goes in one POST with its first: the batch that it was in, whatever the limits are by now, else
/// those behind it that are like it.
pub(super) fn group(
    t: &Transaction<'_>,
    webhook: &str,
    first: DeliveryId,
    rule: BatchRule,
) -> Result<Vec<DeliveryId>, Trouble> {
    if let Some(batch) = batches::standing(t, first)? {
        return Ok(batch.members.into());
    }
    let limit = i64::try_from(rule.max_events).unwrap_or(i64::MAX);
    let values = [word(&webhook), int(&WHOLE), int(&limit)];
    let of = |row: &Row| {
        let id = DeliveryId::new(row.try_get(0)?);
        Ok((id, row.try_get(1)?, row.try_get(2)?))
    };
    let rows: Vec<(DeliveryId, i64, i32)> = t.all(TOGETHER, &values, of)?;
    let wanted: Vec<i64> = rows.iter().map(|(_, body, _)| *body).collect();
    let of = |row: &Row| {
        let size: Option<i64> = row.try_get(1)?;
        let dialect = Dialect::from_name(row.try_get(2)?);
        Ok((row.try_get(0)?, (size.unwrap_or_default(), dialect)))
    };
    let sql = format!("{BODIES} AND {}", among(&wanted));
    let bodies = t.all(&sql, &[ints(&wanted)], of)?;
    let bodies: HashMap<i64, (i64, Option<Dialect>)> = bodies.into_iter().collect();
    let (mut ids, mut bytes, mut like) = (Vec::new(), dialect::BRACKETS, None);
    for (id, body, attempts) in rows {
        let Some((size, dialect)) = bodies.get(&body).copied() else {
            continue;
        };
        let kind = (dialect, attempts);
        bytes += usize::try_from(size).unwrap_or(usize::MAX / 2) + usize::from(id != first);
        let goes_with = bytes <= rule.max_bytes && like == Some(kind);
        if id != first && !(goes_with && kind.0.is_some_and(dialect::is_batched)) {
            break;
        }
        like = Some(kind);
        ids.push(id);
    }
    Ok(ids)
}
