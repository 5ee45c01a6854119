//! A Unix socket as ureq's transport.
//!
//! ureq takes any connector and any transport, under a name that promises no stability
//! (`ureq::unversioned`): this file is all that a new version of it may break. Names are never
//! looked up. Connecting may block for as long as the daemon takes no connection from a full queue,
//! and knows no time-out of its own, so a thread does it that is left behind where it takes too long.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Connects to one socket, whatever the URI says.
#[derive(Debug)]
pub(super) struct UnixConnector {
    path: PathBuf,
    limit: Duration,
}

impl UnixConnector {
    pub(super) fn new(path: &Path, limit: Duration) -> Self {
        Self {
            path: path.to_owned(),
            limit,
        }
    }
}

/// That no connection was made: it sets these errors apart from those of reading and writing.
#[derive(Debug)]
struct NotConnected(io::Error);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NotConnected {}

/// Why there is no connection, or the error as it was.
pub(super) fn connect_error(error: Error) -> Result<io::Error, Error> {
    match error {
        Error::Other(other) => match other.downcast::<NotConnected>() {
            Ok(not_connected) => Ok(not_connected.0),
            Err(other) => Err(Error::Other(other)),
        },
        other => Err(other),
    }
}

impl Connector<()> for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let (send, receive) = mpsc::sync_channel(1);
        let path = self.path.clone();
        std::thread::Builder::new()
            .spawn(move || drop(send.send(UnixStream::connect(path))))
            .map_err(|error| Error::Other(Box::new(NotConnected(error))))?;
        let stream = receive.recv_timeout(self.limit).unwrap_or_else(|_| {
            let text = "it takes no connection";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        let stream = stream.map_err(|error| Error::Other(Box::new(NotConnected(error))))?;
        let config = details.config;
        Ok(Some(UnixTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        }))
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.stream.set_write_timeout(limit(timeout))?;
        let sent = self.stream.write_all(&self.buffers.output()[..amount]);
        sent.map_err(|error| in_time(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        self.stream.set_read_timeout(limit(timeout))?;
        let amount = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| in_time(error, timeout.reason))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// A command asks once or twice: a connection is not used again.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// What the socket is given as its time-out; zero would mean none.
fn limit(timeout: NextTimeout) -> Option<Duration> {
    timeout.not_zero().map(|limit| *limit)
}

/// A socket's time-out is told as `WouldBlock`.
fn in_time(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}

/// Answers every look-up with an address that nobody connects to.
#[derive(Debug)]
pub(super) struct NoNames;

impl Resolver for NoNames {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)));
        Ok(addresses)
    }
}
