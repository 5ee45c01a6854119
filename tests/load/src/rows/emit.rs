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

use super::{Config, Round, Webhook, one};
use crate::bench::Bench;
use crate::build::Build;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::http::data;
use crate::outbox;

/// Events in one POST.
const POST_EVENTS: usize = 1_000;

/// Files of the row, which are the same in all rounds.
const NDJSON: &str = "events.ndjson";
const CSV: &str = "events.csv";

fn events(bench: &Bench) -> u64 {
    bench.count(1_000_000, 100_000)
}

pub(crate) fn emit(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let events = events(bench);
    let rate = events as f64 / emit_lines(bench, round.build, events);
    bench.note(format!("emit -: {rate:.0}/s"));
    let mut figures = vec![
        round
            .of_ceiling(rate, "of the rate of sqlite3 .import")
            .at_least(0.5),
        Figure::new("events", rate, "/s", 0),
    ];
    figures.extend(socket(bench, round.build, events / 10));
    figures
}

/// Events a second that sqlite3 imports; before the first round also those of the insert loop.
pub(crate) fn import(bench: &mut Bench) -> f64 {
    let (events, files) = (events(bench), bench.common());
    if !files.join(CSV).exists() {
        write_lines(&files, events);
        let folder = bench.fresh();
        let outbox = outbox::open(&bench.builds[0], &folder, "NORMAL");
        let rate = events as f64 / outbox::fill(&outbox, "tick", events);
        drop(outbox);
        bench.note(format!("bare insert loop: {rate:.0}/s"));
        std::fs::remove_dir_all(folder).unwrap();
    }
    let rate = events as f64 / import_csv(bench, &files);
    bench.note(format!("sqlite3 .import: {rate:.0}/s"));
    rate
}

fn write_lines(folder: &Path, events: u64) {
    let data = data("tick");
    let mut json = BufWriter::new(File::create(folder.join(NDJSON)).unwrap());
    let mut csv = BufWriter::new(File::create(folder.join(CSV)).unwrap());
    let quoted = data.replace('"', "\"\"");
    for number in 1..=events {
        writeln!(json, r#"{{"event":"tick","data":{data}}}"#).unwrap();
        writeln!(csv, "{number},tick,\"{quoted}\",1700000000000").unwrap();
    }
    json.flush().unwrap();
    csv.flush().unwrap();
}

/// Seconds that sqlite3 takes.
fn import_csv(bench: &mut Bench, files: &Path) -> f64 {
    let folder = bench.fresh();
    drop(outbox::open(&bench.builds[0], &folder, "NORMAL"));
    let begun = Instant::now();
    let status = Command::new("sqlite3")
        .arg(folder.join("outbox.db"))
        .args([
            "PRAGMA synchronous=NORMAL",
            &format!(".import --csv {} outbox", files.join(CSV).display()),
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
fn emit_lines(bench: &mut Bench, build: &Build, events: u64) -> f64 {
    let folder = bench.fresh();
    one(bench).write(&folder);
    drop(outbox::open(build, &folder, "NORMAL"));
    let begun = Instant::now();
    let status = build
        .command()
        .args(["emit", "-", "--config"])
        .arg(folder.join("webhooks.toml"))
        .stdin(File::open(bench.common().join(NDJSON)).unwrap())
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
fn socket(bench: &mut Bench, build: &Build, events: u64) -> Vec<Figure> {
    let folder = bench.fresh();
    let mut config = Config::new(vec![Webhook::new("main", bench.url("ok"), "nothing")]);
    config.socket = true;
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(build, &folder);
    std::thread::sleep(Duration::from_millis(200));
    // The path may be longer than a socket's address; relative to the folder it is not.
    let place = format!("/proc/{}/cwd/s", daemon.pid());
    let Ok(mut stream) = UnixStream::connect(place) else {
        bench.note("this binary has no socket");
        return Vec::new();
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let body = format!("{{\"event\":\"tick\",\"data\":{}}}\n", data("tick")).repeat(POST_EVENTS);
    let head = format!(
        "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (begun, before_us) = (Instant::now(), daemon.cpu_us());
    for _ in 0..events as usize / POST_EVENTS {
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let status = read_answer(&mut stream);
        assert_eq!(status, "202", "the answer to POST /events");
    }
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    let cpu_us = (daemon.cpu_us() - before_us) / events as f64;
    bench.note(format!(
        "POST /events, {POST_EVENTS} of {events} at a time: {rate:.0}/s, {cpu_us:.1} µs CPU each"
    ));
    daemon.stop();
    vec![
        Figure::new("events by POST of NDJSON", rate, "/s", 0),
        Figure::new("CPU per event by POST", cpu_us, "µs", 1),
    ]
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
