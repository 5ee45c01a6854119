//! Heads of answers: slow, endless, huge, of another protocol, odd, or not to be believed.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::peer::{Peer, drips, floods, says, says_and_waits, until_closed};
use super::trial::{Case, case, try_all};
use crate::support::{SOON, World, hook};

const DATA: &str = r#"{"to":"whom it may concern"}"#;
const NO_HTTP: &str = "is not HTTP";
const TOO_LARGE: &str = "the head of the answer is larger than 64 KiB";
const BROKEN_OFF: &str = "closed the connection before its answer was whole";
const FLOOD: &str = "more than 512 KiB came for one answer, and no end of its head";
const UNFINISHED: &str = "no answer but interim or unfinished ones within 3 s";

#[test]
fn heads_that_never_end() {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1_000));
    let ok = "HTTP/1.1 200 OK\r\n";
    let slow = |name: &str, first: &str, again: &str| {
        case(name, drips(first, again))
            .fails("response-timeout", UNFINISHED)
            .in_three_seconds()
    };
    let fast = |name: &str, first: &str, again: &str| {
        case(name, floods(first, again)).fails("protocol", TOO_LARGE)
    };
    let silent = |name: &str, said: &str| {
        case(name, says_and_waits(said))
            .fails("response-timeout", "within 3 s of connecting")
            .in_three_seconds()
    };
    let cases = vec![
        slow("slow-value", "HTTP/1.1 200 OK\r\nX-Slow: ", "z"),
        slow("slow-lines", ok, "a: b\r\n"),
        slow("slow-reason", "HTTP/1.1 200 ", "O"),
        slow("slow-empty-lines", "", "\r\n"),
        slow("slow-100", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        slow("slow-102", "", "HTTP/1.1 102 Processing\r\n\r\n"),
        slow(
            "slow-103",
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        ),
        silent("silence", ""),
        silent("half-a-version", "HTTP/1."),
        silent("no-empty-line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
        silent("only-100", "HTTP/1.1 100 Continue\r\n\r\n"),
        silent("only-199", "HTTP/1.1 199 Odd\r\nContent-Length: 0\r\n\r\n"),
        // A status line alone does not make up for a head that has no end.
        slow(
            "slow-odd-lines",
            "HTTP/1.1 200 OK\r\nno colon\r\n",
            "no colon\r\n",
        ),
        silent("no-empty-line-odd", "HTTP/1.1 200 OK\r\nno colon\r\n"),
        fast("endless-lines", ok, &line),
        fast(
            "endless-value",
            "HTTP/1.1 200 OK\r\nX: ",
            &line.replace("\r\n", " "),
        ),
        fast("endless-name", ok, &"n".repeat(1_000)),
        fast("endless-reason", "HTTP/1.1 200 ", &"O".repeat(1_000)),
        fast("endless-empty-lines", "", &"\r\n".repeat(500)),
        case(
            "flood-of-103",
            floods("", "HTTP/1.1 103 Hints\r\n\r\n".repeat(100)),
        )
        .fails("protocol", FLOOD),
        case(
            "flood-of-100",
            floods("", "HTTP/1.1 100 Go on\r\n\r\n".repeat(100)),
        )
        .fails("protocol", FLOOD),
        case("endless-zeros", floods("", vec![0; 1_000])).fails("protocol", NO_HTTP),
    ];
    try_all(cases, DATA, &[]);
}

#[test]
fn answers_that_are_no_http() {
    let mut cases: Vec<Case> = NO_STATUS_LINES
        .iter()
        .map(|(name, said)| case(*name, says(*said)).fails("protocol", NO_HTTP))
        .collect();
    let binary: [(&str, &[u8]); 4] = [
        (
            "http2-settings",
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff",
        ),
        ("tls-alert", b"\x15\x03\x01\0\x02\x02\x46"),
        ("nul-bytes", &[0; 64]),
        ("mysql-greeting", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0"),
    ];
    for (name, said) in binary {
        cases.push(case(name, says(said)).fails("protocol", NO_HTTP));
    }
    cases.push(
        case(
            "ssh-banner-stays-open",
            says_and_waits("SSH-2.0-OpenSSH_9.2p1\r\n"),
        )
        .fails("protocol", NO_HTTP),
    );
    cases.push(
        case("nothing-at-all", says("")).fails("closed", "closed the connection without an answer"),
    );
    cases.push(case("empty-lines-only", says("\r\n\r\n\r\n")).fails("closed", BROKEN_OFF));
    cases.push(
        case(
            "only-100-then-closed",
            says("HTTP/1.1 100 Continue\r\n\r\n"),
        )
        .fails("closed", BROKEN_OFF),
    );
    let echo = |stream: &mut TcpStream| {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        drop(stream.write_all(&request[..length]));
        until_closed(stream);
    };
    cases.push(case("echo", Box::new(echo)).fails("protocol", "it is the request itself"));
    let mut banners: Vec<Case> = Vec::new();
    for (name, said, words) in [
        (
            "ssh",
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            "it begins with \"SSH-2.0-OpenSSH_9.2p1\\r\\n\"",
        ),
        (
            "smtp",
            "220 mail ESMTP\r\n",
            "it begins with \"220 mail ESMTP\\r\\n\"",
        ),
        (
            "quotes",
            "\"\\\x1b[2J",
            "it begins with \"\\\"\\\\\\x1b[2j\"",
        ),
    ] {
        banners.push(case(name, says_and_waits(said)).fails("protocol", words));
    }
    cases.append(&mut banners);
    try_all(cases, DATA, &[]);
}

/// Lines that come where a status line should.
const NO_STATUS_LINES: &[(&str, &str)] = &[
    ("ssh-banner", "SSH-2.0-OpenSSH_9.2p1\r\n"),
    ("smtp-banner", "220 mail.example.com ESMTP Postfix\r\n"),
    ("ftp-banner", "220-Welcome\r\n220 ready\r\n"),
    ("imap-banner", "* OK [CAPABILITY IMAP4rev1] ready\r\n"),
    (
        "redis-error",
        "-ERR wrong number of arguments for 'POST' command\r\n",
    ),
    ("http2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("http2-version", "HTTP/2 200\r\n\r\n"),
    ("http20-version", "HTTP/2.0 200 OK\r\n\r\n"),
    ("http09-version", "HTTP/0.9 200 OK\r\n\r\n"),
    ("http09-body", "<html><body>It works!</body></html>\r\n"),
    ("no-version", "200 OK\r\n\r\n"),
    ("icecast", "ICY 200 OK\r\n\r\n"),
    ("lower-case", "http/1.1 200 OK\r\n\r\n"),
    ("space-before", " HTTP/1.1 200 OK\r\n\r\n"),
    ("no-space", "HTTP/1.1200 OK\r\n\r\n"),
    ("status-empty", "HTTP/1.1 \r\n\r\n"),
    ("status-missing", "HTTP/1.1\r\n\r\n"),
    ("status-letters", "HTTP/1.1 OK 200\r\n\r\n"),
    ("status-99", "HTTP/1.1 99 Low\r\n\r\n"),
    ("status-099", "HTTP/1.1 099 Low\r\n\r\n"),
    ("status-000", "HTTP/1.1 000 None\r\n\r\n"),
    ("status-1000", "HTTP/1.1 1000 High\r\n\r\n"),
    ("status-negative", "HTTP/1.1 -200 OK\r\n\r\n"),
    ("status-plus", "HTTP/1.1 +20 OK\r\n\r\n"),
    ("status-glued", "HTTP/1.1 200OK\r\n\r\n"),
];

/// Heads that are wrong behind a good status line: its status counts.
const STATUS_LINES: &[(&str, &str)] = &[
    ("http12-version", "HTTP/1.2 200 OK\r\n\r\n"),
    ("two-spaces", "HTTP/1.1  200 OK\r\n\r\n"),
    ("tab", "HTTP/1.1 200\tOK\r\n\r\n"),
    ("two-returns", "HTTP/1.1 200 OK\r\r\nX: 1\r\r\n\r\r\n"),
    ("reason-with-nul", "HTTP/1.1 200 O\0K\r\n\r\n"),
    ("name-with-nul", "HTTP/1.1 200 OK\r\nX-\0: 1\r\n\r\n"),
    ("name-with-space", "HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n"),
    ("name-empty", "HTTP/1.1 200 OK\r\n: 1\r\n\r\n"),
    ("no-colon", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    ("value-with-nul", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
    ("value-with-escape", "HTTP/1.1 200 OK\r\nX: \x1b[2J\r\n\r\n"),
    ("value-with-return", "HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n"),
    (
        "length-negative",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    ),
    (
        "length-signed",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        "length-letters",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    ),
    (
        "length-hex",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    ),
    (
        "length-empty",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
    ),
    (
        "length-overflows",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
    ),
    (
        "lengths-differ",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    (
        "lengths-differ-in-a-line",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    ),
    (
        "chunked-in-http10",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("only-a-status-line", "HTTP/1.1 200 OK\r\n"),
    ("no-empty-line", "HTTP/1.1 200 OK\r\nhello"),
    (
        "cut-in-a-name",
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Le",
    ),
    (
        "hints-then-no-colon",
        "HTTP/1.1 103 Hints\r\nno colon\r\n\r\nHTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ),
];

#[test]
fn what_follows_a_status_line_is_kept_as_far_as_it_can_be_read() {
    let mut cases: Vec<Case> = Vec::new();
    for (name, said) in STATUS_LINES {
        let body = match said.split_once("\r\n\r\n") {
            Some((_, "hello")) => 5..=5,
            _ => 0..=0,
        };
        cases.push(case(*name, says(*said)).keeping(body));
        let refused = said.replace("200", "503");
        let name = format!("{name}-503");
        cases.push(case(name, says(refused)).answered(503, "answered 503"));
    }
    cases.push(
        case(
            "stays-open",
            says_and_waits("HTTP/1.1 200 OK\r\nno colon\r\n\r\nhello"),
        )
        .keeping(5..=5)
        .in_three_seconds(),
    );
    cases.push(
        case(
            "ends-by-its-length",
            says_and_waits("HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5\r\n\r\nhello"),
        )
        .keeping(5..=5)
        .in_no_time(),
    );
    try_all(cases, DATA, &[]);
}

/// What is wrong with an answer is said to whom can mend it.
#[test]
fn an_odd_head_is_told() {
    let peer = Peer::start(says("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"));
    let url = format!("http://{}/", peer.address());
    let world = World::bare(&[]);
    world.configure_with("\n[socket]\npath = \"s.sock\"", &[hook("odd", url)]);
    world.make_outbox("WAL");
    let daemon = world.start();
    let words = "the head of the answer is not proper HTTP: ";
    let tried = world.command(&["test", "odd"]);
    assert!(
        tried.stdout.contains(words),
        "{}",
        tried.stdout + &tried.stderr
    );
    let row = &world.attempts("outcome, status, error, response_headers, note", 1, SOON)[0];
    assert_eq!(row[..4], ["delivered", "200", "NULL", "no colon"]);
    assert!(row[4].starts_with(words), "{row:?}");
    daemon.stop();
}

#[test]
fn heads_at_and_over_their_limits() {
    let lines = |count: usize| {
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
            "a: b\r\n".repeat(count - 1)
        )
    };
    let one_line = |length: usize| {
        let value = "v".repeat(length);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {value}\r\n\r\n")
    };
    let cases = vec![
        case("100-headers", says(lines(100))).keeping(0..=0),
        case("101-headers", says(lines(101))).keeping(0..=0),
        case("10000-headers", says(lines(10_000))).keeping(0..=0),
        case("12000-headers", says(lines(12_000))).fails("protocol", TOO_LARGE),
        case("line-of-60-kib", says(one_line(60 * 1024))).keeping(0..=0),
        case("line-of-1-mib", says(one_line(1024 * 1024))).fails("protocol", TOO_LARGE),
        case(
            "name-of-60-kib",
            says(format!(
                "HTTP/1.1 200 OK\r\n{}: v\r\nContent-Length: 0\r\n\r\n",
                "n".repeat(60 * 1024)
            )),
        )
        .keeping(0..=0),
        case(
            "name-of-70-kib",
            says(format!(
                "HTTP/1.1 200 OK\r\n{}: v\r\n\r\n",
                "n".repeat(70 * 1024)
            )),
        )
        .fails("protocol", TOO_LARGE),
    ];
    try_all(cases, DATA, &[]);
}

/// What is sloppy and yet can be understood is an answer: its status counts.
#[test]
fn odd_heads_that_are_answers() {
    let odd: &[(&str, &[u8])] = &[
        ("no-reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        ("reason-in-latin-1", b"HTTP/1.1 200 D'accord \xe9\r\nContent-Length: 0\r\n\r\n"),
        ("bare-line-feeds", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        ("empty-lines-before", b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("value-in-utf-8", "HTTP/1.1 200 OK\r\nX-Prost: Grüße\r\nContent-Length: 0\r\n\r\n".as_bytes()),
        ("value-of-high-bytes", b"HTTP/1.1 200 OK\r\nX: \x80\xff\xfe\r\nContent-Length: 0\r\n\r\n"),
        ("value-with-tabs", b"HTTP/1.1 200 OK\r\nX: \ta\tb\t\r\nContent-Length: 0\r\n\r\n"),
        ("value-folded", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length: 0\r\n\r\n"),
        ("name-of-odd-tokens", b"HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~: x\r\nContent-Length: 0\r\n\r\n"),
        ("space-before-colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
        ("lengths-agree", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        ("http-1-0", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("100-before", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("hints-before", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    let mut cases: Vec<Case> = odd
        .iter()
        .map(|(name, said)| case(*name, says(*said)).keeping(0..=0))
        .collect();
    let status = |name: &str, line: &str| case(name, says(format!("HTTP/1.1 {line}\r\n\r\nbody")));
    cases.extend([
        status(
            "no-content-with-a-body",
            "204 No Content\r\nContent-Length: 4",
        )
        .delivered(204)
        .keeping(0..=0),
        status(
            "reset-content-with-a-body",
            "205 Reset Content\r\nContent-Length: 4",
        )
        .delivered(205),
        status(
            "partial-content",
            "206 Partial\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4",
        )
        .delivered(206),
        status("last-of-200", "299 Odd\r\nContent-Length: 4").delivered(299),
        status(
            "not-modified-with-a-body",
            "304 Not Modified\r\nContent-Length: 4",
        )
        .answered(304, "answered 304 to a POST")
        .keeping(0..=0),
        status(
            "switching",
            "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket",
        )
        .answered(101, "no other protocol was asked for")
        .keeping(0..=0),
        status("switching-to-nothing", "101 Switching Protocols")
            .answered(101, "no other protocol was asked for")
            .keeping(0..=0),
        status(
            "after-an-interim-one",
            "103 Hints\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 4",
        )
        .answered(503, "answered 503"),
        status("status-600", "600 Odd\r\nContent-Length: 4").answered(600, "answered 600"),
        status("status-999", "999 Odd\r\nContent-Length: 4").answered(999, "answered 999"),
    ]);
    try_all(cases, DATA, &[]);
}
