//! What is in the place of a log in PostgreSQL: none, one of a version that is known, or something else.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::cursor_at;
use super::read::Reader;
use super::{FOR_ALL_FROM, OLDEST, VERSION, shape};
use crate::model::{Cursor, LogId, Server};
use crate::postgres::{Link, Trouble, What, judge};
use crate::store::Error;

const STEP: &str = "look what is there";

/// Whether there is a schema, and in it what only a log has.
const THERE: &str =
    "SELECT to_regnamespace('webhooksd') IS NOT NULL, to_regclass('webhooksd.meta') IS NOT NULL";

const META: &str = "SELECT version, oldest, log_id FROM webhooksd.meta";

/// Whether this user may make a log: in a database that has no schema for it, or in one that is empty.
const MAY_MAKE: &str = "SELECT CASE WHEN to_regnamespace('webhooksd') IS NULL
       THEN has_database_privilege(current_database(), 'CREATE')
       ELSE has_schema_privilege('webhooksd', 'USAGE') AND has_schema_privilege('webhooksd', 'CREATE') END";

/// Whether it may do with a log what the daemon does: days are made and dropped, which only their owner may.
const MAY_CHANGE: &str = "SELECT has_schema_privilege('webhooksd', 'USAGE') AND has_schema_privilege('webhooksd', 'CREATE')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
         WHERE c.relnamespace = to_regnamespace('webhooksd')
           AND c.relname IN ('meta', 'node', 'pending', 'attempt', 'payload') AND NOT pg_has_role(c.relowner, 'USAGE'))";

/// The first tables, views and sequences of a log that this user may not use in every way, with what it may not: somebody
/// has taken it away, of the owner too.
const MAY_NOT: &str = "SELECT right_names || ' of ' || relname FROM (
    SELECT c.relname, CASE c.relkind
        WHEN 'S' THEN CASE WHEN NOT has_sequence_privilege(c.oid, 'USAGE') THEN 'USAGE' END
        WHEN 'v' THEN CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END
        ELSE nullif(concat_ws(', ',
            CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN NOT has_table_privilege(c.oid, 'DELETE') THEN 'DELETE' END), '') END AS right_names
      FROM pg_catalog.pg_class c
     WHERE c.relnamespace = to_regnamespace('webhooksd') AND c.relkind IN ('r', 'p', 'v', 'S')) looked
  WHERE right_names IS NOT NULL ORDER BY relname LIMIT 4";

/// Of those that are named.
const NAMED: usize = 3;

/// Whose log it is, and of which version.
struct Meta {
    version: i32,
    oldest: i32,
    id: LogId,
}

/// Of a database: the log that is there; `None` where there is none yet.
fn find(link: &Link) -> Result<Option<Meta>, Trouble> {
    let failed = |error| Trouble::of_step(&link.server, STEP, error);
    let rows = link.rows(STEP, THERE, &[])?;
    let there: (bool, bool) = match rows.first() {
        Some(row) => (
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
        ),
        None => (false, false),
    };
    match there {
        (false, _) => return Ok(None),
        // An empty schema is one that its database's owner has made for the log.
        (true, false) if is_empty(link)? => return Ok(None),
        (true, false) => return Err(Trouble::new(&link.server, What::NoLogEither)),
        (true, true) => {}
    }
    let rows = link.rows(STEP, META, &[])?;
    let Some(row) = rows.first() else {
        return Err(Trouble::new(&link.server, What::NoLogEither));
    };
    let id: Vec<u8> = row.try_get(2).map_err(failed)?;
    Ok(Some(Meta {
        version: row.try_get(0).map_err(failed)?,
        oldest: row.try_get(1).map_err(failed)?,
        id: LogId(id.try_into().unwrap_or_default()),
    }))
}

fn is_empty(link: &Link) -> Result<bool, Trouble> {
    let sql = "SELECT FROM pg_class WHERE relnamespace = to_regnamespace('webhooksd') LIMIT 1";
    Ok(link.rows(STEP, sql, &[])?.is_empty())
}

/// Refuses a log that this version does not read.
fn known(link: &Link, meta: &Meta) -> Result<(), Trouble> {
    if meta.oldest > VERSION {
        return Err(Trouble::new(
            &link.server,
            What::Newer(meta.version, VERSION),
        ));
    }
    if meta.version < OLDEST {
        return Err(Trouble::new(
            &link.server,
            What::Older(meta.version, OLDEST),
        ));
    }
    Ok(())
}

