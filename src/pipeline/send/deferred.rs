//! What is put off: an event's deliveries to endpoints that don't answer come after the others.
//!
//! To write them takes as long as there are of them, and the endpoint that does answer is not to
//! wait for that. They are owed, in the transaction that takes the event in, and made in the next;
//! after a crash between the two by the next start, before it takes anything in.

use std::collections::HashSet;
use std::sync::Arc;

use super::dispatch::Dispatch;
use super::lane::Lane;
use crate::model::{Deferred, FanOut};
use crate::store;
use crate::transport::Transport;

/// Deliveries of a batch that are worth a transaction of their own: they take some 10 us each, the
/// transaction a hundred.
const WORTH: usize = 16;

/// Debts that are read at a time after a crash.
const READ_ROWS: usize = 64;

impl<T: Transport> Dispatch<T> {
    /// The webhooks whose deliveries of these events are made later: those that don't answer, where
    /// they are many and somebody else waits.
    pub(crate) fn defer(&self, events: &[FanOut]) -> HashSet<Arc<str>> {
        let lanes = self.lanes.read();
        let mut silent: HashSet<Arc<str>> = HashSet::new();
        let (mut first, mut later) = (0, 0);
        for (webhook, _) in events.iter().flat_map(|event| &event.webhooks) {
            if silent.contains(webhook) {
                later += 1;
            } else if lanes.get(webhook).is_some_and(|lane| is_put_off(lane)) {
                silent.insert(webhook.clone());
                later += 1;
            } else {
                first += 1;
            }
        }
        if first == 0 || later < self.bounds().of(WORTH) {
            silent.clear();
        }
        silent
    }

    /// Makes what is owed. Blocks for the log's lock. Returns the lanes that got some.
    ///
    /// # Errors
    /// The log can't be written: then all of it is still owed.
    pub(crate) fn materialize(
        self: &Arc<Self>,
        owed: &[Deferred],
    ) -> Result<Vec<Arc<Lane<T::Endpoint>>>, store::Error> {
        let mut log = self.store();
        let mut room = self.room_for_next(&log);
        let dues = log.materialize(owed, &mut |due| room.takes(due), self.clock.now_ms())?;
        let touched = self.offer(&log, room, dues);
        drop(log);
        for lane in &touched {
            self.fill(lane);
        }
        Ok(touched)
    }

    /// Makes whatever is owed: what an earlier process left, and what this one has put off.
    pub(crate) async fn pay_all(self: &Arc<Self>) -> Result<(), store::Error> {
        loop {
            let rows = self.bounds().of(READ_ROWS);
            let owed = self.with_store(move |_, store| store.owed(rows)).await?;
            if owed.is_empty() {
                return Ok(());
            }
            let this = self.clone();
            self.with_blocking(move || this.materialize(&owed)).await?;
        }
    }
}

/// Whether its deliveries come after the others'. Not those with an order: what is owed knows of no turn.
fn is_put_off<E>(lane: &Lane<E>) -> bool {
    lane.is_silent() && !lane.is_ordered()
}
