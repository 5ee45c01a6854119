//! Whatever bytes a peer says, in whatever pieces, the attempt has one outcome within its limits.
//!
//! The bytes are arbitrary, or good answers with mistakes put into them. What is held of the outcome
//! needs no second parser: a status is one that stands in the bytes, what is kept is bounded, words
//! are for people, an end is no time-out, and a request on the same connection afterwards never gets
//! what was left over. `WEBHOOKSD_TEST_PEERS` says how many peers are tried of each kind.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::sync::oneshot;

use super::*;

/// How many peers of each kind are tried in the short form.
const PEERS: u32 = 300;

/// The time-outs for a peer that neither says nor ends.
const HELD: Duration = Duration::from_millis(50);

/// What is kept of an answer's head and of its body, in bytes.
const KEPT_BYTES: [usize; 2] = [16 * 1024, 64 * 1024];

/// The statuses of the second request: on the first connection, and on another. No corpus has them.
const SECOND: [u16; 2] = [598, 599];

/// Numbers the cases.
static CASES: AtomicUsize = AtomicUsize::new(0);

const GOOD: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 500 Oh\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x81\x05hello",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 23\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy",
];

/// What a mistake may put in.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b" ",
    b"\r\n\r\n",
    b"\xff\xfe",
    b"-",
    b"0",
    b"FFFFFFFFFFFFFFFF",
    b"18446744073709551615",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/2 200\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Keep-Alive: timeout=0\r\n",
    b"\r\n folded",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    b";ext=\"",
    b"\x1f\x8b\x08\x08",
    b"\x15\x03\x01\0\x02\x02\x46",
    b"220 ESMTP\r\n",
];

#[derive(Clone, Debug)]
pub(super) enum Mistake {
    Flip(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Truncate(Index),
    Append(&'static [u8]),
}

pub(super) fn mistake() -> impl Strategy<Value = Mistake> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, by)| Mistake::Flip(at, by)),
        (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Mistake::Insert(at, piece)),
        (any::<Index>(), 1..12_usize).prop_map(|(at, length)| Mistake::Remove(at, length)),
        (any::<Index>(), 1..40_usize, 1..400_usize)
            .prop_map(|(at, length, times)| Mistake::Repeat(at, length, times)),
        any::<Index>().prop_map(Mistake::Truncate),
        select(GOOD).prop_map(Mistake::Append),
    ]
}

pub(super) fn make(bytes: &mut Vec<u8>, mistake: &Mistake) {
    let place = |at: &Index| at.index(bytes.len() + 1);
    match mistake {
        Mistake::Flip(at, by) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= by;
            }
        }
        Mistake::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece.iter().copied());
        }
        Mistake::Remove(at, length) => {
            let from = place(at);
            let to = (from + length).min(bytes.len());
            bytes.drain(from..to);
        }
        Mistake::Repeat(at, length, times) => {
            let from = place(at);
            let to = (from + length).min(bytes.len());
            let again = bytes[from..to].repeat(*times);
            bytes.splice(to..to, again);
        }
        Mistake::Truncate(at) => bytes.truncate(place(at)),
        Mistake::Append(more) => bytes.extend_from_slice(more),
    }
}

/// A good answer with up to eight mistakes.
pub(super) fn mistaken() -> impl Strategy<Value = Vec<u8>> {
    (select(GOOD), vec(mistake(), 0..8)).prop_map(|(good, mistakes)| {
        let mut bytes = good.to_vec();
        for mistake in &mistakes {
            make(&mut bytes, mistake);
        }
        bytes
    })
}

/// Pieces of answers in any order.
fn pieced() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![select(PIECES), select(GOOD)], 0..12).prop_map(|pieces| pieces.concat())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Hold,
}

/// One peer: what is to be said, in what pieces, and how it ends.
type Case = (Vec<u8>, usize, End);

/// What the next connection is to hear, and who is told when all is said.
struct Script {
    /// The path that is asked for: a connection that comes late is another case's.
    path: String,
    case: Case,
    last: oneshot::Sender<()>,
}

/// A listener for all cases, since each port that has served waits for a minute.
#[derive(Clone)]
struct Stage(Arc<Mutex<Option<Script>>>);

impl Stage {
    async fn open() -> (Self, SocketAddr) {
        let stage = Self(Arc::default());
        let acting = stage.clone();
        let address = serve(move |_, stream| acting.clone().act(stream)).await;
        (stage, address)
    }

    fn script(&self) -> MutexGuard<'_, Option<Script>> {
        self.0.lock()
    }

    /// The scripted connection, or one for the second request.
    async fn act(self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let request = read_request(&mut stream).await;
        let asked = String::from_utf8_lossy(&request).into_owned();
        let mine = |script: &mut Script| asked.starts_with(&format!("POST {} ", script.path));
        let script = self.script().take_if(mine);
        match script {
            Some(Script { case, last, .. }) => say(&mut stream, case, last).await,
            None => {
                drop(stream.write_all(&plain_answer(SECOND[1])).await);
                closed(&mut stream).await;
            }
        }
        // No port of ours is then held for a minute. An error says that there is none to hold.
        drop(stream.set_zero_linger());
    }
}

