//! Kept connections: what becomes of a request that meets their end, and how long they are kept.

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::http1::Connection;
use super::super::keep_alive::{IDLE, Keep, MAX_AGE};
use super::super::pool::Pool;
use super::super::timeout::ReusableTimeout;
use super::super::wire::Wire;
use super::secure::{authority, https, issued};
use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What an answer without a `Keep-Alive` header lets.
const UNSAID: Keep = Keep {
    idle: IDLE,
    requests: u32::MAX,
};

const AGAIN: &str = "sent again over a new connection: ";

/// What a connection does under its second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Closes when it has read it.
    Fin,
    /// Closes before it has read anything of it.
    Rst,
    /// Says this first.
    Says(&'static [u8]),
    /// Says nothing.
    Hangs,
}

impl Death {
    async fn come(self, stream: &mut TcpStream, seen: &Seen) {
        match self {
            Self::Fin => seen.push(read_request(stream).await),
            Self::Rst => {
                let mut byte = [0];
                stream.peek(&mut byte).await.unwrap();
            }
            Self::Says(bytes) => {
                seen.push(read_request(stream).await);
                stream.write_all(bytes).await.unwrap();
            }
            Self::Hangs => {
                seen.push(read_request(stream).await);
                closed(stream).await;
            }
        }
    }
}

/// The requests that an endpoint has read, and its connections.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Vec<Vec<u8>>, usize)>>);

impl Seen {
    fn push(&self, request: Vec<u8>) {
        self.0.lock().0.push(request);
    }

    fn requests(&self) -> usize {
        self.0.lock().0.len()
    }

    fn connections(&self) -> usize {
        self.0.lock().1
    }
}

/// An endpoint that answers the first request of its first connection, and then that connection dies
/// so. Later ones answer as often as they are asked, or die so at once.
async fn dying(death: Death, for_good: bool) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let seeing = seen.clone();
    let to = serve(move |number, mut stream| {
        let seen = seeing.clone();
        async move {
            seen.0.lock().1 += 1;
            loop {
                if number > 0 && for_good {
                    return death.come(&mut stream, &seen).await;
                }
                let request = read_request(&mut stream).await;
                if request.is_empty() {
                    return;
                }
                seen.push(request);
                stream.write_all(OK).await.unwrap();
                if number == 0 {
                    return death.come(&mut stream, &seen).await;
                }
            }
        }
    })
    .await;
    (to, seen)
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_its_connection_goes_once_more() {
    for death in [Death::Fin, Death::Rst] {
        let (address, seen) = dying(death, false).await;
        let client = client();
        let to = kept(&client, address);
        let first = send(&client, &to).await;
        assert_eq!(first.note, None);
        answer(first);
        let second = send(&client, &to).await;
        let note = second.note.clone().unwrap();
        let words = match death {
            Death::Rst => "connection reset by ",
            _ => "closed the connection without an answer",
        };
        assert!(note.starts_with(AGAIN) && note.contains(words), "{note}");
        assert!(
            note.ends_with("; it was kept from an earlier request"),
            "{note}"
        );
        assert!(second.phases.connect_us.is_some() && second.peer == Some(address));
        assert_eq!(answer(second).status, 200);
        let expected = if death == Death::Fin { 3 } else { 2 };
        assert_eq!(
            (seen.requests(), seen.connections()),
            (expected, 2),
            "{death:?}"
        );
        // The new one is kept.
        let third = send(&client, &to).await;
        assert_eq!((third.phases.connect_us, third.note), (None, None));
    }
}

