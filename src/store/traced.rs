//! Which events the log has, whatever became of them: taken in, owed or set aside.
//!
//! Who looks at rows of the outbox again asks it, so that nothing which is here is made twice.

use std::collections::BTreeSet;

use rusqlite::params;

use super::faults::DoingWith as _;
use super::{Error, Store};
use crate::model::{EventId, Generation};

impl Store {
    /// Those of the events that have a trace of that generation.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn traced(
        &mut self,
        generation: Generation,
        ids: &[EventId],
    ) -> Result<BTreeSet<EventId>, Error> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM delivery WHERE event_id = ?1 AND generation = ?2)
                     OR EXISTS (SELECT 1 FROM rejected WHERE event_id = ?1 AND generation = ?2)
                     OR EXISTS (SELECT 1 FROM owed WHERE event_id = ?1 AND generation = ?2)",
            )
            .and_then(|mut statement| {
                let mut traced = BTreeSet::new();
                for id in ids {
                    if statement.query_row(params![id, generation], |row| row.get(0))? {
                        traced.insert(*id);
                    }
                }
                Ok(traced)
            })
            .doing_with(&self.faults, "look for events in the log")
    }
}