/// Refuses a user that may not write the log that is there, or make one where there is none.
fn allowed(link: &Link, meta: Option<&Meta>) -> Result<(), Trouble> {
    let (sql, right) = match meta {
        Some(_) => (MAY_CHANGE, "change the tables"),
        None => (MAY_MAKE, "make the schema"),
    };
    let failed = |error| Trouble::of_step(&link.server, STEP, error);
    let rows = link.rows(STEP, sql, &[])?;
    let may = rows.first().map_or(Ok(true), |row| row.try_get(0));
    if !may.map_err(failed)? {
        return Err(Trouble::new(&link.server, What::Lacks(right)));
    }
    if meta.is_none() {
        return Ok(());
    }
    let rows = link.rows(STEP, MAY_NOT, &[])?;
    let named: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let named = named.map_err(failed)?;
    if named.is_empty() {
        return Ok(());
    }
    let more = if named.len() > NAMED { "; ..." } else { "" };
    let named = named.iter().take(NAMED).map(String::as_str);
    let withheld = named.collect::<Vec<_>>().join("; ") + more;
    Err(Trouble::new(&link.server, What::Withheld(withheld)))
}

/// Judges the server, makes the log where it has none, and returns the log's own id.
pub(super) fn prepare(link: &Link) -> Result<LogId, Trouble> {
    judge(link)?;
    if let Some(meta) = find(link)? {
        known(link, &meta)?;
        allowed(link, Some(&meta))?;
        if meta.version == VERSION {
            shape::mend(link)?;
        }
        return Ok(meta.id);
    }
    allowed(link, None)?;
    make(link)?;
    match find(link)? {
        Some(meta) => Ok(meta.id),
        None => Err(Trouble::new(&link.server, What::NoLog)),
    }
}

/// Makes a log, all of it or nothing. Whoever comes second finds it made: the lock is on a name that every node knows,
/// and ends with the transaction.
fn make(link: &Link) -> Result<(), Trouble> {
    // Who stands still meanwhile keeps nobody else from making it.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '10s'; SELECT pg_advisory_xact_lock(hashtext('webhooksd: make the log'))";
    link.batch("make the log", begin)?;
    let made = (|| {
        if find(link)?.is_some() {
            return Ok(());
        }
        // Who made it for the log may have kept the right to make others.
        let sql = "SELECT to_regnamespace('webhooksd') IS NULL";
        let failed = |error| Trouble::of_step(&link.server, STEP, error);
        let lacks = link.rows(STEP, sql, &[])?;
        if let Some(row) = lacks.first()
            && row.try_get(0).map_err(failed)?
        {
            link.batch("make the log", "CREATE SCHEMA webhooksd")?;
        }
        shape::make(link)?;
        let meta = format!(
            "INSERT INTO webhooksd.meta SELECT 1, {VERSION}, {FOR_ALL_FROM}, uuid_send(gen_random_uuid())"
        );
        link.batch("make the log", &meta)
    })();
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    made.and(link.batch("make the log", end))
}

/// All rows of before are read once where a log is brought over, and a large one takes its time.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// What came of bringing a log to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It was made, or of this version already.
    Ready,
    /// From that version to this one.
    Up(i32, i32),
}

/// Makes a log where there is none, and brings one of an earlier version to this one's.
pub(crate) fn upgrade(server: &Arc<Server>) -> Result<Brought, Error> {
    let upgraded = (|| {
        let link = Link::within(server, LONGEST)?;
        judge(&link)?;
        match find(&link)? {
            Some(meta) if (1..OLDEST).contains(&meta.version) => {
                shape::bring_up(&link)?;
                Ok(Brought::Up(meta.version, VERSION))
            }
            Some(meta) => known(&link, &meta).map(|()| Brought::Ready),
            None => prepare(&link).map(|_| Brought::Ready),
        }
    })();
    upgraded.map_err(Error::Server)
}

/// How far a log has taken its outbox; nothing is made.
pub(crate) fn cursor_of(server: &Arc<Server>) -> Result<Option<Cursor>, Error> {
    let link = Link::open(server).map_err(Error::Server)?;
    let looked = (|| {
        judge(&link)?;
        let Some(meta) = find(&link)? else {
            return allowed(&link, None).map(|()| None);
        };
        known(&link, &meta)?;
        allowed(&link, Some(&meta))?;
        cursor_at(&link)
    })();
    looked.map_err(Error::Server)
}

impl Reader {
    /// Connects; `None` where there is no log yet.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub(crate) fn find(server: &Arc<Server>) -> Result<Option<Self>, Error> {
        let reader = Self::open(server)?;
        let found = find(reader.link()).map_err(Error::Server)?;
        let Some(meta) = found else { return Ok(None) };
        known(reader.link(), &meta).map_err(Error::Server)?;
        Ok(Some(reader))
    }
}
