//! How fast events come in: printed for whoever reads the run, with floors far below.

use std::process::Command;
use std::time::Duration;

use super::client::Connection;
use super::world;
use crate::support::{World, hook, need, now};

const EVENTS: usize = 100_000;

/// Events in one request.
const A_REQUEST: usize = 10_000;

const WRITERS: usize = 8;

/// Requests of each writer.
const REQUESTS: usize = 250;

fn per_second(count: usize, span: Duration) -> u128 {
    count as u128 * 1_000_000 / span.as_micros().max(1)
}

fn rows(world: &World) -> usize {
    let outbox = world.outbox();
    let count: i64 = outbox
        .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
        .unwrap();
    usize::try_from(count).unwrap()
}

#[test]
fn lines_of_json_by_the_hundred_thousand() {
    let world = world("http://127.0.0.1:9/");
    world.configure_with(
        super::SECTION,
        &[hook("w", "http://127.0.0.1:9/").events("none")],
    );
    let daemon = world.start();
    let line = |n: usize| {
        let text = "x".repeat(100);
        format!("{{\"event\":\"a\",\"data\":{{\"n\":{n},\"text\":\"{text}\"}}}}\n")
    };
    let bodies: Vec<String> = (0..EVENTS / A_REQUEST)
        .map(|r| (0..A_REQUEST).map(|n| line(r * A_REQUEST + n)).collect())
        .collect();
    let mut connection = Connection::new(&world);
    let begun = now();
    for body in &bodies {
        let answer = connection.post("application/x-ndjson", body.as_bytes());
        assert_eq!(answer.unwrap().0, 202);
    }
    let span = begun.elapsed();
    let whole = bodies.concat();
    let begun = now();
    let answer = connection.post("application/x-ndjson", whole.as_bytes());
    assert_eq!(answer.unwrap().0, 202);
    let at_once = begun.elapsed();
    assert_eq!(rows(&world), 2 * EVENTS);
    daemon.stop();
    println!(
        "POST /events: {EVENTS} events, {A_REQUEST} a request {}/s, in one request {}/s, bare sqlite3 import {}/s",
        per_second(EVENTS, span),
        per_second(EVENTS, at_once),
        bare_import(&world, &whole).map_or_else(|| "?".into(), |rate| rate.to_string()),
    );
    assert!(per_second(EVENTS, span) > 2_000);
}

/// `sqlite3`'s own import of the same lines into the same table, where the program is there.
fn bare_import(world: &World, lines: &str) -> Option<u128> {
    if !need("sqlite3") {
        return None;
    }
    world.remove_outbox();
    world.make_outbox("WAL");
    // One column of JSON a line: neither separator nor quote comes in it.
    world.write("lines", lines);
    let script = format!(
        "PRAGMA synchronous = FULL;\nCREATE TEMP TABLE line (text);\n.mode ascii\n\
         .separator \"\\001\" \"\\n\"\n.import {} line\n\
         INSERT INTO outbox (event, data) SELECT text ->> 'event', text -> 'data' FROM line;\n",
        world.path("lines").display()
    );
    world.write("script", script);
    let begun = now();
    let done = Command::new("sqlite3")
        .arg(world.path("outbox.db"))
        .stdin(std::fs::File::open(world.path("script")).unwrap())
        .output()
        .ok()?;
    let span = begun.elapsed();
    (done.status.success() && rows(world) == EVENTS).then(|| per_second(EVENTS, span))
}

#[test]
fn single_events_of_eight_writers_share_commits() {
    let world = world("http://127.0.0.1:9/");
    world.configure_with(
        super::SECTION,
        &[hook("w", "http://127.0.0.1:9/").events("none")],
    );
    let daemon = world.start();
    let begun = now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let mut connection = Connection::new(&world);
            std::thread::spawn(move || {
                let mut spans: Vec<Duration> = (0..REQUESTS)
                    .map(|n| {
                        let begun = now();
                        let event = format!(r#"{{"event":"a","data":{{"n":{n}}}}}"#);
                        assert!(connection.event(&event).is_some());
                        begun.elapsed()
                    })
                    .collect();
                spans.sort_unstable();
                spans
            })
        })
        .collect();
    let mut spans: Vec<Duration> = writers
        .into_iter()
        .flat_map(|w| w.join().unwrap())
        .collect();
    let span = begun.elapsed();
    spans.sort_unstable();
    println!(
        "POST /events: single events of {WRITERS} writers {}/s, p50 {:?}, p99 {:?}",
        per_second(WRITERS * REQUESTS, span),
        spans[spans.len() / 2],
        spans[spans.len() * 99 / 100],
    );
    assert_eq!(rows(&world), WRITERS * REQUESTS);
    daemon.stop();
}
