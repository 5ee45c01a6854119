//! The SQL of the outbox, as `webhooksd schema outbox` prints it.
//!
//! Applications put it into their own databases, so it is an interface: its text, the names of its
//! constraints, and that it needs no more than SQLite 3.34 with JSON. It is not migrated; a table
//! that was made by another version, or by the application itself, is taken as it is.

/// The table and the trigger.
///
/// AUTOINCREMENT, so that an id is never given twice. The trigger refuses ids given by hand that are
/// not above all before, so that the order of the ids is the order of the commits.
pub const SCHEMA: &str = include_str!("schema.sql");

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn outbox() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn good_rows_are_taken_and_get_the_time() {
        let outbox = outbox();
        let name = "x".repeat(255);
        for row in [
            "('story-approve', '{}', 0, NULL, NULL)".to_owned(),
            "('A-Za-z0-9-_.:/', '\"é\"', 253402300799999, 'acme', 'k')".to_owned(),
            format!("('{name}', '[1]', 1, '{name}', '{name}')"),
            "('a', json('null'), '7', NULL, NULL)".to_owned(),
        ] {
            let sql = format!("INSERT INTO outbox (event, data, time, tenant, key) VALUES {row}");
            outbox.execute(&sql, ()).unwrap();
        }
        let sql = "INSERT INTO outbox (event, data) VALUES ('a', '1')
                   RETURNING abs(time / 1000 - strftime('%s', 'now')), time % 1000 BETWEEN 0 AND 999";
        let (off, exact): (i64, bool) = outbox
            .query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert!(off <= 1 && exact, "{off} {exact}");
    }

    #[test]
    fn each_bad_row_fails_by_the_name_of_its_rule() {
        let outbox = outbox();
        let (event, data) = (
            "event is 1 to 255 of A-Z a-z 0-9 - _ . : /",
            "data is JSON text",
        );
        let (time, tenant, key) = ("time is UNIX milliseconds", "tenant is text", "key is text");
        let id = "id is given by the database";
        for (columns, values, rule) in [
            ("id, event, data", "0, 'a', '{}'", id),
            ("id, event, data", "9007199254740992, 'a', '{}'", id),
            ("event, data", "'', '{}'", event),
            ("event, data", "'a b', '{}'", event),
            ("event, data", "'é', '{}'", event),
            ("event, data", "'a' || char(0) || 'b', '{}'", event),
            ("event, data", "'a' || char(10), '{}'", event),
            ("event, data", "'a]', '{}'", event),
            ("event, data", "x'61', '{}'", event),
            ("event, data", "printf('%.256c', 'x'), '{}'", event),
            ("event, data", "'a', '{'", data),
            ("event, data", "'a', ''", data),
            ("event, data", "'a', x'7b7d'", data),
            ("event, data", "'a', '{}' || char(0)", data),
            ("event, data, time", "'a', '{}', -1", time),
            ("event, data, time", "'a', '{}', 253402300800000", time),
            ("event, data, time", "'a', '{}', 1.5", time),
            ("event, data, time", "'a', '{}', 'now'", time),
            ("event, data, tenant", "'a', '{}', ''", tenant),
            ("event, data, tenant", "'a', '{}', x'61'", tenant),
            (
                "event, data, tenant",
                "'a', '{}', printf('%.256c', 'x')",
                tenant,
            ),
            ("event, data, key", "'a', '{}', ''", key),
            ("event, data, key", "'a', '{}', x'61'", key),
            ("event, data, key", "'a', '{}', printf('%.256c', 'x')", key),
            (
                "event, data",
                "NULL, '{}'",
                "NOT NULL constraint failed: outbox.event",
            ),
            (
                "event, data",
                "'a', NULL",
                "NOT NULL constraint failed: outbox.data",
            ),
            (
                "event, data, time",
                "'a', '{}', NULL",
                "NOT NULL constraint failed: outbox.time",
            ),
        ] {
            let sql = format!("INSERT INTO outbox ({columns}) VALUES ({values})");
            let error = outbox.execute(&sql, ()).unwrap_err().to_string();
            assert!(error.contains(rule), "{sql}: {error}");
        }
        let twice = "INSERT INTO outbox (event, data, key) VALUES ('a', '1', 'k'), ('a', '1', 'k')";
        let error = outbox.execute(twice, ()).unwrap_err().to_string();
        assert!(
            error.contains("UNIQUE constraint failed: outbox.key"),
            "{error}"
        );
    }

    #[test]
    fn ids_by_hand_that_go_back_are_refused_and_none_is_given_again() {
        let outbox = outbox();
        let insert = |id: &str| {
            let sql = format!("INSERT INTO outbox (id, event, data) VALUES ({id}, 'a', '1')");
            outbox.execute(&sql, ()).map(|_| outbox.last_insert_rowid())
        };
        assert_eq!(insert("NULL").unwrap(), 1);
        assert_eq!(insert("10").unwrap(), 10);
        for id in ["5", "9"] {
            let error = insert(id).unwrap_err().to_string();
            assert!(
                error.contains("outbox.id is given by the database"),
                "{error}"
            );
        }
        outbox.execute("DELETE FROM outbox", ()).unwrap();
        assert!(insert("10").is_err());
        assert_eq!(insert("NULL").unwrap(), 11);
    }
}
