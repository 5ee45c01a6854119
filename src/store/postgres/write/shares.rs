//! What the writer has to do with other nodes: who it is, what it takes over, and what others have written for it.

use std::sync::Arc;

use super::Writer;
use super::values::int;
use crate::store::Error;
use crate::store::nodes::Me;
use crate::store::writes::Shares;

/// Ids are drawn while the cursor's row is locked, so those of admissions are committed in their order. What others draw,
/// for redeliveries, is looked for apart. Without a name: of what is in somebody's hands, so that it is not looked at
/// again each time.
const GIVEN: &str = "SELECT CASE WHEN NOT in_hand THEN webhook END, max(id) FROM webhooksd.pending WHERE id > $1 GROUP BY 1";

/// Another one where anything was committed.
const MOMENT: &str = "SELECT pg_current_snapshot()::text";

const NEWEST: &str = "SELECT coalesce(max(id), 0) FROM webhooksd.pending";

impl Shares for Writer {
    fn me(&self) -> Option<Me> {
        Some(self.node.me.clone())
    }

    fn take_over(&mut self, _webhooks: &[Arc<str>]) -> Result<(), Error> {
        // Beside those that have an order, whose lines others fill: nobody tells of that here.
        let standing = self.standing_turns()?;
        self.turns.lines.extend(standing.lines);
        self.turns.leaving = true;
        self.all_lost = true;
        self.lost.tell();
        Ok(())
    }

    fn given_by_others(&mut self) -> Result<Vec<Arc<str>>, Error> {
        const STEP: &str = "look what other nodes have admitted";
        // Before it is asked how far that was looked at: a server that forgot something has it begin anew.
        self.connect().map_err(Error::Server)?;
        if self.given_to == Some(0) {
            self.release_lost()?;
        }
        let moment = match &self.quiet {
            Some(_) => self.look(STEP, MOMENT, &[], |row| row.try_get(0))?.pop(),
            None => None,
        };
        if moment.is_some() && moment == self.quiet {
            return Ok(Vec::new());
        }
        let Some(after) = self.given_to else {
            // What is there already is found as it is taken over.
            let newest = self.look(STEP, NEWEST, &[], |row| row.try_get(0))?;
            self.given_to = newest.first().copied();
            return Ok(Vec::new());
        };
        let given = self.look(STEP, GIVEN, &[int(&after)], |row| {
            Ok((
                row.try_get::<_, Option<String>>(0)?,
                row.try_get::<_, i64>(1)?,
            ))
        })?;
        self.given_to = given.iter().map(|(_, id)| *id).chain([after]).max();
        let given = given.into_iter().filter_map(|(name, _)| name);
        let given: Vec<Arc<str>> = given.map(Into::into).collect();
        // Where nothing came the next look asks first whether anything was committed, which costs the server a tenth.
        self.quiet = given.is_empty().then(|| moment.unwrap_or_default());
        Ok(given)
    }
}
