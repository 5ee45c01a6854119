//! Calls about the order of deliveries: by which rules they go, and whose turn came.
//!
//! Left out: whose turn it is, and what an end of a delivery does to it (`turn`).

use std::collections::HashMap;
use std::sync::Arc;

use super::error::Doing as _;
use super::turn::{self, InHand, LEAVES};
use super::{Error, Store};
use crate::model::{DeliveryId, TurnRule};

/// The name of the transaction that only ends turns.
const STEP: &str = "pass turns on";

/// Turns that are passed on in one transaction: some 5 ms.
const CHUNK_ROWS: i64 = 250;

const MARKED: &str = "SELECT t.delivery_id, t.state, n.name FROM turn t INDEXED BY turn_marked
   JOIN webhook_name n ON n.id = t.webhook_id WHERE t.state IS NOT NULL";

impl Store {
    /// Takes the orders of today's configuration in. What they hold no longer goes by [`let_lines_go`](Self::let_lines_go);
    /// of a line whose deliveries go otherwise than before, only what goes first stays due.
    ///
    /// # Errors
    /// The log can't be written: the orders are as they were.
    pub fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.turns.rules, rules);
        if let Err(error) = self.hold_rests(&before) {
            self.turns.rules = before;
            return Err(error);
        }
        Ok(())
    }

    fn hold_rests(&mut self, before: &HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        let names = || -> rusqlite::Result<Vec<(i64, Arc<str>)>> {
            let mut name = self
                .connection
                .prepare_cached("SELECT name FROM webhook_name WHERE id = ?1")?;
            let mut names = Vec::new();
            for id in &self.turns.lines {
                names.push((
                    *id,
                    name.query_row([id], |row| row.get::<_, String>(0))?.into(),
                ));
            }
            // So that the same run does the same.
            names.sort_unstable();
            Ok(names)
        };
        let mut others = names().doing("look whose order is another")?;
        others.retain(|(_, name)| before.get(name) != self.turns.rules.get(name));
        let is_shared = |id: i64| turn::is_shared(&self.connection, id);
        let mut shared = Vec::new();
        for (id, name) in others {
            if is_shared(id).doing("look whose order is another")? {
                shared.push((id, name));
            }
        }
        if shared.is_empty() {
            return Ok(());
        }
        let mut turns = std::mem::take(&mut self.turns);
        let held = self.transact(STEP, |t| {
            let mut all = shared.iter();
            all.try_for_each(|(id, name)| turns.hold_rest(t, *id, name))
        });
        self.turns = turns;
        held
    }

    /// What was due and waits for its turn again, since this was asked last, with its webhook.
    pub(crate) fn take_held_back(&mut self) -> Vec<(DeliveryId, Arc<str>)> {
        std::mem::take(&mut self.turns.held_back)
    }

    /// What was given up and holds its line by none of today's orders holds it no longer, and neither does what was
    /// cancelled in a worker's hand that `in_hand` says no worker has any more: up to a chunk of them. Whether there may
    /// be more.
    ///
    /// # Errors
    /// The log can't be written; the same call again goes on.
    pub fn let_lines_go(&mut self, now_ms: i64, in_hand: InHand<'_>) -> Result<bool, Error> {
        if self.turns.lines.is_empty() {
            return Ok(false);
        }
        self.turns.at(now_ms);
        let rules = self.turns.rules.clone();
        let holds = |name: &str| rules.get(name).is_some_and(|rule| rule.holds);
        self.pass_on(&|id, state, name: &str| match state {
            LEAVES => !in_hand(name, id),
            _ => !holds(name),
        })
    }

    /// The turns of what was cancelled in a worker's hand, and is in nobody's any more, go to the next.
    pub(super) fn pass_turns_on(
        &mut self,
        webhook: &str,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<(), Error> {
        if !self.turns.leaving {
            return Ok(());
        }
        let goes = |id, state, name: &str| state == LEAVES && *name == *webhook && !skip(id);
        self.pass_on(&goes)?;
        let left = self
            .connection
            .prepare_cached("SELECT 1 FROM turn INDEXED BY turn_marked WHERE state = ?1")
            .and_then(|mut s| s.exists([LEAVES]));
        self.turns.leaving = left.doing("look who leaves a line")?;
        Ok(())
    }

    /// Ends marked turns that are to go, up to a chunk of them. Whether there may be more.
    fn pass_on(&mut self, goes: &dyn Fn(DeliveryId, i64, &str) -> bool) -> Result<bool, Error> {
        let read = || -> rusqlite::Result<Vec<DeliveryId>> {
            let mut marked = self.connection.prepare_cached(MARKED)?;
            let mut rows = marked.query([])?;
            let mut going = Vec::new();
            while let Some(row) = rows.next()?
                && going.len() < usize::try_from(CHUNK_ROWS).unwrap_or(1)
            {
                let (id, state) = (row.get(0)?, row.get(1)?);
                if goes(id, state, row.get_ref(2)?.as_str()?) {
                    going.push(id);
                }
            }
            Ok(going)
        };
        let going = read().doing("look whose turn is over")?;
        if going.is_empty() {
            return Ok(false);
        }
        let mut turns = std::mem::take(&mut self.turns);
        let ended = self.transact(STEP, |t| {
            going.iter().try_for_each(|id| turns.end(t, *id).map(drop))
        });
        self.turns = turns;
        ended.map(|()| true)
    }

    /// The webhooks of which something became due because its turn came, since this was asked last.
    ///
    /// # Errors
    /// The log can't be read: they are named again.
    pub(crate) fn take_released(&mut self) -> Result<Vec<Arc<str>>, Error> {
        if self.turns.released.is_empty() {
            return Ok(Vec::new());
        }
        let names = || -> rusqlite::Result<Vec<Arc<str>>> {
            let mut name = self
                .connection
                .prepare_cached("SELECT name FROM webhook_name WHERE id = ?1")?;
            let mut names = Vec::new();
            for id in &self.turns.released {
                names.push(name.query_row([id], |row| row.get::<_, String>(0))?.into());
            }
            // So that the same run does the same.
            names.sort_unstable();
            Ok(names)
        };
        let names = names().doing("look whose turn came")?;
        self.turns.released.clear();
        Ok(names)
    }
}
