//! Endpoints that fail, in every way that a class of failure names.

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::http1::{Ask, Connection};
use super::super::timeout::ReusableTimeout;
use super::super::wire::Wire;
use super::*;
use crate::model::Phases;

/// The failure of an attempt with short time-outs, and how long it took.
async fn hasty_failure(to: SocketAddr) -> (Class, String, Duration) {
    let client = hasty();
    let to = plain(&client, to);
    let begun = Instant::now();
    let (class, text) = failed(send(&client, &to).await);
    (class, text, begun.elapsed())
}

/// Writes a piece again and again, until the other side has gone.
async fn drip(mut stream: TcpStream, first: &[u8], piece: &[u8]) {
    read_request(&mut stream).await;
    drop(stream.write_all(first).await);
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stream.write_all(piece).await.is_ok() {
        ticks.tick().await;
    }
}

#[tokio::test]
async fn nobody_listens() {
    // Bound, so that nobody else is given the port; it does not listen.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let client = client();
    let exchange = send(&client, &plain(&client, address)).await;
    assert_eq!(exchange.peer, Some(address));
    assert!(exchange.phases.connect_us.is_some() && exchange.phases.head_us.is_none());
    let (class, text) = failed(exchange);
    assert_eq!(class, Class::Refused);
    assert_eq!(text, format!("connection refused by {address}"));
}

#[tokio::test]
async fn the_peer_resets() {
    let to = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let client = client();
    let (class, text) = failed(send(&client, &plain(&client, to)).await);
    assert_eq!(
        (class, text),
        (Class::Reset, format!("connection reset by {to}"))
    );
}

#[tokio::test]
async fn the_peer_closes_before_and_amid_its_answer() {
    let (class, text) = failed(told("").await);
    assert_eq!(class, Class::Closed);
    assert!(
        text.ends_with("closed the connection without an answer"),
        "{text}"
    );
    let (class, text) = failed(told("HTTP/1.1 20").await);
    assert_eq!(class, Class::Closed);
    assert!(text.ends_with("before its answer was whole"), "{text}");
}

