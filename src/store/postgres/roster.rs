//! The roster of a log in PostgreSQL: one statement for each call, on a connection of its own.
//!
//! So that a look waits for nobody: the writer's connection may carry a large batch just now.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::model::Server;
use crate::postgres::{Link, Trouble, Value};
use crate::store::Error;
use crate::store::nodes::{NodeId, NodeRow, NodesLook, Roster, SlotRow};

const STEP: &str = "look which webhooks are this node's";

/// One statement, and so one moment: each is parsed and planned anew, twice a second by every node. What of it comes of
/// the beat's own row is as it was before; and whoever is declared dead meanwhile finds nothing.
const LOOK: &str = "WITH beat AS (UPDATE webhooksd.node SET beat = beat + 1 WHERE id = $1::text::uuid RETURNING 1)
SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8),
       substring(obj_description('webhooksd.slot'::regclass, 'pg_class') FROM 'timeline ([0-9A-F]{8})$'),
       (SELECT count(*)::text || ' ' || coalesce(max(since), 0)::text || ' ' || coalesce(sum(slot), 0)::text
          FROM webhooksd.webhook),
       n.id::text, n.name, n.version, n.config, n.beat,
       ARRAY(SELECT s.slot FROM webhooksd.slot s WHERE s.owner = n.id),
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint
  FROM beat, webhooksd.node n ORDER BY n.id";

/// Asked where the webhooks are others than before.
const USED: &str = "SELECT s.slot, coalesce(w.count, 0)
  FROM webhooksd.slot s
  LEFT JOIN (SELECT slot, count(*) FROM webhooksd.webhook WHERE state <> 'removed' GROUP BY slot) w ON w.slot = s.slot
 ORDER BY s.slot";

const REGISTER: &str =
    "INSERT INTO webhooksd.node (name, version) VALUES ($1, $2) RETURNING id::text";

const TELL: &str = "UPDATE webhooksd.node SET config = $2 WHERE id = $1::text::uuid";

/// Its row is locked by the statements that write its results: one of the two is first, and the other sees it.
const BURY: &str = "WITH gone AS (DELETE FROM webhooksd.node WHERE id = $1::text::uuid AND beat = $2 RETURNING id),
  freed AS (UPDATE webhooksd.slot SET owner = NULL FROM gone WHERE owner = gone.id)
SELECT count(*) FROM gone";

const ORPHANS: &str = "UPDATE webhooksd.slot SET owner = NULL
 WHERE owner IS NOT NULL AND NOT EXISTS (SELECT FROM webhooksd.node n WHERE n.id = owner)";

const TAKE: &str = "UPDATE webhooksd.slot SET owner = $1::text::uuid
 WHERE slot = ANY ($2) AND owner IS NULL
   AND EXISTS (SELECT FROM webhooksd.node WHERE id = $1::text::uuid FOR KEY SHARE)
RETURNING slot";

const GIVE: &str =
    "UPDATE webhooksd.slot SET owner = NULL WHERE slot = ANY ($2) AND owner = $1::text::uuid";

const LEAVE: &str =
    "WITH gone AS (DELETE FROM webhooksd.node WHERE id = $1::text::uuid RETURNING id)
UPDATE webhooksd.slot SET owner = NULL FROM gone WHERE owner = gone.id";

const WEBHOOKS: &str = "SELECT slot, name, state = 'active' FROM webhooksd.webhook WHERE slot = ANY ($1) AND state <> 'removed' ORDER BY name";

/// Notes a timeline: as a comment, for that is there in a log of any version, is committed like all else and goes the way
/// of the table's rows to a standby.
fn agreed_on(timeline: &str) -> String {
    let timeline: String = timeline.chars().filter(char::is_ascii_hexdigit).collect();
    format!(
        "COMMENT ON TABLE webhooksd.slot IS 'webhooksd: what stands here is agreed on by timeline {timeline}'"
    )
}

/// The same of a log that was just made, by the server's own.
pub(super) const AGREED: &str = "DO $$ BEGIN
  EXECUTE format('COMMENT ON TABLE webhooksd.slot IS %L',
    'webhooksd: what stands here is agreed on by timeline ' || left(pg_walfile_name(pg_current_wal_lsn()), 8));
END $$";

/// See the module's text.
pub(crate) struct Table {
    server: Arc<Server>,
    /// None where it failed, until the next call.
    link: Option<Link>,
    /// How many webhooks there are in each slot, by the stamp of when that was asked.
    used: (String, Vec<(i32, i64)>),
}

