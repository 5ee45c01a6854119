//! The byte stream below HTTP: a TCP connection, with TLS around it or without.
//!
//! It only passes calls on. What is written and when is `http1`'s business, one floor up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::{Errno, writev};
use rustix::net::{RecvFlags, recv};
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection as bytes.
pub(super) enum Wire {
    /// `http`.
    Plain(TcpStream),
    /// `https`; boxed, for the TLS state is a kilobyte that plain connections need not carry.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Whether the kernel has bytes of the peer, or its end, or an error: asked of the kernel itself,
    /// for the runtime hears of it later.
    pub(super) fn has_unread(&self) -> bool {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        loop {
            match recv(stream, &mut [0; 1], flags) {
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                _ => return true,
            }
        }
    }

    /// Whether a server's handshake is over on its side too. With TLS 1.3 it looks at our certificate when we take
    /// the handshake for done; it sends tickets for the session afterwards.
    pub(super) fn is_let_in(&self) -> bool {
        let Self::Tls(stream) = self else {
            return true;
        };
        let connection = stream.get_ref().1;
        connection.protocol_version() != Some(ProtocolVersion::TLSv1_3)
            || connection.tls13_tickets_received() > 0
    }

    /// Writes at once, where the kernel takes something: the runtime hears of a new connection's room
    /// a round later. Pending says nothing, and wakes nobody.
    pub(super) fn write_now(&self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => match writev(stream, slices) {
                Err(Errno::AGAIN | Errno::INTR) => Poll::Pending,
                written => Poll::Ready(written.map_err(io::Error::from)),
            },
            Self::Tls(_) => Poll::Pending,
        }
    }

    /// The TCP connection alone, for waiting until the peer closes it.
    pub(super) fn into_tcp(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.into_inner().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => {
                let polled = Pin::new(&mut **stream).poll_read(cx, buf);
                // What TLS answers by itself (no to another handshake, new keys) goes with what is written next, and
                // nothing is while an answer is waited for: the peer would wait as well.
                if polled.is_pending()
                    && stream.get_ref().1.wants_write()
                    && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(cx)
                {
                    return Poll::Ready(Err(error));
                }
                polled
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
