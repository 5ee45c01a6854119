//! Who shares the log, and whose each webhook is.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::Reader;
use crate::store::Error;
use crate::store::nodes::NodeShare;

const STEP: &str = "read who shares the log";

const NODES: &str =
    "SELECT n.id::text, n.name, n.version, count(w.name), coalesce(bool_or(s.slot = 0), false)
  FROM webhooksd.node n LEFT JOIN webhooksd.slot s ON s.owner = n.id
  LEFT JOIN webhooksd.webhook w ON w.slot = s.slot AND w.state <> 'removed'
 GROUP BY n.id ORDER BY n.name, n.id";

const OWNERS: &str = "SELECT w.name, n.name
  FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot JOIN webhooksd.node n ON n.id = s.owner
 WHERE w.name = ANY ($1) AND w.state <> 'removed'";

impl Reader {
    pub(super) fn sharers(&self) -> Result<Vec<NodeShare>, Error> {
        self.all(STEP, NODES, &[], |row| {
            Ok(NodeShare {
                id: row.try_get::<_, String>(0)?.into(),
                name: row.try_get(1)?,
                version: row.try_get(2)?,
                webhooks: row.try_get(3)?,
                leads: row.try_get(4)?,
            })
        })
    }

    pub(super) fn owners_of(&self, names: &[String]) -> Result<HashMap<String, String>, Error> {
        let owners = self.all(STEP, OWNERS, &[(&names, Type::TEXT_ARRAY)], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })?;
        Ok(owners.into_iter().collect())
    }
}
