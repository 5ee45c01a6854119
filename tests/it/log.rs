//! The log as people use it: the views and columns of the documentation, by Debian's `sqlite3`.
//!
//! Also what must not be in it, to the byte, and redelivery by SQL.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Answer, Receiver, SOON, World, bound_port, hook};

/// The pinned columns of each view and table.
const COLUMNS: [(&str, &str); 5] = [
    (
        "log",
        "id, time, webhook, event, event_id, delivery_id, attempt, outcome, status, error, duration_ms, \
         url, request_headers, request_body, response_headers, response_body",
    ),
    (
        "failed",
        "delivery_id, webhook, event, event_id, failed_at, attempts, status, error",
    ),
    ("health", "webhook, pending"),
    (
        "delivery",
        "id, event_id, event, webhook, dialect, state, origin, attempts, due_at, created_at, finished_at",
    ),
    ("rejected", "event_id, reason"),
];

/// A world with one delivered and one failed delivery of the same event.
fn one_of_each() -> (World, [Receiver; 2]) {
    let good = Receiver::start(|_| Answer::with_body(200, "X-Served-By: Me\r\n", b"thanks"));
    let bad = Receiver::start(|_| Answer::with_body(503, "", b"not now"));
    let world = World::new(&[
        hook("good", good.url("/good?x=1")),
        hook("bad", bad.url("/bad")).one_attempt(),
    ]);
    (world, [good, bad])
}

#[test]
fn every_pinned_column_is_there_and_says_what_was() {
    let (world, [good, _bad]) = one_of_each();
    let _daemon = world.start();
    let id = world.emit("story-approve", r#"{"n": 1}"#);
    world.attempts("id", 2, SOON);
    for (view, columns) in COLUMNS {
        world.log(&format!("SELECT {columns} FROM {view}"));
    }
    let row = world
        .log(
            "SELECT event, event_id, attempt, outcome, status, error, url, response_headers,
                    CAST(response_body AS TEXT), CAST(request_body AS TEXT), request_headers,
                    delivery_id = (SELECT id FROM delivery WHERE webhook = 'good')
             FROM log WHERE webhook = 'good'",
        )
        .remove(0);
    let request = good.received().remove(0);
    let event_id = id.to_string();
    let expected = [
        "story-approve",
        &event_id,
        "1",
        "delivered",
        "200",
        "NULL",
        &good.url("/good?x=1"),
        "x-served-by: Me\ncontent-length: 6",
        "thanks",
        request.text(),
        &request.lines()[1..].join("\n"),
        "1",
    ];
    assert_eq!(row, expected);
    let time = world.log("SELECT time FROM log")[0][0].clone();
    let shape = time.as_bytes();
    assert!(shape[10] == b'T' && time.ends_with('Z'), "{time}");
    let away = "SELECT count(*) FROM log WHERE abs(julianday(time) - julianday('now')) * 86400 > 30
                OR duration_ms < 0 OR duration_ms > 20000";
    assert_eq!(world.number(away), 0);
    let failed = world.log("SELECT webhook, event, event_id, attempts, status FROM failed");
    assert_eq!(failed, [["bad", "story-approve", &event_id, "1", "503"]]);
    let delivery =
        "SELECT webhook, dialect, state, origin, attempts FROM delivery ORDER BY webhook";
    let rows = [
        ["bad", "bold-factory", "failed", "event", "1"],
        ["good", "bold-cms", "delivered", "event", "1"],
    ];
    assert_eq!(world.log(delivery), rows);
    let times = "SELECT count(*) FROM delivery
                 WHERE abs(created_at / 1000 - strftime('%s', 'now')) < 30 AND finished_at >= created_at";
    assert_eq!(world.number(times), 2);
}

#[test]
fn health_has_one_row_per_webhook() {
    let (world, _receivers) = one_of_each();
    let daemon = world.start();
    for _ in 0..3 {
        world.emit("e", "{}");
    }
    world.attempts("id", 6, SOON);
    let rows = "SELECT webhook, pending FROM health ORDER BY webhook";
    assert_eq!(world.log(rows), [["bad", "0"], ["good", "0"]]);
    let columns = world.log("SELECT name FROM pragma_table_info('health')");
    println!("{columns:?}");
    let all = columns.concat().join(" ");
    for word in ["success", "failure", "hour", "day", "p50", "p99", "pending"] {
        assert!(all.contains(word), "{word} in {all}");
    }
    daemon.stop();
    assert_eq!(world.log(rows), [["bad", "0"], ["good", "0"]]);
}

#[test]
fn the_sqlite3_program_reads_it_while_running_and_after_the_stop() {
    let (world, _receivers) = one_of_each();
    let daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", 2, SOON);
    let sql = "SELECT webhook, outcome, status FROM log ORDER BY webhook;
               SELECT webhook, state FROM delivery ORDER BY webhook;
               SELECT webhook FROM failed; SELECT webhook FROM health ORDER BY webhook;
               SELECT count(*) FROM rejected;";
    let expected =
        "bad|failed|503\ngood|delivered|200\nbad|failed\ngood|delivered\nbad\nbad\ngood\n0\n";
    let reads = |when: &str| {
        for reader in world.read_log(&[], sql) {
            let said = (reader.code, &*reader.stdout, &*reader.stderr);
            assert_eq!(said, (Some(0), expected, ""), "{when}");
        }
    };
    reads("while running");
    daemon.stop();
    reads("after the stop");
}

/// Takes from everyone the right to write the log and its folder; root is taken as another user.
fn without_rights(world: &World) -> &'static [&'static str] {
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let path = world.path(name);
        assert!(path.exists(), "{name} stays");
        let mode = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let mode = std::fs::Permissions::from_mode(0o555);
    std::fs::set_permissions(world.folder(), mode).unwrap();
    if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &[]
    }
}

