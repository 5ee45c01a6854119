//! Upgrades: a log of each earlier shape is brought to today's, also where a kill comes between.
//!
//! The shapes are the migrations in src/store/schema, one after the other; version 0 is an empty
//! file. The rows are written by the columns of the first shape, which later ones may add to. A
//! shape that is newer than this program is refused, and its file left as it is.

use std::path::Path;

use rusqlite::Connection;

use crate::support::{Receiver, SOON, World, hook, now_ms};

/// "whkd": src/store/schema.rs.
pub(super) const APPLICATION_ID: i64 = 0x7768_6b64;

const DELIVERIES: &str = "SELECT id, event_id, event, webhook, dialect, state, origin, attempts, payload_id FROM delivery WHERE id <= 3 ORDER BY id";
const ATTEMPTS: &str = "SELECT delivery_id, attempt, time, outcome, status, error, url, request_headers, response_body FROM log WHERE id <= 3 ORDER BY id";
const PAYLOADS: &str =
    "SELECT id, event_id, dialect, request_body FROM log WHERE id <= 3 ORDER BY id";

/// The version that moved the rows to other tables: those of the versions before are written by their columns.
const OTHER_TABLES: usize = 5;

/// How what is pending came over to that version, in one step, before it did in many.
const CAME_OVER: &str = "
DROP INDEX delivery_pending;
INSERT OR IGNORE INTO webhook_name (name) SELECT webhook FROM old_delivery WHERE state = 'pending';
INSERT INTO payload (id, generation, event_id, event, dialect, size, body)
SELECT p.id, p.generation, p.event_id, d.event, 0, length(CAST(p.body AS BLOB)), p.body
  FROM old_delivery d JOIN old_payload p ON p.id = d.payload_id WHERE d.state = 'pending';
INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
SELECT d.id, n.id, d.payload_id, 0, d.attempts, d.due_at, d.created_at
  FROM old_delivery d JOIN webhook_name n ON n.name = d.webhook WHERE d.state = 'pending';
";

/// The SQL of every version, the first first.
pub(super) fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/schema");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| std::fs::read_to_string(file).unwrap();
    files.iter().map(read).collect()
}

/// Makes a log of that version; with rows, but for version 0.
fn make(world: &World, url: &str, version: usize) {
    std::fs::write(world.path("log.db"), "").unwrap();
    if version == 0 {
        return;
    }
    let log = Connection::open(world.path("log.db")).unwrap();
    log.pragma_update(None, "page_size", 8192).unwrap();
    log.pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .unwrap();
    log.pragma_update(None, "journal_mode", "WAL").unwrap();
    for sql in &migrations()[..version.min(OTHER_TABLES - 1)] {
        log.execute_batch(sql).unwrap();
    }
    log.pragma_update(None, "application_id", APPLICATION_ID)
        .unwrap();
    log.pragma_update(None, "user_version", i64::try_from(version).unwrap())
        .unwrap();
    let now = now_ms();
    let body = |n: i64| {
        format!(r#"{{"v1":{{"event":{{"id":{n},"name":"e","time":{now}}},"data":{{"n":{n}}}}}}}"#)
    };
    let states = [
        ("delivered", 1, "delivered", 200),
        ("failed", 1, "failed", 500),
        ("pending", 1, "retry", 500),
    ];
    for (id, (state, attempts, outcome, status)) in (1_i64..).zip(states) {
        let payload = "INSERT INTO payload (id, generation, event_id, dialect, body) VALUES (?1, 0, ?1, 'bold-cms', ?2)";
        log.execute(payload, (id, body(id))).unwrap();
        let (due_at, finished_at) = if state == "pending" {
            (Some(now), None)
        } else {
            (None, Some(now))
        };
        log.execute(
            "INSERT INTO delivery (id, generation, event_id, event, webhook, dialect, state, origin, attempts,
                                   due_at, created_at, finished_at, payload_id)
             VALUES (?1, 0, ?1, 'e', 'one', 'bold-cms', ?2, 'event', ?3, ?4, ?5, ?6, ?1)",
            (id, state, attempts, due_at, now, finished_at),
        )
        .unwrap();
        log.execute(
            "INSERT INTO attempt (delivery_id, webhook, number, time, outcome, status, duration_us, url,
                                  request_headers, response_headers, response_body)
             VALUES (?1, 'one', 1, ?2, ?3, ?4, 1234, ?5, 'A: b', 'c: d', 'ok')",
            (id, now, outcome, status, url),
        )
        .unwrap();
    }
    let cursor = "INSERT INTO cursor (one, generation, event_id, fingerprints, time) VALUES (1, 0, 3, x'', ?1)";
    log.execute(cursor, [now]).unwrap();
    let webhook = "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
      VALUES ('one', 'active', ?1, ?1, 0, 0)";
    log.execute(webhook, [now]).unwrap();
    if version >= OTHER_TABLES {
        for (n, sql) in (OTHER_TABLES..).zip(&migrations()[OTHER_TABLES - 1..version]) {
            log.execute_batch(sql).unwrap();
            if n == OTHER_TABLES {
                log.execute_batch(CAME_OVER).unwrap();
            }
        }
        let views = if version < migrations().len() {
            include_str!("views_6.sql")
        } else {
            include_str!("../../../src/store/views/views.sql")
        };
        log.execute_batch(views).unwrap();
    }
}

