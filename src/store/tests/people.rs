//! What people see and do with `sqlite3`: the views, and redelivery by INSERT.
//!
//! All of it by the SQLite built in, and by the machine's `sqlite3` where there is one: Debian's is
//! older.

use std::process::Command;

use rusqlite::types::Value;

use super::need::need;
use super::*;
use crate::model::{AttemptId, Clock, Trigger};

/// What Debian's `sqlite3` says, or its error; `None` where there is none.
fn shell(log: &Log, options: &[&str], sql: &str) -> Option<Result<String, String>> {
    if !need("sqlite3") {
        return None;
    }
    let output = Command::new("sqlite3")
        .args(options)
        .arg(&log.path)
        .arg(sql)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    Some(if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    })
}

/// What a reader is shown, as `sqlite3` prints it: by the SQLite built in, and by the program.
fn read(log: &Log, sql: &str) -> Vec<String> {
    let connection = connect::reader(&log.path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut lines = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().unwrap() {
        let value = |at| match row.get_unwrap(at) {
            Value::Null => String::new(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => format!("{number:?}"),
            Value::Text(text) => text,
            Value::Blob(bytes) => String::from_utf8(bytes).unwrap(),
        };
        lines.push((0..columns).map(value).collect::<Vec<_>>().join("|"));
    }
    let program = shell(log, &["-readonly"], sql).map(Result::unwrap);
    [lines.join("\n")].into_iter().chain(program).collect()
}

fn some_attempts(store: &mut Store, now_ms: i64) -> Vec<Due> {
    store
        .register(&[("a".into(), true), ("b".into(), true)], now_ms)
        .unwrap();
    let dues = store
        .admit_all(&admission(1..=2, &["a", "b"]), now_ms)
        .unwrap();
    let mut binary = attempt(&dues[2], now_ms + 2, Verdict::Delivered);
    if let Ok(answer) = &mut binary.exchange.result {
        answer.body = vec![0xff, 0];
    }
    let attempts = [
        attempt(&dues[0], now_ms, Verdict::RetryAt(now_ms + 9)),
        attempt(&dues[1], now_ms + 1, Verdict::Failed),
        binary,
    ];
    store.record(&attempts).unwrap();
    store.flush(now_ms).unwrap();
    dues
}

/// `DuckDB` writes `count(*)` of a view as `count_star()`, which SQLite does not know.
#[test]
fn no_view_counts_stars() {
    let log = Log::new();
    drop(log.open());
    let views: i64 = log.ask("SELECT count(*) FROM sqlite_master WHERE type = 'view'");
    assert_eq!(views, 5);
    let with_star: i64 = log.ask(
        "SELECT count(*) FROM sqlite_master WHERE type = 'view' AND replace(sql, ' ', '') LIKE '%(*)%'",
    );
    assert_eq!(with_star, 0);
}

#[test]
fn the_views_have_the_documented_columns_first() {
    let log = Log::new();
    drop(log.open());
    let columns = |view: &str| -> String {
        log.ask(&format!(
            "SELECT group_concat(name, ' ') FROM pragma_table_info('{view}')"
        ))
    };
    assert!(columns("log").starts_with(
        "id time webhook event event_id delivery_id attempt outcome status error duration_ms url \
         request_headers request_body response_headers response_body name_ms"
    ));
    assert!(
        columns("failed")
            .starts_with("delivery_id webhook event event_id failed_at attempts status error")
    );
    assert!(columns("health").starts_with(
        "webhook last_success last_failure attempts_hour failures_hour attempts_day failures_day \
         p50_ms p99_ms pending"
    ));
}

/// A copy that an earlier version made, which nobody brings up to date.
#[test]
fn a_log_without_the_proxys_time_is_read() {
    let log = Log::new();
    let mut store = log.open();
    some_attempts(&mut store, NOW);
    drop(store);
    let sql = sql();
    let (_, views) = sql.rsplit_once("CREATE VIEW log AS").unwrap();
    let (view, _) = views.split_once("\n;").unwrap();
    let view = view.replace(",\n       x.proxy_us / 1000.0 AS proxy_ms", "");
    log.execute(&format!(
        "DROP VIEW log; ALTER TABLE attempt DROP COLUMN proxy_us; DROP TABLE log_id; PRAGMA user_version = 14;
         CREATE VIEW log AS{view}"
    ))
    .unwrap();
    let reader = Reader::open(&log.path).unwrap();
    let rows = reader.log(2).unwrap();
    let phases = [None, Some(1.5), None, None, None, None];
    assert_eq!(rows[1].phases_ms, phases);
    let row = rows.first().unwrap();
    assert_eq!(reader.attempt(row.id).unwrap().as_ref(), Some(row));
    let of_delivery = reader.attempts_of(row.delivery_id, 9).unwrap();
    assert!(of_delivery.contains(row));
}

#[test]
fn the_log_reads_as_documented_beside_the_daemon_and_after_it() {
    let log = Log::new();
    let mut store = log.open();
    some_attempts(&mut store, NOW);
    let sql = "SELECT id, time, webhook, event, event_id, delivery_id, attempt, outcome, status,
                 error, duration_ms, url, request_headers, request_body, response_headers,
                 typeof(response_body), connect_ms, proxy_ms, peer FROM log ORDER BY id DESC LIMIT 2";
    let expected = "3|2023-11-14T22:13:20.125Z|a|story-approve|2|3|1|delivered|204||12.345|\
         https://h.example/x|Host: h.example|{\"cms\":2}|server: x|blob|1.5|2.5|127.0.0.1:443\n\
         2|2023-11-14T22:13:20.124Z|b|story-approve|1|2|1|failed||refused|12.345|\
         https://h.example/x|Host: h.example|{\"lift\":\"\u{e4}\"}||null|1.5|2.5|127.0.0.1:443";
    let rows = Reader::open(&log.path).unwrap().log(2).unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id.get()).collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(rows[1].time, "2023-11-14T22:13:20.125Z");
    let phases = [None, Some(1.5), Some(2.5), None, None, None];
    assert_eq!(rows[1].phases_ms, phases);
    for output in read(&log, sql) {
        assert_eq!(output, expected);
    }
    drop(store);
    for output in read(&log, sql) {
        assert_eq!(output, expected);
    }
    assert_eq!(Reader::open(&log.path).unwrap().log(9).unwrap().len(), 3);
}

#[test]
fn redelivery_by_insert_while_the_daemon_runs() {
    let log = Log::new();
    let mut store = log.open();
    let dues = some_attempts(&mut store, NOW);
    let insert = |sql: &str| match shell(&log, &[], sql) {
        Some(done) => done.map(drop),
        None => log.execute(sql).map_err(|e| e.to_string()),
    };
    assert!(!store.changed().unwrap());
    let failed = "SELECT delivery_id || ' ' || error FROM failed";
    assert_eq!(log.ask::<String>(failed), "2 refused");
    insert(
        "INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed WHERE webhook = 'b'",
    )
    .unwrap();
    assert!(store.changed().unwrap());
    assert_eq!(
        store.redelivered_since(0).unwrap(),
        (1, vec!["b".to_owned()])
    );
    assert_eq!(store.redelivered_since(1).unwrap(), (1, vec![]));
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM failed"), 0);

    let now = Clock::system().now_ms();
    let again = store
        .due("b", now, 9, usize::MAX, &|id| id.get() == 4)
        .unwrap();
    assert_eq!(again.len(), 1);
    let due = &again[0];
    assert_eq!(
        (due.id.get(), due.origin, due.attempts),
        (5, Trigger::Redelivery, 0)
    );
    assert_eq!(
        (&due.body, due.dialect, due.event_id.get()),
        (&dues[1].body, dues[1].dialect, 1)
    );
    assert!((now - 60_000..=now).contains(&due.due_at_ms));
    assert_eq!(
        log.ask::<i64>("SELECT new_delivery_id FROM redelivery WHERE time > 0"),
        5
    );

    let error = insert("INSERT INTO redelivery (delivery_id) VALUES (1)").unwrap_err();
    assert!(error.contains("still pending"), "{error}");
    let error = insert("INSERT INTO redelivery (delivery_id) VALUES (77)").unwrap_err();
    assert!(error.contains("no delivery has that id"), "{error}");
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM delivery"), 5);

    // What failed again is in the list again, by its new id only.
    store.record(&[attempt(due, now, Verdict::Failed)]).unwrap();
    assert_eq!(
        log.ask::<i64>("SELECT group_concat(delivery_id) + 0 FROM failed"),
        5
    );
}

#[test]
fn health_counts_and_its_percentiles_are_sane() {
    let log = Log::new();
    let mut store = log.open();
    let now = Clock::system().now_ms();
    let dues = some_attempts(&mut store, now);
    let hundred = (1..=100).map(|n| {
        let mut attempt = attempt(&dues[3], now, Verdict::RetryAt(now));
        attempt.exchange.duration_us = if n <= 98 { 4_000 } else { 2_500_000 };
        attempt
    });
    store.record(&hundred.collect::<Vec<_>>()).unwrap();
    store.flush(now).unwrap();
    let sql = "SELECT webhook, last_success IS NULL, last_failure IS NULL, attempts_hour,
                 failures_hour, attempts_day, failures_day, p50_ms, p99_ms, pending FROM health";
    let expected = "a|0|0|2|1|2|1|20|20|1\nb|1|0|101|101|101|101|5|3000|1";
    for output in read(&log, sql) {
        assert_eq!(output, expected);
    }
    assert_eq!(
        log.ask::<i64>("SELECT p50_ms + p99_ms FROM health WHERE webhook = 'b'"),
        3005
    );
    store.register(&[("b".into(), true)], now).unwrap();
    assert_eq!(
        log.ask::<String>("SELECT group_concat(webhook) FROM health"),
        "b"
    );
}

#[test]
fn percentiles_are_of_the_day_in_the_view_and_for_status() {
    let log = Log::new();
    let mut store = log.open();
    let now = Clock::system().now_ms();
    let dues = some_attempts(&mut store, now);
    let then = now - 3 * 3_600_000;
    let slow = (0..100).map(|_| {
        let mut attempt = attempt(&dues[3], then, Verdict::RetryAt(now));
        attempt.exchange.duration_us = 2_500_000;
        attempt
    });
    store.record(&slow.collect::<Vec<_>>()).unwrap();
    store.flush(now).unwrap();
    let health = Reader::open(&log.path).unwrap().health(now).unwrap();
    let b = health.iter().find(|webhook| webhook.name == "b").unwrap();
    assert_eq!((b.hour.attempts, b.day.attempts), (1, 101));
    assert_eq!((b.day.p50_ms, b.day.p99_ms), (Some(3_000), Some(3_000)));
    assert_ne!(b.hour.p50_ms, b.day.p50_ms);
    assert_eq!(
        log.ask::<String>("SELECT p50_ms || ' ' || p99_ms FROM health WHERE webhook = 'b'"),
        "3000 3000"
    );
}

#[test]
fn the_queries_that_must_be_fast_use_their_indexes_and_sort_nothing() {
    let log = Log::new();
    drop(log.open());
    let sort = "TEMP B-TREE";
    let queries = [
        (
            "SELECT * FROM log WHERE webhook = 'a' ORDER BY id DESC LIMIT 9",
            "SCAN x",
        ),
        ("SELECT * FROM log WHERE event_id = 7", "payload_event"),
        (
            "SELECT * FROM log WHERE delivery_id = 7",
            "attempt_of_delivery",
        ),
        ("SELECT * FROM log ORDER BY id DESC LIMIT 9", "SCAN x"),
        ("SELECT * FROM delivery WHERE id = 7", "attempt_of_delivery"),
        ("SELECT * FROM delivery WHERE event_id = 7", "ended_payload"),
        (
            "SELECT * FROM delivery WHERE event_id = 7",
            "attempt_of_payload",
        ),
        (
            "SELECT d.state FROM log l JOIN delivery d ON d.id = l.delivery_id WHERE l.id = 7",
            "attempt_of_delivery",
        ),
        (queue::DUE, "COVERING INDEX parked_due"),
        (queue::NEXT_DUE, "COVERING INDEX parked_due"),
        (queue::NEXT_WEBHOOK, "COVERING INDEX parked_due"),
    ];
    let connection = connect::reader(&log.path).unwrap();
    for (sql, index) in queries {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&sql).unwrap();
        let mut rows = statement.raw_query();
        let mut plan = String::new();
        while let Some(row) = rows.next().unwrap() {
            plan += &row.get::<_, String>(3).unwrap();
        }
        assert!(
            plan.contains(index) && !plan.contains(sort),
            "{sql}: {plan}"
        );
        if let Some(output) = shell(&log, &["-readonly"], &sql) {
            let plan = output.unwrap();
            assert!(
                plan.contains(index) && !plan.contains(sort),
                "{sql}: {plan}"
            );
        }
    }
    if let Some(output) = shell(&log, &[], "EXPLAIN QUERY PLAN SELECT pending FROM health") {
        let plan = output.unwrap();
        assert!(plan.contains("COVERING INDEX parked_due"), "{plan}");
    }
}

/// Its name is nowhere in the log: that is no error, and nothing of others is shown for it.
#[test]
fn a_webhook_that_nothing_was_made_for_yet_has_no_attempts() {
    let log = Log::new();
    let mut store = log.open();
    let dues = store.admit_all(&admission(1..=1, &["a"]), NOW).unwrap();
    store
        .record(&[attempt(&dues[0], NOW, Verdict::Delivered)])
        .unwrap();
    let filter = LogFilter {
        webhook: Some("never".to_owned()),
        ..LogFilter::default()
    };
    let reader = Reader::open(&log.path).unwrap();
    let newest = reader.newest_id().unwrap();
    assert_eq!(reader.newest(&filter, 9).unwrap().ids, []);
    let (ids, last) = reader.after(AttemptId::NONE, &filter, 9).unwrap();
    assert_eq!((ids, last), (Vec::new(), newest));
}
