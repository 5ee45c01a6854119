//! The receiver: an HTTP server in a process of its own, cheap, so that the ceiling is high.
//!
//! `/ok` answers and counts; `/timed` answers and notes when which event came (its id is in the
//! body); `/silent` reads the request and never answers. It listens on several addresses of
//! loopback, for ten thousand connections, and once with TLS. What is timed has a port and a thread
//! of its own: it is another machine's server, that waits for none of the connections of the others. Orders come line by line on standard
//! input; when that ends, so does the process. [`Receiver`] is the bench's side of it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

use crate::certificate;
use crate::http::{ANSWER, ANSWER_CLOSE};
use crate::process::{cpu_us, now_ns, raise_files};

/// 127.0.0.1 to 127.0.0.N: each gives a client another 28,232 ports.
pub(crate) const ADDRESSES: usize = 11;

const BACKLOG: u32 = 4_096;

#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    silent: AtomicU64,
    last_ns: AtomicU64,
    resumed: AtomicU64,
    arrivals: Mutex<Vec<(i64, u64)>>,
}

/// The process: `receiver CERTIFICATE KEY`.
pub(crate) fn run(arguments: &[String]) {
    raise_files();
    let files = certificate::Files {
        certificate: (&arguments[0]).into(),
        key: (&arguments[1]).into(),
    };
    let seen = Arc::new(Seen::default());
    let orders = seen.clone();
    let (timed, apart) = (seen.clone(), runtime());
    let timed_port = {
        let _inside = apart.enter();
        let timed_listener = listen("127.0.0.1:0");
        let port = timed_listener.local_addr().unwrap().port();
        std::thread::spawn(move || apart.block_on(accept(timed_listener, None, timed)));
        port
    };
    runtime().block_on(async move {
        let first = listen("127.0.0.1:0");
        let port = first.local_addr().unwrap().port();
        let secure = listen("127.0.0.1:0");
        let tls_port = secure.local_addr().unwrap().port();
        println!("{port} {tls_port} {timed_port}");
        tokio::spawn(accept(first, None, seen.clone()));
        for last in 2..=ADDRESSES {
            let listener = listen(&format!("127.0.0.{last}:{port}"));
            tokio::spawn(accept(listener, None, seen.clone()));
        }
        let acceptor = TlsAcceptor::from(certificate::server(&files));
        tokio::spawn(accept(secure, Some(acceptor), seen));
        std::thread::spawn(move || obey(&orders));
        std::future::pending::<()>().await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn listen(address: &str) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket
        .bind(address.parse().unwrap())
        .expect("an address of loopback");
    socket.listen(BACKLOG).unwrap()
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, seen: Arc<Seen>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let (seen, acceptor) = (seen.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, &seen).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let kind = stream.get_ref().1.handshake_kind();
                        if kind == Some(HandshakeKind::Resumed) {
                            seen.resumed.fetch_add(1, Ordering::Relaxed);
                        }
                        serve(stream, &seen).await;
                    }
                }
            }
        });
    }
}

/// What a request wants, and its length.
struct Head {
    silent: bool,
    timed: bool,
    close: bool,
    body_at: usize,
    length: usize,
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(body_at) = request.parse(bytes).ok()? else {
        return None;
    };
    let path = request.path.unwrap_or_default();
    let mut head = Head {
        silent: path == "/silent",
        timed: path == "/timed",
        close: false,
        body_at,
        length: 0,
    };
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            head.length = std::str::from_utf8(header.value).ok()?.parse().ok()?;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Some(head)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, seen: &Seen) {
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        let head = loop {
            if let Some(head) = read_head(&bytes)
                && bytes.len() >= head.body_at + head.length
            {
                break head;
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        if head.silent {
            seen.silent.fetch_add(1, Ordering::Relaxed);
            drop(bytes);
            let mut one = [0];
            while matches!(stream.read(&mut one).await, Ok(1..)) {}
            seen.silent.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let now_ns = now_ns();
        if head.timed {
            let id = event_id(&bytes[head.body_at..]);
            seen.arrivals.lock().unwrap().push((id, now_ns));
        }
        let answer = if head.close { ANSWER_CLOSE } else { ANSWER };
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        seen.last_ns.store(now_ns, Ordering::Relaxed);
        seen.answered.fetch_add(1, Ordering::Release);
        if head.close {
            stream.shutdown().await.ok();
            return;
        }
        bytes.drain(..head.body_at + head.length);
    }
}

/// The first `"id":N` of a body; -1 where there is none.
fn event_id(body: &[u8]) -> i64 {
    let key = b"\"id\":";
    let at = body.windows(key.len()).position(|window| window == key);
    let digits = at.map_or(&[][..], |at| &body[at + key.len()..]);
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end])
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(-1)
}

