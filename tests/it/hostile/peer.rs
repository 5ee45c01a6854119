//! Peers that break rules: a listener, and a closure that does as it likes with each connection.
//!
//! `Receiver` of the support speaks HTTP badly at most; these need not speak it at all. A connection
//! is one thread, which ends when the daemon under test does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::nap;

/// What a peer does with a connection, which is closed when it returns.
pub(super) type Act = Box<dyn Fn(&mut TcpStream) + Send + Sync>;

/// A listener on loopback.
pub(super) struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Peer {
    /// Gives each connection to `act`.
    pub(super) fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let (count, stop) = (Arc::clone(&connections), Arc::clone(&stopped));
        let act: Arc<Act> = Arc::new(act);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                let act = Arc::clone(&act);
                std::thread::spawn(move || act(&mut stream));
            }
        });
        Self {
            address,
            connections,
            stopped,
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has had.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        drop(TcpStream::connect(self.address));
    }
}

/// Reads a request but for its last `left` bytes; its body so far. Less where the peer closes.
pub(super) fn take_request_but(stream: &mut impl Read, left: usize) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return Vec::new();
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.unwrap().parse().unwrap();
    let mut body = vec![0; length.saturating_sub(left)];
    // Where the daemon gave up meanwhile there is nobody to be told.
    drop(stream.read_exact(&mut body));
    body
}

/// Reads a request; its body.
pub(super) fn take_request(stream: &mut impl Read) -> Vec<u8> {
    take_request_but(stream, 0)
}

/// Waits until the daemon closes.
pub(super) fn until_closed(stream: &mut impl Read) {
    let mut scratch = [0; 4096];
    while let Ok(1..) = stream.read(&mut scratch) {}
}

/// Reads the request, says this, closes its side, and waits for the other.
pub(super) fn says(bytes: impl Into<Vec<u8>>) -> Act {
    let bytes = bytes.into();
    Box::new(move |stream| {
        take_request(stream);
        // The daemon may have heard enough before the end.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(Shutdown::Write));
        until_closed(stream);
    })
}

/// Reads the request, says this, and leaves the connection open.
pub(super) fn says_and_waits(bytes: impl Into<Vec<u8>>) -> Act {
    let bytes = bytes.into();
    Box::new(move |stream| {
        take_request(stream);
        drop(stream.write_all(&bytes));
        until_closed(stream);
    })
}

/// Reads the request, says the first, and then the second for ever, with that span between.
pub(super) fn repeats(first: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>, gap: Duration) -> Act {
    let (first, again) = (first.into(), again.into());
    Box::new(move |stream| {
        take_request(stream);
        let mut open = stream.write_all(&first).is_ok();
        while open {
            if !gap.is_zero() {
                nap(gap);
            }
            open = stream.write_all(&again).is_ok();
        }
    })
}

/// The same as fast as the connection carries it.
pub(super) fn floods(first: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Act {
    repeats(first, again, Duration::ZERO)
}

/// The same slowly: 40 times a second.
pub(super) fn drips(first: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Act {
    repeats(first, again, Duration::from_millis(25))
}
