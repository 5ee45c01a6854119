//! The shape of the tables under the views: what is stored once comes back to the byte, what was stored in
//! the shape before stays in sight, and what memory lets go of is found.

use super::*;
use crate::model::{DeliveryId, SentHeaders};

const HOUR: i64 = 3_600_000;

/// The shape before, with rows: 1 delivered, 2 failed, 3 pending with an attempt, 4 cancelled.
const BEFORE: &str = "
INSERT INTO webhook (name, state, created_at, since, generation, after_event_id) VALUES ('a', 'active', 1, 1, 3, 0), ('gone', 'removed', 1, 1, 3, 0);
INSERT INTO cursor VALUES (1, 3, 4, x'', 1);
INSERT INTO payload (generation, event_id, dialect, body) VALUES
  (3, 1, 'bold-cms', '{\"n\":1}'), (3, 2, 'openboxes-lift', '{\"n\":\"\u{e4}\"}'), (3, 3, 'bold-factory', '{\"n\":3}');
INSERT INTO delivery (generation, event_id, event, webhook, dialect, state, origin, attempts, due_at, created_at, finished_at, payload_id) VALUES
  (3, 1, 'e', 'a', 'bold-cms', 'delivered', 'event', 1, NULL, 5, 9, 1),
  (3, 2, 'f', 'a', 'openboxes-lift', 'failed', 'event', 1, NULL, 5, 9, 2),
  (3, 2, 'f', 'b', 'openboxes-lift', 'pending', 'replay', 1, 77, 5, NULL, 2),
  (3, 3, 'g', 'gone', 'bold-factory', 'cancelled', 'event', 0, NULL, 5, 9, 3);
INSERT INTO attempt (delivery_id, webhook, number, time, outcome, status, duration_us, error, url, request_headers, response_headers, response_body) VALUES
  (1, 'a', 1, 6, 'delivered', 200, 2500, NULL, 'https://h/', 'A: b', 'c: d', 'ok'),
  (2, 'a', 1, 6, 'failed', 500, 2500, 'HTTP 500', 'https://h/', 'A: b', 'c: d', 'no'),
  (3, 'b', 1, 6, 'retry', NULL, 2500, 'refused', 'https://h/', 'A: b', NULL, NULL);
";

pub(super) fn before() -> Log {
    let log = Log::new();
    create::create(&log.path).unwrap();
    let connection = connect::writer(&log.path, crate::model::Vfs::default()).unwrap();
    for sql in [
        include_str!("../schema/0001.sql"),
        include_str!("../schema/0002.sql"),
        include_str!("../schema/0003.sql"),
        include_str!("../schema/0004.sql"),
        BEFORE,
    ] {
        connection.execute_batch(sql).unwrap();
    }
    connection
        .pragma_update(None, "application_id", schema::APPLICATION_ID)
        .unwrap();
    connection.pragma_update(None, "user_version", 4).unwrap();
    log
}

/// All that people see, as text; but for the columns that there were not.
fn seen(log: &Log) -> Vec<String> {
    let connection = Connection::open(&log.path).unwrap();
    ["delivery", "log", "failed"]
        .into_iter()
        .map(|view| {
            let columns: String = connection
                .query_row(
                    "SELECT group_concat('quote(' || name || ')', ' || '','' || ') FROM pragma_table_info(?1) WHERE name NOT IN ('batch', 'proxy_ms')",
                    [view],
                    |row| row.get(0),
                )
                .unwrap();
            let sql = format!("SELECT group_concat(t, char(10)) FROM (SELECT {columns} AS t FROM {view} ORDER BY 1)");
            let text: Option<String> = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            text.unwrap_or_default()
        })
        .collect()
}

