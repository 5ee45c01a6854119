//! What is read of an answer is what hyper reads: status, headers, body, and whether the connection may
//! be used again.
//!
//! Both are told the same bytes in the same pieces, without a socket. Where hyper reads the answer,
//! ours is the same; where it gives it up, ours is odd, and its connection is not used again; and a
//! connection that hyper would not use again is never used by us. `WEBHOOKSD_TEST_ANSWERS` says how many answers
//! are tried of each kind.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http_body_util::Full;
use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::io::{AsyncWrite, DuplexStream};

use super::super::http1::{BODY_BYTES, Error, HeadReader};
use super::arbitrary::{make, mistake, mistaken};
use super::*;
use crate::model::Headers;

/// How many answers of each kind are tried in the short form.
const ANSWERS: u32 = 1_000;
/// Polls in which whatever can be done without further bytes is done.
const ROUNDS: usize = 64;

const LINES: &[&str] = &[
    "Content-Length: 0",
    "content-length: 5",
    "Content-Length:5",
    "Content-Length: 05 ",
    "Content-Length: 70000",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Connection: close",
    "connection: Keep-Alive",
    "Connection: keep-alive, close",
    "Connection: upgrade",
    "Upgrade: h2c",
    "Keep-Alive: timeout=5, max=100",
    "Keep-Alive: timeout=1",
    "Keep-Alive: 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Trailer: X",
    "Content-Encoding: identity",
    "Server:  two  words \t",
    "X-Empty:",
    "X_Odd.name~: 1",
    "Set-Cookie: a=b; Path=/",
    "SET-cookie: c",
    "X-Tab: a\tb",
    "X-Latin: \u{e9}",
    "Date: Sun, 06 Nov 1994 08:49:37 GMT",
];

/// An answer of such lines, mostly with a length that is its body's.
fn lined() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just("HTTP/1.1 200 OK".to_owned()),
        4 => (190..1_000_u16).prop_map(|status| format!("HTTP/1.1 {status} Some words")),
        1 => select(&["HTTP/1.1 200", "HTTP/1.1 204 ", "HTTP/1.1 304 No", "HTTP/1.1 2000 OK", "HTTP/1.1 20 OK", "HTTP/1.0 200 OK", "http/1.1 200 OK", "HTTP/1.1 200-OK", "HTTP/1.1  200 OK"][..])
            .prop_map(str::to_owned),
    ];
    let body = vec(any::<u8>(), 0..12);
    let fitting = prop_oneof![3 => Just(true), 1 => Just(false)];
    let lines = vec(select(LINES), 0..4);
    (first, lines, body, fitting, vec(mistake(), 0..2)).prop_map(
        |(first, mut lines, body, fitting, mistakes)| {
            let length = format!("Content-Length: {}", body.len());
            if fitting {
                lines.retain(|line| !line.to_lowercase().starts_with("content-length"));
                lines.push(&length);
            }
            let head = format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n"));
            let mut bytes = [head.as_bytes(), &body].concat();
            for mistake in &mistakes {
                make(&mut bytes, mistake);
            }
            bytes
        },
    )
}

/// What is seen of an answer.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: Headers,
    /// As far as it is kept.
    body: Vec<u8>,
    whole: bool,
    /// Whether the connection may be used again.
    kept: bool,
    /// Whether the head was improper.
    odd: bool,
}

/// The answer as it is read here.
fn ours(bytes: &[u8], piece: usize) -> Result<Seen, Error> {
    let mut reader = HeadReader::default();
    let mut pieces = bytes.chunks(piece);
    let found = pieces.find_map(|some| reader.take(some).transpose());
    let mut reply = match found {
        Some(reply) => reply?,
        None => reader.end(Error::Closed)?,
    };
    for some in pieces {
        reply.body.feed(some);
    }
    reply.body.end(true);
    Ok(Seen {
        status: reply.status,
        headers: reply.headers,
        kept: reply.keep.is_some() && reply.body.ends_clearly(),
        whole: reply.body.is_whole,
        odd: reply.flaw.is_some(),
        body: reply.body.into_bytes(),
    })
}

