//! Endpoints that do their worst: each costs one logged attempt, a bounded time and bounded memory.
//!
//! Each webhook gives up after one attempt, so that what is in the log is what one POST met.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Answer, Daemon, Receiver, SOON, World, bound_port, hook};

/// What the log keeps of a body at most.
const KEPT_BYTES: i64 = 64 * 1024;

/// What the daemon may need in these tests: 12 MiB are the program itself, in a debug build.
const MEMORY_KIB: u64 = 32 * 1024;

/// An endpoint that answers so, an event to it, and the one attempt that the log has of it.
struct Met {
    daemon: Daemon,
    world: World,
    _receiver: Receiver,
    outcome: String,
    status: String,
    error: String,
    duration_ms: i64,
}

fn meet(answer: Answer) -> Met {
    let receiver = Receiver::start(move |_| answer.clone());
    let world = World::new(&[hook("hostile", receiver.url("/")).one_attempt()]);
    let daemon = world.start();
    world.emit("e", r#"{"to":"whom it may concern"}"#);
    let columns = "outcome, status, error, CAST(duration_ms AS INTEGER)";
    let row = world.attempts(columns, 1, SOON).remove(0);
    println!("{row:?}, peak {} KiB", daemon.memory_kib("VmHWM"));
    let [outcome, status, error, duration] = row.try_into().unwrap();
    Met {
        daemon,
        world,
        _receiver: receiver,
        outcome,
        status,
        error,
        duration_ms: duration.parse().unwrap(),
    }
}

impl Met {
    #[track_caller]
    fn failed_with(&self, words: &[&str]) {
        assert_eq!(
            (self.outcome.as_str(), self.status.as_str()),
            ("failed", "NULL")
        );
        let error = self.error.to_lowercase();
        assert!(words.iter().any(|word| error.contains(word)), "{error}");
        self.bounded();
    }

    #[track_caller]
    fn delivered(&self) {
        let outcome = (
            self.outcome.as_str(),
            self.status.as_str(),
            self.error.as_str(),
        );
        assert_eq!(outcome, ("delivered", "200", "NULL"));
        self.bounded();
    }

    #[track_caller]
    fn took(&self, span: std::ops::Range<i64>) {
        assert!(span.contains(&self.duration_ms), "{} ms", self.duration_ms);
    }

    #[track_caller]
    fn bounded(&self) {
        let peak = self.daemon.memory_kib("VmHWM");
        assert!(peak < MEMORY_KIB, "{peak} KiB");
        assert_eq!(self.world.number("SELECT count(*) FROM log"), 1);
    }

    fn body_bytes(&self) -> i64 {
        let sql = "SELECT length(CAST(response_body AS BLOB)) FROM log";
        self.world.number(sql)
    }
}

fn ok_head(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{more}\r\n").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn silence_ends_after_three_seconds() {
    let met = meet(Answer::Silence);
    met.failed_with(&["3 s", "no answer", "time"]);
    met.took(2_900..3_800);
}

#[test]
fn a_refused_connection_says_so() {
    let (_refusing, port) = bound_port();
    let url = format!("http://127.0.0.1:{port}/");
    let world = World::new(&[hook("refused", url).one_attempt()]);
    let _daemon = world.start();
    world.emit("e", "{}");
    let row = &world.attempts("outcome, status, error", 1, SOON)[0];
    assert_eq!(row[..2], ["failed", "NULL"]);
    assert!(row[2].contains("refused"), "{row:?}");
}

#[test]
fn a_reset_connection_says_so() {
    let met = meet(Answer::Reset);
    met.failed_with(&["reset"]);
    met.took(0..1_000);
}

#[test]
fn a_connection_closed_without_an_answer_says_so() {
    meet(Answer::Last(Vec::new())).failed_with(&["closed"]);
}

#[test]
fn an_answer_that_breaks_off_in_its_head_says_so() {
    meet(Answer::Last(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())).failed_with(&["closed"]);
}

#[test]
fn an_answer_that_is_no_http_says_so() {
    meet(Answer::Last(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec())).failed_with(&["http"]);
}

#[test]
fn a_head_larger_than_it_may_be_ends() {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1_000)).into_bytes();
    let met = meet(Answer::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), line));
    assert_eq!(
        (met.outcome.as_str(), met.status.as_str()),
        ("failed", "NULL")
    );
    met.bounded();
}