#[test]
fn a_log_of_the_shape_before_looks_the_same_and_its_work_goes_on() {
    let log = before();
    let was = seen(&log);
    let mut store = log.open();
    assert_eq!(seen(&log), was);
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM old_attempt"), 3);
    let rollup = "SELECT sum(attempts) || ' ' || sum(failures) FROM rollup WHERE span = 'hour'";
    assert_eq!(log.ask::<String>(rollup), "3 2");

    let due = store.due("b", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(
        (due[0].id.get(), due[0].attempts, due[0].due_at_ms),
        (3, 1, 77)
    );
    assert_eq!(&*due[0].body, "{\"n\":\"\u{e4}\"}".as_bytes());
    store
        .record(&[attempt(&due[0], NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(
        log.ask::<String>(
            "SELECT state || attempts || origin || event || created_at FROM delivery WHERE id = 3"
        ),
        "delivered2replayf5"
    );
    let of_third =
        "SELECT min(id) || ' ' || max(id) || ' ' || sum(event_id) FROM log WHERE delivery_id = 3";
    assert_eq!(log.ask::<String>(of_third), "3 4 4", "ids go on");

    // What ended in the shape before is sent again with its bytes.
    log.execute("INSERT INTO redelivery (delivery_id) VALUES (2), (4)")
        .unwrap();
    let again = store.due("a", i64::MAX, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!((again[0].id.get(), &*again[0].event), (5, "f"));
    assert_eq!(&*again[0].body, "{\"n\":\"\u{e4}\"}".as_bytes());
    let gone = store
        .due("gone", i64::MAX, 9, usize::MAX, &|_| false)
        .unwrap();
    assert_eq!(&*gone[0].body, b"{\"n\":3}");
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM failed"), 0);

    let reader = Reader::open(&log.path).unwrap();
    let filter = LogFilter {
        webhook: Some("b".to_owned()),
        ..LogFilter::default()
    };
    let ids = |count| -> Vec<i64> {
        let newest = reader.newest(&filter, count).unwrap();
        newest.ids.into_iter().map(|id| id.get()).collect()
    };
    assert_eq!((ids(9), ids(1)), (vec![3, 4], vec![4]));
}

#[test]
fn retention_empties_the_shape_before_and_takes_it_away() {
    let log = before();
    let mut store = log.open();
    store.mark(NOW).unwrap();
    for _ in 0..200 {
        if !store.sweep(NOW + HOUR, 20).unwrap().more {
            break;
        }
    }
    let schema = |log: &Log| -> String {
        log.ask("SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name)")
    };
    let fresh = Log::new();
    drop(fresh.open());
    assert_eq!(schema(&log), schema(&fresh));
    // The one that was pending is all there is, and its body.
    assert_eq!(
        log.ask::<i64>("SELECT group_concat(id) + 0 FROM delivery"),
        3
    );
    assert_eq!(
        log.ask::<i64>("SELECT group_concat(id) + 0 FROM payload"),
        2
    );
    let dues = store.admit_all(&admission(9..=9, &["a"]), NOW).unwrap();
    assert_eq!(dues[0].id.get(), 5, "no id is given again");
    assert_eq!(dues[0].payload_id.get(), 4);
}

#[test]
fn headers_come_back_to_the_byte() {
    let log = Log::new();
    let mut store = log.open();
    let hex = "a3509d31da3c10bd9896bb583dad73d4ca33ef3063eae3b85a71e3452c53f934";
    let requests = |length: usize| {
        [
            format!("Host: h\nContent-Length: {length}\nX-Sig: sha256={hex}\nX-Team: [redacted]"),
            format!("Host: h\nContent-Length: {length}\nX-Sig: "),
            format!("Host: {{length}}\nContent-Length: {length}"),
            String::new(),
        ]
    };
    let answers = [
        "server: x\ndate: Tue, 14 Nov 2023 22:13:21 GMT\nage: 1",
        "date: Tue, 14 Nov 2023 22:13:19 GMT",
        "date: Tue, 14 Nov 1923 22:13:19 GMT",
        "x: {date}\ndate: Tue, 14 Nov 2023 22:13:21 GMT",
        "",
    ];
    let mut expected = Vec::new();
    for n in 1..=60_usize {
        let id = i64::try_from(n).unwrap();
        let due = store
            .admit_all(&admission(id..=id, &["a"]), NOW)
            .unwrap()
            .remove(0);
        let mut attempt = attempt(&due, NOW + 7 * id, Verdict::Delivered);
        let block = requests(due.body.len())[n % 4].clone();
        attempt.request_headers = SentHeaders::of(block.clone(), None);
        if let Ok(answer) = &mut attempt.exchange.result {
            answer.headers = answers[n % 5].into();
        }
        expected.push((block, answers[n % 5].to_owned()));
        store.record(&[attempt]).unwrap();
    }
    let connection = Connection::open(&log.path).unwrap();
    let sql = "SELECT request_headers, response_headers FROM log ORDER BY id";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Vec<(String, String)> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, expected);
    let shared: i64 = log.ask(
        "SELECT count(*) FROM attempt WHERE typeof(request_headers) = 'integer'
        AND typeof(url) = 'integer' AND typeof(peer) = 'integer'",
    );
    assert!(shared > 30, "{shared}");
    let dated: i64 = log.ask("SELECT count(*) FROM attempt WHERE response_date IS NOT NULL");
    assert!(dated > 15, "{dated}");
}

#[test]
fn what_memory_takes_is_queued_and_what_it_lets_go_of_is_found() {
    let log = Log::new();
    let mut store = log.open();
    store.pending_webhooks().unwrap();
    let batch = admission(1..=4, &["a"]);
    let takes = &mut |due: &Due| due.event_id.get() % 2 == 1;
    let (dues, _) = store.admit(&batch, &|_| false, takes, NOW).unwrap();
    let due = |store: &mut Store| -> Vec<i64> {
        let due = store.due("a", NOW, 9, usize::MAX, &|id| id == DeliveryId::new(3));
        due.unwrap().into_iter().map(|due| due.id.get()).collect()
    };
    assert_eq!(due(&mut store), [2, 4], "the others are in memory");
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM delivery WHERE state = 'pending'"),
        4
    );
    // A retry is nobody's until its time.
    store
        .record(&[attempt(&dues[0], NOW, Verdict::RetryAt(NOW))])
        .unwrap();
    assert_eq!(due(&mut store), [1, 2, 4]);
    store.lost().tell();
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM queued"), 1);
    assert_eq!(
        due(&mut store),
        [1, 2, 4],
        "what is still held is passed over"
    );
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM queued"), 0);
    let all: Vec<_> = dues
        .iter()
        .map(|due| attempt(due, NOW, Verdict::Delivered))
        .collect();
    store.record(&all).unwrap();
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM parked"), 0);
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM delivery WHERE state = 'delivered'"),
        4
    );
    // A second success is in the log, and the delivery is one all the same.
    store.record(&all[..1]).unwrap();
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM delivery"), 4);
    assert_eq!(
        log.ask::<i64>("SELECT count(*) FROM log WHERE outcome = 'delivered'"),
        5
    );

    let (dues, _) = store
        .admit(&admission(5..=6, &["a"]), &|_| false, &mut |_| true, NOW)
        .unwrap();
    drop(store);
    let mut store = log.open();
    let found = store.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(found, dues, "after a crash");
}

/// Beyond the log's size the rows of the shape before go first, each delivery whole, and what was pending
/// then goes with its later attempt. What was cancelled there goes as well.
#[test]
fn rows_of_the_shape_before_go_early_and_what_is_pending_stays() {
    let log = before();
    let mut store = log.open();
    let nothing = SizeBounds {
        file: 0,
        used: 0,
        wal: WalBounds::NONE,
    };
    let shrink = |store: &mut Store| {
        let mut deleted = 0;
        for _ in 0..100 {
            let shrunk = store.shrink(&nothing, 9, NOW, &|_, _| false).unwrap();
            deleted += shrunk.deleted;
            if !shrunk.more {
                return deleted;
            }
        }
        panic!("it does not end");
    };
    let ids = |view: &str| {
        let ids = "SELECT coalesce(group_concat(id), '') FROM (SELECT id FROM";
        log.ask::<String>(&format!("{ids} {view} ORDER BY id)"))
    };
    assert_eq!(shrink(&mut store), 3);
    assert_eq!((ids("delivery"), ids("log")), ("3".into(), "3".into()));
    let due = store.due("b", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(&*due[0].body, "{\"n\":\"\u{e4}\"}".as_bytes());

    store
        .record(&[attempt(&due[0], NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(ids("log"), "3,4");
    assert_eq!(shrink(&mut store), 1);
    assert_eq!(
        (ids("delivery"), ids("log")),
        (String::new(), String::new())
    );
    assert_eq!(
        (ids("payload"), ids("old_payload")),
        (String::new(), String::new())
    );

    // Nothing is left of the highest ids, and none is given again.
    let dues = store.admit_all(&admission(5..=5, &["a"]), NOW).unwrap();
    assert_eq!(dues[0].id.get(), 5);
    store
        .record(&[attempt(&dues[0], NOW, Verdict::Delivered)])
        .unwrap();
    assert_eq!(ids("log"), "5");
}

/// Who looks whether there are rows of the shape before reads them as well, though retention takes the
/// tables away in between.
#[test]
fn a_reader_meets_the_end_of_the_shape_before_whole() {
    let log = before();
    let mut store = log.open();
    let connection = connect::reader(&log.path).unwrap();
    let (snapshot, with_earlier) = schema::at_once(&connection).unwrap();
    assert!(with_earlier);
    store.mark(NOW).unwrap();
    while store.sweep(NOW + HOUR, 20).unwrap().more {}
    assert!(!schema::has_earlier(&store.connection).unwrap());
    let rows = "SELECT count(*) FROM old_attempt";
    let rows: i64 = snapshot.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
    drop(snapshot);
    let (_snapshot, with_earlier) = schema::at_once(&connection).unwrap();
    assert!(!with_earlier);
}
