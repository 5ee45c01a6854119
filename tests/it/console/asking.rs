//! The commands that ask the daemon: what they ask, and what they make of its answers.

use serde_json::{Value, json};

use super::prints;
use super::scene::Scene;

const TESTED: &str = r#"{"delivery_id":77,"outcome":"delivered","status":204,"error":null,"url":"https://search.example.com/hooks/story","duration_ms":12.345,"phases":{"name_ms":0.1,"connect_ms":1.0,"tls_ms":null,"head_ms":11.0,"body_ms":0.2},"peer":"192.0.2.7:443","request_headers":"Host: search.example.com\nX-Team: [redacted]","request_body":"{\"v1\":1}","response_headers":"x-evil: \u001b]0;title\u0007","response_body":"first\r\n\u001b[2Jlast"}"#;

const FAILED: &str = r#"{"delivery_id":78,"outcome":"failed","status":null,"error":"the connection was refused","url":"https://search.example.com/hooks/story","duration_ms":0.4,"phases":{"name_ms":0.1,"connect_ms":0.2,"tls_ms":null,"head_ms":null,"body_ms":null},"peer":null,"request_headers":"Host: search.example.com","request_body":"{}","response_headers":null,"response_body":null}"#;

fn bodies(asked: &[(String, String)]) -> Vec<(&str, Value)> {
    let json = |body: &str| serde_json::from_str(body).unwrap_or(Value::Null);
    asked
        .iter()
        .map(|(line, body)| (line.as_str(), json(body)))
        .collect()
}

#[test]
fn test_prints_everything_that_was_said() {
    let scene = Scene::new();
    let asked = scene.daemon(&[
        ("POST /webhooks/search-index/test", 200, TESTED),
        ("POST /webhooks/erp/test", 200, FAILED),
        (
            "POST /webhooks/late/test",
            409,
            r#"{"error":"webhook \"late\" is not\u001b known to the daemon"}"#,
        ),
    ]);
    prints(
        &scene,
        "test-delivered.txt",
        &["test", "search-index"],
        None,
    );
    prints(
        &scene,
        "test-failed.txt",
        &["test", "erp", "--event", "a.b", "--data", "{\"n\": 1.0}"],
        None,
    );
    prints(&scene, "test-refused.txt", &["test", "late"], None);
    prints(&scene, "test-unknown.txt", &["test", "typo"], None);
    prints(
        &scene,
        "test-bad-data.txt",
        &["test", "erp", "--data", "{"],
        None,
    );
    let asked = asked.all();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].1, "{}");
    assert_eq!(asked[1].1, r#"{"event":"a.b","data":{"n": 1.0}}"#);
}

#[test]
fn reload_waits_for_the_answer() {
    let scene = Scene::new();
    let _asked = scene.daemon(&[(
        "POST /reload",
        200,
        r#"{"webhooks":5,"cancelled":[{"webhook":"newsletter","count":1200}]}"#,
    )]);
    prints(&scene, "reload.txt", &["reload"], None);
    let scene = Scene::new();
    let _asked = scene.daemon(&[(
        "POST /reload",
        422,
        r#"{"error":"error: unknown key \"urll\"\n  --> webhooks.toml:3:1\n"}"#,
    )]);
    prints(&scene, "reload-refused.txt", &["reload"], None);
}

#[test]
fn redeliver_asks_by_ids_or_by_what_became_of_them() {
    let scene = Scene::new();
    let finished = "{\"matched\":3}\n{\"done\":1}\n{\"finished\":true,\"done\":3,\"refused\":[]}\n";
    let asked = scene.daemon(&[("POST /redeliver", 200, finished)]);
    prints(&scene, "redeliver.txt", &["redeliver", "4", "5", "6"], None);
    prints(
        &scene,
        "redeliver-dry.txt",
        &[
            "redeliver",
            "--failed",
            "--webhook",
            "erp",
            "--since",
            "2026-03-01",
            "--until",
            "2026-03-02",
            "--dry-run",
        ],
        None,
    );
    let asked = asked.all();
    assert_eq!(
        bodies(&asked),
        [
            ("POST /redeliver", json!({"ids": [4, 5, 6]})),
            (
                "POST /redeliver",
                json!({"failed": true, "webhook": "erp", "since": 1_772_323_200_000_i64,
                       "until": 1_772_409_600_000_i64, "dry_run": true})
            ),
        ]
    );
    for bad in [
        &["redeliver"][..],
        &["redeliver", "0"],
        &["redeliver", "1", "--failed"],
        &["redeliver", "--failed", "--cancelled"],
    ] {
        assert_eq!(scene.run(bad, None).code, Some(2), "{bad:?}");
    }
}

