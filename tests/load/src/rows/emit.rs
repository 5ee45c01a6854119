//! Many events from a pipe: `emit -` and the socket, beside what sqlite3 itself can import.
//!
//! `.import` fills the very same table, constraints and all, in one transaction; the CSV lacks the
//! last two columns, which it fills with NULL. Beside it stands a bare insert loop of rusqlite.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Config, Line, Webhook};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::{median, ratios, spread};
use crate::http::data;
use crate::outbox;

/// Events in one POST.
const POST_EVENTS: usize = 1_000;

pub(crate) fn emit(bench: &mut Bench) -> Vec<Line> {
    let events = bench.count(1_000_000, 100_000);
    let files = bench.fresh();
    write_lines(&files, events);
    let (mut imports, mut emits, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.options.rounds {
        let import = events as f64 / import(bench, &files);
        let emit = events as f64 / emit_lines(bench, &files, events);
        bench.note(format!(
            "sqlite3 .import: {import:.0}/s; emit -: {emit:.0}/s"
        ));
        imports.push(import);
        emits.push(emit);
        if round == 0 {
            let folder = bench.fresh();
            let seconds = outbox::fill(
                &outbox::open(&bench.binary, &folder, "NORMAL"),
                "tick",
                events,
            );
            loops.push(events as f64 / seconds);
            bench.note(format!(
                "bare insert loop: {:.0}/s",
                events as f64 / seconds
            ));
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    let ratio = ratios(&emits, &imports);
    let figure = format!(
        "{}: {} events/s; bare insert loop {:.0}/s",
        spread(&ratio, 2),
        spread(&emits, 0),
        median(&loops)
    );
    vec![
        Line::new(
            format!("emit - of {events} events of 1 KiB"),
            "≥ 0.5 of sqlite3 .import",
            figure,
            median(&ratio) >= 0.5,
        ),
        socket(bench, events / 10),
    ]
}

fn write_lines(folder: &Path, events: u64) {
    let data = data("tick");
    let mut json = BufWriter::new(File::create(folder.join("events.ndjson")).unwrap());
    let mut csv = BufWriter::new(File::create(folder.join("events.csv")).unwrap());
    let quoted = data.replace('"', "\"\"");
    for number in 1..=events {
        writeln!(json, r#"{{"event":"tick","data":{data}}}"#).unwrap();
        writeln!(csv, "{number},tick,\"{quoted}\",1700000000000").unwrap();
    }
    json.flush().unwrap();
    csv.flush().unwrap();
}

/// Seconds that sqlite3 takes.
fn import(bench: &mut Bench, files: &Path) -> f64 {
    let folder = bench.fresh();
    drop(outbox::open(&bench.binary, &folder, "NORMAL"));
    let begun = Instant::now();
    let status = Command::new("sqlite3")
        .arg(folder.join("outbox.db"))
        .args([
            "PRAGMA synchronous=NORMAL",
            &format!(
                ".import --csv {} outbox",
                files.join("events.csv").display()
            ),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("start sqlite3");
    let seconds = begun.elapsed().as_secs_f64();
    assert!(status.success(), "sqlite3 .import failed");
    std::fs::remove_dir_all(folder).unwrap();
    seconds
}

/// Seconds that `webhooksd emit -` takes, without a daemon.
fn emit_lines(bench: &mut Bench, files: &Path, events: u64) -> f64 {
    let folder = bench.fresh();
    Config::new(vec![Webhook::new("main", bench.url("ok"), "tick")]).write(&folder);
    drop(outbox::open(&bench.binary, &folder, "NORMAL"));
    let begun = Instant::now();
    let status = Command::new(&bench.binary)
        .args(["emit", "-", "--config"])
        .arg(folder.join("webhooks.toml"))
        .stdin(File::open(files.join("events.ndjson")).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("start webhooksd emit");
    let seconds = begun.elapsed().as_secs_f64();
    assert!(status.success(), "webhooksd emit failed");
    let outbox = Connection::open(folder.join("outbox.db")).unwrap();
    let rows: i64 = outbox
        .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows as u64, events, "rows in the outbox");
    drop(outbox);
    std::fs::remove_dir_all(folder).unwrap();
    seconds
}

/// POST /events with NDJSON, where the daemon has a socket. No webhook wants the events.
fn socket(bench: &mut Bench, events: u64) -> Line {
    let what = format!("POST /events, NDJSON, {POST_EVENTS} of {events} events at a time");
    let folder = bench.fresh();
    let mut config = Config::new(vec![Webhook::new("main", bench.url("ok"), "nothing")]);
    config.socket = true;
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    std::thread::sleep(Duration::from_millis(200));
    // The path may be longer than a socket's address; relative to the folder it is not.
    let place = format!("/proc/{}/cwd/s", daemon.pid());
    let Ok(mut stream) = UnixStream::connect(place) else {
        return Line::aside(what, "this binary has no socket");
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let body = format!("{{\"event\":\"tick\",\"data\":{}}}\n", data("tick")).repeat(POST_EVENTS);
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let begun = Instant::now();
    for _ in 0..events as usize / POST_EVENTS {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let status = read_answer(&mut stream);
        assert_eq!(status, "202", "the answer to POST /events");
    }
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    bench.note(format!("POST /events: {rate:.0}/s"));
    daemon.stop();
    Line::aside(what, format!("{rate:.0} events/s"))
}

/// Reads one answer with a Content-Length; returns its status.
fn read_answer(stream: &mut UnixStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65_536]);
    loop {
        let read = stream.read(&mut chunk).expect("an answer");
        assert!(read > 0, "the socket was closed");
        bytes.extend_from_slice(&chunk[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        if let Ok(httparse::Status::Complete(body_at)) = answer.parse(&bytes) {
            let status = answer.code.unwrap_or_default().to_string();
            let length = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(0, |header| {
                String::from_utf8_lossy(header.value).parse().unwrap()
            });
            if bytes.len() >= body_at + length {
                return status;
            }
        }
    }
}
