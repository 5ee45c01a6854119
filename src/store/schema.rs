//! The shape of log.db: embedded migrations, applied in order, counted by `user_version`.
//!
//! All of them that a log needs are one transaction with its `user_version`, so a crash leaves the shape that
//! was there or today's: the views are today's, and may read what only the last of them makes.
//! There is no way back: a shape that is newer than this program is refused. A file is a log if it
//! says so by its `application_id`; an empty database becomes one; anything else is left alone.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{Error, connect, earlier};
use crate::model::crash;

/// "whkd", in the header of every log (<https://sqlite.org/pragma.html#pragma_application_id>).
pub(super) const APPLICATION_ID: i64 = 0x7768_6b64;

/// The migrations: the n-th brings version n - 1 to version n. Never edited once released.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
    include_str!("schema/0008.sql"),
    include_str!("schema/0009.sql"),
    include_str!("schema/0010.sql"),
    include_str!("schema/0011.sql"),
    include_str!("schema/0012.sql"),
    include_str!("schema/0013.sql"),
    include_str!("schema/0014.sql"),
    include_str!("schema/0015.sql"),
    include_str!("schema/0016.sql"),
];

/// The first version whose views and triggers are made from [`VIEWS`]. Those of a log are gone before the
/// migrations' own SQL, which may change what they read, and are made as they are today behind it.
const FIRST_VIEWS: usize = 5;

const VIEWS: &str = include_str!("views/views.sql");

/// Takes the tables of the shape before away.
const NOTHING_EARLIER: &str = include_str!("views/nothing_earlier.sql");

/// Between these lines the views read the tables of the shape before.
const EARLIER: (&str, &str) = ("-- earlier {\n", "-- } earlier\n");

/// And between these what of them is pending and has not come over yet.
const PENDING: (&str, &str) = ("-- pending earlier {\n", "-- } pending earlier\n");

/// The SQL that makes an empty log, for `webhooksd schema log`.
#[must_use]
pub(crate) fn sql() -> String {
    MIGRATIONS.concat() + NOTHING_EARLIER + &views(Earlier::Nothing)
}

/// What there is of the shape before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Earlier {
    Nothing,
    /// Rows of what ended, or has come over.
    Ended,
    /// Some that are pending there, too.
    Pending,
}

/// The views, with the rows of the shape before that are there.
fn views(earlier: Earlier) -> String {
    let views = only(VIEWS, PENDING, earlier == Earlier::Pending);
    only(&views, EARLIER, earlier != Earlier::Nothing)
}

/// The text with or without what stands between the lines.
fn only(text: &str, (begin, end): (&str, &str), with: bool) -> String {
    let mut all = String::with_capacity(text.len());
    for (n, part) in text.split(begin).enumerate() {
        let (inside, rest) = match part.split_once(end) {
            Some(both) if n > 0 => both,
            _ => ("", part),
        };
        if with {
            all += inside;
        }
        all += rest;
    }
    all
}

/// Whether the log has that table: one of an earlier shape may be read before the daemon has brought it up to date.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1)")?
        .query_row([name], |row| row.get(0))
}

/// Whether a table or view of the log has that column.
pub(super) fn has_column(
    connection: &Connection,
    table: &str,
    name: &str,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)")?
        .query_row([table, name], |row| row.get(0))
}

/// Whether the tables of the shape before are there yet; for the writer, who takes them away.
pub(super) fn has_earlier(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'old_attempt')")?
        .query_row([], |row| row.get(0))
}

/// The log as it is at one moment, for a reader, and whether those tables are there then: the writer may take
/// them away between two reads, but not from under this.
pub(super) fn at_once(connection: &Connection) -> rusqlite::Result<(Transaction<'_>, bool)> {
    let snapshot = connection.unchecked_transaction()?;
    let with_earlier = has_earlier(&snapshot)?;
    Ok((snapshot, with_earlier))
}