#[test]
fn redeliver_tells_what_was_refused_and_what_broke_off() {
    let scene = Scene::new();
    let _asked = scene.daemon(&[(
        "POST /redeliver",
        200,
        "{\"matched\":2}\n{\"finished\":true,\"done\":1,\"refused\":[{\"delivery_id\":5,\"error\":\"that delivery is still pending\"}]}\n",
    )]);
    prints(
        &scene,
        "redeliver-refused.txt",
        &["redeliver", "4", "5"],
        None,
    );
    let scene = Scene::new();
    let _asked = scene.daemon(&[(
        "POST /redeliver",
        200,
        "{\"matched\":2000}\n{\"done\":1000}\n",
    )]);
    prints(
        &scene,
        "redeliver-broken-off.txt",
        &["redeliver", "--cancelled"],
        None,
    );
    let scene = Scene::new();
    let ended = "{\"matched\":9}\n{\"finished\":false,\"done\":4,\"refused\":[],\"error\":\"the daemon is stopping\"}\n";
    let _asked = scene.daemon(&[("POST /redeliver", 200, ended)]);
    prints(
        &scene,
        "redeliver-ended.txt",
        &["redeliver", "--cancelled"],
        None,
    );
    let scene = Scene::new();
    let _asked = scene.daemon(&[("POST /redeliver", 200, "nonsense\n")]);
    prints(
        &scene,
        "redeliver-odd.txt",
        &["redeliver", "--cancelled"],
        None,
    );
}

#[test]
fn without_a_daemon_there_is_sql_or_what_to_do() {
    let scene = Scene::new();
    prints(
        &scene,
        "redeliver-sql.txt",
        &[
            "redeliver",
            "--failed",
            "--webhook",
            "erp",
            "--since",
            "2026-03-01",
        ],
        None,
    );
    prints(&scene, "no-daemon.txt", &["test", "erp"], None);
    // A socket that nobody listens at any more.
    drop(std::os::unix::net::UnixListener::bind(scene.path("daemon.sock")).unwrap());
    prints(&scene, "stale-socket.txt", &["reload"], None);
    scene.without_socket();
    prints(&scene, "no-socket.txt", &["replay", "--since", "2h"], None);
}

#[test]
fn the_sql_that_is_printed_works() {
    let scene = Scene::new();
    scene.sql(
        "INSERT INTO webhook_name (id, name) VALUES (1, 'erp'), (2, 'late');
         INSERT INTO payload (id, generation, event_id, event, dialect, size, body) VALUES (1, 0, 1, 'e', 0, 2, '{}');
         INSERT INTO ended (webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
         VALUES (1, 1, 0, 0, 1, 0, 1772366400000), (1, 1, 0, 0, 1, 0, 1), (2, 1, 0, 0, 1, 0, 1772366400000)",
    );
    let printed = scene.run(
        &[
            "redeliver",
            "--failed",
            "--webhook",
            "erp",
            "--since",
            "2026-03-01",
        ],
        None,
    );
    let sql = printed.stderr.lines().last().unwrap();
    let sql = sql.split_once('"').unwrap().1.trim_end_matches('"');
    let log = scene.log();
    assert_eq!(log.execute(sql, []).unwrap(), 1, "{sql}");
    assert_eq!(log.execute(sql, []).unwrap(), 0, "not a second time");
    let sent: i64 = log
        .query_row("SELECT delivery_id FROM redelivery", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sent, 1);
}

#[test]
fn replay_waits_for_the_end() {
    let scene = Scene::new();
    let asked = scene.daemon(&[
        ("POST /replay", 202, r#"{"replay":3,"matched":2500}"#),
        (
            "GET /replays/3",
            200,
            r#"{"replay":3,"matched":2500,"done":2500,"finished":true}"#,
        ),
    ]);
    prints(
        &scene,
        "replay.txt",
        &[
            "replay",
            "--since",
            "2026-03-01",
            "--event",
            "story-*",
            "--webhook",
            "late",
        ],
        None,
    );
    let asked = asked.all();
    assert_eq!(
        bodies(&asked)[0],
        (
            "POST /replay",
            json!({"since": 1_772_323_200_000_i64, "event": "story-*", "webhook": "late"})
        )
    );
    let scene = Scene::new();
    let _asked = scene.daemon(&[(
        "POST /replay",
        200,
        r#"{"replay":null,"matched":1,"pruned":1200}"#,
    )]);
    prints(
        &scene,
        "replay-dry.txt",
        &["replay", "--since", "2h", "--dry-run"],
        None,
    );
}
