//! Taking events in, by the node that leads: what memory takes is its own, and the rest is pending for whoever has it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::costs::Work;
use super::log::{Log, number};
use crate::model::{
    Admission, Cursor, Deferred, DeliveryId, Due, EventId, FanOut, Generation, PayloadId, Rejected,
    Trigger,
};
use crate::store::Error;
use crate::store::parts::{Admits, Takes};

fn due(event: &FanOut, (webhook, at): (&Arc<str>, usize), now_ms: i64) -> Due {
    let (dialect, body) = &event.bodies[at];
    Due {
        id: DeliveryId::NONE,
        event_id: event.event_id,
        event: event.event.clone(),
        webhook: webhook.clone(),
        dialect: *dialect,
        origin: Trigger::Event,
        attempts: 0,
        due_at_ms: now_ms,
        created_at_ms: now_ms,
        payload_id: PayloadId::new(event.event_id.get()),
        body: body.clone(),
        message: None,
        batch: None,
    }
}

impl Admits for Log {
    fn cursor(&mut self) -> Result<Option<Cursor>, Error> {
        Ok(None)
    }

    fn set_cursor(&mut self, _: &Cursor, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn admit(
        &mut self,
        admission: &Admission,
        later: &dyn Fn(&str) -> bool,
        takes: Takes<'_>,
        now_ms: i64,
    ) -> Result<(Vec<Due>, Vec<Deferred>), Error> {
        let mut dues = Vec::new();
        for event in &admission.events {
            for (webhook, at) in &event.webhooks {
                assert!(!later(webhook), "every endpoint answers");
                dues.push(due(event, (webhook, *at), now_ms));
            }
        }
        self.commit(|state, _| {
            state.charge(Work::Admits {
                events: admission.events.len(),
                deliveries: dues.len(),
            });
            for due in &mut dues {
                let id = state.next_id(now_ms);
                due.id = DeliveryId::new(id);
                // What memory has is in nobody else's way.
                if !takes(due) {
                    state.park(number(&due.webhook), id, now_ms);
                }
            }
        })?;
        Ok((dues, Vec::new()))
    }

    fn set_aside(
        &mut self,
        _: Generation,
        _: &[Rejected],
        _: bool,
        _: i64,
    ) -> Result<usize, Error> {
        Ok(0)
    }

    fn add(
        &mut self,
        _: Generation,
        _: &[FanOut],
        _: Trigger,
        _: Takes<'_>,
        _: i64,
    ) -> Result<Vec<Due>, Error> {
        Ok(Vec::new())
    }

    fn owed(&mut self, _: usize) -> Result<Vec<Deferred>, Error> {
        Ok(Vec::new())
    }

    fn materialize(&mut self, _: &[Deferred], _: Takes<'_>, _: i64) -> Result<Vec<Due>, Error> {
        Ok(Vec::new())
    }

    fn gaps(&mut self) -> Result<Vec<RangeInclusive<EventId>>, Error> {
        Ok(Vec::new())
    }

    fn traced(&mut self, _: Generation, _: &[EventId]) -> Result<BTreeSet<EventId>, Error> {
        Ok(BTreeSet::new())
    }
}
