//! Requests that break HTTP's rules, or JSON's, over the real socket.
//!
//! Each gets its answer or an end, stores what it was told is stored, and the next client is served.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::socket::client::{Connection, stream};
use crate::socket::started;
use crate::support::World;

const EVENT: &str = r#"{"event":"a","data":1}"#;

/// What is answered to the bytes of one connection, until its end.
#[track_caller]
fn said(world: &World, bytes: &[u8]) -> String {
    let mut stream = stream(world);
    // The daemon may have closed before all of it is taken.
    let sent = stream.write_all(bytes);
    drop(sent.and_then(|()| stream.shutdown(Shutdown::Write)));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /events HTTP/1.1\r\nHost: l\r\n{headers}\r\n{body}")
}

fn rows(world: &World) -> i64 {
    let sql = "SELECT count(*) FROM outbox";
    world.outbox().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The statuses of the answers of a connection.
fn statuses(answer: &str) -> Vec<&str> {
    let parts = answer.split("HTTP/1.").skip(1);
    parts
        .map(|part| part.get(2..5).unwrap_or_default())
        .collect()
}

#[test]
fn what_breaks_http_is_refused_and_stores_nothing() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let length = EVENT.len();
    let chunk = format!("{length:x}\r\n{EVENT}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let many = "X-A: b\r\n".repeat(65);
    let wide = format!("X-A: {}\r\n", "b".repeat(20 << 10));
    let name = format!("{}: b\r\n", "X".repeat(20 << 10));
    let path = format!("POST /{} HTTP/1.1\r\n\r\n", "e".repeat(20 << 10));
    let cases: Vec<(String, &[&str])> = vec![
        // Framing that lies.
        (
            post(&format!("Content-Length: {}\r\n", length + 1), EVENT),
            &["400"],
        ),
        (post("Content-Length: -1\r\n", EVENT), &["400"]),
        (
            post("Content-Length: 18446744073709551616\r\n", EVENT),
            &["400"],
        ),
        (
            post("Content-Length: 18446744073709551615\r\n", EVENT),
            &["400", "413", "431"],
        ),
        (post("Content-Length: 1000000000000\r\n", EVENT), &["413"]),
        (post("Content-Length: 22, 23\r\n", EVENT), &["400"]),
        (
            post("Content-Length: 22\r\nContent-Length: 23\r\n", EVENT),
            &["400"],
        ),
        (post("Content-Length: 0x16\r\n", EVENT), &["400"]),
        (post(chunked, &chunk), &["400"]),
        (
            post(chunked, &format!("ffffffffffffffff\r\n{EVENT}")),
            &["400"],
        ),
        (
            post(chunked, &format!("10000000000000000\r\n{EVENT}")),
            &["400"],
        ),
        (
            post(chunked, &format!("-1\r\n{EVENT}\r\n0\r\n\r\n")),
            &["400"],
        ),
        (
            post(
                chunked,
                &format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length - 1),
            ),
            &["400"],
        ),
        (
            post(
                chunked,
                &format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length + 1),
            ),
            &["400"],
        ),
        (
            post(chunked, &format!("{length:x};{}\r\n", "x".repeat(32 << 10))),
            &["400"],
        ),
        (
            post(
                chunked,
                &format!("{chunk}0\r\n{}", "X-T: u\r\n".repeat(9_000)),
            ),
            &["400"],
        ),
        (post("Transfer-Encoding: gzip\r\n", EVENT), &["400"]),
        (
            post("Transfer-Encoding: chunked, identity\r\n", EVENT),
            &["400"],
        ),
        // Heads that are none, or too much.
        (post(&many, ""), &["431", "400"]),
        (post(&wide, ""), &["431"]),
        (post(&name, ""), &["431"]),
        (path, &["431", "414"]),
        (
            "POST /events HTTP/1.1\r\nX-A\u{0}: b\r\n\r\n".to_owned(),
            &["400"],
        ),
        (
            "POST /events HTTP/1.1\r\n X-A: b\r\n\r\n".to_owned(),
            &["400"],
        ),
        (
            "POST /events HTTP/1.1\r\nX A: b\r\n\r\n".to_owned(),
            &["400"],
        ),
        ("POST /events HTTP/9.9\r\n\r\n".to_owned(), &["400"]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &["400", ""]),
        ("POST /events\r\n\r\n".to_owned(), &["400"]),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), &["400"]),
        // Methods and paths.
        (
            "BREW /events HTTP/1.1\r\nHost: l\r\n\r\n".to_owned(),
            &["405"],
        ),
        (
            "CONNECT /events HTTP/1.1\r\nHost: l\r\n\r\n".to_owned(),
            &["400", "404", "405"],
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: l\r\n\r\n".to_owned(), &["404"]),
        (
            "POST //events HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["404"],
        ),
        (
            "POST /events/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["404"],
        ),
        (
            "POST /%65vents HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["404"],
        ),
        (
            "POST /x/../events HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["404"],
        ),
        ("POST /events\u{0} HTTP/1.1\r\n\r\n".to_owned(), &["400"]),
        (
            "POST /webhooks/%0d%0a/test HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["404"],
        ),
        (
            "POST /deliveries/-1/redeliver HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            &["400", "404"],
        ),
        (
            "POST /deliveries/99999999999999999999/redeliver HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
                .to_owned(),
            &["400", "404"],
        ),
    ];
    for (bytes, expected) in &cases {
        let answer = said(&world, bytes.as_bytes());
        let seen = statuses(&answer);
        let first = seen.first().copied().unwrap_or_default();
        assert!(expected.contains(&first), "{bytes:.200?}: {answer:.500}");
        assert!(
            !answer.contains("\u{16}") && !answer.contains('\0'),
            "{answer:?}"
        );
        assert_eq!(rows(&world), 0, "{bytes:.200?}: {answer:.500}");
    }
    assert!(Connection::new(&world).event(EVENT).is_some());
    let peak = daemon.memory_kib("VmHWM");
    println!("{} requests, peak {peak} KiB", cases.len());
    assert!(peak < 64 << 10, "{peak} KiB");
    daemon.stop();
}

