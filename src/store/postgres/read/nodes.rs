//! Whose each webhook is, of the nodes that share the log.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::Reader;
use crate::store::Error;

const STEP: &str = "read who shares the log";

const OWNERS: &str = "SELECT w.name, n.name
  FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot JOIN webhooksd.node n ON n.id = s.owner
 WHERE w.name = ANY ($1) AND w.state <> 'removed'";

impl Reader {
    pub(super) fn owners_of(&self, names: &[String]) -> Result<HashMap<String, String>, Error> {
        let owners = self.all(STEP, OWNERS, &[(&names, Type::TEXT_ARRAY)], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })?;
        Ok(owners.into_iter().collect())
    }
}
