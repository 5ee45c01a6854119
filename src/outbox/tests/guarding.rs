//! Guards of the table that are missing or come back, and columns that change, while it is read.

use rusqlite::Connection;

use super::{MAX_DATA_BYTES, Outbox, app, database, id, insert, outbox};
use crate::outbox::{
    AppendError, Appender, Error, Finding, NewEvent, Row, SCHEMA, Tail, create_if_missing, inspect,
};

/// The documented columns, without a rule on any.
const LAX: &str =
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT, data TEXT,
    time INTEGER DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) * 1000), tenant TEXT, key TEXT);";

const NAMES: [&str; 6] = [
    "id is given by the database",
    "event is 1 to 255 of A-Z a-z 0-9 - _ . : /",
    "data is JSON text",
    "time is UNIX milliseconds",
    "tenant is text",
    "key is text",
];

fn found(outbox: &Outbox) -> Vec<Finding> {
    inspect(&outbox.path, false)
}

/// What a table made by `sql` lacks, each with the SQL that puts it back.
fn lacks(sql: &str) -> Vec<Finding> {
    let found = found(&database(sql));
    assert!(found.iter().all(|finding| !finding.is_error), "{found:?}");
    found
}

fn texts(findings: &[Finding]) -> String {
    let texts = findings.iter().map(|finding| finding.text.as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// Runs what each hint says, as a person would.
fn mend(outbox: &Outbox) {
    let app = app(&outbox.path);
    for finding in found(outbox) {
        let hint = finding.hint.unwrap();
        assert_eq!(hint.lines().count(), 1, "{hint}");
        app.execute_batch(&hint).unwrap();
    }
}

#[test]
fn the_documented_table_lacks_nothing() {
    assert_eq!(lacks(SCHEMA), []);
    assert_eq!(lacks(&format!("PRAGMA encoding = 'UTF-16'; {SCHEMA}")), []);
    assert_eq!(lacks(&format!("PRAGMA journal_mode = WAL; {SCHEMA}")), []);
    assert_eq!(found(&outbox()), []);
}

/// The schema without the CHECK of that name.
fn without(name: &str) -> String {
    let begin = format!("CONSTRAINT \"{name}\" CHECK ");
    let (before, rest) = SCHEMA.split_once(&begin).unwrap();
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    let (_, after) = rest.split_at(end.unwrap() + 1);
    format!("{before}{after}")
}

#[test]
fn each_guard_that_is_missing_is_named_and_its_sql_puts_it_back() {
    let (table, trigger) = SCHEMA.split_once("\n);\n").unwrap();
    let table = format!("{table}\n);\n");
    let others = [
        ("trigger \"outbox_id\"", table.clone()),
        (
            "trigger \"outbox_id\"",
            table.replace("TABLE outbox", "TABLE OutBox"),
        ),
        ("UNIQUE on \"key\"", SCHEMA.replace("TEXT UNIQUE", "TEXT")),
        (
            "trigger \"outbox_id\"",
            format!(
                "{table}{}",
                trigger.replace("NEW.id <=", "NEW.id < 0 AND NEW.id <=")
            ),
        ),
    ];
    let checks = NAMES.map(|name| (name, without(name)));
    for (name, sql) in others.into_iter().chain(checks) {
        let outbox = database(&sql);
        let found = found(&outbox);
        assert!(
            found.len() == 1 && found[0].text.contains(name),
            "{name}: {found:?}"
        );
        assert!(!found[0].is_error, "{name}");
        mend(&outbox);
        assert_eq!(inspect(&outbox.path, false), [], "{name}");
        assert!(insert(&app(&outbox.path)) > 0, "good rows go in");
    }
}

#[test]
fn a_time_that_is_not_given_by_the_table_is_named_and_the_table_made_anew() {
    let (before, rest) = SCHEMA.split_once("time   INTEGER NOT NULL").unwrap();
    let (_, check) = rest.split_once("CONSTRAINT \"time").unwrap();
    for default in [
        "",
        "NOT NULL",
        "DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))",
        "DEFAULT CURRENT_TIMESTAMP",
    ] {
        let outbox = database(&format!(
            "{before}time INTEGER {default} CONSTRAINT \"time{check}"
        ));
        let found = found(&outbox);
        assert_eq!(found.len(), 1, "{default}: {found:?}");
        assert!(found[0].text.contains("DEFAULT of \"time\""), "{found:?}");
        mend(&outbox);
        assert_eq!(inspect(&outbox.path, false), [], "{default}");
        assert!(insert(&app(&outbox.path)) > 0);
    }
}

#[test]
fn a_key_that_is_unique_with_another_column_only_is_not() {
    for with in ["tenant", "event", "time", "coalesce(tenant, ''), event"] {
        let sql = SCHEMA.replace("TEXT UNIQUE", "TEXT");
        let index = format!("CREATE UNIQUE INDEX mine ON outbox ({with}, key);");
        let outbox = database(&format!("{sql}{index}"));
        let found = found(&outbox);
        assert_eq!(found.len(), 1, "{with}: {found:?}");
        assert!(found[0].text.contains("UNIQUE on \"key\""), "{found:?}");
        mend(&outbox);
        assert_eq!(inspect(&outbox.path, false), [], "{with}");
    }
}

#[test]
fn a_table_without_any_rule_gets_all_of_them_by_name() {
    let outbox = database(LAX);
    let before = found(&outbox);
    assert_eq!(before.len(), 8, "{before:#?}");
    mend(&outbox);
    assert_eq!(found(&outbox), []);
    let app = app(&outbox.path);
    for (columns, values, rule) in [
        (
            "id, event, data, time",
            "9007199254740992, 'a', '{}', 1",
            NAMES[0],
        ),
        ("event, data, time", "'a\n', '{}', 1", NAMES[1]),
        ("event, data, time", "NULL, '{}', 1", NAMES[1]),
        ("event, data, time", "'a', '{' || char(0), 1", NAMES[2]),
        ("event, data, time", "'a', NULL, 1", NAMES[2]),
        ("event, data, time", "'a', '{}', 253402300800000", NAMES[3]),
        (
            "event, data, time, tenant",
            "'a', '{}', 1, printf('%.256c', 'x')",
            NAMES[4],
        ),
        ("event, data, time, key", "'a', '{}', 1, x'61'", NAMES[5]),
    ] {
        let sql = format!("INSERT INTO outbox ({columns}) VALUES ({values})");
        let error = app.execute(&sql, ()).unwrap_err().to_string();
        assert!(error.contains(rule), "{sql}: {error}");
    }
    let good = "INSERT INTO outbox (event, data, time, key) VALUES ('a', '{}', 1, 'k')";
    app.execute(good, ()).unwrap();
    assert!(
        app.execute(good, ())
            .unwrap_err()
            .to_string()
            .contains("UNIQUE")
    );
}

#[test]
fn guards_of_the_applications_own_count() {
    let by_hand = LAX.replace("TEXT,", "TEXT NOT NULL,");
    let own = format!(
        "{by_hand} CREATE UNIQUE INDEX mine ON outbox (key);
         CREATE TRIGGER no_ids BEFORE INSERT ON outbox WHEN NEW.id > 0
         BEGIN SELECT RAISE(FAIL, 'leave the id alone'); END;
         CREATE TABLE other (a);
         CREATE TRIGGER copies AFTER INSERT ON outbox BEGIN INSERT INTO other VALUES (NEW.id); END;"
    );
    let found = lacks(&own);
    let texts = texts(&found);
    assert!(
        !texts.contains("UNIQUE") && !texts.contains("trigger"),
        "{texts}"
    );
    assert!(texts.contains(NAMES[2]), "{texts}");
}

#[test]
fn where_no_plain_row_goes_in_a_real_one_is_the_sample_and_else_nothing_is_claimed() {
    let picky = "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, data, time,
        event CHECK (event LIKE 'story-%'), kind TEXT NOT NULL CHECK (kind = 'x'));";
    assert_eq!(lacks(picky), []);
    let row = "INSERT INTO outbox (event, data, time, kind) VALUES ('story-a', '{}', 1, 'x');";
    let texts = texts(&lacks(&format!("{picky}{row}")));
    assert!(
        texts.contains("trigger") && texts.contains(NAMES[2]),
        "{texts}"
    );
    assert!(
        !texts.contains(NAMES[1]),
        "its own rule refuses what ours does: {texts}"
    );
    let unknown = "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, data,
        time AS (1700000000000));";
    assert!(
        !self::texts(&lacks(unknown)).contains(NAMES[3]),
        "nobody writes it"
    );
}