#[test]
fn both_lengths_are_one_request_and_end_the_connection_or_are_refused() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let smuggled = format!(
        "POST /events HTTP/1.1\r\nHost: l\r\nContent-Length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    let body = format!("0\r\n\r\n{smuggled}");
    let headers = format!(
        "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
        body.len()
    );
    let answer = said(&world, post(&headers, &body).as_bytes());
    println!("{answer}");
    // RFC 9112, section 6.1: what follows such a request can't be told from its body.
    assert_eq!(
        rows(&world),
        i64::from(statuses(&answer).contains(&"202")),
        "{answer}"
    );
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    daemon.stop();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let length = format!("Content-Length: {}\r\n", EVENT.len());
    let one = post(&length, EVENT);
    let bad = post("Content-Length: 1\r\n", "7");
    let health = "GET /health HTTP/1.1\r\nHost: l\r\n\r\n";
    let all = [&one, &bad, health, &one, "nonsense\r\n\r\n", &one].concat();
    let answer = said(&world, all.as_bytes());
    assert_eq!(
        statuses(&answer),
        ["202", "400", "200", "202", "400"],
        "{answer}"
    );
    assert_eq!(rows(&world), 2);
    daemon.stop();
}

#[test]
fn a_bad_line_in_the_middle_stores_none_of_a_request() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let lines = "Content-Type: application/x-ndjson\r\n";
    for bad in [
        "{",
        "7",
        r#"{"event":"a b","data":1}"#,
        "{\"event\":\"a\",\"data\":\"\u{1}\"}",
        "\u{feff}",
    ] {
        let body = format!("{EVENT}\n\n{EVENT}\n{bad}\n{EVENT}\n");
        let headers = format!("{lines}Content-Length: {}\r\n", body.len());
        let answer = said(&world, post(&headers, &body).as_bytes());
        assert_eq!(statuses(&answer), ["400"], "{bad}: {answer}");
        assert!(answer.contains("item 3: "), "{bad}: {answer}");
        assert_eq!(rows(&world), 0, "{bad}");
    }
    daemon.stop();
}

#[test]
fn deep_and_many_are_refused_in_bounded_memory() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let deep = "[".repeat(100_000);
    let shut = "]".repeat(100_000);
    let many = "0,".repeat(30 << 20);
    let events = format!("{EVENT},").repeat(2_700_000);
    for (body, word) in [
        (
            format!("{{\"event\":\"a\",\"data\":{deep}{shut}}}"),
            "item 1: data is nested over 1,000 deep",
        ),
        (
            format!("{{\"event\":{deep}{shut},\"data\":1}}"),
            "item 1: event",
        ),
        (
            format!("{{\"event\":\"a\",\"data\":1,\"time\":{deep}{shut}}}"),
            "item 1: time",
        ),
        (format!("{deep}{shut}"), "item 1: "),
        (deep.clone(), "item 1: "),
        (format!("[{many}0]"), "item 1: "),
        (format!("[{events}0]"), "more than 100000 events"),
    ] {
        let headers = format!("Content-Length: {}\r\n", body.len());
        let answer = said(&world, post(&headers, &body).as_bytes());
        assert_eq!(statuses(&answer), ["400"], "{answer:.300}");
        assert!(
            answer.contains(word) || answer.contains("EOF"),
            "{word}: {answer:.300}"
        );
    }
    assert_eq!(rows(&world), 0);
    let peak = daemon.memory_kib("VmHWM");
    println!("peak {} MiB", peak >> 10);
    assert!(peak < 240 << 10, "{peak} KiB");
    daemon.stop();
}
