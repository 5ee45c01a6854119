//! An endpoint made of threads and plain sockets, which answers each request as its script says.
//!
//! It speaks no more HTTP than it must: what it sends are the script's bytes, so that it can break
//! every rule. All sockets are closed when it is dropped, which also ends its threads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::request::Received;
use super::tls::Acceptor;
use super::{eventually, nap};

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Sends the bytes; the connection stays for another request unless this one asked to close it.
    Bytes(Vec<u8>),
    /// Sends the bytes and closes the connection.
    Last(Vec<u8>),
    /// Does it so much later.
    Later(Duration, Box<Self>),
    /// Never answers.
    Silence,
    /// Resets the connection: closes it with a byte unread.
    Reset,
    /// Sends the first at once, then the second a byte at a time with that span between.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Sends the first, then the second for ever.
    Endless(Vec<u8>, Vec<u8>),
}

impl Answer {
    /// An answer with that status and the body `ok`.
    pub(crate) fn status(status: u16) -> Self {
        Self::with_body(status, "", b"ok")
    }

    /// An answer with header lines, each ended by CR LF, and a body.
    pub(crate) fn with_body(status: u16, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let mut bytes =
            format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n")
                .into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// The same, that much later.
    pub(crate) fn after(self, span: Duration) -> Self {
        Self::Later(span, Box::new(self))
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
    tls: Option<Acceptor>,
}

/// An endpoint on loopback.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// An endpoint that answers by `script`, which sees each request once it is recorded.
    pub(crate) fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Box::new(script), None)
    }

    /// An endpoint that always answers 200.
    pub(crate) fn ok() -> Self {
        Self::start(|_| Answer::status(200))
    }

    /// An endpoint behind TLS that always answers 200.
    pub(crate) fn tls(acceptor: Acceptor) -> Self {
        Self::listen(Box::new(|_| Answer::status(200)), Some(acceptor))
    }

    fn listen(script: Box<Script>, tls: Option<Acceptor>) -> Self {
        raise_descriptors();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
            tls,
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its URL with that path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// How many requests so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// How many connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until that many requests have come, and returns all there are.
    #[track_caller]
    pub(crate) fn wait(&self, count: usize, limit: Duration) -> Vec<Received> {
        eventually(&format!("{count} requests"), limit, || {
            let seen = self.count();
            if seen >= count {
                Ok(self.received())
            } else {
                Err(format!("{seen} requests"))
            }
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag; it may be gone already.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || serve(stream, &shared))
            .unwrap();
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    {
        let mut open = shared.open.lock().unwrap();
        // Those whose thread has ended are no longer connected; without this they would pile up.
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(stream.try_clone().unwrap());
    }
    match &shared.tls {
        None => {
            let end = exchanges(&mut stream, shared);
            if end != Next::Reset {
                drop(stream.shutdown(Shutdown::Both));
            }
        }
        Some(acceptor) => {
            if let Some(mut tls) = acceptor.accept(stream) {
                exchanges(&mut tls, shared);
                tls.conn.send_close_notify();
                drop(tls.flush());
                drop(tls.sock.shutdown(Shutdown::Both));
            }
        }
    }
}

/// How a connection goes on after a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
    Reset,
}

/// Requests and answers until the connection ends.
fn exchanges(stream: &mut (impl Last + Read + Write), shared: &Shared) -> Next {
    loop {
        let next = exchange(stream, shared);
        if next != Next::Request {
            return next;
        }
    }
}

/// One request and its answer.
fn exchange(stream: &mut (impl Last + Read + Write), shared: &Shared) -> Next {
    let Some((mut received, length)) = Received::read(stream) else {
        return Next::Close;
    };
    if length > 0 {
        match stream.last() {
            Some(byte) => received.body.push(byte),
            None => return Next::Close,
        }
    }
    let closes = received.header("Connection") == Some("close");
    shared.received.lock().unwrap().push(received.clone());
    let answer = (shared.script)(&received);
    if matches!(answer, Answer::Reset) {
        // The byte is unread, so that closing resets: the clone in `open` must go as well.
        let mine = stream.peer();
        let mut open = shared.open.lock().unwrap();
        open.retain(|other| other.peer_addr().ok() != mine);
        return Next::Reset;
    }
    if length > 0 && stream.read_exact(&mut [0]).is_err() {
        return Next::Close;
    }
    if perform(stream, &answer, shared) && !closes {
        Next::Request
    } else {
        Next::Close
    }
}

/// Does what `answer` says; whether the connection goes on.
fn perform(stream: &mut (impl Read + Write), answer: &Answer, shared: &Shared) -> bool {
    match answer {
        Answer::Bytes(bytes) => stream.write_all(bytes).is_ok(),
        Answer::Last(bytes) => {
            drop(stream.write_all(bytes));
            false
        }
        Answer::Later(span, answer) => {
            nap(*span);
            perform(stream, answer, shared)
        }
        Answer::Silence => {
            // Ends when the peer gives up, or with the receiver.
            drop(stream.read(&mut [0]));
            false
        }
        Answer::Reset => false,
        Answer::Drip(first, rest, gap) => {
            let mut sent = stream.write_all(first).is_ok();
            for byte in rest {
                nap(*gap);
                sent = sent && stream.write_all(&[*byte]).is_ok();
                if !sent || shared.stopped.load(Ordering::SeqCst) {
                    return false;
                }
            }
            sent
        }
        Answer::Endless(first, more) => {
            let mut sent = stream.write_all(first).is_ok();
            while sent && !shared.stopped.load(Ordering::SeqCst) {
                sent = stream.write_all(more).is_ok();
            }
            false
        }
    }
}

/// Looks at the last byte of a body without taking it.
trait Last {
    fn last(&mut self) -> Option<u8>;
    fn peer(&self) -> Option<SocketAddr>;
}

impl Last for TcpStream {
    fn last(&mut self) -> Option<u8> {
        let mut byte = [0];
        (self.peek(&mut byte).ok()? == 1).then_some(byte[0])
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
}

impl Last for super::tls::Stream {
    fn last(&mut self) -> Option<u8> {
        // TLS has no peek on the socket, but its reader is buffered: `fill_buf` leaves the byte.
        use std::io::BufRead;
        self.fill_buf().ok()?.first().copied()
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.sock.peer_addr().ok()
    }
}

/// Lets this process have as many descriptors as it may: silent endpoints hold many connections.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// An address for a listener of the daemon's, which has to be named before it is there: its host is one of
/// loopback's that nothing else of the tests uses, so that nobody is given its port meanwhile.
pub(crate) fn own_address() -> SocketAddr {
    static USED: AtomicU32 = AtomicU32::new(0);
    // Runs beside each other have hosts of their own, and all are far from those that people write.
    let number = std::process::id() * 32 + USED.fetch_add(1, Ordering::SeqCst);
    let host = Ipv4Addr::from_bits(0x7f80_0000 | number & 0x007f_ffff);
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// A port of loopback that is taken but refuses connections, as long as the socket lives.
pub(crate) fn bound_port() -> (tokio::net::TcpSocket, u16) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}
