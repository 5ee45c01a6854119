//! Which delivery that was given up holds a line, where somebody names one that has ended: itself, or the one that
//! it was sent again for.
//!
//! Left out: who holds something that waits ([`Reader::held_by`](super::Reader::held_by)), and what lets go (`turn`).

use rusqlite::{Connection, OptionalExtension as _};

use super::error::Doing as _;
use super::{Error, Store};
use crate::model::DeliveryId;

/// By a redelivery's body and webhook the one that holds is found, however often it was sent again.
const HOLDER: &str = "SELECT t.delivery_id FROM turn t WHERE t.delivery_id = ?1 AND t.state = 1
   UNION ALL
   SELECT t.delivery_id FROM ended x JOIN ended e INDEXED BY ended_payload
       ON e.payload_id = x.payload_id AND e.webhook_id = x.webhook_id
     JOIN turn t ON t.delivery_id = e.id
    WHERE x.id = ?1 AND x.origin = 1 AND t.state = 1 LIMIT 1";

impl Store {
    /// The delivery that holds a line by the failure of that one, which has ended: itself, or what it was sent again
    /// for.
    ///
    /// # Errors
    /// The log can't be read.
    pub(crate) fn holder(&self, id: DeliveryId) -> Result<Option<DeliveryId>, Error> {
        if self.turns.lines.is_empty() {
            return Ok(None);
        }
        holder(&self.connection, id).doing("look who holds a line")
    }
}

/// The same, of any connection to the log.
pub(super) fn holder(
    connection: &Connection,
    id: DeliveryId,
) -> rusqlite::Result<Option<DeliveryId>> {
    connection
        .prepare_cached(HOLDER)?
        .query_row([id], |row| row.get(0))
        .optional()
}
