//! Answers: their framing, their bodies, and what is kept of them.

use std::io::Write;

use super::*;

#[tokio::test]
async fn every_status_is_an_answer() {
    for (reply, status, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            302,
            "",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            101,
            "",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n",
            201,
            "",
        ),
        ("HTTP/1.0 500 Oh\r\n\r\nuntil the end", 500, "until the end"),
        ("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, ""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: u\r\n\r\n",
            200,
            "abc",
        ),
        // Sloppy, but what counts is the status.
        (
            "HTTP/1.1 200\r\nA : b\r\nC: d\r\n e\r\nContent-Length: 0\r\n\r\n",
            200,
            "",
        ),
    ] {
        let exchange = told(reply).await;
        assert!(exchange.phases.head_us.is_some());
        let answer = answer(exchange);
        assert_eq!(answer.status, status, "{reply}");
        assert_eq!(
            (&answer.body[..], answer.truncated),
            (body.as_bytes(), false),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn headers_become_lines() {
    let reply = "HTTP/1.1 200 OK\r\nServer: x\r\nX-Two: 1\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        answer(told(reply).await).headers.lines(),
        "server: x\nx-two: 1\ncontent-length: 0"
    );
}

#[tokio::test]
async fn a_large_body_is_cut_and_its_connection_not_kept() {
    let size = 8 * 1024 * 1024;
    let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    reply.resize(reply.len() + size, b'a');
    let client = client();
    let to = kept(&client, says(reply).await);
    let exchange = send(&client, &to).await;
    assert!(exchange.phases.body_us.is_some());
    let answer = answer(exchange);
    assert_eq!(
        (answer.status, answer.body.len(), answer.truncated),
        (200, 64 * 1024, true)
    );
    assert_eq!(to.sweep_idle(), 0);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let body = "b".repeat(64 * 1024);
    for head in ["Content-Length: 65536", "X: close-delimited"] {
        let answer = answer(told(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}")).await);
        assert_eq!((answer.body.len(), answer.truncated), (64 * 1024, false));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_or_drips_does_not_undo_the_status() {
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let answer_1 = answer(told(broken).await);
    assert_eq!((answer_1.status, answer_1.truncated), (200, true));
    assert_eq!(answer_1.body, b"abc");

    let to = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nfirst";
        stream.write_all(head).await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b".").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    let client = hasty();
    let begun = tokio::time::Instant::now();
    let exchange = send(&client, &plain(&client, to)).await;
    assert!(begun.elapsed() < SHORT * 4);
    let answer_2 = answer(exchange);
    assert_eq!((answer_2.status, answer_2.truncated), (200, true));
    assert!(answer_2.body.starts_with(b"first.") && answer_2.body.len() < 100);
}

#[tokio::test]
async fn an_encoded_body_is_decoded() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b'z'; 4 * 1024 * 1024]).unwrap();
    let bomb = encoder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let answer = answer(told([head.as_bytes(), &bomb].concat()).await);
    assert_eq!(
        (answer.body, answer.truncated),
        (vec![b'z'; 64 * 1024], true)
    );
    assert!(answer.headers.get_all("content-encoding").eq(["gzip"]));
}