#[test]
fn a_user_who_may_not_write_reads_it_while_running_and_after_the_stop() {
    let (world, _receivers) = one_of_each();
    let daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", 2, SOON);
    let user = without_rights(&world);
    let sql = "SELECT count(*) FROM log; SELECT count(*) FROM health;";
    let running = world.read_log(user, sql);
    let own = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.folder(), own.clone()).unwrap();
    daemon.stop();
    without_rights(&world);
    let stopped = world.read_log(user, sql);
    std::fs::set_permissions(world.folder(), own).unwrap();
    for reader in running.into_iter().chain(stopped) {
        let said = (reader.code, &*reader.stdout, &*reader.stderr);
        assert_eq!(said, (Some(0), "2\n2\n", ""));
    }
}

#[test]
fn redelivery_by_sql_while_running_and_while_stopped() {
    let bad = Receiver::start(|_| Answer::status(503));
    let good = Receiver::ok();
    let world = World::new(&[hook("moving", bad.url("/")).one_attempt()]);
    let daemon = world.start();
    for n in 0..4 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    world.wait_number("SELECT count(*) FROM failed", 4, SOON);
    // While running: one of them, the first redelivery ever, to today's URL, with today's secret.
    world.configure(&[hook("moving", good.url("/")).one_attempt().secret("new")]);
    daemon.reload();
    let one = "INSERT INTO redelivery (delivery_id)
               SELECT delivery_id FROM failed WHERE event_id = 1";
    assert_eq!(world.change_log(one).unwrap(), 1);
    good.wait(1, SOON);
    world.wait_number("SELECT count(*) FROM failed", 3, SOON);
    daemon.stop();
    // While stopped: the others.
    let rest = "INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed";
    assert_eq!(world.change_log(rest).unwrap(), 3);
    let daemon = world.start();
    let again = good.wait(4, SOON);
    world.wait_number("SELECT count(*) FROM failed", 0, SOON);
    // The answer comes before its record.
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 4, SOON);
    let mut first: Vec<_> = bad.received().into_iter().map(|r| r.body).collect();
    let mut second: Vec<_> = again.iter().map(|r| r.body.clone()).collect();
    first.sort();
    second.sort();
    assert_eq!(first, second, "the same bytes");
    for request in &again {
        let signature = crate::support::hmac_hex("new", &request.body);
        assert_eq!(request.header("X-Bold-Signature"), Some(signature.as_str()));
    }
    let sql = "SELECT origin, state, count(*) FROM delivery GROUP BY 1, 2 ORDER BY 1";
    let rows = [["event", "failed", "4"], ["redelivery", "delivered", "4"]];
    assert_eq!(world.log(sql), rows);
    // What has been delivered can be sent again as well.
    let again = "INSERT INTO redelivery (delivery_id)
                 SELECT id FROM delivery WHERE state = 'delivered' LIMIT 1";
    assert_eq!(world.change_log(again).unwrap(), 1);
    good.wait(5, SOON);
    daemon.stop();
}