fn obey(seen: &Seen) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("reset", _) => {
                seen.answered.store(0, Ordering::Relaxed);
                seen.resumed.store(0, Ordering::Relaxed);
                seen.arrivals.lock().unwrap().clear();
                println!("ok");
            }
            ("count", _) => println!(
                "{} {} {} {}",
                seen.answered.load(Ordering::Acquire),
                seen.silent.load(Ordering::Relaxed),
                seen.last_ns.load(Ordering::Relaxed),
                seen.resumed.load(Ordering::Relaxed)
            ),
            ("arrivals", path) => {
                let mut text = String::new();
                for (id, time_ns) in seen.arrivals.lock().unwrap().iter() {
                    writeln!(text, "{id} {time_ns}").unwrap();
                }
                std::fs::write(path, text).unwrap();
                println!("ok");
            }
            other => panic!("no such order: {other:?}"),
        }
    }
    std::process::exit(0);
}

/// What came so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// Requests answered since the last reset.
    pub(crate) answered: u64,
    /// Requests that hang now.
    pub(crate) silent: u64,
    /// When the last one was answered.
    pub(crate) last_ns: u64,
    /// TLS handshakes since the last reset that resumed a session.
    pub(crate) resumed: u64,
}

/// The receiver's process, from outside.
pub(crate) struct Receiver {
    child: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) timed_port: u16,
}

impl Receiver {
    pub(crate) fn start(files: &certificate::Files) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("receiver")
            .args([&files.certificate, &files.key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the receiver");
        let orders = child.stdin.take().unwrap();
        let mut replies = BufReader::new(child.stdout.take().unwrap());
        let mut ports = String::new();
        replies.read_line(&mut ports).unwrap();
        let ports = ports.trim().split(' ').map(|port| port.parse().unwrap());
        let [port, tls_port, timed_port] = ports.collect::<Vec<u16>>()[..]
            .try_into()
            .expect("the receiver's ports");
        Self {
            child,
            orders,
            replies,
            port,
            tls_port,
            timed_port,
        }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("the receiver lives");
        let mut reply = String::new();
        self.replies.read_line(&mut reply).unwrap();
        assert!(!reply.is_empty(), "the receiver ended");
        reply.trim().to_owned()
    }

    pub(crate) fn reset(&mut self) {
        self.ask("reset");
    }

    pub(crate) fn count(&mut self) -> Count {
        let reply = self.ask("count");
        let numbers: Vec<u64> = reply
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        Count {
            answered: numbers[0],
            silent: numbers[1],
            last_ns: numbers[2],
            resumed: numbers[3],
        }
    }

    /// When which event came on `/timed`.
    pub(crate) fn arrivals(&mut self, folder: &Path) -> Vec<(i64, u64)> {
        let path = folder.join("arrivals");
        self.ask(&format!("arrivals {}", path.display()));
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(id, time_ns)| (id.parse().unwrap(), time_ns.parse().unwrap()))
            .collect()
    }

    /// CPU microseconds that the receiver has used since its start.
    pub(crate) fn cpu_us(&self) -> f64 {
        cpu_us(self.child.id())
    }

    /// Waits until a number of requests hang; says how many do in the end.
    pub(crate) fn wait_silent(&mut self, wanted: u64, limit: Duration) -> u64 {
        let begun = Instant::now();
        loop {
            let silent = self.count().silent;
            if silent >= wanted || begun.elapsed() > limit {
                return silent;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
