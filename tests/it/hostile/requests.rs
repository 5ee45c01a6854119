//! Peers that end the conversation while the request is under way, answers cut off at every byte,
//! and redirects, which are never followed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::peer::{Act, Peer, says, take_request, take_request_but, until_closed};
use super::trial::{Case, case, try_all};
use crate::support::{SOON, World, hook, insert, nap};

const DATA: &str = r#"{"to":"whom it may concern"}"#;

/// More than the socket buffers of both sides take.
const LARGE_BYTES: usize = 12 * 1024 * 1024;

const TORN: &str = "the request was not taken whole";

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn act(act: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Act {
    Box::new(act)
}

#[test]
fn peers_that_leave_during_a_small_request() {
    let gone = ["closed", "reset"];
    let cases = vec![
        case("closed-at-once", act(|_| {})).fails_either(&gone, "127.0.0.1"),
        case(
            "closed-to-us-at-once",
            act(|stream| {
                drop(stream.shutdown(Shutdown::Write));
                until_closed(stream);
            }),
        )
        .fails("closed", "closed the connection without an answer"),
        case(
            "deaf-at-once",
            act(|stream| {
                drop(stream.shutdown(Shutdown::Read));
                drop(stream.read(&mut [0]));
            }),
        )
        .fails_either(&gone, "127.0.0.1"),
        case(
            "closed-within-the-head",
            act(|stream| {
                drop(stream.read_exact(&mut [0; 20]));
            }),
        )
        .fails("reset", "connection reset by"),
        case(
            "closed-after-the-head",
            act(|stream| {
                take_request_but(stream, DATA.len());
            }),
        )
        .fails("reset", "connection reset by"),
        case(
            "closed-before-the-last-byte",
            act(|stream| {
                take_request_but(stream, 1);
            }),
        )
        .fails("reset", "connection reset by"),
        case(
            "closed-after-the-request",
            act(|stream| {
                take_request(stream);
            }),
        )
        .fails("closed", "closed the connection without an answer"),
    ];
    try_all(cases, DATA, &[]);
}

#[test]
fn answers_before_the_request() {
    let cases = vec![
        case(
            "answered-before-the-request",
            act(|stream| {
                drop(stream.write_all(GOOD));
                until_closed(stream);
            }),
        )
        .keeping(2..=2),
        case(
            "answered-at-once-and-closed",
            act(|stream| {
                drop(stream.write_all(GOOD));
                drop(stream.shutdown(Shutdown::Write));
                until_closed(stream);
            }),
        )
        .keeping(2..=2),
        case(
            "busy-at-once",
            act(|stream| {
                drop(stream.write_all(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n"));
                drop(stream.shutdown(Shutdown::Write));
                until_closed(stream);
            }),
        )
        .answered(503, "answered 503"),
    ];
    try_all(cases, DATA, &[]);
}

#[test]
fn peers_that_do_not_take_a_large_request_whole() {
    let reads = |count: usize| {
        move |stream: &mut TcpStream| {
            let mut scratch = vec![0; count];
            drop(stream.read_exact(&mut scratch));
        }
    };
    let gone = "connection reset by";
    let large = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
    let cases = vec![
        // Nothing tells the peer when it is over; the thread ends with the tests.
        case("never-reads", act(|_| nap(Duration::from_secs(60))))
            .fails("response-timeout", TORN)
            .in_three_seconds(),
        case(
            "reads-slowly",
            act(|stream| {
                while let Ok(1..) = stream.read(&mut [0; 4096]) {
                    nap(Duration::from_millis(25));
                }
            }),
        )
        .fails("response-timeout", TORN)
        .in_three_seconds(),
        case("gone-at-once", act(|_| {})).fails_either(&["closed", "reset"], "127.0.0.1"),
        case("reset-after-the-head", act(reads(600))).fails("reset", gone),
        case("reset-in-the-middle", act(reads(LARGE_BYTES / 2))).fails("reset", gone),
        case("reset-near-the-end", act(reads(LARGE_BYTES - 10_000))).fails("reset", gone),
        case(
            "refused-in-the-middle",
            act(move |stream| {
                reads(LARGE_BYTES / 2)(stream);
                drop(stream.write_all(large));
                drop(stream.shutdown(Shutdown::Write));
                until_closed(stream);
            }),
        )
        .answered(413, "answered 413")
        .keeping(3..=3),
        case(
            "refused-unread-and-reset",
            act(move |stream| {
                drop(stream.write_all(large));
            }),
        )
        .answered(413, "answered 413"),
        case(
            "thanked-in-the-middle",
            act(move |stream| {
                reads(LARGE_BYTES / 2)(stream);
                drop(stream.write_all(GOOD));
                until_closed(stream);
            }),
        )
        .keeping(2..=2),
    ];
    let data = format!("\"{}\"", "d".repeat(LARGE_BYTES));
    try_all(cases, &data, &[]);
}

/// One receiver, one event for each byte of a valid answer: it says only the bytes before that one.
#[test]
fn answers_cut_off_at_every_byte() {
    let sized = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\n\r\nwell done, t";
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwell \r\n4;x=y\r\ndone\r\n0\r\nA: b\r\n\r\n";
    for answer in [&sized[..], chunked] {
        for reset in [false, true] {
            cut_off_everywhere(answer, reset);
        }
    }
}

fn cut_off_everywhere(answer: &'static [u8], reset: bool) {
    // Where the peer closes and nothing breaks, the status is enough of its line.
    let answered_from = if reset {
        answer.windows(2).position(|w| w == b"\r\n").unwrap() + 2
    } else {
        b"HTTP/1.1 200".len()
    };
    let peer = Peer::start(act(move |stream| {
        // A byte that is left unread turns the close into a reset.
        let body = take_request_but(stream, usize::from(reset));
        let text = String::from_utf8(body).unwrap();
        let digits: String = text
            .rsplit_once("\"n\":")
            .map_or("", |(_, rest)| rest)
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let Ok(count) = digits.parse::<usize>() else {
            return;
        };
        drop(stream.write_all(&answer[..count]));
    }));
    let url = format!("http://{}/", peer.address());
    let world = World::new(&[hook("cut", url).one_attempt()]);
    let daemon = world.start();
    let outbox = world.outbox();
    for count in 0..=answer.len() {
        insert(&outbox, "e", &format!("{{\"n\":{count}}}"));
    }
    let columns = "event_id - 1, outcome, coalesce(status, 'NULL'), coalesce(class, 'NULL'), error";
    let rows = world.attempts(columns, answer.len() + 1, SOON);
    for row in &rows {
        let count: usize = row[0].parse().unwrap();
        let (outcome, status, class) = (row[1].as_str(), row[2].as_str(), row[3].as_str());
        if count >= answered_from {
            assert_eq!(
                (outcome, status, class),
                ("delivered", "200", "NULL"),
                "{row:?}"
            );
        } else {
            let expected = if reset { "reset" } else { "closed" };
            assert_eq!(
                (outcome, status, class),
                ("failed", "NULL", expected),
                "{row:?}"
            );
        }
    }
    assert_eq!(rows.len(), answer.len() + 1, "one row each");
    assert_eq!(
        world.number("SELECT count(DISTINCT event_id) FROM log"),
        world.number("SELECT count(*) FROM log")
    );
    println!(
        "{} cuts, reset: {reset}, peak {} KiB",
        rows.len(),
        daemon.memory_kib("VmHWM")
    );
    daemon.stop();
}

#[test]
fn redirects_are_never_followed() {
    let trap = Peer::start(says(GOOD));
    let elsewhere = format!("http://{}/elsewhere", trap.address());
    let mut cases: Vec<Case> = Vec::new();
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let places = [
            ("to-itself", String::from("Location: /\r\n")),
            ("elsewhere", format!("Location: {elsewhere}\r\n")),
            ("to-a-file", "Location: file:///etc/passwd\r\n".to_owned()),
            (
                "to-two",
                format!(
                    "Location: {elsewhere}\r\nLocation: {elsewhere}2\r\nRefresh: 0; url={elsewhere}\r\n"
                ),
            ),
            ("to-nowhere", String::new()),
            ("to-nonsense", "Location: é:://~[\r\n".to_owned()),
        ];
        for (place, header) in places {
            let answer =
                format!("HTTP/1.1 {status} Moved\r\n{header}Content-Length: 4\r\n\r\ngone");
            cases.push(
                case(format!("m{status}-{place}"), says(answer))
                    .answered(status, "redirects are not followed")
                    .keeping(4..=4),
            );
        }
    }
    try_all(cases, DATA, &[]);
    assert_eq!(trap.connections(), 0);
}