/// hyper's connection, and its other end.
struct Oracle {
    driver: http1::Connection<TokioIo<DuplexStream>, Full<Bytes>>,
    is_done: bool,
    peer: DuplexStream,
}

impl Oracle {
    /// Lets hyper work until nothing more comes of it, or the future is ready.
    fn drive<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..ROUNDS {
            if !self.is_done {
                self.is_done = self.driver.poll_without_shutdown(&mut cx).is_ready();
            }
            if let Poll::Ready(value) = poll(&mut cx) {
                return Some(value);
            }
        }
        None
    }

    /// The same, and where nothing comes of it the peer ends.
    fn drive_to_the_end<T>(
        &mut self,
        ended: &mut bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        if let Some(value) = self.drive(&mut poll) {
            return Some(value);
        }
        *ended = true;
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut self.peer).poll_shutdown(&mut cx).is_ready());
        self.drive(poll)
    }
}

/// The answer as hyper reads it; `None`: it gives it up.
async fn hypers(bytes: &[u8]) -> Option<Seen> {
    let (near, peer) = tokio::io::duplex(1 << 20);
    let (mut sender, driver) = http1::Builder::new()
        .max_buf_size(64 * 1024)
        .max_header_size(64 * 1024)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(near))
        .await
        .unwrap();
    let mut oracle = Oracle {
        driver,
        is_done: false,
        peer,
    };
    let mut request = http::Request::new(Full::new(Bytes::new()));
    *request.method_mut() = http::Method::POST;
    let mut answer = pin!(sender.send_request(request));
    assert!(oracle.drive(|cx| answer.as_mut().poll(cx)).is_none());
    take_request(&mut oracle.peer, bytes).await;
    let mut ended = false;
    let answer = oracle.drive_to_the_end(&mut ended, |cx| answer.as_mut().poll(cx));
    let (head, mut body) = answer?.ok()?.into_parts();
    let mut kept = Vec::new();
    let mut whole = false;
    loop {
        let next = |cx: &mut Context<'_>| Pin::new(&mut body).poll_frame(cx);
        match oracle.drive_to_the_end(&mut ended, next) {
            Some(Some(Ok(frame))) => kept.extend(frame.into_data().unwrap_or_default()),
            Some(None) => break whole = true,
            Some(Some(Err(_))) | None => break,
        }
    }
    // What may still come of it.
    oracle.drive(|_| Poll::<()>::Pending);
    let mut headers = Headers::default();
    for (name, value) in &head.headers {
        headers.push(name.as_str(), value.as_bytes());
    }
    whole &= kept.len() <= BODY_BYTES;
    kept.truncate(BODY_BYTES);
    Some(Seen {
        status: head.status.as_u16(),
        headers,
        body: kept,
        whole,
        kept: whole && !ended && !oracle.is_done && sender.is_ready(),
        odd: false,
    })
}

/// Takes the request and gives the answer.
async fn take_request(peer: &mut DuplexStream, answer: &[u8]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(peer.read_u8().await.unwrap());
    }
    peer.write_all(answer).await.unwrap();
}

/// Headers in an order that does not depend on which were repeated.
fn sorted(headers: &Headers) -> Vec<&str> {
    let mut lines: Vec<_> = headers.lines().split('\n').collect();
    // A stable order of the names: repeated ones stay in theirs.
    lines.sort_by_key(|line| line.split_once(':').map(|(name, _)| name));
    lines
}