/// The peer says 408 to the silence before the request, and the two meet on the way.
#[tokio::test]
async fn a_408_that_ends_a_kept_connection_is_no_answer_and_any_other_is() {
    for (says, status, connections) in [
        ("408 Request Timeout\r\nConnection: close", 200, 2),
        ("408 Request Timeout\r\nConnection: keep-alive", 408, 1),
        ("400 Bad Request\r\nConnection: close", 400, 1),
    ] {
        let says = format!("HTTP/1.1 {says}\r\nContent-Length: 0\r\n\r\n").leak();
        let (address, seen) = dying(Death::Says(says.as_bytes()), false).await;
        let client = client();
        let to = kept(&client, address);
        answer(send(&client, &to).await);
        let second = send(&client, &to).await;
        let is_noted = (second.note.as_deref())
            .is_some_and(|note| note.starts_with(AGAIN) && note.ends_with("with HTTP 408"));
        assert_eq!(is_noted, connections == 2, "{:?}", second.note);
        assert_eq!(answer(second).status, status);
        assert_eq!(seen.connections(), connections, "{says}");
    }
    // On a new connection it is the answer.
    let says = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer(told(says).await).status, 408);
}

/// Writing is what finds the end here: the body is larger than what the sockets hold.
#[tokio::test]
async fn a_large_request_that_meets_the_end_goes_once_more_whole() {
    let (address, seen) = dying(Death::Rst, false).await;
    let client = client();
    let to = kept(&client, address);
    answer(send(&client, &to).await);
    let body = vec![b'x'; 16 * 1024 * 1024];
    let request = Request {
        dialect: Dialect::BoldCms,
        headers: vec![header("Content-Length", &body.len().to_string())],
        body: body.into(),
    };
    let exchange = client.send(&to, &request).await.unwrap();
    assert!(exchange.note.as_ref().unwrap().starts_with(AGAIN));
    assert_eq!(answer(exchange).status, 200);
    let last = seen.0.lock().0.pop().unwrap();
    assert!(last.len() > request.body.len(), "{}", last.len());
}

#[tokio::test]
async fn it_goes_no_second_time() {
    for death in [Death::Fin, Death::Rst] {
        let (address, seen) = dying(death, true).await;
        let client = client();
        let to = kept(&client, address);
        answer(send(&client, &to).await);
        let exchange = send(&client, &to).await;
        assert!(exchange.note.as_ref().unwrap().starts_with(AGAIN));
        let (class, text) = failed(exchange);
        let expected = match death {
            Death::Rst => Class::Reset,
            _ => Class::Closed,
        };
        assert_eq!(class, expected, "{text}");
        assert!(!text.contains("kept"), "{text}");
        assert_eq!(seen.connections(), 2);
    }
}

/// Whatever was said may be the beginning of an answer.
#[tokio::test]
async fn it_does_not_go_again_once_a_byte_has_come_or_where_nobody_closes() {
    for death in [
        Death::Says(b"H"),
        Death::Says(b"HTTP/1.1 100 Continue\r\n\r\n"),
        Death::Hangs,
    ] {
        let (address, seen) = dying(death, false).await;
        let client = hasty();
        let to = kept(&client, address);
        answer(send(&client, &to).await);
        let exchange = send(&client, &to).await;
        assert_eq!(exchange.note, None);
        let expected = match death {
            Death::Hangs => Class::ResponseTimeout,
            _ => Class::Closed,
        };
        assert_eq!(failed(exchange).0, expected, "{death:?}");
        assert_eq!((seen.requests(), seen.connections()), (2, 1), "{death:?}");
    }
}

#[tokio::test]
async fn the_same_over_tls() {
    for polite in [true, false] {
        let authority = authority();
        let acceptor = issued(&authority, |_| {});
        let address = serve(move |number, stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                while !read_request(&mut stream).await.is_empty() {
                    stream.write_all(OK).await.unwrap();
                    if number == 0 {
                        read_request(&mut stream).await;
                        if polite {
                            stream.shutdown().await.unwrap();
                        } else {
                            stream.get_ref().0.set_zero_linger().unwrap();
                        }
                        return;
                    }
                }
            }
        })
        .await;
        let client = client();
        let to = client.endpoint(&https(address, &authority.pem)).unwrap();
        answer(send(&client, &to).await);
        let second = send(&client, &to).await;
        let note = second.note.clone().unwrap();
        assert!(note.starts_with(AGAIN), "{note}");
        assert!(second.phases.tls_us.is_some());
        assert_eq!(answer(second).status, 200);
    }
}

