//! What a tail makes of rows, limits and databases in odd states.
//!
//! Whether it sees new commits soon is for `following`.

use rusqlite::Connection;

use super::{BARE, MAX_DATA_BYTES, Outbox, app, database, id, ids, insert, outbox};
use crate::outbox::{Batch, Error, Row, Tail, Waiting};

const ALL: usize = usize::MAX;

fn tail(outbox: &Outbox) -> Tail {
    Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap()
}

/// The reason for each row, `None` for an event.
fn reasons(batch: &Batch) -> Vec<Option<String>> {
    batch
        .rows
        .iter()
        .map(|row| match row {
            Row::Event(_) => None,
            Row::Rejected(rejected) => Some(rejected.reason.clone()),
        })
        .collect()
}

#[test]
fn bad_rows_are_set_aside_and_those_behind_them_read() {
    let outbox = database(BARE);
    let app = app(&outbox.path);
    let bad = [
        ("NULL, '{}', 1, NULL", "event is NULL"),
        ("x'ff00', '{}', 1, NULL", "event is a BLOB"),
        ("7, '{}', 1, NULL", "event is a number"),
        ("CAST(x'ff' AS TEXT), '{}', 1, NULL", "event is not UTF-8"),
        ("'a' || char(0), '{}', 1, NULL", "event \"a\\0\" is not"),
        (
            "printf('%.10000000c', 'x'), '{}', 1, NULL",
            "event is 10000000 bytes",
        ),
        ("'a', NULL, 1, NULL", "data is NULL"),
        (
            "'a', zeroblob(20000000), 1, NULL",
            "data is 20000000 bytes, more than",
        ),
        (
            "'a', printf('%.20000000c', 'x'), 1, NULL",
            "data is 20000000 bytes",
        ),
        ("'a', x'7b7d', 1, NULL", "data is a BLOB"),
        ("'a', 9e999, 1, NULL", "data is a number"),
        ("'a', CAST(x'22ff22' AS TEXT), 1, NULL", "data is not UTF-8"),
        ("'a', '{}' || char(0), 1, NULL", "data is not JSON"),
        ("'a', '', 1, NULL", "data is not JSON"),
        ("'a', '{}', NULL, NULL", "time is not an integer"),
        (
            "'a', '{}', zeroblob(20000000), NULL",
            "time is not an integer",
        ),
        ("'a', '{}', '1', NULL", "time is not an integer"),
        (
            "'a', '{}', 9223372036854775807, NULL",
            "time 9223372036854775807 is not",
        ),
        (
            "'a', '{}', 1, zeroblob(20000000)",
            "tenant is 20000000 bytes",
        ),
        ("'a', '{}', 1, 7", "tenant is a number"),
        ("'a', '{}', 1, x''", "tenant is a BLOB"),
        ("'a', '{}', 1, printf('%.4096c', 'x')", "tenant has 4096"),
        (
            "'a', '{}', 1, printf('%.4097c', 'x')",
            "tenant is 4097 bytes",
        ),
        ("'a', NULL, 1, zeroblob(4097)", "data is NULL"),
        ("NULL, NULL, NULL, x''", "event is NULL"),
        ("'a', '{}', 1, ''", "tenant has 0 characters"),
    ];
    for (values, _) in bad {
        let sql = format!("INSERT INTO outbox (event, data, time, tenant) VALUES ({values})");
        app.execute(&sql, ()).unwrap();
        insert(&app);
    }
    let mut tail = tail(&outbox);
    let batch = tail.read(id(0), ALL, ALL).unwrap();
    assert!(!batch.more);
    let reasons = reasons(&batch);
    assert_eq!(reasons.len(), 2 * bad.len());
    for (pair, (values, expected)) in reasons.chunks(2).zip(bad) {
        let reason = pair[0].as_deref().unwrap();
        assert!(reason.starts_with(expected), "{values}: {reason}");
        assert_eq!(pair[1], None);
    }
    for row in batch.rows {
        assert_eq!(tail.row(row.id()).unwrap(), Some(row));
    }
    assert_eq!(tail.row(id(1_000)).unwrap(), None);
}

#[test]
fn ids_out_of_range_are_set_aside() {
    let outbox = database(BARE);
    let app = app(&outbox.path);
    for id in [
        "-5",
        "0",
        "1",
        "9007199254740991",
        "9007199254740992",
        "9223372036854775807",
    ] {
        let sql = format!("INSERT INTO outbox (id, event, data, time) VALUES ({id}, 'a', '1', 1)");
        app.execute(&sql, ()).unwrap();
    }
    let mut tail = tail(&outbox);
    let batch = tail.read(id(0), ALL, ALL).unwrap();
    let good: Vec<_> = reasons(&batch).iter().map(Option::is_none).collect();
    assert_eq!(good, [true, true, false, false]);
    assert_eq!(tail.read(id(i64::MIN), ALL, ALL).unwrap().rows.len(), 6);
    assert_eq!(tail.sequence().unwrap(), id(i64::MAX));
}

