//! log.db from outside: how much is in it, and how to make it look years old.
//!
//! The measured runs only read it. [`grow`] multiplies the rows of one real delivery by SQL while
//! the daemon is stopped, so that the rows have their true size and the schema may change under it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

/// The log, for looking.
pub(crate) struct Log(Connection);

impl Log {
    /// `None` while the daemon has not made it.
    pub(crate) fn open(folder: &Path) -> Option<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(folder.join("log.db"), flags).ok()?;
        connection
            .busy_timeout(std::time::Duration::from_secs(2))
            .ok()?;
        connection.prepare("SELECT id FROM attempt").ok()?;
        Some(Self(connection))
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.0
            .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
            .unwrap()
            .unwrap_or(0)
    }

    /// The id of the newest attempt: ids are given one by one, so this counts them at no cost.
    pub(crate) fn last_attempt(&self) -> i64 {
        self.number("SELECT max(id) FROM attempt")
    }

    /// Attempts above an id, and those of them that delivered.
    pub(crate) fn attempts_after(&self, id: i64) -> (i64, i64) {
        let sql = "SELECT count(*), coalesce(sum(outcome IN ('delivered', 1, 3)), 0) FROM attempt WHERE id > ?1";
        self.0
            .query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    }
}

/// How a log is to look.
pub(crate) struct Growth {
    /// Attempts, one for each delivery.
    pub(crate) attempts: i64,
    /// Deliveries that share an event and its body.
    pub(crate) fan_out: i64,
    /// The oldest and the newest are so many milliseconds old.
    pub(crate) ages_ms: (i64, i64),
    /// Whether a mark of the retention covers them all.
    pub(crate) expired: bool,
}

/// Multiplies the one delivery in a stopped daemon's log.
pub(crate) fn grow(folder: &Path, growth: &Growth, now_ms: i64) {
    let connection = Connection::open(folder.join("log.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY;",
        )
        .unwrap();
    connection
        .pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
        .unwrap();
    let indexes = drop_indexes(&connection);
    let Growth {
        attempts,
        fan_out,
        ages_ms: (oldest, newest),
        expired,
    } = *growth;
    let time = format!(
        "{} + (n * {} / {attempts})",
        now_ms - oldest,
        oldest - newest
    );
    let event = format!("((n - 1) / {fan_out} + 1)");
    copy(
        &connection,
        "payload",
        attempts / fan_out,
        &[("event_id", "n")],
    );
    if is_table(&connection, "delivery") {
        copy_deliveries(&connection, growth, &event, &time);
    } else {
        copy_attempts(&connection, growth, &event, &time, now_ms - newest);
    }
    connection
        .execute(
            "UPDATE rolled_up SET attempt_id = ?1, time = ?2",
            params![attempts, now_ms],
        )
        .unwrap();
    if expired {
        // And one for every day since then, as of a daemon that ran all the time.
        connection
            .execute(
                "WITH RECURSIVE day (time) AS (
                   SELECT ?1 UNION ALL SELECT time + 86400000 FROM day WHERE time + 86400000 < ?4)
                 INSERT INTO mark (time, generation, event_id, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id)
                 SELECT time, 0, 0, ?2, ?2, ?3, 0, 0 FROM day",
                params![now_ms - newest, attempts, attempts / fan_out, now_ms],
            )
            .unwrap();
    }
    connection.execute_batch(&indexes).unwrap();
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
}

fn is_table(connection: &Connection, name: &str) -> bool {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, [name], |row| row.get(0)).unwrap()
}

/// Of a log in which a delivery has a row of its own.
fn copy_deliveries(connection: &Connection, growth: &Growth, event: &str, time: &str) {
    let webhook = format!("'old-' || (n % {})", growth.fan_out);
    copy(
        connection,
        "delivery",
        growth.attempts,
        &[
            ("event_id", event),
            ("payload_id", event),
            ("webhook", &webhook),
            ("created_at", time),
            ("finished_at", time),
        ],
    );
    copy(
        connection,
        "attempt",
        growth.attempts,
        &[("delivery_id", "n"), ("webhook", &webhook), ("time", time)],
    );
}

/// Of a log in which a delivery that succeeded is its attempt, with its texts where a daemon that saw them
/// before has them.
fn copy_attempts(connection: &Connection, growth: &Growth, event: &str, time: &str, used_ms: i64) {
    let first = "SELECT max(id) + 1 FROM webhook_name";
    let first: i64 = connection.query_row(first, [], |row| row.get(0)).unwrap();
    for n in 0..growth.fan_out {
        let name = format!("old-{n}");
        connection
            .execute(
                "INSERT INTO webhook_name (id, name) VALUES (?1, ?2)",
                params![first + n, name],
            )
            .unwrap();
    }
    let mut texts = Vec::new();
    for column in ["url", "peer", "request_headers", "response_headers"] {
        let sql = format!(
            "INSERT INTO text (text, used_at) SELECT {column}, ?1 FROM attempt WHERE id = 1"
        );
        connection.execute(&sql, [used_ms]).unwrap();
        texts.push((column, connection.last_insert_rowid().to_string()));
    }
    let webhook = format!("{first} + (n % {})", growth.fan_out);
    let mut changed = vec![
        ("delivery_id", "n"),
        ("payload_id", event),
        ("webhook_id", &webhook),
        ("time", time),
    ];
    changed.extend(texts.iter().map(|(column, id)| (*column, id.as_str())));
    copy(connection, "attempt", growth.attempts, &changed);
    connection
        .execute(
            "INSERT OR IGNORE INTO seen SELECT DISTINCT webhook_id, id / 1024 FROM attempt",
            [],
        )
        .unwrap();
}

/// Takes the indexes of the large tables off; returns the SQL that makes them again.
fn drop_indexes(connection: &Connection) -> String {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL
                AND tbl_name IN ('payload', 'delivery', 'attempt')";
    let mut select = connection.prepare(sql).unwrap();
    let rows = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let indexes: Vec<(String, String)> = rows.map(Result::unwrap).collect();
    drop(select);
    for (name, _) in &indexes {
        connection
            .execute_batch(&format!("DROP INDEX {name}"))
            .unwrap();
    }
    indexes.iter().map(|(_, sql)| format!("{sql};\n")).collect()
}

/// Makes rows 2 to `rows` of a table from its row 1; `n` is a row's number.
fn copy(connection: &Connection, table: &str, rows: i64, changed: &[(&str, &str)]) {
    let mut columns = connection
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
        .unwrap();
    let names: Vec<String> = columns
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let value = |name: &String| match changed.iter().find(|(column, _)| column == name) {
        _ if name == "id" => "n".to_owned(),
        Some((_, expression)) => (*expression).to_owned(),
        None => format!("old.{name}"),
    };
    let values: Vec<String> = names.iter().map(value).collect();
    let sql = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
         INSERT INTO {table} ({}) SELECT {} FROM numbers, (SELECT * FROM {table} WHERE id = 1) AS old",
        names.join(", "),
        values.join(", ")
    );
    connection.execute(&sql, []).unwrap();
}