#[test]
fn ids_that_may_be_given_again_are_an_error_whose_sql_keeps_all_that_is_the_applications() {
    let rebuilt = SCHEMA.replace(" AUTOINCREMENT", "");
    let rebuilt = rebuilt.split("CREATE TRIGGER").next().unwrap();
    let rebuilt = rebuilt.replace("\n);", ",\n  who TEXT NOT NULL DEFAULT ('it''s me')\n);");
    let own = "CREATE TABLE other (a);
        CREATE INDEX mine ON outbox (who);
        CREATE TRIGGER copies AFTER INSERT ON outbox BEGIN INSERT INTO other VALUES (NEW.id); END;
        CREATE TRIGGER feeds AFTER INSERT ON other BEGIN INSERT INTO outbox (event, data)
          SELECT 'x', '1' WHERE NEW.a = 'feed'; END;
        INSERT INTO outbox (id, event, data, time) VALUES (2, 'a', '[1]', 7), (5, 'b', '{}', 8);";
    let outbox = database(&format!("{rebuilt}{own}"));
    let app = app(&outbox.path);
    app.execute_batch("DELETE FROM other").unwrap();
    let found = found(&outbox);
    assert!(found.len() == 1 && found[0].is_error, "{found:?}");
    let (_, sql) = found[0]
        .hint
        .as_ref()
        .unwrap()
        .split_once("-bail): ")
        .unwrap();
    app.execute_batch(sql).unwrap();
    assert_eq!(inspect(&outbox.path, false), []);
    let all = "SELECT group_concat(id || event || data || time || who, ' ') FROM outbox";
    let rows: String = app.query_row(all, (), |row| row.get(0)).unwrap();
    assert_eq!(rows, "2a[1]7it's me 5b{}8it's me");
    let copied: i64 = app
        .query_row("SELECT count(*) FROM other", (), |r| r.get(0))
        .unwrap();
    assert_eq!(
        copied, 0,
        "its trigger does not run for rows that were there"
    );
    app.execute_batch("INSERT INTO other VALUES ('feed'); DELETE FROM outbox")
        .unwrap();
    assert_eq!(insert(&app), 7, "no id is given again");
}

