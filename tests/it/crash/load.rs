//! The load: events by SQL in transactions of a few, and events by the socket, one by one.
//!
//! Each event carries its number `n` in its data, never given twice. A client of the socket that
//! gets no answer does not ask again, so what was answered and what was not can be told apart.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::{Chance, World, insert, nap};

/// The first number of the socket's events.
const BY_SOCKET: i64 = 1_000_000;

/// What a client of the socket was answered, by number: the id, or nothing.
pub(super) type Answers = BTreeMap<i64, Option<i64>>;

pub(super) struct Load {
    stop: Arc<AtomicBool>,
    by_sql: JoinHandle<BTreeMap<i64, i64>>,
    by_socket: JoinHandle<Answers>,
}

/// What was written: ids by number.
pub(super) struct Written {
    /// Committed by SQL.
    pub(super) by_sql: BTreeMap<i64, i64>,
    /// Sent to the socket.
    pub(super) by_socket: Answers,
}

impl Load {
    pub(super) fn begin(world: &World, mut chance: Chance) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (outbox, first, stopped) = (world.outbox(), chance.fork(), Arc::clone(&stop));
        let by_sql = std::thread::spawn(move || write(&outbox, first, &stopped));
        let (socket, stopped) = (world.path("s.sock"), Arc::clone(&stop));
        let by_socket = std::thread::spawn(move || send(&socket, chance, &stopped));
        Self {
            stop,
            by_sql,
            by_socket,
        }
    }

    pub(super) fn end(self) -> Written {
        self.stop.store(true, Ordering::SeqCst);
        Written {
            by_sql: self.by_sql.join().unwrap(),
            by_socket: self.by_socket.join().unwrap(),
        }
    }
}

fn name(chance: &mut Chance) -> &'static str {
    match chance.below(8) {
        0 => "stock.counted",
        1..4 => "stock.moved",
        _ => "order.placed",
    }
}

fn write(outbox: &Connection, mut chance: Chance, stop: &AtomicBool) -> BTreeMap<i64, i64> {
    let mut ids = BTreeMap::new();
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        let transaction = outbox.unchecked_transaction().unwrap();
        for _ in 0..=chance.below(4) {
            let id = insert(&transaction, name(&mut chance), &format!("{{\"n\":{n}}}"));
            ids.insert(n, id);
            n += 1;
        }
        transaction.commit().unwrap();
        nap(Duration::from_millis(60 + chance.below(120)));
    }
    ids
}

fn send(socket: &Path, mut chance: Chance, stop: &AtomicBool) -> Answers {
    let mut answers = Answers::new();
    let mut n = BY_SOCKET;
    while !stop.load(Ordering::SeqCst) {
        let event = format!(
            "{{\"event\":\"{}\",\"data\":{{\"n\":{n}}}}}",
            name(&mut chance)
        );
        let ask = if n % 2 == 0 { by_http } else { by_line };
        // Where nobody listens nothing was sent, and the number is free.
        if let Ok(stream) = UnixStream::connect(socket) {
            answers.insert(n, ask(stream, &event));
            n += 1;
        }
        nap(Duration::from_millis(20 + chance.below(60)));
    }
    answers
}

pub(super) fn by_http(mut stream: UnixStream, event: &str) -> Option<i64> {
    let request = format!(
        "POST /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    if !answer.starts_with("HTTP/1.1 202 ") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    body["ids"][0].as_i64()
}

pub(crate) fn by_line(mut stream: UnixStream, event: &str) -> Option<i64> {
    stream.write_all(format!("{event}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
    answer["id"].as_i64()
}

/// Commits `count` events of nearly 1 MiB; their ids by number.
pub(super) fn fill(outbox: &Connection, first: i64, count: i64) -> BTreeMap<i64, i64> {
    let filling = "x".repeat(1_000_000);
    let large = |n: i64| {
        insert(
            outbox,
            "large.made",
            &format!("{{\"n\":{n},\"x\":\"{filling}\"}}"),
        )
    };
    (first..first + count).map(|n| (n, large(n))).collect()
}
