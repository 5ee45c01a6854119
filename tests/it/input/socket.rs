//! Requests that break HTTP's rules, or JSON's, over the real socket.
//!
//! Each gets its answer or an end, stores what it was told is stored, and the next client is served.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::socket::client::{Connection, stream};
use crate::socket::started;
use crate::support::World;

const EVENT: &str = r#"{"event":"a","data":1}"#;

/// A write that waits so long is not taken.
const STUCK: Duration = Duration::from_secs(1);

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
    format!("POST /events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
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

/// Bytes of a connection, and what the first answer may be.
type Case = (String, &'static [&'static str]);

/// Bodies whose length is a lie or none.
fn framing() -> Vec<Case> {
    let length = EVENT.len();
    let lengths: [(String, &[&str]); 8] = [
        (format!("{}", length + 1), &["400"]),
        ("-1".to_owned(), &["400"]),
        ("0x16".to_owned(), &["400"]),
        ("22, 23".to_owned(), &["400"]),
        ("22\r\nContent-Length: 23".to_owned(), &["400"]),
        ("1000000000000".to_owned(), &["413"]),
        ("18446744073709551615".to_owned(), &["400", "413", "431"]),
        ("18446744073709551616".to_owned(), &["400"]),
    ];
    let chunk = format!("{length:x}\r\n{EVENT}\r\n");
    let chunked = [
        chunk.clone(),
        format!("ffffffffffffffff\r\n{EVENT}"),
        format!("10000000000000000\r\n{EVENT}"),
        format!("-1\r\n{EVENT}\r\n0\r\n\r\n"),
        format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length - 1),
        format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", length + 1),
        format!("{length:x};{}\r\n", "x".repeat(32 << 10)),
        format!("{chunk}0\r\n{}", "X-T: u\r\n".repeat(9_000)),
    ];
    let lengths = lengths.into_iter().map(|(value, expected)| {
        (
            post(&format!("Content-Length: {value}\r\n"), EVENT),
            expected,
        )
    });
    let chunked =
        chunked.map(|body| -> Case { (post("Transfer-Encoding: chunked\r\n", &body), &["400"]) });
    let odd = ["gzip", "chunked, identity"].map(|encoding| -> Case {
        let header = format!("Transfer-Encoding: {encoding}\r\n");
        (post(&header, EVENT), &["400"])
    });
    lengths.chain(chunked).chain(odd).collect()
}

/// Heads that are none, or too much of one.
fn heads() -> Vec<Case> {
    let long = "b".repeat(20 << 10);
    let refused: [Case; 4] = [
        (post(&"X-A: b\r\n".repeat(65), ""), &["431", "400"]),
        (post(&format!("X-A: {long}\r\n"), ""), &["431"]),
        (post(&format!("{long}: b\r\n"), ""), &["431"]),
        (format!("POST /{long} HTTP/1.1\r\n\r\n"), &["431", "414"]),
    ];
    let broken = [
        "POST /events HTTP/1.1\r\nX-A\0: b\r\n\r\n",
        "POST /events HTTP/1.1\r\n X-A: b\r\n\r\n",
        "POST /events HTTP/1.1\r\nX A: b\r\n\r\n",
        "POST /events\0 HTTP/1.1\r\n\r\n",
        "POST /events HTTP/9.9\r\n\r\n",
        "POST /events\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01",
    ];
    let broken = broken.map(|bytes| -> Case { (bytes.to_owned(), &["400"]) });
    let two: Case = ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &["400", ""]);
    refused.into_iter().chain(broken).chain([two]).collect()
}

/// What no path takes.
fn methods_and_paths() -> Vec<Case> {
    let lines: [(&str, &[&str]); 11] = [
        ("BREW /events", &["405"]),
        ("CONNECT /events", &["400", "404", "405"]),
        ("OPTIONS *", &["404"]),
        ("POST //events", &["404"]),
        ("POST /events/", &["404"]),
        ("POST /%65vents", &["404"]),
        ("POST /x/../events", &["404"]),
        ("POST /webhooks/%0d%0aX-Evil:%201/test", &["404"]),
        ("POST /deliveries/-1/redeliver", &["400", "404"]),
        (
            "POST /deliveries/99999999999999999999/redeliver",
            &["400", "404"],
        ),
        ("GET /replays/%00", &["400", "404"]),
    ];
    let head = |line| format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    lines.map(|(line, expected)| (head(line), expected)).into()
}

#[test]
fn what_breaks_http_is_refused_and_stores_nothing() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let cases = [framing(), heads(), methods_and_paths()].concat();
    for (bytes, expected) in &cases {
        let answer = said(&world, bytes.as_bytes());
        let seen = statuses(&answer);
        let first = seen.first().copied().unwrap_or_default();
        assert!(expected.contains(&first), "{bytes:.200?}: {answer:.500}");
        assert!(!answer.contains(['\0', '\x16', '\x1b']), "{answer:?}");
        assert_eq!(rows(&world), 0, "{bytes:.200?}: {answer:.500}");
    }
    assert!(Connection::new(&world).event(EVENT).is_some());
    let peak = daemon.memory_kib("VmHWM");
    println!("{} requests, peak {peak} KiB", cases.len());
    assert!(peak < 64 << 10, "{peak} KiB");
    daemon.stop();
}

/// Lines that do not begin as an event's do, and what else is neither they nor HTTP.
#[test]
fn what_is_neither_http_nor_lines_is_told_what_is_taken() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    for bytes in [
        " {\"event\":\"a\",\"data\":1}\n",
        "[1]\n",
        "7\n",
        "\u{feff}{}\n",
    ] {
        let answer = said(&world, bytes.as_bytes());
        assert_eq!(statuses(&answer), ["400"], "{bytes}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let words = body["error"].as_str().unwrap();
        assert!(words.contains("one JSON object"), "{words}");
        assert_eq!(rows(&world), 0);
    }
    // A line's bytes are counted as those of a body and of `emit -`.
    let answer = said(&world, b"{\"event\":\"\xff\"}\n");
    let words = "the line is not UTF-8 from byte 11 on";
    assert_eq!(answer, format!("{{\"error\":\"{words}\"}}\n"));
    daemon.stop();
}

#[test]
fn both_lengths_are_one_request_and_end_the_connection_or_are_refused() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let smuggled = format!(
        "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{EVENT}",
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
    let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
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

#[test]
fn clients_that_read_no_answers_cost_nobody_anything() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let asks = [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "{\"event\":\"a\"}\n",
    ];
    let floods: Vec<_> = (0..8)
        .map(|n| {
            let (mut stream, ask) = (stream(&world), asks[n % 2].repeat(100));
            stream.set_write_timeout(Some(STUCK)).unwrap();
            std::thread::spawn(move || {
                let mut sent = 0;
                while stream.write_all(ask.as_bytes()).is_ok() {
                    sent += 100;
                    assert!(sent < 1_000_000, "nothing stops it");
                }
                (stream, sent)
            })
        })
        .collect();
    let floods: Vec<_> = floods.into_iter().map(|f| f.join().unwrap()).collect();
    let sent: Vec<usize> = floods.iter().map(|(_, sent)| *sent).collect();
    assert!(Connection::new(&world).event(EVENT).is_some());
    let peak = daemon.memory_kib("VmHWM");
    println!("taken before they were stopped: {sent:?}, peak {peak} KiB");
    assert!(peak < 64 << 10, "{peak} KiB");
    drop(floods);
    daemon.stop();
}