#[test]
fn a_database_in_utf_16_is_measured_in_utf_8() {
    let outbox = database(&format!("PRAGMA encoding = 'UTF-16le'; {BARE}"));
    let app = app(&outbox.path);
    let sizes = [
        (MAX_DATA_BYTES, None),
        (MAX_DATA_BYTES + 1, Some("data is 1001 bytes")),
    ];
    let add = |data: &str| {
        let sql = "INSERT INTO outbox (event, data, time, tenant) VALUES ('a', ?1, 1, 'é')";
        app.execute(sql, (data,)).unwrap();
    };
    for (bytes, _) in sizes {
        add(&format!("\"{}\"", "x".repeat(bytes - 2)));
    }
    add(&format!("\"{}\"", "é".repeat(499)));
    add(&format!("\"{}\"", "é".repeat(500)));
    add(&"x".repeat(2_000));
    let batch = tail(&outbox).read(id(0), ALL, ALL).unwrap();
    let more = ", more than max_data_bytes = 1000";
    let reasons: Vec<_> = reasons(&batch)
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect();
    assert_eq!(
        reasons,
        [
            String::new(),
            format!("data is at least 1001 bytes{more}"),
            String::new(),
            format!("data is 1002 bytes{more}"),
            format!("data is at least 2000 bytes{more}"),
        ]
    );
    assert!(matches!(&batch.rows[0], Row::Event(event) if event.tenant.as_deref() == Some("é")));
}

#[test]
fn a_batch_is_bounded_in_rows_and_bytes_and_says_whether_to_go_on() {
    let outbox = outbox();
    let app = app(&outbox.path);
    for _ in 0..5 {
        insert(&app);
    }
    let mut tail = tail(&outbox);
    let mut read = |after, rows, bytes| {
        let batch = tail.read(after, rows, bytes).unwrap();
        (ids(&batch.rows), batch.more)
    };
    assert_eq!(read(id(0), 2, ALL), (vec![1, 2], true));
    assert_eq!(read(id(2), 4, ALL), (vec![3, 4, 5], false));
    assert_eq!(read(id(0), 0, ALL), (vec![1], true));
    // Each row has two bytes of data.
    assert_eq!(read(id(0), ALL, 3), (vec![1, 2], true));
    assert_eq!(read(id(0), ALL, 0), (vec![1], true));
    assert_eq!(read(id(5), ALL, ALL), (vec![], false));
    assert_eq!(read(id(i64::MAX), ALL, ALL), (vec![], false));
}

#[test]
fn no_transaction_is_left_open_even_with_more_to_read() {
    let outbox = outbox();
    let app = app(&outbox.path);
    for _ in 0..5 {
        insert(&app);
    }
    let mut tail = tail(&outbox);
    assert!(tail.changed().unwrap());
    assert!(tail.read(id(0), 2, ALL).unwrap().more);
    tail.row(id(1)).unwrap();
    tail.waiting(id(0)).unwrap();
    tail.first_at_or_after(0).unwrap();
    let busy = |mode: &str| -> bool {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        app.query_row(&sql, (), |row| row.get(0)).unwrap()
    };
    insert(&app);
    assert!(!busy("TRUNCATE"), "a reader holds the checkpoint up");
}

#[test]
fn a_change_is_kept_until_a_read_comes_to_the_end() {
    let outbox = database(&format!("PRAGMA journal_mode = DELETE; {BARE}"));
    let app = app(&outbox.path);
    let mut tail = tail(&outbox);
    assert!(tail.changed().unwrap(), "nothing was read yet");
    tail.read(id(0), ALL, ALL).unwrap();
    assert!(!tail.changed().unwrap());
    insert(&app);
    insert(&app);
    assert!(tail.changed().unwrap());
    app.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(tail.read(id(0), ALL, ALL).unwrap_err().is_busy());
    assert!(tail.changed().is_err_and(|error| error.is_busy()));
    app.execute_batch("ROLLBACK").unwrap();
    assert!(tail.changed().unwrap(), "the busy read has lost the change");
    assert!(tail.read(id(0), 1, ALL).unwrap().more);
    assert!(tail.changed().unwrap(), "there was more");
    assert_eq!(ids(&tail.read(id(1), ALL, ALL).unwrap().rows), [2]);
    assert!(!tail.changed().unwrap());
}

#[test]
fn positions_by_sequence_count_and_time() {
    let outbox = outbox();
    let app = app(&outbox.path);
    let mut tail = tail(&outbox);
    assert_eq!(tail.sequence().unwrap(), id(0));
    assert_eq!(tail.waiting(id(0)).unwrap(), Waiting::default());
    assert_eq!(tail.first_at_or_after(0).unwrap(), None);
    for time in [100, 300, 200, 400] {
        let sql = "INSERT INTO outbox (event, data, time) VALUES ('a', '1', ?1)";
        app.execute(sql, (time,)).unwrap();
    }
    let waiting = |count, oldest_ms| Waiting { count, oldest_ms };
    assert_eq!(tail.waiting(id(0)).unwrap(), waiting(4, Some(100)));
    assert_eq!(tail.waiting(id(2)).unwrap(), waiting(2, Some(200)));
    assert_eq!(tail.waiting(id(4)).unwrap(), waiting(0, None));
    assert_eq!(tail.first_at_or_after(150).unwrap(), Some(id(2)));
    assert_eq!(tail.first_at_or_after(301).unwrap(), Some(id(4)));
    assert_eq!(tail.first_at_or_after(401).unwrap(), None);
    app.execute("DELETE FROM outbox WHERE id > 1", ()).unwrap();
    assert_eq!(tail.sequence().unwrap(), id(4));
}