#[tokio::test]
async fn silence_ends() {
    let to = serve(|_, mut stream| async move { closed(&mut stream).await }).await;
    let (class, text, took) = hasty_failure(to).await;
    assert_eq!(class, Class::ResponseTimeout);
    assert_eq!(text, "no answer within 1 s of connecting");
    assert!((SHORT..SHORT * 4).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_never_reads_is_not_waited_for() {
    let to = serve(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let client = hasty();
    let body = vec![b' '; 16 * 1024 * 1024];
    let request = Request {
        dialect: Dialect::BoldCms,
        headers: vec![header("Content-Length", &body.len().to_string())],
        body: body.into(),
    };
    let exchange = client.send(&plain(&client, to), &request).await.unwrap();
    let (class, text) = failed(exchange);
    assert_eq!(class, Class::ResponseTimeout);
    assert!(text.ends_with("the request was not taken whole"), "{text}");
}

#[tokio::test]
async fn a_dripping_head_and_interim_answers_extend_nothing() {
    let to = serve(|_, stream| drip(stream, b"HTTP/1.1 200 OK\r\nX-A: ", b"a")).await;
    let (class, text, took) = hasty_failure(to).await;
    assert_eq!(class, Class::ResponseTimeout);
    assert!(
        text.contains("unfinished") && took < SHORT * 4,
        "{text} {took:?}"
    );

    let hints: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let to = serve(move |_, stream| drip(stream, b"", hints)).await;
    let (class, _, took) = hasty_failure(to).await;
    assert_eq!(class, Class::ResponseTimeout);
    assert!(took < SHORT * 4, "{took:?}");
}

/// As fast as the connection carries them, so that reading never has to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_interim_answers_ends_too() {
    let to = serve(|_, mut stream| async move {
        read_request(&mut stream).await;
        let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
        while stream.write_all(&hints).await.is_ok() {}
    })
    .await;
    let (class, text, took) = hasty_failure(to).await;
    assert_eq!(class, Class::Protocol);
    assert!(
        text.contains("512 KiB") && took < SHORT * 4,
        "{text} {took:?}"
    );
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_failure() {
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"a: b\r\n".repeat(12_000) + "\r\n";
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for (reply, words) in [
        (
            "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
            "the answer is not HTTP: ",
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
            "the answer is not HTTP: ",
        ),
        (
            "HTTP/1.1 099 Low\r\n\r\n".to_owned(),
            "the answer is not HTTP: ",
        ),
        ("plain text\r\n\r\n".to_owned(), "the answer is not HTTP: "),
        (many, "the head of the answer is larger than"),
        (huge, "the head of the answer is larger than"),
    ] {
        let (class, text) = failed(told(reply).await);
        assert_eq!(class, Class::Protocol, "{text}");
        assert!(text.starts_with(words), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let client = client();
    let to = client.endpoint(&webhook("http://x.invalid/")).unwrap();
    let exchange = send(&client, &to).await;
    assert!(exchange.phases.name_us.is_some() && exchange.phases.connect_us.is_none());
    assert_eq!(exchange.peer, None);
    let (class, text) = failed(exchange);
    assert_eq!(class, Class::Name);
    assert!(
        text.starts_with("the name \"x.invalid\" does not resolve: "),
        "{text}"
    );
}

/// The peer's queue of connections is full, so that the kernel drops further ones silently.
#[tokio::test]
async fn a_connection_that_hangs() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(stream);
    }
    let (class, text, took) = hasty_failure(address).await;
    assert_eq!(class, Class::ConnectTimeout);
    assert_eq!(text, format!("no connection to {address} within 1 s"));
    assert!(took < SHORT * 4, "{took:?}");
}

/// An answer that comes before the request was read is an answer, though the rest can't be sent.
#[tokio::test]
async fn an_early_answer_counts() {
    let to = serve(|_, mut stream| async move {
        let reply = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
        drop(stream.write_all(reply).await);
    })
    .await;
    let client = client();
    let body = vec![b' '; 16 * 1024 * 1024];
    let request = Request {
        dialect: Dialect::BoldCms,
        headers: vec![header("Content-Length", &body.len().to_string())],
        body: body.into(),
    };
    let exchange = client.send(&plain(&client, to), &request).await.unwrap();
    let answer = answer(exchange);
    assert_eq!((answer.status, &answer.body[..]), (413, &b"big"[..]));
}

/// What hangs before a word was said holds next to nothing; thousands may hang so.
#[tokio::test]
async fn a_request_that_hangs_is_out_whole_and_holds_little() {
    let to = serve(|_, mut stream| async move { closed(&mut stream).await }).await;
    let stream = TcpStream::connect(to).await.unwrap();
    let timeout = ReusableTimeout::default();
    let mut connection = Connection::new(Wire::Plain(stream), to, Instant::now(), timeout);
    let request = Request {
        dialect: Dialect::BoldCms,
        headers: vec![header("Content-Length", "2")],
        body: "{}".into(),
    };
    let each = SOON;
    let ask = Ask {
        start_line: b"POST / HTTP/1.1\r\n",
        request: &request,
        timeouts: Timeouts {
            connect: each,
            response: each,
            body: each,
        },
        clock: &Clock::system(),
    };
    let mut phases = Phases::default();
    let asked = connection.exchange(&ask, Instant::now(), &mut phases);
    let held = size_of_val(&asked) + size_of::<Connection>();
    assert!(held < 2_048, "{held} bytes");
    assert!(tokio::time::timeout(SHORT, asked).await.is_err());
    assert!(connection.progress().is_whole());
}

/// A delivery keeps the dialect it was made with, whatever its webhook speaks by now: the time for an answer too.
#[tokio::test]
async fn a_request_has_the_time_of_its_own_dialect() {
    let to = serve(|_, mut stream| async move { closed(&mut stream).await }).await;
    let patient = |dialect| {
        let is_patient = dialect == Dialect::StandardWebhooks;
        Timeouts {
            connect: SOON,
            response: if is_patient { SOON } else { SHORT },
            body: SOON,
        }
    };
    let client = Client::with_timeouts(Clock::system(), patient);
    let mut webhook = webhook(&format!("http://{to}/"));
    for dialect in [Dialect::StandardWebhooks, Dialect::BoldFactory] {
        webhook.dialect = dialect;
        let endpoint = client.endpoint(&webhook).unwrap();
        let of = |dialect| Request {
            dialect,
            ..request(b"{}")
        };
        let (class, text) = failed(client.send(&endpoint, &of(Dialect::BoldCms)).await.unwrap());
        assert_eq!(
            (class, &*text),
            (Class::ResponseTimeout, "no answer within 1 s of connecting")
        );
        let long = of(Dialect::StandardWebhooks);
        let waiting = tokio::time::timeout(SHORT * 2, client.send(&endpoint, &long));
        assert!(waiting.await.is_err(), "it has more time");
    }
}
