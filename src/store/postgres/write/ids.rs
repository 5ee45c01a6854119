//! Ids of bodies and deliveries, which nobody else gets: all that a transaction needs in one answer.
//!
//! They are drawn before the rows are written, since the rows of two tables name each other by them.

use std::vec::IntoIter;

use tokio_postgres::Row;

use super::values::int;
use super::{Read, Transaction};
use crate::model::{Deferred, DeliveryId, Due, FanOut, PayloadId};
use crate::postgres::Trouble;

const DRAW: &str =
    "SELECT (SELECT array_agg(nextval('webhooksd.payload_id_seq')) FROM generate_series(1, $1)),
            (SELECT array_agg(nextval('webhooksd.delivery_id')) FROM generate_series(1, $2))";

/// How many ids of each kind are needed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) payloads: usize,
    pub(super) deliveries: usize,
}

impl Count {
    /// For the deliveries of events but those of webhooks that come later.
    pub(super) fn of(events: &[FanOut], later: &dyn Fn(&str) -> bool) -> Self {
        let now = |event: &FanOut| event.webhooks.iter().filter(|(of, _)| !later(of)).count();
        Self {
            payloads: events.iter().map(|event| event.bodies.len()).sum(),
            deliveries: events.iter().map(now).sum(),
        }
    }

    /// As values of a statement: bodies, deliveries.
    pub(super) fn numbers(self) -> (i64, i64) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        (number(self.payloads), number(self.deliveries))
    }
}

/// Ids in their order.
#[derive(Debug)]
pub(super) struct Ids {
    payloads: IntoIter<i64>,
    deliveries: IntoIter<i64>,
}

impl Ids {
    pub(super) fn draw(t: &Transaction<'_>, count: Count) -> Result<Self, Trouble> {
        let (payloads, deliveries) = count.numbers();
        let values = [int(&payloads), int(&deliveries)];
        let drawn = t.first(DRAW, &values, |row| Self::read(row, 0))?;
        Ok(drawn.unwrap_or_else(|| Self::of(None, None)))
    }

    /// From two columns of a row.
    pub(super) fn read(row: &Row, from: usize) -> Read<Self> {
        Ok(Self::of(row.try_get(from)?, row.try_get(from + 1)?))
    }

    fn of(payloads: Option<Vec<i64>>, deliveries: Option<Vec<i64>>) -> Self {
        Self {
            payloads: payloads.unwrap_or_default().into_iter(),
            deliveries: deliveries.unwrap_or_default().into_iter(),
        }
    }

    /// Gives bodies their ids.
    pub(super) fn number_bodies(&mut self, bodies: &mut [Deferred]) {
        for (body, id) in bodies.iter_mut().zip(&mut self.payloads) {
            body.payload_id = PayloadId::new(id);
        }
    }

    /// Gives deliveries their ids.
    pub(super) fn number(&mut self, dues: &mut [Due]) {
        for (due, id) in dues.iter_mut().zip(&mut self.deliveries) {
            due.id = DeliveryId::new(id);
        }
    }
}