#[test]
fn a_rebuild_that_a_row_forbids_leaves_everything_as_it_was() {
    let lax = LAX.replace(" AUTOINCREMENT", "");
    let outbox = database(&format!(
        "{lax} INSERT INTO outbox VALUES (1, 'a b', '{{}}', 1, NULL, NULL)"
    ));
    let Err(Error::NotAutoincrement { sql, .. }) = Tail::open(&outbox.path, 1) else {
        panic!("it was opened");
    };
    let app = app(&outbox.path);
    // Worse than -bail: whatever fails, the rest is run as well.
    for statement in sql.split_inclusive("; ") {
        app.execute_batch(statement).ok();
    }
    let count: i64 = app
        .query_row("SELECT count(*) FROM outbox", (), |r| r.get(0))
        .unwrap();
    assert_eq!(count, 1);
    let tables = "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table'";
    let tables: String = app.query_row(tables, (), |row| row.get(0)).unwrap();
    assert_eq!(tables, "outbox");
}

#[test]
fn looking_makes_no_file_and_what_is_awaited_is_no_error() {
    let outbox = outbox();
    let folder = outbox.path.parent().unwrap();
    let names = || std::fs::read_dir(folder).unwrap().count();
    assert_eq!((names(), found(&outbox)), (1, vec![]));
    assert_eq!(names(), 1, "a -wal or -shm was made");
    let shared = app(&outbox.path);
    shared.execute_batch("DROP TRIGGER outbox_id").unwrap();
    assert_eq!(found(&outbox).len(), 1, "what is in the -wal only is seen");
    let odd = folder.join("a?b#c%41 d.db");
    create_if_missing(&odd).unwrap();
    assert_eq!(inspect(&odd, false), []);
    for (name, is_made, count) in [
        ("none.db", true, 0),
        ("none.db", false, 1),
        ("no/a.db", true, 0),
    ] {
        let found = inspect(&folder.join(name), is_made);
        assert_eq!(found.len(), count, "{name}: {found:?}");
        assert!(
            found
                .iter()
                .all(|finding| !finding.is_error && finding.hint.is_some())
        );
    }
    let bare = database("CREATE TABLE mine (a)");
    let table = inspect(&bare.path, true);
    assert!(
        !table[0].is_error && texts(&table).contains("no table"),
        "{table:?}"
    );
    let wrong = database("CREATE VIEW outbox AS SELECT 1 AS id");
    assert!(found(&wrong)[0].is_error);
}

