//! What is read without hyper is what hyper reads: status, lines, body, and whether the connection is
//! used again.
//!
//! Each answer is given twice, the second time with hyper alone. Only those count that the first way
//! takes; that it takes the plain ones at all is held, too. `WEBHOOKSD_TEST_ANSWERS` says how many
//! answers are tried of each kind.

use std::sync::{Mutex, PoisonError};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::super::plain::{OFF, Plain};
use super::arbitrary::{make, mistake, mistaken};
use super::*;

/// How many answers of each kind are tried in the short form.
const ANSWERS: u32 = 1_000;

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

/// What is seen of an answer, and how many connections are then kept.
async fn seen(reply: (Vec<u8>, bool), to: SocketAddr) -> Result<(Answer, usize), Failure> {
    let client = client();
    let to = kept(&client, to);
    *REPLY.lock().unwrap_or_else(PoisonError::into_inner) = reply;
    let answer = send(&client, &to).await.result?;
    Ok((answer, to.sweep_idle()))
}

static REPLY: Mutex<(Vec<u8>, bool)> = Mutex::new((Vec::new(), false));

/// An endpoint that answers with [`REPLY`], and ends after it where that is too short.
async fn replies() -> SocketAddr {
    serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let (reply, short) = REPLY.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(stream.write_all(&reply).await);
        if short {
            drop(stream.shutdown().await);
        }
        closed(&mut stream).await;
        drop(stream.set_zero_linger());
    })
    .await
}

async fn judge(bytes: &[u8], to: SocketAddr) -> Result<bool, TestCaseError> {
    let Some(plain) = Plain::of(bytes) else {
        return Ok(false);
    };
    let reply = (bytes.to_vec(), plain.body.len() < plain.length);
    let without = seen(reply.clone(), to).await;
    OFF.set(true);
    let with = seen(reply, to).await;
    OFF.set(false);
    prop_assert!(without.is_ok(), "{without:?}");
    prop_assert_eq!(without, with);
    Ok(true)
}

#[test]
fn hyper_reads_the_same() {
    let answers = std::env::var("WEBHOOKSD_TEST_ANSWERS").ok();
    let cases = answers.map_or(ANSWERS, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let to = runtime.block_on(replies());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let taken = std::cell::Cell::new(0);
    let judged = |bytes: Vec<u8>| {
        let was_taken = runtime.block_on(judge(&bytes, to))?;
        taken.set(taken.get() + u32::from(was_taken));
        Ok(())
    };
    for strategy in [lined().boxed(), mistaken().boxed()] {
        if let Err(error) = TestRunner::new(config.clone()).run(&strategy, judged) {
            panic!("{error}");
        }
    }
    assert!(taken.get() > cases / 10, "{} of {cases}", taken.get());
}

#[test]
fn common_answers_need_no_hyper() {
    for reply in [
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 400\r\n\r\nbusy",
    ] {
        assert!(Plain::of(reply.as_bytes()).is_some(), "{reply}");
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

/// A connection whose first answers were plain, and then hyper has to read one.
#[tokio::test]
async fn hyper_takes_over_a_kept_connection() {
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
