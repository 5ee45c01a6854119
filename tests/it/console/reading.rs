//! `logs` and `status`: what is read from the log.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::scene::{NOON_MS, Scene, Tried, now_ms};
use super::{prints, same};
use crate::support::{check, eventually};

/// Five attempts: two webhooks, a retry, a failure, texts that a terminal would obey.
fn some_attempts() -> Scene {
    let scene = Scene::new();
    scene.sql(
        "INSERT INTO webhook (name, state, created_at, since, generation, after_event_id)
         VALUES ('warehouse-of-the-north', 'removed', 0, 0, 0, 0)",
    );
    let tried = |event_id, event, webhook, outcome, seconds: i64, status, error| Tried {
        event_id,
        event,
        webhook,
        outcome,
        number: if outcome == "failed" { 4 } else { 1 },
        time_ms: NOON_MS + seconds * 1_000,
        status,
        error,
    };
    for one in [
        tried(
            1,
            "story-submit",
            "search-index",
            "delivered",
            0,
            Some(200),
            None,
        ),
        tried(
            1,
            "story-submit",
            "newsletter",
            "retry",
            1,
            Some(500),
            Some("answered 500"),
        ),
        tried(
            2,
            "stockMovement.shipped.to.a.far.away.warehouse",
            "warehouse-of-the-north",
            "failed",
            61,
            None,
            Some(
                "the connection was refused by \u{1b}[31mred\u{1b}[0m and the name is a rather long one",
            ),
        ),
        tried(
            1024,
            "story-approve",
            "search-index",
            "delivered",
            3_600,
            Some(204),
            None,
        ),
        tried(
            1025,
            "story-approve",
            "newsletter",
            "failed",
            86_400,
            Some(302),
            Some("answered 302 and redirects are not followed"),
        ),
    ] {
        scene.tried(&one);
    }
    scene
}

#[test]
fn logs_as_a_table() {
    let scene = some_attempts();
    prints(&scene, "logs-140.txt", &["logs"], Some(140));
    prints(&scene, "logs-60.txt", &["logs"], Some(60));
    prints(&scene, "logs-piped.txt", &["logs"], None);
    prints(
        &scene,
        "logs-empty.txt",
        &["logs", "--event", "none-*"],
        None,
    );
    prints(
        &scene,
        "logs-unknown.txt",
        &["logs", "--webhook", "typo"],
        None,
    );
    prints(&Scene::bare(), "logs-no-log.txt", &["logs"], None);
}

#[test]
fn logs_with_everything() {
    let scene = some_attempts();
    prints(
        &scene,
        "logs-verbose.txt",
        &["logs", "-v", "-n", "2"],
        Some(140),
    );
    prints(&scene, "logs-json.txt", &["logs", "--json"], None);
    prints(
        &scene,
        "logs-json-verbose.txt",
        &["logs", "--json", "-v", "-n", "1"],
        None,
    );
}

#[test]
fn logs_are_filtered() {
    let scene = some_attempts();
    let ids = |arguments: &[&str]| {
        let printed = scene.run(&[&["logs", "--json"], arguments].concat(), None);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let id = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["id"].as_i64().unwrap()
        };
        printed.stdout.lines().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [1, 2, 3, 4, 5]);
    assert_eq!(ids(&["-n", "2"]), [4, 5]);
    assert_eq!(ids(&["-n", "0"]), [0; 0]);
    assert_eq!(ids(&["--failed"]), [2, 3, 5]);
    assert_eq!(ids(&["--webhook", "newsletter"]), [2, 5]);
    assert_eq!(ids(&["--webhook", "warehouse-of-the-north"]), [3]);
    assert_eq!(ids(&["--event", "story-*"]), [1, 2, 4, 5]);
    assert_eq!(ids(&["--event", "story-*", "--failed", "-n", "1"]), [5]);
    assert_eq!(ids(&["--since", "2026-03-01T12:00:01Z"]), [2, 3, 4, 5]);
    assert_eq!(ids(&["--since", "2026-03-02"]), [5]);
    assert_eq!(ids(&["--since", "2026-03-03"]), [0; 0]);
    assert_eq!(
        ids(&["--since", "36500d", "--webhook", "search-index"]),
        [1, 4]
    );
    let bad = scene.run(&["logs", "--since", "yesterday"], None);
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.contains("say how long ago"), "{}", bad.stderr);
}

