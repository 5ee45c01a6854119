//! TLS endpoints whose certificate, version or manners are not good, and the two protocols mixed up.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::peer::{Act, says, take_request, until_closed};
use super::trial::{Case, case, try_all};
use crate::support::{Acceptor, Authority, nap};

const DATA: &str = r#"{"to":"whom it may concern"}"#;
const CA: &str = "authority.pem";
const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server of 127.0.0.1 which answers so, and says goodbye or not.
fn server(acceptor: Acceptor, answer: &'static [u8], goodbye: bool) -> Act {
    Box::new(move |stream| {
        let Some(mut tls) = acceptor.accept(stream.try_clone().unwrap()) else {
            return;
        };
        take_request(&mut tls);
        drop(tls.write_all(answer));
        if goodbye {
            tls.conn.send_close_notify();
        }
        drop(tls.flush());
        drop(stream.shutdown(Shutdown::Write));
        until_closed(stream);
    })
}

fn good(authority: &Authority) -> Acceptor {
    authority.acceptor("127.0.0.1")
}

#[test]
fn certificates_that_are_not_to_be_trusted() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let dated = |from: i32, to: i32| {
        authority.acceptor_with("127.0.0.1", |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    let untrusted = |name: &str, acceptor: Acceptor, words: &'static str| {
        case(name, server(acceptor, GOOD, true))
            .https(CA)
            .fails("certificate", words)
    };
    let cases = vec![
        case("good", server(good(&authority), GOOD, true))
            .https(CA)
            .keeping(2..=2),
        untrusted(
            "expired",
            dated(2020, 2021),
            "certificate of 127.0.0.1: expired",
        ),
        untrusted(
            "not-yet-valid",
            dated(2120, 2121),
            "certificate of 127.0.0.1: not valid yet",
        ),
        untrusted(
            "other-name",
            authority.acceptor("other.example"),
            "made for other names: other.example",
        ),
        untrusted(
            "no-name",
            authority.acceptor_with("127.0.0.1", |params| params.subject_alt_names.clear()),
            "made for no name at all",
        ),
        untrusted(
            "another-of-that-name",
            good(&stranger),
            "not signed by the authority that it names",
        ),
        untrusted(
            "self-signed",
            Acceptor::self_signed("127.0.0.1"),
            "signed by nobody that is trusted here",
        ),
        untrusted(
            "for-clients-only",
            authority.acceptor_with("127.0.0.1", |params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "not made for servers",
        ),
    ];
    try_all(cases, DATA, &[(CA, &authority.pem())]);
}

/// Takes the client's hello and says these bytes, then waits.
fn greets(bytes: Vec<u8>) -> Act {
    Box::new(move |stream| {
        drop(stream.read(&mut [0; 4096]));
        drop(stream.write_all(&bytes));
        until_closed(stream);
    })
}

/// A record of TLS.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3][..], &length, payload].concat()
}

