//! Batches: which deliveries go in one POST, from before it is sent until it is over.
//!
//! A batch is found by the lowest of its deliveries, which is the first that a look at what is due comes to. One of which
//! a delivery is no longer pending is none any more: what is left goes anew. Each attempt of a POST has its batch's name
//! and an answer of its own.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::values::{int, ints, numbers, word};
use super::{Read, Transaction};
use crate::model::{Attempt, Batch, DeliveryId, Fate, Posted};
use crate::postgres::Trouble;

pub(super) const OF: &str =
    "SELECT first_id, name, members FROM webhooksd.batch WHERE first_id = ANY ($1)";

/// Writes a batch down.
pub(super) fn write(t: &Transaction<'_>, batch: &Batch) -> Result<(), Trouble> {
    let sql = "INSERT INTO webhooksd.batch (first_id, name, members) VALUES ($1, $2, $3)
        ON CONFLICT (first_id) DO UPDATE SET name = excluded.name, members = excluded.members";
    let (first, members) = (batch.first().get(), numbers(&batch.members));
    let name = &*batch.name;
    let values = [int(&first), word(&name), ints(&members)];
    t.execute(sql, &values).map(drop)
}

/// A batch, and the delivery that it begins with.
pub(super) fn read(row: &Row) -> Read<(DeliveryId, Arc<Batch>)> {
    let members: Vec<i64> = row.try_get(2)?;
    let batch = Batch {
        name: row.try_get::<_, &str>(1)?.into(),
        members: members.into_iter().map(DeliveryId::new).collect(),
    };
    Ok((DeliveryId::new(row.try_get(0)?), Arc::new(batch)))
}

/// The batch that begins with that delivery and of which all are pending.
pub(super) fn standing(t: &Transaction<'_>, first: DeliveryId) -> Result<Option<Batch>, Trouble> {
    let sql = "SELECT b.first_id, b.name, b.members FROM webhooksd.batch b WHERE b.first_id = $1
        AND NOT EXISTS (SELECT FROM unnest(b.members) AS m(id)
                         WHERE NOT EXISTS (SELECT FROM webhooksd.pending k WHERE k.id = m.id))";
    let found = t.first(sql, &[int(&first.get())], read)?;
    Ok(found.and_then(|(_, batch)| Arc::into_inner(batch)))
}

/// Writes what becomes of the batches that these attempts were POSTs of.
pub(super) fn settle(t: &Transaction<'_>, attempts: &[Attempt]) -> Result<(), Trouble> {
    let mut over: HashMap<DeliveryId, &Posted> = HashMap::new();
    for posted in attempts.iter().filter_map(|a| a.posted.as_deref()) {
        if posted.fate != Fate::Again {
            over.insert(posted.batch.first(), posted);
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    let firsts = numbers(over.keys());
    let sql = "DELETE FROM webhooksd.batch WHERE first_id = ANY ($1)";
    t.execute(sql, &[ints(&firsts)])?;
    for half in over.values().flat_map(|posted| posted.halves.iter()) {
        half.iter().try_for_each(|half| write(t, half))?;
    }
    Ok(())
}
