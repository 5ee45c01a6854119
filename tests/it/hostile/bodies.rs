//! Bodies of answers: slow, endless, wrongly framed, wrongly encoded. The status came before them,
//! so each is delivered, in bounded time, and no more is kept than 64 KiB.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::peer::{drips, floods, says, says_and_waits};
use super::trial::{Case, KEPT_BYTES, case, try_all};

const DATA: &str = r#"{"to":"whom it may concern"}"#;
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const TEXT: &[u8] = b"Danke. Danke. Danke. Danke.";

fn ok(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n")
}

fn with(headers: &str, body: &[u8]) -> Vec<u8> {
    [ok(headers).as_bytes(), body].concat()
}

#[test]
fn bodies_that_never_end() {
    let chunked = ok(CHUNKED);
    let chunk = format!("400\r\n{}\r\n", "c".repeat(1024));
    let slow =
        |name: &str, first: &str, again: &str| case(name, drips(first, again)).in_three_seconds();
    let cases = vec![
        slow("slow-length", &ok("Content-Length: 5000\r\n"), "y").keeping(20..=400),
        slow("slow-to-the-end", &ok(""), "y").keeping(20..=400),
        slow("slow-chunks", &chunked, "1\r\ny\r\n").keeping(20..=400),
        slow("slow-chunk-size", &chunked, "0").keeping(0..=0),
        slow("slow-chunk-extension", &format!("{chunked}1;"), "e").keeping(0..=0),
        slow("slow-trailers", &format!("{chunked}1\r\ny\r\n0\r\n"), "t").keeping(1..=1),
        case("silent-length", says_and_waits(ok("Content-Length: 5\r\n")))
            .in_three_seconds()
            .keeping(0..=0),
        case("silent-chunks", says_and_waits(chunked.clone()))
            .in_three_seconds()
            .keeping(0..=0),
        case("endless-to-the-end", floods(ok(""), vec![b'e'; 16 * 1024]))
            .keeping(KEPT_BYTES..=KEPT_BYTES),
        case(
            "endless-length",
            floods(
                ok("Content-Length: 18446744073709551613\r\n"),
                vec![b'e'; 16 * 1024],
            ),
        )
        .keeping(KEPT_BYTES..=KEPT_BYTES),
        case("endless-chunks", floods(chunked.clone(), chunk)).keeping(KEPT_BYTES..=KEPT_BYTES),
        case(
            "endless-tiny-chunks",
            floods(chunked.clone(), "1\r\ny\r\n".repeat(1_000)),
        )
        .keeping(KEPT_BYTES..=KEPT_BYTES),
        case(
            "endless-chunk-size",
            floods(chunked.clone(), "0".repeat(1_000)),
        )
        .keeping(0..=0),
        case(
            "endless-chunk-extension",
            floods(format!("{chunked}1;"), "e".repeat(1_000)),
        )
        .keeping(0..=0),
        case(
            "endless-trailers",
            floods(format!("{chunked}1\r\ny\r\n0\r\n"), "a: b\r\n".repeat(100)),
        )
        .keeping(1..=1),
    ];
    try_all(cases, DATA, &[]);
}

/// Header lines of a 200, a body, and how much of it is kept.
const FRAMED: &[(&str, &str, &str, i64)] = &[
    ("length-too-long", "Content-Length: 10\r\n", "abc", 3),
    ("length-too-short", "Content-Length: 2\r\n", "abcdef", 2),
    (
        "length-of-almost-all-there-is",
        "Content-Length: 18446744073709551613\r\n",
        "abc",
        3,
    ),
    (
        "length-and-chunked",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "5\r\nabcde\r\n0\r\n\r\n",
        5,
    ),
    (
        "chunked-and-length",
        "Transfer-Encoding: chunked\r\nContent-Length: 99\r\n",
        "5\r\nabcde\r\n0\r\n\r\n",
        5,
    ),
    (
        "chunked-and-bad-length",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        "5\r\nabcde\r\n0\r\n\r\n",
        5,
    ),
    (
        "chunked-not-last",
        "Transfer-Encoding: chunked, gzip\r\n",
        "abc",
        3,
    ),
    ("unknown-transfer", "Transfer-Encoding: rot13\r\n", "abc", 3),
    ("no-framing", "", "abc", 3),
    ("no-framing-and-no-body", "", "", 0),
    ("chunk-size-huge", CHUNKED, "FFFFFFFFFFFFFFFF\r\nabc", 3),
    (
        "chunk-size-overflows",
        CHUNKED,
        "FFFFFFFFFFFFFFFFF\r\nabc",
        0,
    ),
    ("chunk-size-no-hex", CHUNKED, "zz\r\nabc\r\n0\r\n\r\n", 0),
    ("chunk-size-negative", CHUNKED, "-3\r\nabc\r\n0\r\n\r\n", 0),
    ("chunk-size-missing", CHUNKED, "\r\nabc\r\n0\r\n\r\n", 0),
    ("chunk-too-long", CHUNKED, "9\r\nabc\r\n0\r\n\r\n", 9),
    ("chunk-too-short", CHUNKED, "2\r\nabc\r\n0\r\n\r\n", 2),
    ("chunk-without-end", CHUNKED, "3\r\nabc\r\n", 3),
    ("chunk-half", CHUNKED, "3\r\nab", 2),
    (
        "chunks-and-more",
        CHUNKED,
        "3\r\nabc\r\n0\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n",
        3,
    ),
    (
        "chunk-trailers-odd",
        CHUNKED,
        "3\r\nabc\r\n0\r\n\0\0: x\r\n\r\n",
        3,
    ),
];