#[test]
fn logs_say_where_they_stopped_looking() {
    let scene = Scene::new();
    scene.sql(&format!(
        "INSERT INTO webhook_name (name) VALUES ('erp');
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO attempt (delivery_id, payload_id, webhook_id, origin, number, time, waited, took, outcome, duration_us, url, request_headers)
         SELECT i, 0, (SELECT id FROM webhook_name WHERE name = 'erp'), 0, 1, {NOON_MS} + i, 0, 0, CASE WHEN i = 7 THEN 2 ELSE 1 END, 1, '', '' FROM n"
    ));
    let short = scene.run(&["logs", "--failed"], None);
    assert_eq!(short.stdout, "");
    assert!(
        short
            .stderr
            .contains("looked back to 2026-03-01T12:00:10Z only: --since TIME"),
        "{}",
        short.stderr
    );
    let far = scene.run(
        &["logs", "--failed", "--since", "2026-03-01T12:00:00Z"],
        None,
    );
    assert_eq!(far.stdout.lines().count(), 2, "{}", far.stdout);
    assert_eq!(far.stderr, "");
}

#[test]
fn logs_follow_until_ctrl_c() {
    let scene = some_attempts();
    let mut command = scene.command(
        &["logs", "--follow", "--json", "-n", "1", "--webhook", "erp"],
        None,
    );
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let erp = |event_id| Tried {
        event_id,
        event: "production.done",
        webhook: "erp",
        outcome: "delivered",
        number: 1,
        time_ms: NOON_MS,
        status: Some(200),
        error: None,
    };
    for event_id in [7, 8] {
        scene.tried(&Tried {
            webhook: "newsletter",
            ..erp(99)
        });
        scene.tried(&erp(event_id));
        let line = lines.next().unwrap().unwrap();
        assert!(
            line.contains(&format!("\"event_id\":{event_id},")),
            "{line}"
        );
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scene = some_attempts();
    for arguments in [&["logs", "--follow"][..], &["logs", "-n", "5"], &["status"]] {
        let mut command = scene.command(arguments, None);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "",
            "{arguments:?}"
        );
    }
}

const HOUR_MS: i64 = 3_600_000;

/// Now, unless the hour is about to end: the bars would move on under the test.
fn past_the_turn_of_the_hour() -> i64 {
    eventually("the hour has turned", Duration::from_secs(30), || {
        let now_ms = now_ms();
        let left_ms = HOUR_MS - now_ms % HOUR_MS;
        check(left_ms >= 20_000, || format!("{left_ms} ms are left"))?;
        Ok(now_ms)
    })
}

/// A log of which the last day is known relative to now.
fn a_day() -> Scene {
    let scene = Scene::new();
    let now_ms = past_the_turn_of_the_hour();
    let (hour, five) = (now_ms - now_ms % HOUR_MS, now_ms - now_ms % 300_000);
    let roll = |span: &str, start: i64, webhook: &str, attempts: i64, failures: i64| {
        let edges = "le_1, le_2, le_3, le_5, le_10, le_20, le_30, le_50, le_100, le_200, le_300, le_500, \
                     le_1000, le_2000, le_3000, le_5000, le_10000";
        // Half of them took up to 5 ms, all up to 300 ms.
        let (half, all) = (attempts / 2, attempts);
        let counts: Vec<String> = (0..17)
            .map(|place| {
                if place < 3 {
                    0
                } else if place < 10 {
                    half
                } else {
                    all
                }
                .to_string()
            })
            .collect();
        scene.sql(&format!(
            "INSERT INTO rollup (span, start, webhook, attempts, failures, {edges})
             VALUES ('{span}', {start}, '{webhook}', {attempts}, {failures}, {})",
            counts.join(", ")
        ));
    };
    for back in 0..24 {
        let failures = if back == 3 { 40 } else { 0 };
        roll(
            "hour",
            hour - back * HOUR_MS,
            "search-index",
            1_000 - back * 41,
            failures,
        );
    }
    roll("5min", five, "search-index", 1_234, 0);
    roll("hour", hour, "erp", 4, 4);
    roll("5min", five, "erp", 4, 4);
    let (ago, long_ago) = (now_ms - 330_000, now_ms - 200_000_000);
    scene.sql(&format!(
        "INSERT INTO webhook VALUES
           ('search-index', 'active', 0, 0, 0, 0, {now_ms} - 150000, {ago}, 'answered 500'),
           ('erp', 'active', 0, 0, 0, 0, {long_ago}, {ago}, 'the name \u{1b}[31m erp.example.com does not resolve: no such host is known'),
           ('newsletter', 'inactive', 0, 0, 0, 0, NULL, NULL, NULL),
           ('gone', 'removed', 0, 0, 0, 0, NULL, NULL, NULL);
         REPLACE INTO cursor VALUES (1, 0, 12, x'', 0);"
    ));
    scene.tried(&Tried {
        event_id: 9,
        event: "production.done",
        webhook: "erp",
        outcome: "failed",
        number: 5,
        time_ms: ago,
        status: None,
        error: None,
    });
    scene.tried(&Tried {
        event_id: 10,
        event: "production.done",
        webhook: "erp",
        outcome: "retry",
        number: 1,
        time_ms: ago,
        status: None,
        error: None,
    });
    scene
}