/// What a look finds of a node: with what is said of all.
struct Found {
    timeline: String,
    agreed: Option<String>,
    stamp: String,
    node: NodeRow,
    slots: Vec<i32>,
    server_ms: i64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("server", &self.server.shown)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// Connects with the first call.
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        Self {
            server: server.clone(),
            link: None,
            used: (String::new(), Vec::new()),
        }
    }

    /// What a statement finds. A connection that fails is dropped.
    fn rows<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.server).map_err(Error::Server)?,
        };
        let rows = link.rows(STEP, sql, values).map_err(Error::Server)?;
        self.link = Some(link);
        let read: Result<Vec<T>, _> = rows.iter().map(of).collect();
        read.map_err(|error| Error::Server(Trouble::of_step(&self.server, STEP, error)))
    }

    fn done(&mut self, sql: &str, values: &[Value<'_>]) -> Result<(), Error> {
        self.rows(sql, values, |_| Ok(())).map(drop)
    }
}

impl Roster for Table {
    fn beat(&mut self, me: &NodeId) -> Result<Option<NodesLook>, Error> {
        let me: &str = me;
        let found = self.rows(LOOK, &[(&me, Type::TEXT)], |row| {
            Ok(Found {
                timeline: row.try_get(0)?,
                agreed: row.try_get(1)?,
                stamp: row.try_get(2)?,
                node: NodeRow {
                    id: row.try_get::<_, String>(3)?.into(),
                    name: row.try_get(4)?,
                    version: row.try_get(5)?,
                    config: row.try_get(6)?,
                    beat: row.try_get(7)?,
                },
                slots: row.try_get(8)?,
                server_ms: row.try_get(9)?,
            })
        })?;
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let (stamp, timeline) = (first.stamp.clone(), first.timeline.clone());
        let server_ms = first.server_ms;
        let agreed = first.agreed.clone();
        if self.used.0 != stamp {
            let used = self.rows(USED, &[], |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
            // As of a moment behind the stamp, so that a change between the two is seen by the next.
            self.used = (stamp.clone(), used);
        }
        let owners: HashMap<i32, NodeId> = (found.iter())
            .flat_map(|of| of.slots.iter().map(|slot| (*slot, of.node.id.clone())))
            .collect();
        let slots = self.used.1.iter().map(|(slot, webhooks)| SlotRow {
            slot: *slot,
            owner: owners.get(slot).cloned(),
            webhooks: *webhooks,
        });
        Ok(Some(NodesLook {
            slots: slots.collect(),
            nodes: found.into_iter().map(|of| of.node).collect(),
            stamp,
            timeline,
            server_ms: Some(server_ms),
            agreed,
        }))
    }

    fn register(&mut self, name: &str) -> Result<NodeId, Error> {
        let version = env!("CARGO_PKG_VERSION");
        let values: [Value<'_>; 2] = [(&name, Type::TEXT), (&version, Type::TEXT)];
        let ids = self.rows(REGISTER, &values, |row| row.try_get::<_, String>(0))?;
        Ok(ids.into_iter().next().unwrap_or_default().into())
    }

    fn tell(&mut self, me: &NodeId, config: &str) -> Result<(), Error> {
        let me: &str = me;
        self.done(TELL, &[(&me, Type::TEXT), (&config, Type::TEXT)])
    }

    fn bury(&mut self, dead: &NodeId, beat: i64) -> Result<bool, Error> {
        let dead: &str = dead;
        let values: [Value<'_>; 2] = [(&dead, Type::TEXT), (&beat, Type::INT8)];
        let counts = self.rows(BURY, &values, |row| row.try_get::<_, i64>(0))?;
        Ok(counts.first() == Some(&1))
    }

    fn take(&mut self, me: &NodeId, slots: &[i32]) -> Result<Vec<i32>, Error> {
        self.done(ORPHANS, &[])?;
        let me: &str = me;
        let values: [Value<'_>; 2] = [(&me, Type::TEXT), (&slots, Type::INT4_ARRAY)];
        self.rows(TAKE, &values, |row| row.try_get(0))
    }

    fn give(&mut self, me: &NodeId, slots: &[i32]) -> Result<(), Error> {
        let me: &str = me;
        self.done(GIVE, &[(&me, Type::TEXT), (&slots, Type::INT4_ARRAY)])
    }

    fn leave(&mut self, me: &NodeId) -> Result<(), Error> {
        let me: &str = me;
        self.done(LEAVE, &[(&me, Type::TEXT)])
    }

    fn agree(&mut self, timeline: &str) -> Result<(), Error> {
        self.done(&agreed_on(timeline), &[])
    }

    fn webhooks(&mut self, slots: &[i32]) -> Result<Vec<(i32, Arc<str>, bool)>, Error> {
        self.rows(WEBHOOKS, &[(&slots, Type::INT4_ARRAY)], |row| {
            let name: String = row.try_get(1)?;
            Ok((row.try_get(0)?, name.into(), row.try_get(2)?))
        })
    }
}
