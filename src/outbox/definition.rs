//! The outbox's table as its database defines it: the SQL of the table and of what belongs to it.
//!
//! Left out: what the SQL means (`guards`, `table`), and what would put it right (`mend`).

use rusqlite::Connection;

/// The SQL of the table and of what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// The table's name as it was written.
    pub(super) name: String,
    pub(super) table: String,
    pub(super) indexes: Vec<String>,
    /// Names and SQL.
    pub(super) triggers: Vec<(String, String)>,
}

impl Definition {
    /// Reads it; empty where there is no table.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT type, name, sql FROM main.sqlite_schema
                   WHERE tbl_name = 'outbox' COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query(())?;
        let mut definition = Self::default();
        while let Some(row) = rows.next()? {
            let (name, sql): (String, String) = (row.get(1)?, row.get(2)?);
            match row.get_ref(0)?.as_str().unwrap_or_default() {
                "table" => (definition.name, definition.table) = (name, sql),
                "index" => definition.indexes.push(sql),
                "trigger" => definition.triggers.push((name, sql)),
                _ => {}
            }
        }
        Ok(definition)
    }
}