#[test]
fn bodies_whose_framing_lies() {
    let mut cases: Vec<Case> = FRAMED
        .iter()
        .map(|(name, headers, body, kept)| {
            case(*name, says(with(headers, body.as_bytes()))).keeping(*kept..=*kept)
        })
        .collect();
    // hyper keeps the two largest numbers for its own ends.
    let most = with("Content-Length: 18446744073709551615\r\n", b"abc");
    let large = vec![b'b'; 8 * 1024 * 1024];
    let length = format!("Content-Length: {}\r\n", large.len());
    cases.extend([
        case("length-of-all-there-is", says(most)).keeping(3..=3),
        case("eight-mebibytes", says(with(&length, &large))).keeping(KEPT_BYTES..=KEPT_BYTES),
        case(
            "exactly-what-is-kept",
            says(with("Content-Length: 65536\r\n", &large[..65536])),
        )
        .keeping(KEPT_BYTES..=KEPT_BYTES),
        case("nul-bytes", says(with("", &[0; 1000]))).keeping(1000..=1000),
    ]);
    try_all(cases, DATA, &[]);
}

#[test]
fn bodies_that_are_encoded() {
    let text = i64::try_from(TEXT.len()).unwrap();
    let packed = gzip(TEXT);
    let zeros = vec![0_u8; 64 * 1024 * 1024];
    let bomb = gzip(&zeros);
    let all = KEPT_BYTES..=KEPT_BYTES;
    let raw = |bytes: &[u8]| {
        let length = i64::try_from(bytes.len()).unwrap();
        length..=length
    };
    let encoded = |name: &str, encoding: &str, body: &[u8]| {
        let headers = format!(
            "Content-Encoding: {encoding}\r\nContent-Length: {}\r\n",
            body.len()
        );
        case(name, says(with(&headers, body)))
    };
    let torn = &packed[..packed.len() - 12];
    let flipped: Vec<u8> = packed.iter().map(|byte| byte ^ 0x55).collect();
    let twice = gzip(&packed);
    let mut named = packed[..10].to_vec();
    named[3] = 0x08;
    named.resize(100_000, b'n');
    let cases: Vec<Case> = vec![
        encoded("gzip", "gzip", &packed).keeping(text..=text),
        encoded("gzip-bomb", "gzip", &bomb).keeping(all.clone()),
        encoded("zlib-bomb", "deflate", &zlib(&zeros)).keeping(all.clone()),
        encoded("deflate-bomb", "deflate", &deflate(&zeros)).keeping(all),
        encoded("gzip-of-a-bomb", "gzip", &gzip(&bomb)).keeping(0..=KEPT_BYTES),
        encoded("gzip-twice", "gzip, gzip", &twice).keeping(raw(&twice)),
        encoded(
            "gzip-in-two-lines",
            "gzip\r\nContent-Encoding: gzip",
            &twice,
        )
        .keeping(raw(&twice)),
        encoded("brotli", "br", TEXT).keeping(text..=text),
        encoded("zstd", "zstd", TEXT).keeping(text..=text),
        encoded("unknown", "rot13", TEXT).keeping(text..=text),
        encoded("nothing-named", "", TEXT).keeping(text..=text),
        encoded("gzip-truncated", "gzip", torn).keeping(raw(torn)),
        encoded("gzip-not-at-all", "gzip", TEXT).keeping(text..=text),
        encoded("gzip-flipped", "gzip", &flipped).keeping(raw(&flipped)),
        encoded("gzip-empty", "gzip", b"").keeping(0..=0),
        encoded("gzip-of-empties", "gzip", &gzip(b"").repeat(3_000)).keeping(0..=0),
        encoded("gzip-with-an-endless-name", "gzip", &named).keeping(KEPT_BYTES..=KEPT_BYTES),
        case(
            "gzip-broken-off",
            says(with(
                "Content-Encoding: gzip\r\nContent-Length: 999\r\n",
                torn,
            )),
        )
        .keeping(1..=text.max(60)),
    ];
    try_all(cases, DATA, &[]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