/// Says the bytes in their pieces, then does as it is told.
async fn say(stream: &mut TcpStream, (bytes, size, end): Case, last: oneshot::Sender<()>) {
    // Small pieces of much would only be slow.
    let size = size.max(bytes.len() / 200 + 1);
    for piece in bytes.chunks(size) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if last.send(()).is_err() {
        return;
    }
    match end {
        End::Close => drop(stream.shutdown().await),
        End::Reset => return,
        End::Hold => {
            if read_request(stream).await.is_empty() {
                return;
            }
            drop(stream.write_all(&plain_answer(SECOND[0])).await);
        }
    }
    closed(stream).await;
}

fn plain_answer(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Second\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

async fn judge(stage: &Stage, to: SocketAddr, case: Case) -> Result<(), TestCaseError> {
    let (bytes, end) = (case.0.clone(), case.2);
    let (last, said) = oneshot::channel();
    let path = format!("/{}", CASES.fetch_add(1, Ordering::Relaxed));
    *stage.script() = Some(Script {
        path: path.clone(),
        case,
        last,
    });
    // Where the peer ends, no time-out of ours may; a busy machine must not make one.
    let patience = if end == End::Hold { HELD } else { SOON };
    let timeouts = Timeouts {
        connect: SOON,
        response: patience,
        body: patience,
    };
    let client = Client::with_timeouts(Clock::system(), move |_| timeouts);
    let mut webhook = webhook(&format!("http://{to}{path}"));
    webhook.keep_alive = true;
    let to = client.endpoint(&webhook).unwrap();

    let exchange = client.send(&to, &request(b"{}")).await;
    let exchange = exchange.map_err(|Fault(text)| TestCaseError::fail(text))?;
    hold_outcome(&exchange, &bytes, end)?;
    // Where it was broken off nothing more is said either.
    drop(tokio::time::timeout(SOON, said).await);
    let second = client.send(&to, &request(b"{}")).await.unwrap();
    match second.result {
        Ok(answer) => prop_assert!(SECOND.contains(&answer.status), "{answer:?} is a left-over"),
        // The peer may be slower than its short patience here, or end while it is written to.
        Err(failure) => prop_assert!(
            matches!(
                failure.class,
                Class::Closed | Class::Reset | Class::ResponseTimeout
            ),
            "{failure:?}"
        ),
    }
    Ok(())
}

fn hold_outcome(exchange: &Exchange, bytes: &[u8], end: End) -> Result<(), TestCaseError> {
    match &exchange.result {
        Ok(Answer {
            status,
            headers,
            body,
            ..
        }) => {
            prop_assert!(*status == 101 || (200..=999).contains(status), "{status}");
            prop_assert!(says(bytes, *status), "{status} was not said");
            prop_assert!(headers.lines().len() <= KEPT_BYTES[0] && body.len() <= KEPT_BYTES[1]);
        }
        Err(Failure { class, text }) => {
            let known: &[Class] = match end {
                End::Close => &[Class::Protocol, Class::Closed],
                End::Reset => &[Class::Protocol, Class::Closed, Class::Reset],
                End::Hold => &[Class::Protocol, Class::ResponseTimeout],
            };
            prop_assert!(known.contains(class), "{class:?}: {text}");
            prop_assert!(
                !text.contains(char::is_control) && text.len() < 200,
                "{text:?}"
            );
        }
    }
    Ok(())
}

/// Whether a status line with this status begins anywhere: any version of HTTP/1, and any blanks in
/// the place of the space (RFC 9112, 4).
fn says(bytes: &[u8], status: u16) -> bool {
    let version = b"HTTP/1.";
    let blanks = b" \t\x0b\x0c\r";
    (0..bytes.len()).any(|at| {
        let after = bytes[at..].strip_prefix(version);
        let Some((b'0'..=b'9', rest)) = after.and_then(<[u8]>::split_first) else {
            return false;
        };
        let count = rest.iter().take_while(|byte| blanks.contains(byte)).count();
        count > 0 && rest[count..].starts_with(status.to_string().as_bytes())
    })
}

fn try_peers(bytes: impl Strategy<Value = Vec<u8>>) {
    let peers = std::env::var("WEBHOOKSD_TEST_PEERS").ok();
    let cases = peers.map_or(PEERS, |text| text.parse().unwrap());
    let end = prop_oneof![8 => Just(End::Close), 4 => Just(End::Reset), 1 => Just(End::Hold)];
    let strategy = (bytes, prop_oneof![1..8_usize, 8..2_000_usize], end);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let (stage, to) = runtime.block_on(Stage::open());
    let judged = |case| runtime.block_on(judge(&stage, to, case));
    let result = TestRunner::new(config).run(&strategy, judged);
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn arbitrary_bytes_end_in_one_outcome() {
    try_peers(vec(any::<u8>(), 0..3_000));
}

#[test]
fn good_answers_with_mistakes_end_in_one_outcome() {
    try_peers(mistaken());
}

/// What a lenient reader takes for a status line.
const LENIENT: &[&[u8]] = &[
    b"HTTP/1.1\r 200 nt-Length: 5\r\n\r\nhello",
    b"HTTP/1.7 200 OK\r\n\r\n",
    b"HTTP/1.1\t\x0b\x0c200\tOK\r\n\r\n",
];

#[test]
fn blanks_of_a_status_line_end_in_one_outcome() {
    try_peers(select(LENIENT).prop_map(<[u8]>::to_vec));
}

#[test]
fn pieces_of_answers_end_in_one_outcome() {
    try_peers(pieced());
}