#[test]
fn a_head_that_drips_ends_after_three_seconds() {
    let head = ok_head(&format!("X-Slow: {}\r\n", "z".repeat(400)));
    let met = meet(Answer::Drip(Vec::new(), head, Duration::from_millis(25)));
    met.failed_with(&["3 s", "no answer", "time"]);
    met.took(2_900..3_800);
}

#[test]
fn a_body_that_drips_is_delivered_after_three_seconds_of_it() {
    let body = vec![b'y'; 400];
    let head = ok_head("Content-Length: 400\r\n");
    let met = meet(Answer::Drip(head, body, Duration::from_millis(25)));
    met.delivered();
    met.took(2_900..3_800);
    let kept = met.body_bytes();
    assert!(
        (50..400).contains(&kept),
        "{kept} bytes of what came in 3 s"
    );
}

#[test]
fn a_body_that_breaks_off_is_delivered() {
    let mut answer = ok_head("Content-Length: 400\r\n");
    answer.extend_from_slice(b"short");
    let met = meet(Answer::Last(answer));
    met.delivered();
    assert_eq!(met.body_bytes(), 5);
}

#[test]
fn of_eight_mebibytes_the_beginning_is_kept() {
    let body = vec![b'b'; 8 * 1024 * 1024];
    let mut answer = ok_head(&format!("Content-Length: {}\r\n", body.len()));
    answer.extend_from_slice(&body);
    let met = meet(Answer::Bytes(answer));
    met.delivered();
    assert_eq!(met.body_bytes(), KEPT_BYTES);
    met.took(0..3_800);
}

#[test]
fn a_body_without_an_end_is_delivered() {
    let met = meet(Answer::Endless(ok_head(""), vec![b'e'; 16 * 1024]));
    met.delivered();
    assert_eq!(met.body_bytes(), KEPT_BYTES);
    met.took(0..3_800);
}

#[test]
fn a_gzip_bomb_is_kept_to_the_bound() {
    let bomb = gzip(&vec![0_u8; 256 * 1024 * 1024]);
    assert!(bomb.len() > 200_000);
    let head = format!(
        "Content-Encoding: gzip\r\nContent-Length: {}\r\n",
        bomb.len()
    );
    let mut answer = ok_head(&head);
    answer.extend_from_slice(&bomb);
    let met = meet(Answer::Bytes(answer));
    met.delivered();
    assert!(met.body_bytes() <= KEPT_BYTES);
}

#[test]
fn a_gzip_answer_is_decoded_in_the_log() {
    let text = "Danke schön".repeat(40);
    let packed = gzip(text.as_bytes());
    let head = format!(
        "Content-Encoding: gzip\r\nContent-Length: {}\r\n",
        packed.len()
    );
    let mut answer = ok_head(&head);
    answer.extend_from_slice(&packed);
    let met = meet(Answer::Bytes(answer));
    met.delivered();
    let rows = met
        .world
        .log("SELECT CAST(response_body AS TEXT), response_headers FROM log");
    assert_eq!(rows[0][0], text);
    assert!(rows[0][1].contains("content-encoding: gzip"), "{rows:?}");
}

#[test]
fn a_body_that_is_no_gzip_though_it_says_so_is_delivered() {
    let answer = [
        ok_head("Content-Encoding: gzip\r\nContent-Length: 5\r\n"),
        b"plain".to_vec(),
    ];
    meet(Answer::Bytes(answer.concat())).delivered();
}

#[test]
fn an_endpoint_that_reads_nothing_ends_too() {
    // The listener's queue takes the connection, nobody reads: a megabyte does not fit its buffers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let world = World::bare(&[]);
    world.configure_with(
        "max_data_bytes = 16777216",
        &[hook("deaf", url).one_attempt()],
    );
    world.make_outbox("WAL");
    let daemon = world.start();
    world.emit("e", &format!("\"{}\"", "d".repeat(12 * 1024 * 1024)));
    let columns = "outcome, status, CAST(duration_ms AS INTEGER)";
    let row = &world.attempts(columns, 1, SOON)[0];
    println!("{row:?}, peak {} KiB", daemon.memory_kib("VmHWM"));
    assert_eq!(row[..2], ["failed", "NULL"]);
    assert!(
        (2_900..6_800).contains(&row[2].parse::<i64>().unwrap()),
        "{row:?}"
    );
}
