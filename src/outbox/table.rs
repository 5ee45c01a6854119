//! Whether somebody's table can serve as the outbox.
//!
//! SQLite itself is asked, not the text of the table's SQL: comments, quoted names and old spellings
//! can't mislead it. `id`, `event`, `data` and `time` must be there; a table without `tenant` has
//! events of nobody in particular, one without `key` takes no keys. CHECKs are not asked for here: what
//! they would have kept out is judged row by row, and `guards` tells that they are missing.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::Error;
use super::connect::open_error;
use super::definition::Definition;
use super::mend;

/// What a table offers beyond what each must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Has the column `tenant`.
    pub(super) tenant: bool,
    /// Has the column `key`.
    pub(super) key: bool,
    /// The database keeps text in UTF-16, so SQLite counts octets of that.
    pub(super) utf16: bool,
}

/// Looks at the table `outbox` of the database at `path`, which must give no id twice.
pub(super) fn inspect(connection: &Connection, path: &Path) -> Result<Table, Error> {
    let table = look(connection, path)?;
    match repeats_ids(connection, path)? {
        None => Ok(table),
        Some(error) => Err(error),
    }
}

/// Whether SQLite may give an id of this table again, as an error that says so.
pub(super) fn repeats_ids(connection: &Connection, path: &Path) -> Result<Option<Error>, Error> {
    let open_error = |source| open_error(path, source);
    let (.., autoincrement) = connection
        .column_metadata(Some("main"), "outbox", "id")
        .map_err(open_error)?;
    if autoincrement {
        return Ok(None);
    }
    let definition = Definition::of(connection).map_err(open_error)?;
    Ok(Some(Error::NotAutoincrement {
        path: path.to_owned(),
        sql: mend::rebuilt(connection, &definition).map_err(open_error)?,
    }))
}

/// Looks at the table whatever its ids are.
pub(super) fn look(connection: &Connection, path: &Path) -> Result<Table, Error> {
    let open_error = |source| open_error(path, source);
    let what = connection
        .query_row(
            "SELECT CASE WHEN type = 'view' THEN 'view'
                         WHEN sql LIKE 'CREATE VIRTUAL TABLE%' THEN 'virtual'
                         ELSE 'table' END
             FROM sqlite_schema WHERE name = 'outbox' COLLATE NOCASE AND type IN ('table', 'view')",
            (),
            |row| row.get::<_, String>(0),
        )
        .optional()
        .map_err(open_error)?;
    let path = path.to_owned();
    match what.as_deref() {
        None => return Err(Error::NoTable { path }),
        Some("view") => {
            return Err(Error::NotTable {
                path,
                what: "a view",
            });
        }
        Some("virtual") => {
            let what = "a virtual table";
            return Err(Error::NotTable { path, what });
        }
        Some(_) => {}
    }
    let has = |column: &str| {
        connection
            .column_exists(Some("main"), "outbox", column)
            .map_err(open_error)
    };
    for column in ["id", "event", "data", "time"] {
        if !has(column)? {
            return Err(Error::NoColumn { path, column });
        }
    }
    let encoding: String = connection
        .query_row("PRAGMA encoding", (), |row| row.get(0))
        .map_err(open_error)?;
    Ok(Table {
        tenant: has("tenant")?,
        key: has("key")?,
        utf16: encoding != "UTF-8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::SCHEMA;

    fn judged(sql: &str) -> Result<Table, Error> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        inspect(&connection, Path::new("o.db"))
    }

    #[test]
    fn tables_that_serve() {
        let bare = Table {
            tenant: false,
            key: false,
            utf16: false,
        };
        assert_eq!(
            judged(SCHEMA).unwrap(),
            Table {
                tenant: true,
                key: true,
                ..bare
            }
        );
        for sql in [
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time)",
            "CREATE TABLE \"OutBox\" ([ID] integer primary key autoincrement, `Event`, 'data', time)",
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY /* ; */ ASC -- not\n AUTOINCREMENT, event,
             data, time AS (1700000000000))",
        ] {
            assert_eq!(judged(sql).unwrap(), bare, "{sql}");
        }
        let wide = format!("PRAGMA encoding = 'UTF-16'; {SCHEMA}");
        assert!(judged(&wide).unwrap().utf16);
    }

    #[test]
    fn an_id_that_may_be_given_again_is_refused() {
        for id in [
            "id INTEGER PRIMARY KEY /* AUTOINCREMENT */",
            "id INTEGER PRIMARY KEY -- AUTOINCREMENT\n",
            "id INTEGER PRIMARY KEY CHECK ('AUTOINCREMENT' <> 'x')",
            "\"AUTOINCREMENT\" INTEGER PRIMARY KEY, id INT",
            "n INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER",
            "id INT PRIMARY KEY",
            "id INTEGER",
        ] {
            let sql = format!("CREATE TABLE outbox ({id}, event, data, time)");
            let error = judged(&sql).unwrap_err();
            assert!(matches!(error, Error::NotAutoincrement { .. }), "{sql}");
            assert!(error.to_string().contains("AUTOINCREMENT"), "{error}");
        }
        let error =
            judged("CREATE TABLE outbox (id INTEGER PRIMARY KEY, event, data, time) WITHOUT ROWID");
        assert!(matches!(error, Err(Error::NotAutoincrement { .. })));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let error = judged("CREATE TABLE outboxes (id)").unwrap_err();
        assert!(matches!(error, Error::NoTable { .. }));
        let hint = error.hint().unwrap();
        assert_eq!(hint, "webhooksd schema outbox | sqlite3 'o.db'");
        for (sql, expected) in [
            ("CREATE VIEW outbox AS SELECT 1 AS id", "is a view"),
            (
                "CREATE VIRTUAL TABLE outbox USING fts5(id)",
                "is a virtual table",
            ),
            (
                "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, time)",
                "has no column \"data\"",
            ),
        ] {
            let error = judged(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