/// Takes the tables of the shape before away if nothing is in them; else the views read them as well.
fn make_views(t: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut found = Earlier::Nothing;
    if has_earlier(t)? {
        if is_earlier_empty(t)? {
            t.execute_batch(NOTHING_EARLIER)?;
        } else if earlier::is_pending(t)? {
            found = Earlier::Pending;
        } else {
            found = Earlier::Ended;
        }
    }
    t.execute_batch(&views(found))
}

/// Takes what [`make_views`] makes away; its triggers first, for those of a view would go with it.
fn drop_views(t: &Transaction<'_>) -> rusqlite::Result<()> {
    t.execute_batch(
        "DROP TRIGGER IF EXISTS redelivery_made; DROP TRIGGER IF EXISTS redelivery_checked;
         DROP VIEW IF EXISTS held; DROP VIEW IF EXISTS health; DROP VIEW IF EXISTS failed; DROP VIEW IF EXISTS log;
         DROP VIEW IF EXISTS delivery;",
    )
}

/// Whether nothing is in the tables of the shape before, which are there.
pub(super) fn is_earlier_empty(t: &Transaction<'_>) -> rusqlite::Result<bool> {
    let empty =
        "SELECT NOT EXISTS (SELECT 1 FROM old_attempt) AND NOT EXISTS (SELECT 1 FROM old_delivery)
                    AND NOT EXISTS (SELECT 1 FROM old_payload)";
    t.query_row(empty, [], |row| row.get(0))
}

/// Makes the views anew, once what was pending there has come over, or retention has emptied them.
pub(super) fn end_transition(t: &Transaction<'_>) -> rusqlite::Result<()> {
    drop_views(t)?;
    make_views(t)
}

/// Brings the log to the newest shape, in WAL mode.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    migrate_with(connection, path, MIGRATIONS)
}

pub(super) fn migrate_with(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), Error> {
    let done = version(connection, path, migrations)?;
    connect::use_wal(connection).map_err(|source| Error::open(path, source))?;
    let mut version = done;
    let applied = apply(connection, migrations, &mut version);
    applied.map_err(|source| Error::Migrate {
        path: path.to_owned(),
        version: count(version),
        source,
    })
}

/// Checks that a reader knows what it reads.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    match version(connection, path, MIGRATIONS)? {
        // An empty file: the daemon that makes the log has not got there yet.
        0 => Err(Error::Foreign {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether a log needs no migration. An empty database is none yet.
pub(super) fn is_of_today(connection: &Connection, path: &Path) -> Result<bool, Error> {
    Ok(version(connection, path, MIGRATIONS)? == MIGRATIONS.len())
}

/// Brings a log of that version up to date; `version` is the one that was worked on where it fails.
fn apply(
    connection: &mut Connection,
    migrations: &[&str],
    version: &mut usize,
) -> rusqlite::Result<()> {
    if *version >= migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The migration that first makes them takes away itself what was there before it.
    if *version >= FIRST_VIEWS {
        drop_views(&transaction)?;
    }
    for sql in migrations.iter().skip(*version) {
        *version += 1;
        transaction.execute_batch(sql)?;
    }
    if *version >= FIRST_VIEWS {
        earlier::begin(&transaction)?;
        make_views(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", count(*version))?;
    crash::point("migrate the log", crash::BEFORE_COMMIT);
    transaction.commit()?;
    crash::point("migrate the log", crash::COMMITTED);
    Ok(())
}

/// How many migrations the log has seen.
fn version(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<usize, Error> {
    let ask = |sql: &str| -> Result<i64, Error> {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|source| Error::open(path, source))
    };
    let foreign = || Error::Foreign {
        path: path.to_owned(),
    };
    let application_id = ask("PRAGMA application_id")?;
    let version = ask("PRAGMA user_version")?;
    if application_id != APPLICATION_ID {
        let objects = ask("SELECT count(*) FROM sqlite_master")?;
        let empty = application_id == 0 && version == 0 && objects == 0;
        return if empty { Ok(0) } else { Err(foreign()) };
    }
    if version > count(migrations.len()) {
        return Err(Error::Newer {
            path: path.to_owned(),
            version,
            known: count(migrations.len()),
        });
    }
    usize::try_from(version).ok().ok_or_else(foreign)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
