//! Events over the socket: what is taken, what is refused and how, and that 202 means durable.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::client::{Connection, curl, lines, post, stream};
use super::{started, world};
use crate::support::{Receiver, SOON, World, check, eventually, need, now};

const NDJSON: &str = "Content-Type: application/x-ndjson";

fn rows(world: &World) -> i64 {
    let outbox = world.outbox();
    outbox
        .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn one_event_an_array_and_lines_are_taken_and_sent_with_their_own_text() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    let odd = r#"{ "n":1,  "x" : 1.0e+05 }"#;
    let one = post(
        &world,
        "/events",
        &format!(r#"{{"event":"a","data":{odd}}}"#),
    );
    assert_eq!(one.expect(202).json(), json!({"ids": [1]}));
    let array =
        r#"[{"event":"b","data":{"n":2}},{"event":"c","data":{"n":3},"time":5,"tenant":"acme"}]"#;
    assert_eq!(
        post(&world, "/events", array).expect(202).json(),
        json!({"ids": [2, 3]})
    );
    let ndjson = "{\"event\":\"d\",\"data\":{\"n\":4}}\r\n\n{\"event\":\"e\",\"data\":{\"n\":5}}";
    let reply = curl(&world, "/events", &["-H", NDJSON, "--data-binary", ndjson]);
    assert_eq!(reply.expect(202).json(), json!({"ids": [4, 5]}));
    assert_eq!(
        post(&world, "/events", "[]").expect(202).json(),
        json!({"ids": []})
    );
    let received = receiver.wait(5, SOON);
    assert!(
        received
            .iter()
            .any(|r| r.text().ends_with(&format!("\"data\":{odd}}}}}")))
    );
    assert!(
        received
            .iter()
            .any(|r| r.text().contains(r#""name":"c","time":5}"#))
    );
    daemon.stop();
}

#[test]
fn every_refusal_is_json_with_its_status_and_stores_nothing() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let good = r#"{"event":"a","data":1}"#;
    for (body, words) in [
        ("{", "EOF"),
        ("7", "item 1: an event is a JSON object, not a number"),
        (
            r#"["a",1,null,null,null]"#,
            "item 1: an event is a JSON object, not a text",
        ),
        (r#"{"event":"a b","data":1}"#, "item 1: event"),
        (r#"{"event":"a","data":1,"time":-1}"#, "item 1: time"),
        (r#"{"event":"a","data":1,"time":"x"}"#, "item 1: time"),
        (r#"{"event":"a","data":1,"tenant":""}"#, "item 1: tenant"),
        (r#"{"event":"a","data":1,"key":7}"#, "item 1: key"),
        (r#"{"event":"a","data":1,"x":7}"#, "unknown field `x`"),
        (r#"{"event":"a"}"#, "missing field `data`"),
    ] {
        let error = post(&world, "/events", body).expect(400).error();
        assert!(error.contains(words), "{body}: {error}");
        let many = format!("[{good},{body}]");
        post(&world, "/events", &many).expect(400);
    }
    let second = format!(r#"[{good},{{"event":"a","data":1,"tenant":""}}]"#);
    let error = post(&world, "/events", &second).expect(400).error();
    assert!(error.starts_with("item 2: tenant"), "{error}");
    let deep = format!(
        r#"{{"event":"a","data":{}1{}}}"#,
        "[".repeat(1_001),
        "]".repeat(1_001)
    );
    let error = post(&world, "/events", &deep).expect(400).error();
    assert!(error.starts_with("item 1: data"), "{error}");
    let large = format!(r#"{{"event":"a","data":"{}"}}"#, "x".repeat(1 << 20));
    world.write("large", large);
    let large = format!("@{}", world.path("large").display());
    let error = post(&world, "/events", &large).expect(400).error();
    assert!(error.starts_with("item 1: data"), "{error}");
    assert_eq!(rows(&world), 0);

    for (path, method, allow) in [
        ("/events", "GET", "allow: post"),
        ("/reload", "DELETE", "allow: post"),
        ("/health", "POST", "allow: get, head"),
        ("/webhooks/w/test", "GET", "allow: post"),
    ] {
        let reply = curl(&world, path, &["-X", method]).expect(405);
        assert!(reply.head.contains(allow), "{reply:?}");
        assert!(!reply.error().is_empty());
    }
    for path in ["/event", "/webhooks/w/nothing", "/nowhere", "/%2e%2e"] {
        assert!(!curl(&world, path, &[]).expect(404).error().is_empty());
    }
    daemon.stop();
}

/// The requests by the program, to `/events`: the client of the other tests only does as it does.
#[track_caller]
fn by_curl_itself(world: &World, requests: &[&[&str]], status: &str) {
    for arguments in requests {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.arg("--unix-socket").arg(world.path("s.sock"));
        let output = curl
            .args(*arguments)
            .arg("http://localhost/events")
            .output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(said, status, "{arguments:?}");
    }
}

#[test]
fn a_body_above_the_limit_is_413_whether_announced_or_not() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    world.write("huge", vec![b' '; (64 << 20) + 1]);
    let huge = format!("@{}", world.path("huge").display());
    let announced = curl(&world, "/events", &["--data-binary", &huge]).expect(413);
    assert!(announced.error().contains("67108864"), "{announced:?}");
    let chunked = [
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect:",
        "--data-binary",
        &huge,
    ];
    curl(&world, "/events", &chunked).expect(413);
    if need("curl") {
        by_curl_itself(&world, &[&["--data-binary", &huge], &chunked[..]], "413");
        by_curl_itself(&world, &[&["-d", "{"]], "400");
        by_curl_itself(&world, &[&["-X", "DELETE"]], "405");
    }
    post(&world, "/events", r#"{"event":"a","data":1}"#).expect(202);
    assert_eq!(rows(&world), 1);
    daemon.stop();
}

#[test]
fn a_key_is_one_event() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let event = |data: &str| format!(r#"{{"event":"a","data":{data},"key":"k"}}"#);
    for _ in 0..2 {
        let reply = post(&world, "/events", &event("1")).expect(202);
        assert_eq!(reply.json(), json!({"ids": [1]}));
    }
    let conflict = post(&world, "/events", &event("2")).expect(409).error();
    assert!(conflict.contains("event 1"), "{conflict}");
    let both = format!(r#"[{{"event":"new","data":1}},{}]"#, event("2"));
    let conflict = post(&world, "/events", &both).expect(409).error();
    assert!(conflict.starts_with("item 2: key"), "{conflict}");
    assert_eq!(rows(&world), 1, "all or nothing");
    let both = format!(r#"[{},{{"event":"new","data":1}}]"#, event("1"));
    assert_eq!(
        post(&world, "/events", &both).expect(202).json(),
        json!({"ids": [1, 2]})
    );
    daemon.stop();
}

#[test]
fn plain_lines_are_answered_in_order_each_for_itself() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    let answers = lines(
        &world,
        "{\"event\":\"a\",\"data\":{\"n\":1}}\n\
         {\"event\":\"a b\",\"data\":{\"n\":2}}\n\
         nonsense\n\
         \n\
         {\"event\":\"k\",\"data\":{\"n\":3},\"key\":\"k\"}\r\n\
         {\"event\":\"k\",\"data\":{\"n\":4},\"key\":\"k\"}\n\
         {\"event\":\"last\",\"data\":{\"n\":5}}",
    );
    assert_eq!(answers.len(), 6, "{answers:?}");
    assert_eq!(answers[0], r#"{"id":1}"#);
    assert!(answers[1].starts_with(r#"{"error":"event "#), "{answers:?}");
    assert!(answers[2].starts_with(r#"{"error":"#), "{answers:?}");
    assert_eq!(answers[3], r#"{"id":2}"#);
    assert!(answers[4].contains("other content"), "{answers:?}");
    assert_eq!(answers[5], r#"{"id":3}"#);
    let mut numbers: Vec<i64> = receiver.wait(3, SOON).iter().map(|r| r.n()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 3, 5]);
    daemon.stop();
}

#[test]
fn a_rule_of_the_applications_own_costs_only_who_breaks_it() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let rule = "CREATE TRIGGER own BEFORE INSERT ON outbox WHEN NEW.event = 'bad'
                BEGIN SELECT RAISE(ABORT, 'no bad events here'); END";
    world.outbox().execute_batch(rule).unwrap();
    let bad = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut connection = Connection::new(&world);
            let bad = &bad;
            scope.spawn(move || {
                while bad.load(Ordering::SeqCst) {
                    let event = br#"{"event":"bad","data":1}"#;
                    let (status, words) = connection.post("application/json", event).unwrap();
                    assert_eq!(status, 503);
                    assert!(words.contains("no bad events here"), "{words}");
                }
            });
        }
        let mut connection = Connection::new(&world);
        let taken = (0..100).all(|_| connection.event(r#"{"event":"a","data":1}"#).is_some());
        bad.store(false, Ordering::SeqCst);
        assert!(taken);
    });
    assert_eq!(rows(&world), 100);
    daemon.stop();
}

#[test]
fn an_outbox_that_others_hold_is_503_within_a_bound() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let outbox = world.outbox();
    outbox.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reply = post(&world, "/events", r#"{"event":"a","data":1}"#).expect(503);
    assert!(reply.head.contains("retry-after: 1"), "{reply:?}");
    outbox.execute_batch("ROLLBACK").unwrap();
    post(&world, "/events", r#"{"event":"a","data":1}"#).expect(202);
    assert_eq!(rows(&world), 1);
    daemon.stop();
}

#[test]
fn an_outbox_that_was_exchanged_gets_the_events_of_the_path() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    post(&world, "/events", r#"{"event":"a","data":1}"#).expect(202);
    world.remove_outbox();
    let gone = post(&world, "/events", r#"{"event":"b","data":1}"#);
    assert_eq!(gone.status, 503, "nobody would read it: {gone:?}");
    drop(daemon);
}

#[test]
fn what_was_answered_202_survives_kill_9() {
    for round in 0..3 {
        let world = world("http://127.0.0.1:9/");
        let daemon = world.start();
        let answered = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let mut connection = Connection::new(&world);
                let (answered, count) = (answered.clone(), count.clone());
                std::thread::spawn(move || {
                    for n in 0.. {
                        let event = format!(r#"{{"event":"w{writer}","data":{{"n":{n}}}}}"#);
                        let Some(id) = connection.event(&event) else {
                            return;
                        };
                        answered.lock().unwrap().push((id, format!("w{writer}"), n));
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let enough = 200 * (round + 1);
        eventually("events are taken", SOON, || {
            let seen = count.load(Ordering::SeqCst);
            check(seen >= enough, || seen.to_string())
        });
        daemon.kill();
        for writer in writers {
            writer.join().unwrap();
        }
        let outbox = world.outbox();
        let answered = answered.lock().unwrap();
        assert!(answered.len() >= enough);
        for (id, event, n) in answered.iter() {
            let row: (String, String) = outbox
                .query_row(
                    "SELECT event, data FROM outbox WHERE id = ?1",
                    [id],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap_or_else(|e| panic!("event {id} was answered and is not there: {e}"));
            assert_eq!(row, (event.clone(), format!("{{\"n\":{n}}}")));
        }
    }
}

#[test]
fn a_stop_answers_what_it_has_taken() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let mut idle = stream(&world);
    let mut lines = stream(&world);
    lines.write_all(b"{\"event\":\"a\",\"data\":1}\n").unwrap();
    let mut answer = [0; 9];
    lines.read_exact(&mut answer).unwrap();
    daemon.stop();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert!(!world.path("s.sock").exists());
    assert_eq!(rows(&world), 1);
}

/// Who has connected before a stop has half a second to begin: this is soon enough, and leaves the
/// daemon its time as well.
const BEGUN: Duration = Duration::from_millis(150);

/// What was answered to an event by HTTP and to one by a line, and the rows there are then.
struct Answered {
    http: Option<(u16, String)>,
    line: String,
    rows: i64,
}

/// What becomes of both where they are begun behind a stop; `None` where this machine was too busy to
/// begin soon enough, so that nothing was promised.
fn begun_behind_a_stop() -> Option<Answered> {
    let (world, mut daemon) = started("http://127.0.0.1:9/");
    let mut http = Connection::new(&world);
    let mut lines = BufReader::new(stream(&world));
    // Connections are accepted in their order: once this one is answered, those are the daemon's.
    post(&world, "/events", r#"{"event":"a","data":1}"#).expect(202);
    let stopped = now();
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait_journal("stopping");
    let asked = http.ask("application/json", br#"{"event":"b","data":1}"#);
    let written = lines.get_mut().write_all(b"{\"event\":\"c\",\"data\":1}\n");
    let soon = stopped.elapsed() < BEGUN;
    println!("begun {:?} behind the stop", stopped.elapsed());
    let http = asked.and_then(|()| http.answer());
    let mut line = String::new();
    let read = written.and_then(|()| lines.read_line(&mut line));
    assert_eq!(daemon.wait(SOON), Some(0));
    drop(read);
    let rows = rows(&world);
    soon.then_some(Answered { http, line, rows })
}

#[test]
fn who_has_connected_before_the_stop_is_still_answered() {
    let Answered { http, line, rows } = eventually("begun soon behind a stop", 6 * SOON, || {
        begun_behind_a_stop().ok_or_else(|| "too late".to_owned())
    });
    let ids = [json!({"ids": [2]}), json!({"ids": [3]})];
    let (status, body) = http.unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(status == 202 && ids.contains(&body), "{status} {body}");
    let other = if body == ids[0] { 3 } else { 2 };
    assert_eq!(line, format!("{{\"id\":{other}}}\n"));
    assert_eq!(rows, 3);
}
