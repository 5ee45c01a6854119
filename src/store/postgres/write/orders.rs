//! Calls about the order of deliveries: by which rules they go, and whose turn came.
//!
//! Left out: whose turn it is, and what an end of a delivery does to it (`turns`).

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::turns::{LEAVES, Turns};
use super::{Writer, groups};
use crate::model::{DeliveryId, TurnRule};
use crate::store::Error;
use crate::store::turn::InHand;
use crate::store::writes::Orders;

/// The name of the transaction that only ends turns.
const STEP: &str = "pass turns on";

/// Turns that are passed on in one transaction.
const CHUNK_ROWS: usize = 250;

/// By two indexes, each of few rows.
const MARKED: &str = "SELECT delivery_id, state, webhook FROM webhooksd.turn WHERE state = 'failed'
    UNION ALL SELECT delivery_id, state, webhook FROM webhooksd.turn WHERE state = 'cancelled'
    ORDER BY 3, 1";

/// The names of the index, a seek each.
const LINES: &str = "WITH RECURSIVE w AS (
    (SELECT webhook FROM webhooksd.turn ORDER BY webhook LIMIT 1)
    UNION ALL
    SELECT (SELECT t.webhook FROM webhooksd.turn t WHERE t.webhook > w.webhook ORDER BY t.webhook LIMIT 1)
      FROM w WHERE w.webhook IS NOT NULL)
  SELECT webhook FROM w WHERE webhook IS NOT NULL";

impl Orders for Writer {
    fn keep_order(&mut self, rules: HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.turns.rules, rules);
        if let Err(error) = self.hold_rests(&before) {
            self.turns.rules = before;
            return Err(error);
        }
        // Other nodes admit, so whoever has an order, or had one, may have lines that nobody told of here.
        let names = before.into_keys().chain(self.turns.rules.keys().cloned());
        self.turns.lines.extend(names.collect::<Vec<_>>());
        Ok(())
    }

    fn take_held_back(&mut self) -> Vec<(DeliveryId, Arc<str>)> {
        std::mem::take(&mut self.turns.held_back)
    }

    fn take_released(&mut self) -> Result<Vec<Arc<str>>, Error> {
        let released = std::mem::take(&mut self.turns.released);
        Ok(released.into_iter().collect())
    }

    fn let_lines_go(&mut self, now_ms: i64, in_hand: InHand<'_>) -> Result<bool, Error> {
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
}

impl Writer {
    /// The webhooks of which something was cancelled that has the turn: by a node that does not know whether a worker has
    /// it. Whoever looks for what is due there passes the turn on.
    pub(super) fn left_by_others(&mut self) -> Result<Vec<String>, Error> {
        if self.turns.lines.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT DISTINCT webhook FROM webhooksd.turn WHERE state = 'cancelled'";
        let left = self.look("look who leaves a line", sql, &[], |row| row.try_get(0))?;
        self.turns.leaving |= !left.is_empty();
        Ok(left)
    }

    /// What an earlier process left.
    pub(super) fn standing_turns(&mut self) -> Result<Turns, Error> {
        let of = |row: &Row| row.try_get::<_, &str>(0).map(Arc::from);
        let lines = self.look("look who has the turn", LINES, &[], of)?;
        Ok(Turns {
            lines: lines.into_iter().collect(),
            leaving: true,
            ..Turns::default()
        })
    }

    fn hold_rests(&mut self, before: &HashMap<Arc<str>, TurnRule>) -> Result<(), Error> {
        let lines = self.turns.lines.iter();
        let rules = &self.turns.rules;
        let others = lines.filter(|name| before.get(*name) != rules.get(*name));
        let mut others: Vec<Arc<str>> = others.cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        // So that the same run does the same.
        others.sort_unstable();
        let mut turns = std::mem::take(&mut self.turns);
        let held = self.transact(STEP, |t| {
            for name in &others {
                // Where the second is due as well as the first.
                if groups::foremost(t, name, 2)?.len() > 1 {
                    turns.hold_rest(t, name)?;
                }
            }
            Ok(())
        });
        self.turns = turns;
        held
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
        let goes = |id, state: &str, name: &str| state == LEAVES && *name == *webhook && !skip(id);
        self.pass_on(&goes)?;
        let sql = "SELECT EXISTS (SELECT FROM webhooksd.turn WHERE state = 'cancelled')";
        let left = self.look("look who leaves a line", sql, &[], |row| row.try_get(0))?;
        self.turns.leaving = left.first() == Some(&true);
        Ok(())
    }

    /// Ends marked turns that are to go, up to a chunk of them. Whether there may be more.
    fn pass_on(&mut self, goes: &dyn Fn(DeliveryId, &str, &str) -> bool) -> Result<bool, Error> {
        let of = |row: &Row| {
            let id = DeliveryId::new(row.try_get(0)?);
            let goes = goes(id, row.try_get(1)?, row.try_get(2)?);
            Ok((id, goes))
        };
        let marked = self.look("look whose turn is over", MARKED, &[], of)?;
        let going = marked.into_iter().filter(|(_, goes)| *goes);
        let going: Vec<DeliveryId> = going.map(|(id, _)| id).take(CHUNK_ROWS).collect();
        if going.is_empty() {
            return Ok(false);
        }
        let mut turns = std::mem::take(&mut self.turns);
        let ended = self.transact(STEP, |t| turns.end_all(t, &going));
        self.turns = turns;
        ended.map(|_| true)
    }
}