/// Whether the answer is one that both read.
fn judge(ours: Result<Seen, Error>, hypers: Option<Seen>) -> Result<bool, TestCaseError> {
    let Some(hypers) = hypers else {
        if let Ok(ours) = ours {
            prop_assert!(ours.odd && !ours.kept, "hyper gives it up: {ours:?}");
        }
        return Ok(false);
    };
    let both = format!("{ours:?}\n{hypers:?}");
    let Ok(ours) = ours else {
        return Err(TestCaseError::fail(both));
    };
    prop_assert!(!ours.odd, "{both}");
    prop_assert_eq!(ours.status, hypers.status, "{}", both);
    prop_assert_eq!(sorted(&ours.headers), sorted(&hypers.headers), "{}", both);
    prop_assert!(hypers.kept || !ours.kept, "{both}");
    if hypers.whole {
        prop_assert!(ours.whole && ours.body == hypers.body, "{both}");
    } else {
        // What hyper finds broken may be read further.
        prop_assert!(ours.body.starts_with(&hypers.body), "{both}");
    }
    Ok(true)
}

#[test]
fn hyper_reads_the_same() {
    let answers = std::env::var("WEBHOOKSD_TEST_ANSWERS").ok();
    let cases = answers.map_or(ANSWERS, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    for strategy in [lined().boxed(), mistaken().boxed()] {
        let (read, kept) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let strategy = (strategy, prop_oneof![1..8_usize, 8..5_000_usize]);
        let judged = |(bytes, piece): (Vec<u8>, usize)| {
            let ours = ours(&bytes, piece);
            kept.set(kept.get() + u32::from(ours.as_ref().is_ok_and(|ours| ours.kept)));
            // Outside of any task, or tokio's budget would end the reading.
            let hypers = runtime.block_on(tokio::task::coop::unconstrained(hypers(&bytes)));
            let is_read = judge(ours, hypers)?;
            read.set(read.get() + u32::from(is_read));
            Ok(())
        };
        if let Err(error) = TestRunner::new(config.clone()).run(&strategy, judged) {
            panic!("{error}");
        }
        let (read, kept) = (read.get(), kept.get());
        assert!(
            read > cases / 5 && kept > cases / 20,
            "{read}, {kept} of {cases}"
        );
    }
}

/// Connections that hyper would use again are, where nothing is odd.
#[test]
fn common_answers_keep_their_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nX : a\r\n b\r\n\r\nok",
    ] {
        for piece in [1, 7, answer.len()] {
            let ours = ours(answer.as_bytes(), piece).unwrap();
            assert!(ours.kept && ours.whole && !ours.odd, "{ours:?}");
        }
    }
}

/// A body in pieces, and one byte too many.
#[tokio::test]
async fn a_body_that_comes_later_is_read_whole() {
    for (more, kept_after) in [("hello", 1), ("hello!", 0)] {
        let to = serve(move |_, mut stream| async move {
            read_request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
            for piece in [&head[..], b"12345", more.as_bytes()] {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            closed(&mut stream).await;
        })
        .await;
        let client = client();
        let to = kept(&client, to);
        let answer = answer(send(&client, &to).await);
        assert_eq!(
            (&answer.body[..], answer.truncated),
            (&b"12345hello"[..], false)
        );
        assert_eq!(to.sweep_idle(), kept_after);
    }
}

/// Answers of both framings in a row.
#[tokio::test]
async fn chunks_and_lengths_share_a_kept_connection() {
    let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nodd\r\n0\r\n\r\n";
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";
    let to = serve(move |number, mut stream| async move {
        assert_eq!(number, 0, "the connection was not kept");
        for reply in [plain, plain, odd, plain, odd, odd, plain] {
            read_request(&mut stream).await;
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
        closed(&mut stream).await;
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    let mut bodies = Vec::new();
    for _ in 0..7 {
        bodies.push(answer(send(&client, &to).await).body);
    }
    let words: Vec<_> = bodies.iter().map(|b| str::from_utf8(b).unwrap()).collect();
    assert_eq!(words.join(" "), "plain plain odd plain odd odd plain");
    assert_eq!(to.sweep_idle(), 1);
}
