//! Kept connections that are not what they were: closed while idle, or with an answer too many.
//!
//! A delivery is never judged by another's answer, and a connection that died before a byte of the
//! request was written costs no try.

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

/// The peer closes at about the moment at which the connection is used again. What was written may
/// have been read, so it is not sent twice within an attempt: each event is received once at most,
/// has one row, and is either delivered, and then it was received, or closed or reset.
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
    let columns = "event_id, outcome, coalesce(status, class), coalesce(error, '')";
    let rows = world.attempts(columns, EVENTS, SOON * 2);
    assert_eq!(rows.len(), EVENTS);
    let events: BTreeSet<_> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(events.len(), EVENTS);
    let delivered = rows.iter().filter(|row| row[1] == "delivered").count();
    for row in &rows {
        let said = (row[1].as_str(), row[2].as_str());
        let known = [
            ("delivered", "200"),
            ("failed", "closed"),
            ("failed", "reset"),
        ];
        assert!(known.contains(&said), "{row:?}");
        let explained = row[3].ends_with("; it was kept from an earlier request");
        assert_eq!(explained, said.0 == "failed", "{row:?}");
    }
    let received = received.lock().unwrap();
    let distinct: BTreeSet<_> = received.iter().collect();
    println!(
        "{delivered} of {EVENTS} delivered, {} received, {} connections",
        received.len(),
        peer.connections()
    );
    assert_eq!(distinct.len(), received.len(), "an event came twice");
    assert_eq!(received.len(), delivered, "what was answered was delivered");
    daemon.stop();
}
