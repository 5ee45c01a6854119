//! The steps by which what is pending in a log of the shape before comes over, as calls of the writer.
//!
//! Left out: what a step does (`earlier`), and who calls it when.

use std::sync::Arc;

use super::faults::DoingWith as _;
use super::{Error, Store, earlier, schema};

/// One step of [`Store::come_over`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameOver {
    /// The webhooks of which something came over: it may be due.
    pub webhooks: Vec<Arc<str>>,
    /// Deliveries that came over.
    pub rows: usize,
    /// Whether there may be more; call again.
    pub more: bool,
}

impl Store {
    /// Brings up to `max_rows` pending deliveries over from the tables of the shape before.
    ///
    /// # Errors
    /// The log can't be written; the next call goes on at the same place.
    pub fn come_over(&mut self, max_rows: usize) -> Result<CameOver, Error> {
        let waits = earlier::is_pending(&self.connection);
        if !waits.doing_with(&self.faults, "look for work of the shape before")? {
            return Ok(CameOver::default());
        }
        let mut pass = std::mem::take(&mut self.coming_over);
        let step = self.transact("bring pending deliveries over", |t| {
            let step = earlier::step(t, &mut pass, max_rows.max(1))?;
            if step.ended {
                schema::end_transition(t)?;
            }
            Ok(step)
        })?;
        // Only now: where the step failed, the round begins anew.
        self.coming_over = pass;
        Ok(CameOver {
            webhooks: step.webhooks,
            rows: step.rows,
            more: !step.ended,
        })
    }
}