/// A server's hello of that version (RFC 5246, 7.4.1.3) which chooses `TLS_RSA_WITH_AES_128_CBC_SHA`.
fn old_hello(minor: u8) -> Vec<u8> {
    let body = [&[3, minor][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    record(22, &[&[2, 0, 0, length][..], &body].concat())
}

fn fails(name: &str, act: Act, words: &'static str) -> Case {
    case(name, act).https(CA).fails("tls", words)
}

#[test]
fn handshakes_that_fail() {
    let alert = |level: u8, reason: u8| record(21, &[level, reason]);
    let cases = vec![
        fails(
            "tls-1-0-hello",
            greets(old_hello(1)),
            "127.0.0.1 speaks no TLS newer than 1.1",
        ),
        fails(
            "tls-1-1-hello",
            greets(old_hello(2)),
            "127.0.0.1 speaks no TLS newer than 1.1",
        ),
        fails(
            "ssl-3-hello",
            greets(old_hello(0)),
            "127.0.0.1 speaks no TLS newer than 1.1",
        ),
        fails(
            "old-suite-hello",
            greets(old_hello(3)),
            "TLS with 127.0.0.1",
        ),
        fails(
            "alert-version",
            greets(alert(2, 70)),
            "refused TLS: it speaks another version of TLS",
        ),
        fails(
            "alert-handshake",
            greets(alert(2, 40)),
            "refused TLS: nothing that both sides accept",
        ),
        fails(
            "alert-name",
            greets(alert(2, 112)),
            "refused TLS: it serves no host of that name",
        ),
        fails(
            "alert-unknown",
            greets(alert(2, 250)),
            "refused TLS: its reason has the number 250",
        ),
    ];
    try_all(cases, DATA, &[(CA, &Authority::new().pem())]);
}

#[test]
fn greetings_that_are_no_handshake() {
    let cases = vec![
        fails(
            "plain-http",
            greets(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "does not speak TLS on this port",
        ),
        fails(
            "ssh",
            greets(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()),
            "does not speak TLS on this port",
        ),
        fails(
            "empty-hello",
            greets(record(22, &[2, 0, 0, 0])),
            "TLS with 127.0.0.1",
        ),
        fails(
            "garbage-hello",
            greets(record(22, &[0xff; 80])),
            "TLS with 127.0.0.1",
        ),
        fails(
            "data-first",
            greets(record(23, b"HTTP/1.1 200 OK\r\n\r\n")),
            "TLS with 127.0.0.1",
        ),
        fails(
            "own-hello-back",
            Box::new(|stream| {
                let mut hello = [0; 4096];
                let length = stream.read(&mut hello).unwrap();
                drop(stream.write_all(&hello[..length]));
                until_closed(stream);
            }),
            "TLS with 127.0.0.1",
        ),
        fails(
            "closed",
            Box::new(|stream| {
                drop(stream.read(&mut [0; 4096]));
                drop(stream.shutdown(Shutdown::Write));
                until_closed(stream);
            }),
            "closed the connection in the TLS handshake",
        ),
        case("reset", Box::new(|stream| drop(stream.read(&mut [0; 8]))))
            .https(CA)
            .fails("reset", "in the TLS handshake"),
        case(
            "flood-of-records",
            Box::new(|stream| {
                drop(stream.read(&mut [0; 4096]));
                while stream.write_all(&record(22, &[0; 4096])).is_ok() {}
            }),
        )
        .https(CA)
        .fails("tls", "TLS with 127.0.0.1"),
    ];
    try_all(cases, DATA, &[(CA, &Authority::new().pem())]);
}

/// The bytes with which a server answers the hello of the daemon.
fn flight(acceptor: &Acceptor, stream: &mut TcpStream) -> Vec<u8> {
    let mut connection = acceptor.connection();
    let mut bytes = Vec::new();
    while bytes.is_empty() {
        connection.read_tls(stream).unwrap();
        connection.process_new_packets().unwrap();
        while connection.wants_write() {
            connection.write_tls(&mut bytes).unwrap();
        }
    }
    bytes
}

#[test]
fn handshakes_that_stall() {
    let authority = Authority::new();
    let stalled = |name: String, act: Act| {
        case(name, act)
            .https(CA)
            .fails("connect-timeout", "no TLS handshake with 127.0.0.1")
            .in_three_seconds()
    };
    let mut cases: Vec<Case> = vec![
        // Nothing tells this peer when it is over; the thread ends with the tests.
        stalled(
            "deaf".to_owned(),
            Box::new(|_| nap(Duration::from_secs(60))),
        ),
        stalled("silent".to_owned(), Box::new(until_closed)),
    ];
    for part in [1_usize, 3, 5, 20, 50, 80, 99] {
        let acceptor = good(&authority);
        cases.push(stalled(
            format!("{part}-percent"),
            Box::new(move |stream| {
                let bytes = flight(&acceptor, stream);
                drop(stream.write_all(&bytes[..bytes.len() * part / 100]));
                until_closed(stream);
            }),
        ));
    }
    let acceptor = good(&authority);
    cases.push(stalled(
        "drip".to_owned(),
        Box::new(move |stream| {
            for byte in flight(&acceptor, stream) {
                nap(Duration::from_millis(10));
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
            }
        }),
    ));
    // The daemon may write its request once it has finished: then it waits for an answer.
    let acceptor = good(&authority);
    cases.push(
        case(
            "after-the-flight",
            Box::new(move |stream: &mut TcpStream| {
                let bytes = flight(&acceptor, stream);
                drop(stream.write_all(&bytes));
                until_closed(stream);
            }),
        )
        .https(CA)
        .fails("response-timeout", "no answer")
        .in_three_seconds(),
    );
    try_all(cases, DATA, &[(CA, &authority.pem())]);
}

/// Without the goodbye of TLS nobody can tell a cut from an end; the status was there.
#[test]
fn connections_closed_without_a_goodbye() {
    let authority = Authority::new();
    let torn = |name: &str, answer: &'static [u8]| {
        case(name, server(good(&authority), answer, false)).https(CA)
    };
    let early = "closed the connection";
    let cases = vec![
        torn("after-the-answer", GOOD).keeping(2..=2),
        torn(
            "in-the-body",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        )
        .keeping(3..=3),
        torn("in-an-endless-body", b"HTTP/1.1 200 OK\r\n\r\nabc").keeping(3..=3),
        torn(
            "in-a-chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        )
        .keeping(2..=2),
        torn("in-the-head", b"HTTP/1.1 200 OK\r\nContent-Le"),
        torn("in-the-status", b"HTTP/1.1 20").fails("closed", early),
        torn("before-the-head", b"").fails("closed", early),
        torn("after-the-status", b"HTTP/1.1 200 OK\r\n"),
        case(
            "goodbye-in-the-head",
            server(good(&authority), b"HTTP/1.1 200 OK\r\nA", true),
        )
        .https(CA),
        case("goodbye-at-once", server(good(&authority), b"", true))
            .https(CA)
            .fails("closed", early),
    ];
    try_all(cases, DATA, &[(CA, &authority.pem())]);
}

/// Plain HTTP where TLS is spoken, and the reverse, each with words for who reads the log.
#[test]
fn protocols_mixed_up() {
    let authority = Authority::new();
    let cases = vec![
        case("https-to-plain", says(GOOD))
            .https(CA)
            .fails_either(&["tls", "connect-timeout"], "TLS"),
        case("plain-to-https", server(good(&authority), GOOD, true))
            .fails("protocol", "not HTTP: it begins with \"\\x15\\x03"),
    ];
    try_all(cases, DATA, &[(CA, &authority.pem())]);
}
