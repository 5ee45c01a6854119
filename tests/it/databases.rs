//! Keeps `webhooksd-databases.7` true: its SQL runs against an outbox made by `webhooksd schema
//! outbox`, its trigger is the schema's own, its copies are whole.
//!
//! What the page says of other programs' drivers is tried by tests/matrix, outside `cargo test`.

use std::process::Command;

use rusqlite::Connection;

const PAGE: &str = include_str!("../../packaging/man/webhooksd-databases.7");

fn blocks() -> Vec<&'static str> {
    let blocks = PAGE.split("\n.Bd -literal -offset indent\n").skip(1);
    blocks.map(|b| b.split("\n.Ed").next().unwrap()).collect()
}

fn schema() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["schema", "outbox"])
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// An application's database with an outbox and one event.
fn application(folder: &tempfile::TempDir) -> Connection {
    let app = Connection::open(folder.path().join("app.db")).unwrap();
    app.execute_batch(&schema()).unwrap();
    app.execute_batch("INSERT INTO outbox (event, data) VALUES ('e', '{}')")
        .unwrap();
    app
}

fn events(database: &Connection) -> i64 {
    let count = "SELECT count(*) FROM outbox";
    database.query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn its_sql_runs() {
    let folder = tempfile::tempdir().unwrap();
    let app = application(&folder);
    let mut ran = 0;
    for block in blocks() {
        if block.starts_with("sqlite3 ") {
            continue;
        }
        if block.starts_with("CREATE TRIGGER") {
            app.execute_batch("DROP TRIGGER outbox_id").unwrap();
            let trigger = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'";
            app.execute_batch(block).unwrap();
            assert_eq!(app.query_row(trigger, [], |row| row.get(0)), Ok(1));
            assert!(schema().contains(block), "not the schema's trigger");
        } else {
            app.execute_batch(block).unwrap();
        }
        ran += 1;
    }
    assert_eq!(ran, 3, "the page has other blocks now");
}

#[test]
fn a_key_that_is_there_is_one_event_and_a_bad_row_is_still_refused() {
    let folder = tempfile::tempdir().unwrap();
    let app = application(&folder);
    let insert = blocks()
        .into_iter()
        .find(|block| block.starts_with("INSERT"));
    let insert = insert.unwrap();
    for _ in 0..2 {
        app.execute_batch(insert).unwrap();
    }
    assert_eq!(events(&app), 2);
    let bad = insert.replace(r#"{"id": 7}"#, "no JSON");
    let refused = app.execute_batch(&bad.replace("story-7", "story-8"));
    assert!(
        refused.unwrap_err().to_string().contains("data is JSON"),
        "the row that OR IGNORE drops"
    );
}

#[test]
fn copies_made_as_it_says_are_whole() {
    if Command::new("sqlite3").arg("-version").output().is_err() {
        println!("SKIPPED: sqlite3 is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let app = application(&folder);
    // Open and in WAL mode, so that the row is in the -wal.
    app.execute_batch(
        "PRAGMA journal_mode = WAL; INSERT INTO outbox (event, data) VALUES ('e', '2')",
    )
    .unwrap();
    let lines: Vec<&str> = blocks()
        .into_iter()
        .filter(|block| block.starts_with("sqlite3 "))
        .flat_map(str::lines)
        .collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let copied = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder.path())
            .status();
        assert!(copied.unwrap().success(), "{line}");
        let copy = folder.path().join("copy.db");
        assert_eq!(events(&Connection::open(&copy).unwrap()), 2, "{line}");
        std::fs::remove_file(copy).unwrap();
    }
}
