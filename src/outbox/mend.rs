//! The SQL that puts a lost guard back, for a person to run.
//!
//! SQLite adds no CHECK to a table that is there, so a lost one comes back as a trigger with the same
//! rule and the same message, which alters no row and can be made while the application runs. The
//! texts are those of the documented schema, taken from it. Only AUTOINCREMENT needs the table made
//! anew: by a transaction that keeps the rows, the columns and the triggers that are the
//! application's own, and leaves everything as it was where a row breaks a rule. Nothing here is run
//! by webhooksd itself.

use rusqlite::Connection;

use super::SCHEMA;
use super::definition::Definition;

pub(super) const UNIQUE_KEY: &str = "CREATE UNIQUE INDEX outbox_key ON outbox (key);";

/// The columns of the documented table.
const COLUMNS: [&str; 6] = ["id", "event", "data", "time", "tenant", "key"];

/// A column that a row can be given a value for.
pub(super) struct Column {
    pub(super) name: String,
    /// Has no default and can't be NULL.
    pub(super) needs_a_value: bool,
    declaration: String,
}

impl Column {
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    fn is_documented(&self) -> bool {
        (COLUMNS.iter()).any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// The columns of the table but `id` and those that are generated.
pub(super) fn columns(connection: &Connection) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_xinfo('outbox', 'main')
               WHERE hidden = 0 AND name <> 'id' COLLATE NOCASE";
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map((), |row| {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let (not_null, default): (bool, Option<String>) = (row.get(2)?, row.get(3)?);
        let mut declaration = format!("{} {kind}", quoted(&name));
        if not_null {
            declaration.push_str(" NOT NULL");
        }
        if let Some(default) = &default {
            declaration.push_str(&format!(" DEFAULT ({default})"));
        }
        Ok(Column {
            name,
            needs_a_value: not_null && default.is_none(),
            declaration,
        })
    })?;
    columns.collect()
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A CHECK of the documented table, as a trigger.
pub(super) fn check(definition: &Definition, name: &str, column: &str) -> String {
    let begin = format!("CONSTRAINT \"{name}\" CHECK (");
    let rule = SCHEMA.split_once(&begin).map_or("", |(_, rest)| rest);
    let rule = of_new(&one_line(inside(rule)), column);
    let trigger = match column {
        "id" => "outbox_id_range".to_owned(),
        _ => format!("outbox_{column}"),
    };
    format!(
        "{}CREATE TRIGGER {trigger} AFTER INSERT ON outbox WHEN NOT ({rule}) \
         BEGIN SELECT RAISE(ABORT, '{name}'); END;",
        instead(definition, &trigger)
    )
}

/// The trigger of the documented table.
pub(super) fn id_trigger(definition: &Definition) -> String {
    let at = SCHEMA.find("CREATE TRIGGER").unwrap_or_default();
    let (_, trigger) = SCHEMA.split_at(at);
    // SQLite keeps the counter under the name as it was written.
    let name = format!("name = '{}'", definition.name.replace('\'', "''"));
    let trigger = one_line(trigger).replace("name = 'outbox'", &name);
    format!("{}{trigger}", instead(definition, "outbox_id"))
}

/// The table anew with `id INTEGER PRIMARY KEY AUTOINCREMENT`, in one transaction.
pub(super) fn rebuilt(
    connection: &Connection,
    definition: &Definition,
) -> rusqlite::Result<String> {
    let columns = columns(connection)?;
    let own: String = (columns.iter())
        .filter(|column| !column.is_documented())
        .map(|column| format!(", {}", column.declaration))
        .collect();
    let (table, trigger) = match SCHEMA.split_once("\n);") {
        Some((table, trigger)) => (format!("{}{own});", one_line(table)), one_line(trigger)),
        None => (one_line(SCHEMA), String::new()),
    };
    let names: Vec<String> = (columns.iter()).map(Column::quoted).collect();
    let names = format!("id, {}", names.join(", "));
    let mut own = definition.indexes.clone();
    let other_triggers = (definition.triggers.iter()).filter(|(name, _)| name != "outbox_id");
    own.extend(other_triggers.map(|(_, sql)| sql.clone()));
    let own: String = own.iter().map(|sql| format!(" {sql};")).collect();
    Ok(format!(
        "BEGIN IMMEDIATE; CREATE TABLE outbox_before AS SELECT * FROM outbox; DROP TABLE outbox; \
         {table} INSERT OR ROLLBACK INTO outbox ({names}) SELECT {names} FROM outbox_before \
         ORDER BY id; DROP TABLE outbox_before; {trigger}{own} COMMIT;"
    ))
}

/// What has to go where something else is called so.
fn instead(definition: &Definition, trigger: &str) -> String {
    let taken = (definition.triggers.iter()).any(|(name, _)| name.eq_ignore_ascii_case(trigger));
    if taken {
        format!("DROP TRIGGER {trigger}; ")
    } else {
        String::new()
    }
}

/// Up to the parenthesis that closes one before `text`.
fn inside(text: &str) -> &str {
    let mut depth = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.split_at(at).0;
        }
    }
    text
}

/// The rule of a column, as a trigger says it: of the new row. No text of the schema holds a column's
/// name as a word but where the column is meant.
fn of_new(rule: &str, column: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = String::new();
    let mut word = String::new();
    for c in rule.chars().chain(['\n']) {
        if is_word(c) {
            word.push(c);
            continue;
        }
        if word == column {
            words.push_str("NEW.");
        }
        words.push_str(&word);
        word.clear();
        words.push(c);
    }
    words.trim_end().to_owned()
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