/// From a version to today's, with a kill at `point` where one is given.
fn upgrade(version: usize, point: Option<&str>) {
    let receiver = Receiver::ok();
    let url = receiver.url("/");
    let world = World::new(&[hook("one", url.clone())]);
    for n in 1..=4 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    make(&world, &url, version);
    let look = || [DELIVERIES, ATTEMPTS, PAYLOADS].map(|sql| world.log(sql));
    let before = (version > 0).then(look);
    if let Some(point) = point {
        let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", point.as_ref())]);
        assert_eq!(daemon.wait(SOON), None, "{point}: {}", daemon.journal());
        if let Some(before) = &before {
            assert_eq!(look(), *before, "{point}");
        }
    }
    let daemon = world.start();
    let expected = if version == 0 {
        vec![1, 2, 3, 4]
    } else {
        vec![3, 4]
    };
    let settled = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(settled, if version == 0 { 4 } else { 3 }, SOON);
    let mut came: Vec<i64> = receiver
        .received()
        .iter()
        .map(|request| request.n())
        .collect();
    came.sort_unstable();
    assert_eq!(came, expected, "from version {version}, {point:?}");
    assert_eq!(
        world.number("PRAGMA user_version"),
        i64::try_from(migrations().len()).unwrap()
    );
    if let Some(mut before) = before {
        // The pending one was delivered by its second attempt; nothing else may have changed.
        assert_eq!(before[0][2][5], "pending");
        before[0][2][5] = "delivered".to_owned();
        before[0][2][7] = "2".to_owned();
        assert_eq!(look(), before);
        assert_eq!(world.number("SELECT delivery_id FROM failed"), 2);
        world
            .change_log("INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed")
            .unwrap();
        world.wait_number(settled, 4, SOON);
    }
    assert_eq!(world.log("PRAGMA integrity_check"), [["ok"]]);
    daemon.stop();
}

#[test]
fn a_log_of_each_earlier_version_is_brought_to_todays() {
    let newest = migrations().len();
    for version in 0..=newest {
        upgrade(version, None);
        let moments = ["before the commit", "committed"];
        for moment in moments.iter().filter(|_| version < newest) {
            upgrade(version, Some(&format!("migrate the log: {moment}")));
        }
    }
}

#[test]
fn a_log_of_a_newer_version_is_refused_and_left_as_it_is() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let newest = migrations().len();
    make(&world, &receiver.url("/"), newest);
    let newer = i64::try_from(newest + 1).unwrap();
    let log = Connection::open(world.path("log.db")).unwrap();
    log.pragma_update(None, "user_version", newer).unwrap();
    log.close().unwrap();
    let bytes = std::fs::read(world.path("log.db")).unwrap();
    for command in [&["run"][..], &["logs"], &["status"]] {
        let finished = world.command(command);
        assert_ne!(finished.code, Some(0), "{command:?}");
        for words in [
            format!("version {newer}"),
            format!("none above {newest}"),
            "log.db".to_owned(),
        ] {
            assert!(
                finished.stderr.contains(&words),
                "{command:?}: {}",
                finished.stderr
            );
        }
    }
    let same = std::fs::read(world.path("log.db")).unwrap() == bytes;
    assert!(same, "the file was written");
    assert_eq!(receiver.count(), 0);
}