#[test]
fn a_guard_that_goes_while_the_outbox_is_read_is_found_by_the_next_read() {
    let outbox = outbox();
    let app = app(&outbox.path);
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    assert_eq!(tail.findings().unwrap(), Some(vec![]));
    insert(&app);
    tail.read(id(0), 10, 1_000).unwrap();
    app.execute_batch("CREATE TABLE mine (a)").unwrap();
    tail.read(id(0), 10, 1_000).unwrap();
    assert_eq!(
        tail.findings().unwrap(),
        None,
        "the outbox's own is the same"
    );
    app.execute_batch("DROP TRIGGER outbox_id").unwrap();
    tail.read(id(0), 10, 1_000).unwrap();
    let found = tail.findings().unwrap().unwrap();
    assert!(texts(&found).contains("outbox_id"), "{found:?}");
    app.execute_batch(found[0].hint.as_ref().unwrap()).unwrap();
    tail.read(id(0), 10, 1_000).unwrap();
    assert_eq!(tail.findings().unwrap(), Some(vec![]));
    rebuild(&app, &SCHEMA.replace(" AUTOINCREMENT", ""));
    assert_eq!(
        tail.read(id(0), 10, 1_000).unwrap().rows.len(),
        1,
        "rows are read all the same"
    );
    let found = tail.findings().unwrap().unwrap();
    assert!(
        found[0].is_error && texts(&found).contains("AUTOINCREMENT"),
        "{found:?}"
    );
}

/// Makes the table anew by the SQL, with the rows' first four columns, as a migration does.
fn rebuild(app: &Connection, sql: &str) {
    let sql = sql.split("CREATE TRIGGER").next().unwrap();
    let sql = sql.replace("TABLE outbox", "TABLE new");
    app.execute_batch(&format!(
        "BEGIN; {sql} INSERT INTO new (id, event, data, time) SELECT id, event, data, time FROM outbox;
         DROP TABLE outbox; ALTER TABLE new RENAME TO outbox; COMMIT"
    ))
    .unwrap();
}

#[test]
fn columns_that_come_and_go_are_read_and_written_from_the_next_row_on() {
    let outbox = outbox();
    let app = app(&outbox.path);
    let without = "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event, data, time);";
    rebuild(&app, without);
    let mut tail = Tail::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let tenants = |tail: &mut Tail| -> Vec<Option<String>> {
        let batch = tail.read(id(0), 10, 1_000).unwrap();
        let tenant = |row: &Row| match row {
            Row::Event(event) => event.tenant.as_ref().map(ToString::to_string),
            Row::Rejected(rejected) => panic!("{rejected:?}"),
        };
        batch.rows.iter().map(tenant).collect()
    };
    let event = |key: Option<&str>| NewEvent {
        event: "e".to_owned(),
        data: "{}".to_owned(),
        tenant: key.map(|_| "acme".to_owned()),
        key: key.map(str::to_owned),
        ..NewEvent::default()
    };
    appender.append(&[event(None)]).unwrap();
    assert_eq!(tenants(&mut tail), [None]);
    assert!(
        appender.append(&[event(Some("k"))]).is_err(),
        "no such column"
    );
    rebuild(&app, SCHEMA);
    appender.append(&[event(Some("k"))]).unwrap();
    assert_eq!(tenants(&mut tail), [None, Some("acme".to_owned())]);
    rebuild(&app, without);
    appender.append(&[event(None)]).unwrap();
    assert_eq!(tenants(&mut tail), [None, None, None]);
}

#[test]
fn nothing_is_added_where_ids_may_be_given_again() {
    let outbox = outbox();
    let mut appender = Appender::open(&outbox.path, MAX_DATA_BYTES).unwrap();
    let event = NewEvent {
        event: "e".to_owned(),
        data: "{}".to_owned(),
        ..NewEvent::default()
    };
    appender.append(std::slice::from_ref(&event)).unwrap();
    let app = app(&outbox.path);
    rebuild(&app, &SCHEMA.replace(" AUTOINCREMENT", ""));
    let refused = appender.append(&[event]).unwrap_err();
    assert!(
        matches!(refused, AppendError::Outbox(Error::NotAutoincrement { .. })),
        "{refused}"
    );
}