const STATUS: &str = r#"{"version":1,"daemon":{"pid":4242,"version":"0.1.0","started_at":"2026-03-01T12:00:00Z","config":"webhooks.toml","reloads":1,"last_reload_failed":true},"healthy":true,"complaints":[],"outbox":{"path":"outbox.db","cursor":12,"newest":15,"lag":3},"log":{"path":"log.db","bytes":1,"wal_bytes":2},"in_flight":2,"webhooks":[{"name":"search-index","active":true,"in_flight":2,"queued":0,"pending":0}]}"#;

#[test]
fn status_from_the_files_alone() {
    let scene = a_day();
    prints(&scene, "status-no-daemon-140.txt", &["status"], Some(140));
    prints(&scene, "status-no-daemon-60.txt", &["status"], Some(60));
    scene.without_socket();
    prints(&scene, "status-no-socket.txt", &["status"], Some(100));
    prints(&Scene::bare(), "status-nothing.txt", &["status"], Some(100));
    let lock = std::fs::File::create(scene.path("log.db.lock")).unwrap();
    lock.lock().unwrap();
    let running = scene.run(&["status"], None).stdout;
    let line = format!(
        "daemon: running (process {}), but there is no",
        std::process::id()
    );
    assert!(running.starts_with(&line), "{running}");
}

#[test]
fn status_with_a_daemon() {
    let scene = a_day();
    let _asked = scene.daemon(&[("GET /status", 200, STATUS)]);
    prints(&scene, "status-120.txt", &["status"], Some(120));
    let printed = scene.run(&["status", "--json"], None);
    let mut json: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    json["time"] = "TIME".into();
    assert!(json["log"]["bytes"].as_u64() > Some(0));
    json["log"] = "SIZES".into();
    for webhook in json["webhooks"].as_array_mut().unwrap() {
        for key in ["last_success", "last_failure"] {
            if webhook[key].is_string() {
                webhook[key] = "TIME".into();
            }
        }
    }
    let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
    same("status.json", &text);
}

#[test]
fn status_checks() {
    let scene = a_day();
    let check = |scene: &Scene| scene.run(&["status", "--check"], None).code;
    assert_eq!(check(&scene), Some(1), "no daemon");
    assert_eq!(scene.run(&["status"], None).code, Some(0));
    let _asked = scene.daemon(&[("GET /status", 200, STATUS)]);
    assert_eq!(check(&scene), Some(1), "erp is failing");
    scene
        .sql("INSERT INTO redelivery (delivery_id) SELECT id FROM delivery WHERE state = 'failed'");
    assert_eq!(check(&scene), Some(1), "its newest attempt failed");
    scene.sql("UPDATE webhook SET last_success_at = last_failure_at + 1 WHERE name = 'erp'");
    assert_eq!(check(&scene), Some(0));
    scene.sql("DELETE FROM redelivery");
    assert_eq!(check(&scene), Some(1), "erp gave a delivery up");
    scene.sql("UPDATE ended SET origin = 3");
    assert_eq!(check(&scene), Some(0), "that was a test");

    let unwell = Scene::new();
    let status = STATUS.replace(
        "\"healthy\":true,\"complaints\":[]",
        "\"healthy\":false,\"complaints\":[\"log: disk full\\u001b (for 7 s)\"]",
    );
    let _asked = unwell.daemon(&[("GET /status", 200, &status)]);
    assert_eq!(check(&unwell), Some(1));
    prints(&unwell, "status-unwell.txt", &["status"], Some(100));
}