#[test]
fn redelivery_of_what_does_not_exist_or_is_pending_is_refused() {
    let silent = Receiver::start(|_| Answer::Silence);
    let world = World::new(&[hook("silent", silent.url("/"))]);
    let _daemon = world.start();
    world.emit("e", "{}");
    silent.wait(1, SOON);
    let pending = "INSERT INTO redelivery (delivery_id) SELECT id FROM delivery";
    let error = world.change_log(pending).unwrap_err().to_string();
    assert!(error.contains("pending"), "{error}");
    let nothing = "INSERT INTO redelivery (delivery_id) VALUES (4711)";
    let error = world.change_log(nothing).unwrap_err().to_string();
    println!("{error}");
    assert!(!error.contains("constraint failed"), "in words: {error}");
    assert_eq!(world.number("SELECT count(*) FROM delivery"), 1);
}

#[test]
fn secrets_and_values_of_custom_headers_are_nowhere_in_the_folder() {
    let (good, bad) = (Receiver::ok(), Receiver::start(|_| Answer::Reset));
    let marked = |name: &str, receiver: &Receiver| {
        hook(name, receiver.url("/"))
            .line("secret_file = \"secrets/key\"")
            .line("headers = { Authorization = \"marker-header\" }")
    };
    let world = World::new(&[marked("good", &good), marked("bad", &bad).one_attempt()]);
    std::fs::create_dir(world.path("secrets")).unwrap();
    world.write("secrets/key", "marker-secret\n");
    let daemon = world.start();
    world.emit("e", "\"marker-data\"");
    world.attempts("id", 2, SOON);
    let sent = &good.received()[0];
    assert_eq!(sent.header("Authorization"), Some("marker-header"));
    daemon.stop();
    let mut found_data = false;
    for entry in std::fs::read_dir(world.folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() || path.ends_with("webhooks.toml") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = |marker: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
        assert!(!holds(b"marker-secret"), "{}", path.display());
        assert!(!holds(b"marker-header"), "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        found_data |= name.starts_with("log.db") && holds(b"marker-data");
    }
    assert!(found_data, "the search finds what is there");
}

#[test]
fn a_redelivery_to_a_webhook_that_is_gone_is_cancelled() {
    let (_refusing, port) = bound_port();
    let url = format!("http://127.0.0.1:{port}/");
    let world = World::new(&[hook("w", url.clone()).one_attempt()]);
    world.emit("a", "{}");
    let daemon = world.start();
    world.wait_number("SELECT count(*) FROM failed", 1, SOON);
    world.configure(&[hook("other", url)]);
    daemon.reload();
    let again = "INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed";
    world.change_log(again).unwrap();
    let cancelled = "SELECT count(*) FROM delivery WHERE state = 'cancelled'";
    world.wait_number(cancelled, 1, SOON);
    daemon.wait_journal("redeliveries cancelled");
    daemon.stop();
}
