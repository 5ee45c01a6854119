//! What is asked of a server before anything is read: what it is, where the table is, what this user may.

use crate::outbox::Finding;
use crate::postgres::{Link, Trouble, What, judge};

/// What a connection leads to.
pub(super) struct Facts {
    /// The server and the database, as the log keeps them.
    pub(super) system: String,
    /// The server's timeline.
    pub(super) timeline: String,
    /// The table, with its schema and quoted.
    pub(super) table: String,
    pub(super) has_tenant: bool,
    pub(super) has_key: bool,
    may_delete: bool,
    has_trigger: bool,
    has_index: bool,
    /// The columns whose values are the only ones, by an index.
    unique: Vec<String>,
    /// The doorbell's sequence, with its schema and quoted, where this user may write it and the trigger is there.
    pub(super) doorbell: Option<String>,
    wants_doorbell: bool,
}

/// Of the table; no row where there is none.
const TABLE: &str = "SELECT format('%I.%I', n.nspname, c.relname), has_table_privilege(c.oid, 'SELECT'),
    has_table_privilege(c.oid, 'DELETE'),
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'outbox_id' AND t.tgenabled <> 'D'),
    EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
             WHERE i.indrelid = c.oid AND i.indisvalid AND a.attname = 'xid'),
    (SELECT system_identifier FROM pg_control_system())::text || '/' ||
      (SELECT oid FROM pg_database WHERE datname = current_database())::text,
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
           WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indnkeyatts = 1)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('outbox')";

/// Of the doorbell; no row where there is none.
const DOORBELL: &str = "SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass('outbox_doorbell') AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'UPDATE') END
   AND EXISTS (SELECT FROM pg_trigger t
                WHERE t.tgrelid = to_regclass('outbox') AND t.tgname = 'outbox_doorbell' AND t.tgenabled <> 'D')";

const STEP: &str = "look at the table";

impl Facts {
    /// Asks.
    pub(super) fn of(link: &Link) -> Result<Self, Trouble> {
        let trouble = |what| Trouble::new(&link.server, what);
        let failed = |error| Trouble::of_step(&link.server, STEP, error);
        judge(link)?;
        let rows = link.rows(STEP, TABLE, &[])?;
        let Some(row) = rows.first() else {
            return Err(trouble(What::NoTable));
        };
        let columns: Vec<String> = row.try_get(3).map_err(failed)?;
        let has = |name: &str| columns.iter().any(|column| column == name);
        for column in ["id", "xid", "event", "data", "time"] {
            if !has(column) {
                return Err(trouble(What::NoColumn(column)));
            }
        }
        if !row.try_get::<_, bool>(1).map_err(failed)? {
            return Err(trouble(What::NoRight));
        }
        let wants_doorbell = link.server.doorbell;
        let mut doorbell = None;
        if wants_doorbell {
            let rows = link.rows(STEP, DOORBELL, &[])?;
            let name = rows.first().map(|row| row.try_get(0));
            doorbell = name.transpose().map_err(failed)?;
        }
        Ok(Self {
            doorbell,
            wants_doorbell,
            table: row.try_get(0).map_err(failed)?,
            may_delete: row.try_get(2).map_err(failed)?,
            has_tenant: has("tenant"),
            has_key: has("key"),
            has_trigger: row.try_get(4).map_err(failed)?,
            has_index: row.try_get(5).map_err(failed)?,
            system: row.try_get(6).map_err(failed)?,
            timeline: row.try_get(7).map_err(failed)?,
            unique: row.try_get(8).map_err(failed)?,
        })
    }

    /// What is worth somebody's time.
    pub(super) fn findings(&self, server: &str, wants_to_delete: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut warn = |text: String, hint: &str| {
            found.push(Finding {
                is_error: false,
                text,
                hint: Some(hint.to_owned()),
            });
        };
        if !self.has_trigger {
            warn(
                format!(
                    "the table of outbox {server:?} lacks the trigger outbox_id: ids given by hand may come twice"
                ),
                "as the table's owner: CREATE TRIGGER outbox_id BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION outbox_id(), or \
                 ALTER TABLE outbox ENABLE TRIGGER outbox_id; `webhooksd schema outbox --postgres` prints the function",
            );
        }
        if !self.has_index {
            warn(
                format!(
                    "the table of outbox {server:?} lacks an index that begins with xid: each look reads all of it"
                ),
                "ALTER TABLE outbox ADD PRIMARY KEY (xid, id)",
            );
        }
        let is_unique = |name: &str| self.unique.iter().any(|column| column == name);
        if !is_unique("id") {
            warn(
                format!(
                    "the table of outbox {server:?} lacks a unique index on id: to look for an event reads all of it"
                ),
                "CREATE UNIQUE INDEX outbox_by_id ON outbox (id)",
            );
        }
        if self.has_key && !is_unique("key") {
            warn(
                format!(
                    "the table of outbox {server:?} lacks a unique index on key: two who give the same at once add both"
                ),
                "CREATE UNIQUE INDEX outbox_by_key ON outbox (key) WHERE key IS NOT NULL",
            );
        }
        if self.wants_doorbell && self.doorbell.is_none() {
            warn(
                format!(
                    "outbox {server:?} has no doorbell that this user may use: it is asked every 50 ms as without one"
                ),
                "`webhooksd schema outbox --postgres --doorbell` prints it at its end; then GRANT UPDATE ON SEQUENCE \
                 outbox_doorbell to this user",
            );
        }
        if wants_to_delete && !self.may_delete {
            warn(
                format!("this user may not delete rows of outbox {server:?}: old ones would stay"),
                "GRANT DELETE ON outbox to it, or set [outbox] keep_days = 0",
            );
        }
        found
    }
}
