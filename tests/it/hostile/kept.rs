//! Kept connections that are not what they were: closed while idle, or with an answer too many.
//!
//! A delivery is never judged by another's answer, and a connection that died before a byte of an
//! answer came costs no try: the request goes once more over a new one, and the log says so.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use super::peer::{Act, Peer, take_request, until_closed};
use crate::support::{SOON, World, hook, insert, nap};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &[u8] = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";

/// A peer that answers the first request of its first connection 200, and all others 500; it hands
/// that first connection over once it has answered.
fn peer(first_answer: &'static [u8]) -> (Peer, mpsc::Receiver<TcpStream>) {
    let (hand_over, handed) = mpsc::channel();
    let connections = AtomicUsize::new(0);
    let act: Act = Box::new(move |stream| {
        let first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        let mut answer = if first { first_answer } else { BAD };
        while !take_request(stream).is_empty() {
            stream.write_all(answer).unwrap();
            if first && answer == first_answer {
                hand_over.send(stream.try_clone().unwrap()).unwrap();
            }
            answer = BAD;
        }
    });
    (Peer::start(act), handed)
}

/// The outcomes of two deliveries over one webhook that keeps its connections, where `meanwhile` is
/// done to the first's connection between them; and how many connections there were.
fn two(
    first_answer: &'static [u8],
    meanwhile: impl FnOnce(&mut TcpStream),
) -> (Vec<String>, usize) {
    let (peer, handed) = peer(first_answer);
    let url = format!("http://{}/", peer.address());
    let world = World::new(&[hook("kept", url).one_attempt().line("keep_alive = true")]);
    let daemon = world.start();
    world.emit("e", r#"{"n":1}"#);
    world.attempts("outcome", 1, SOON);
    meanwhile(&mut handed.recv_timeout(SOON).unwrap());
    world.emit("e", r#"{"n":2}"#);
    let rows = world.attempts("outcome || ' ' || coalesce(status, class)", 2, SOON);
    daemon.stop();
    (rows.concat(), peer.connections())
}

fn outcomes(first: &str, second: &str) -> Vec<String> {
    vec![first.to_owned(), second.to_owned()]
}

/// As a control: the connection is kept, and the second request gets the peer's second answer.
#[test]
fn a_kept_connection_is_used_again() {
    let (rows, connections) = two(GOOD, |_| {});
    assert_eq!(rows, outcomes("delivered 200", "failed 500"));
    assert_eq!(connections, 1);
}

#[test]
fn a_second_answer_that_nobody_asked_for_is_nobody_s() {
    let at_once =
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Again\r\n\r\n";
    let without_a_body = b"HTTP/1.1 204 No\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (answer, first) in [
        (&at_once[..], "200"),
        (smuggled, "200"),
        (without_a_body, "204"),
    ] {
        let (rows, connections) = two(answer, |_| {});
        assert_eq!(rows, outcomes(&format!("delivered {first}"), "failed 500"));
        assert_eq!(connections, 2);
    }
    for later in [GOOD, b"HTTP/1.1 100 Continue\r\n\r\n", b"H", b"\r\n"] {
        let (rows, connections) = two(GOOD, |stream| stream.write_all(later).unwrap());
        assert_eq!(rows, outcomes("delivered 200", "failed 500"));
        assert_eq!(connections, 2);
    }
}

#[test]
fn a_connection_closed_while_idle_costs_no_try() {
    let (rows, connections) = two(GOOD, |stream| stream.shutdown(Shutdown::Both).unwrap());
    assert_eq!(rows, outcomes("delivered 200", "failed 500"));
    assert_eq!(connections, 2);
}

/// The peer closes at about the moment at which the connection is used again. Each event is delivered
/// at its one attempt; one that was received twice has a row that says so.
#[test]
fn connections_closed_as_they_are_used_again() {
    const EVENTS: usize = 300;
    let received = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&received);
    let turn = AtomicUsize::new(0);
    let peer = Peer::start(Box::new(move |stream| {
        let body = take_request(stream);
        if body.is_empty() {
            return;
        }
        seen.lock().unwrap().push(body);
        stream.write_all(GOOD).unwrap();
        let turn = turn.fetch_add(1, Ordering::SeqCst);
        nap(std::time::Duration::from_micros(
            u64::try_from(turn % 40).unwrap() * 50,
        ));
        if turn.is_multiple_of(2) {
            // The end first, then what came before it, so that this is no reset.
            drop(stream.shutdown(Shutdown::Write));
            let body = take_request(stream);
            if !body.is_empty() {
                seen.lock().unwrap().push(body);
            }
            until_closed(stream);
        }
    }));
    let url = format!("http://{}/", peer.address());
    let webhook = hook("hasty", url)
        .one_attempt()
        .line("keep_alive = true")
        .line("max_in_flight = 1");
    let world = World::new(&[webhook]);
    let daemon = world.start();
    let outbox = world.outbox();
    for n in 0..EVENTS {
        insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
    }
    let columns = "event_id, outcome, status, coalesce(error, ''), coalesce(note, ''), CAST(request_body AS TEXT)";
    let rows = world.attempts(columns, EVENTS, SOON * 2);
    assert_eq!(rows.len(), EVENTS);
    let events: BTreeSet<_> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(events.len(), EVENTS);
    daemon.stop();
    let received = received.lock().unwrap();
    let mut again = 0;
    for row in &rows {
        assert_eq!(row[1..4], ["delivered", "200", ""], "{row:?}");
        let times = received.iter().filter(|body| **body == row[5].as_bytes());
        let times = times.count();
        let says_so = row[4].starts_with("sent again over a new connection: ");
        assert!(times == 1 || (times == 2 && says_so), "{times}: {row:?}");
        assert_eq!(says_so, !row[4].is_empty(), "{row:?}");
        again += usize::from(says_so);
    }
    println!(
        "{again} of {EVENTS} were sent again, {} received, {} connections",
        received.len(),
        peer.connections()
    );
}

/// What a person sees of it.
#[test]
fn the_log_says_that_a_request_was_sent_again() {
    let served = AtomicUsize::new(0);
    let peer = Peer::start(Box::new(move |stream| {
        // Of each connection the first request is answered, and the second meets its end.
        for answer in [GOOD, b""] {
            if take_request(stream).is_empty() {
                return;
            }
            served.fetch_add(1, Ordering::SeqCst);
            stream.write_all(answer).unwrap();
        }
    }));
    let url = format!("http://{}/", peer.address());
    let world = World::new(&[hook("kept", url).line("keep_alive = true")]);
    let daemon = world.start();
    for count in 1..=2 {
        world.emit("e", "{}");
        world.attempts("id", count, SOON);
    }
    let rows = world.log("SELECT outcome, attempt, error, note FROM log ORDER BY id");
    assert_eq!(rows[0], ["delivered", "1", "NULL", "NULL"]);
    assert_eq!(rows[1][..3], ["delivered", "1", "NULL"]);
    let note = &rows[1][3];
    let words = format!(
        "sent again over a new connection: {} closed the connection without an answer; it was kept \
         from an earlier request",
        peer.address()
    );
    assert_eq!(*note, words);
    let shown = world.command(&["logs", "-v", "-n", "1"]).stdout;
    assert!(shown.contains(&format!("  ({words})\n")), "{shown}");
    let shown = world.command(&["logs", "--json", "-n", "2"]).stdout;
    let told: Vec<_> = shown
        .lines()
        .map(|line| line.contains("\"note\""))
        .collect();
    assert_eq!(told, [false, true], "{shown}");
    daemon.stop();
}