#[test]
fn a_long_backlog_is_counted_by_its_ids() {
    let outbox = database(BARE);
    let app = app(&outbox.path);
    let sql = "INSERT INTO outbox (event, data, time) WITH RECURSIVE n(i) AS
               (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100005) SELECT 'a', '1', 1 FROM n";
    app.execute(sql, ()).unwrap();
    app.execute("DELETE FROM outbox WHERE id = 1000", ())
        .unwrap();
    let mut tail = tail(&outbox);
    assert_eq!(tail.waiting(id(0)).unwrap().count, 100_005);
    assert_eq!(tail.waiting(id(900)).unwrap().count, 99_104);
}

#[test]
fn a_time_that_is_no_integer_is_no_position() {
    let outbox = database(BARE);
    let app = app(&outbox.path);
    let sql = "INSERT INTO outbox (event, data, time) VALUES ('a', '1', 'x'), ('a', '1', 5)";
    app.execute(sql, ()).unwrap();
    let mut tail = tail(&outbox);
    assert_eq!(tail.first_at_or_after(0).unwrap(), Some(id(2)));
    let unknown = Waiting {
        count: 2,
        oldest_ms: None,
    };
    assert_eq!(tail.waiting(id(0)).unwrap(), unknown);
}

#[test]
fn files_that_are_no_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Tail::open(&folder.path().join(name), 1).unwrap_err();
    assert!(matches!(open("missing.db"), Error::Find { .. }));
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    let empty = open("empty.db");
    assert!(matches!(empty, Error::NoTable { .. }));
    assert!(
        empty
            .hint()
            .unwrap()
            .contains("webhooksd schema outbox | sqlite3")
    );
    std::fs::write(
        folder.path().join("text.db"),
        "not a database at all\n".repeat(100),
    )
    .unwrap();
    let text = open("text.db");
    assert!(text.is_corrupt() && !text.is_busy(), "{text:?}");
    assert!(matches!(open("."), Error::Find { .. }));
}

#[test]
fn rows_before_a_damaged_page_are_read() {
    let outbox = database(&format!(
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; {BARE}"
    ));
    let app = app(&outbox.path);
    let sql = "INSERT INTO outbox (event, data, time) WITH RECURSIVE n(i) AS
               (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT 'a', '1', 1 FROM n";
    app.execute(sql, ()).unwrap();
    app.close().unwrap();
    let mut bytes = std::fs::read(&outbox.path).unwrap();
    let page = bytes.len() / 512 / 2 * 512;
    bytes[page..page + 512].fill(0xff);
    std::fs::write(&outbox.path, bytes).unwrap();
    let mut tail = tail(&outbox);
    let batch = tail.read(id(0), ALL, ALL).unwrap();
    let last = batch.rows.last().unwrap().id();
    assert!(batch.more && last > id(100) && last < id(1_000), "{last}");
    assert!(tail.read(last, ALL, ALL).unwrap_err().is_corrupt());
}

#[test]
fn another_file_under_the_path_is_noticed() {
    let outbox = outbox();
    insert(&app(&outbox.path));
    let mut tail = tail(&outbox);
    assert!(!tail.replaced());
    let other = database(BARE);
    let spare = outbox.path.with_extension("new");
    Connection::open(&other.path)
        .unwrap()
        .execute("VACUUM INTO ?1", (spare.to_str().unwrap(),))
        .unwrap();
    std::fs::rename(&spare, &outbox.path).unwrap();
    assert!(tail.replaced());
    std::fs::remove_file(&outbox.path).unwrap();
    assert!(tail.replaced());
    assert_eq!(tail.read(id(0), ALL, ALL).unwrap().rows.len(), 1);
}

#[test]
fn what_a_crash_left_half_done_is_taken_back() {
    let whole = database(&format!("PRAGMA journal_mode = DELETE; {BARE}"));
    let app = app(&whole.path);
    insert(&app);
    // Few pages in memory, so that some of the transaction is in the file before its commit.
    app.execute_batch("PRAGMA cache_size = 2; BEGIN").unwrap();
    for _ in 0..2_000 {
        insert(&app);
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, journal) = (
        folder.path().join("o.db"),
        folder.path().join("o.db-journal"),
    );
    std::fs::copy(&whole.path, &path).unwrap();
    std::fs::copy(whole.path.with_extension("db-journal"), &journal).unwrap();
    assert!(journal.metadata().unwrap().len() > 512);
    let mut tail = Tail::open(&path, 1_000).unwrap();
    assert_eq!(ids(&tail.read(id(0), ALL, ALL).unwrap().rows), [1]);
}
