//! What goes out, byte for byte, and what becomes of the connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::super::http1::LINGER;
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn the_bytes_are_the_dialect_s_own() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut stream).await).unwrap();
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let client = client();
    let webhook = webhook(&format!("http://{to}/A/b?c=%20d"));
    let endpoint = client.endpoint(&webhook).unwrap();
    let mut request = request(b"{\"v1\":1}");
    request.headers.extend([
        header("X-Qt-Signature", ""),
        header("x-API-key", "s3cret"),
        header("X-ODD-case", "a\tb  c"),
        header("x-api-KEY", "twice, apart"),
        header("Connection", "close"),
    ]);
    client
        .send(&endpoint, &request)
        .await
        .unwrap()
        .result
        .unwrap();
    let expected = "POST /A/b?c=%20d HTTP/1.1\r\nHost: h.example\r\nContent-Length: 8\r\n\
        X-Qt-Signature: \r\nx-API-key: s3cret\r\nX-ODD-case: a\tb  c\r\n\
        x-api-KEY: twice, apart\r\nConnection: close\r\n\r\n{\"v1\":1}";
    let sent = requests.recv().await.unwrap();
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
}

/// Larger than the socket buffers, so that it is written in many parts, and with an empty one.
#[tokio::test]
async fn bodies_of_all_sizes_arrive_whole() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            loop {
                let request = read_request(&mut stream).await;
                if request.is_empty() {
                    return;
                }
                seen.send(request).unwrap();
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    for size in [0, 1, 70_000, 6_000_000, 3] {
        let body: Vec<u8> = (0..=250).cycle().take(size).collect();
        let request = Request {
            dialect: Dialect::BoldCms,
            headers: vec![header("Content-Length", &size.to_string())],
            body: body.clone().into(),
        };
        let exchange = client.send(&to, &request).await.unwrap();
        assert_eq!(answer(exchange).status, 200);
        let sent = requests.recv().await.unwrap();
        let head = format!("POST /hook HTTP/1.1\r\nContent-Length: {size}\r\n\r\n");
        assert!(sent == [head.as_bytes(), &body].concat(), "{size}");
    }
}

#[tokio::test]
async fn a_head_that_breaks_framing_is_our_fault_and_not_sent() {
    let client = client();
    let to = plain(&client, says(OK).await);
    let good = request(b"{}");
    for bad in [
        header("x", "a\r\nInjected: 1"),
        header("x", "a\0"),
        header("a b", "1"),
        header("", "1"),
        header("content-length", "2"),
        header("Transfer-Encoding", "chunked"),
    ] {
        let mut request = good.clone();
        request.headers.push(bad.clone());
        let Fault(text) = client.send(&to, &request).await.unwrap_err();
        assert!(!text.contains("Injected"), "{text}");
    }
    let mut request = good;
    request.body = Bytes::from_static(b"longer");
    client.send(&to, &request).await.unwrap_err();
}

/// Answers each request of a connection; returns the address and the count of connections.
async fn patient(reply: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let to = serve(move |number, mut stream| {
        counted.store(number + 1, Ordering::Relaxed);
        async move {
            while !read_request(&mut stream).await.is_empty() {
                stream.write_all(reply).await.unwrap();
            }
        }
    })
    .await;
    (to, count)
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for reply in [OK, chunked, b"HTTP/1.1 204 No Content\r\n\r\n"] {
        let (address, count) = patient(reply).await;
        let client = client();
        let to = kept(&client, address);
        let first = send(&client, &to).await;
        assert!(first.phases.connect_us.is_some());
        assert_eq!((first.phases.name_us, first.phases.tls_us), (None, None));
        for _ in 0..20 {
            let exchange = send(&client, &to).await;
            assert_eq!(exchange.phases.connect_us, None);
            assert_eq!(exchange.peer, Some(address));
            answer(exchange);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(to.sweep_idle(), 1);
    }
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_own() {
    let (address, count) = patient(OK).await;
    let client = client();
    let to = plain(&client, address);
    for _ in 0..3 {
        answer(send(&client, &to).await);
    }
    assert_eq!(count.load(Ordering::Relaxed), 3);
    assert_eq!(to.sweep_idle(), 0);
}

#[tokio::test]
async fn a_peer_that_says_so_is_not_used_again() {
    for reply in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore than was announced",
    ] {
        let (address, count) = patient(reply).await;
        let client = client();
        let to = kept(&client, address);
        for _ in 0..2 {
            answer(send(&client, &to).await);
        }
        assert_eq!(count.load(Ordering::Relaxed), 2, "{}", reply.escape_ascii());
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_peer_closed_is_replaced() {
    let (gone, mut closed_now) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let gone = gone.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            drop(stream);
            gone.send(()).unwrap();
        }
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    for _ in 0..5 {
        let exchange = send(&client, &to).await;
        assert!(exchange.phases.connect_us.is_some());
        answer(exchange);
        closed_now.recv().await.unwrap();
        // The runtime has to hear of it, as a running daemon does all the time.
        tokio::task::yield_now().await;
        wait_until(|| to.sweep_idle() == 0).await;
    }
}

async fn wait_until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait)
        .await
        .expect("it never came true");
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_limit() {
    let (address, _) = patient(OK).await;
    let client = Arc::new(client());
    let to = Arc::new(kept(&client, address));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (client, to) = (Arc::clone(&client), Arc::clone(&to));
        all.spawn(async move { answer(send(&client, &to).await).status });
    }
    while let Some(status) = all.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert!((1..=4).contains(&to.sweep_idle()));
}

/// Where we closed first, the endpoint's read would end before it closes itself.
#[tokio::test]
async fn the_peer_closes_first() {
    let (order, mut ended) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let order = order.clone();
        async move {
            read_request(&mut stream).await;
            let reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(reply).await.unwrap();
            let begun = tokio::time::Instant::now();
            let early = tokio::time::timeout(LINGER / 4, stream.read_u8()).await;
            // Where this machine was away for so long, we may close as well.
            let waited = early.is_err() || begun.elapsed() >= LINGER;
            order.send(waited).unwrap();
            stream.shutdown().await.unwrap();
            closed(&mut stream).await;
            order.send(true).unwrap();
        }
    })
    .await;
    let client = client();
    let to = plain(&client, to);
    answer(send(&client, &to).await);
    assert_eq!(ended.recv().await, Some(true), "we closed first");
    assert_eq!(ended.recv().await, Some(true), "we did not close");
}

#[tokio::test]
async fn a_peer_that_never_closes_is_left_soon() {
    let (done, mut left) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let done = done.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            closed(&mut stream).await;
            done.send(()).unwrap();
        }
    })
    .await;
    let client = client();
    answer(send(&client, &plain(&client, to)).await);
    left.recv().await.unwrap();
}

#[tokio::test]
async fn dropping_the_attempt_closes_its_connection() {
    let (step, mut steps) = mpsc::unbounded_channel();
    let to = serve(move |_, mut stream| {
        let step = step.clone();
        async move {
            read_request(&mut stream).await;
            step.send("asked").unwrap();
            closed(&mut stream).await;
            step.send("closed").unwrap();
        }
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    tokio::select! {
        _ = send(&client, &to) => panic!("an answer"),
        asked = steps.recv() => assert_eq!(asked, Some("asked")),
    }
    assert_eq!(steps.recv().await, Some("closed"));
    assert_eq!(to.sweep_idle(), 0);
}