/// How many connections four requests take.
async fn connections_of_four(reply: &'static [u8]) -> usize {
    let seen = Seen::default();
    let seeing = seen.clone();
    let to = serve(move |_, mut stream| {
        seeing.0.lock().1 += 1;
        async move {
            while !read_request(&mut stream).await.is_empty() {
                stream.write_all(reply).await.unwrap();
            }
        }
    })
    .await;
    let client = client();
    let to = kept(&client, to);
    for _ in 0..4 {
        answer(send(&client, &to).await);
    }
    seen.connections()
}

#[tokio::test]
async fn a_connection_has_no_more_requests_than_its_peer_wants() {
    for (reply, connections) in [
        (OK, 1),
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=9, max=100\r\n\r\n"[..],
            1,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=9, max=1\r\n\r\n",
            2,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=0\r\n\r\n",
            4,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: max=1\r\n\r\n0\r\n\r\n",
            2,
        ),
    ] {
        let taken = connections_of_four(reply).await;
        assert_eq!(taken, connections, "{}", reply.escape_ascii());
    }
}

/// A connection of that birth, and its other end.
pub(super) async fn connection(born: Instant) -> (Box<Connection>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let stream = TcpStream::connect(to).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    let timeout = ReusableTimeout::default();
    let connection = Connection::new(Wire::Plain(stream), to, born, timeout);
    (connection, other)
}

#[tokio::test]
async fn a_connection_is_kept_for_five_minutes_at_most() {
    let born = Instant::now();
    let pool = Pool::new(4);
    let (mut connection, _other) = connection(born).await;
    let mut now = born;
    while now + IDLE / 2 < born + MAX_AGE {
        pool.put(connection, UNSAID, now);
        now += IDLE / 2;
        connection = pool
            .take(now)
            .await
            .expect("it is too young to go")
            .connection;
    }
    pool.put(connection, UNSAID, now);
    assert_eq!(pool.sweep(born + MAX_AGE), 0);
    // Where it comes back after that it does not stay either.
    let (connection, _other) = self::connection(born).await;
    pool.put(connection, UNSAID, born + MAX_AGE);
    assert_eq!(pool.sweep(born), 0);
    assert_eq!(MAX_AGE, Duration::from_secs(300));
}

/// The two ways of finding a close.
#[tokio::test]
async fn a_close_teaches_how_long_the_next_may_idle() {
    let second = Duration::from_secs(1);
    for swept in [true, false] {
        let pool = Pool::new(4);
        let begun = Instant::now();
        let (first, other) = connection(begun).await;
        pool.put(first, UNSAID, begun);
        drop(other);
        let found = begun + 8 * second;
        // The runtime may hear of the close a moment later.
        let gone = async {
            loop {
                if swept && pool.sweep(found) == 0 {
                    return;
                }
                match pool.take(found).await {
                    Some(early) => pool.put(early.connection, UNSAID, begun),
                    None => return,
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, gone).await.unwrap();
        for (idle, is_kept) in [(5, true), (7, false)] {
            let (next, _other) = connection(found).await;
            pool.put(next, UNSAID, found);
            assert_eq!(pool.take(found + idle * second).await.is_some(), is_kept);
        }
    }
}

/// A death under a request teaches the same.
#[tokio::test]
async fn a_death_under_a_request_is_a_close() {
    let (address, _) = dying(Death::Fin, false).await;
    let client = client();
    let to = kept(&client, address);
    for _ in 0..2 {
        answer(send(&client, &to).await);
    }
    assert_eq!(to.sweep_idle(), 1, "the new one");
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(1_100)).await;
    tokio::time::resume();
    assert_eq!(to.sweep_idle(), 0, "it idles for a second at most");
}
