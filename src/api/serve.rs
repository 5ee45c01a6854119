//! Connections: taken, kept within limits, let go.
//!
//! There is a fixed number of permits. A connection that finds none takes that of one that keeps us
//! waiting, the longest silent first, so that ten thousand idle ones cost a client at work nothing.
//! A connection's panic or breaking off is its own affair. At the stop nothing more is accepted, and
//! what is being answered gets a moment.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::activity::Activity;
use super::counts::Counts;
use super::limits::LAST_WORDS;
use super::route::{self, Scope};
use super::{Api, lines};
use crate::model::caller::Names;

/// Connections to the socket at a time: more than a host's programs have threads that write events,
/// and some 40 MiB with their buffers. A process that may open few files has fewer permits.
const SOCKET_PERMITS: usize = 512;

/// One permit of the socket for so many files that the process may open.
const FILES_A_PERMIT: u64 = 8;

/// So many permits there are in any case.
const FEWEST_PERMITS: usize = 8;

/// Connections of scrapers at a time: a few of them come every few seconds.
const METRICS_PERMITS: usize = 16;

/// Descriptors that the listeners and their connections take, with one beyond each limit.
pub(crate) const DESCRIPTORS: u64 = 544;

/// The longest head of a request: curl's is 200 bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// After an `accept` that failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines about that in the journal.
const TELL: Duration = Duration::from_secs(10);

/// What is being answered at the stop gets so long: an append may wait for the application.
const LAST_ANSWERS: Duration = Duration::from_secs(6);

/// Serves the socket until `stop` is true, then what is being answered. `files` is how many the
/// process may open.
pub async fn serve_socket(
    api: Arc<Api>,
    listener: UnixListener,
    files: u64,
    stop: watch::Receiver<bool>,
) {
    let permits = usize::try_from(files / FILES_A_PERMIT).unwrap_or(SOCKET_PERMITS);
    let permits = permits.clamp(FEWEST_PERMITS, SOCKET_PERMITS);
    serve(api, Scope::All, permits, stop, listener).await;
}

/// Serves the metrics over TCP until `stop` is true.
pub(crate) async fn serve_metrics(
    api: Arc<Api>,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) {
    // Other machines ask for a port of theirs by names that are not known here.
    let on_loopback = listener
        .local_addr()
        .is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let names = if on_loopback {
        Names::Loopback(&[])
    } else {
        Names::Any
    };
    serve(api, Scope::Metrics(names), METRICS_PERMITS, stop, listener).await;
}

/// Where connections come from.
trait Listener: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// The permits, and who has them.
struct Permits {
    free: Arc<Semaphore>,
    taken: Mutex<Vec<Arc<Activity>>>,
}

impl Permits {
    /// A permit, taken from another where none is free. Waits only while all others are being served.
    async fn take(&self, counts: &Counts) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(permit);
        }
        loop {
            if self.evict() {
                counts.evicted.fetch_add(1, Ordering::Relaxed);
            }
            let permit = Arc::clone(&self.free).acquire_owned();
            // Who was chosen may have become busy: then another one is, a little later.
            if let Ok(permit) = tokio::time::timeout(RETRY_PAUSE, permit).await {
                return permit.ok();
            }
        }
    }

    fn evict(&self) -> bool {
        let taken = self.taken.lock();
        let ranked = taken.iter().filter_map(|a| Some((a.rank()?, a)));
        let chosen = ranked.min_by_key(|(rank, _)| *rank);
        chosen.is_some_and(|(_, activity)| {
            activity.evict();
            true
        })
    }

    fn enter(&self, activity: &Arc<Activity>) {
        let mut taken = self.taken.lock();
        taken.push(activity.clone());
    }

    fn leave(&self, activity: &Arc<Activity>) {
        let mut taken = self.taken.lock();
        if let Some(index) = taken.iter().position(|a| Arc::ptr_eq(a, activity)) {
            taken.swap_remove(index);
        }
    }
}

async fn serve(
    api: Arc<Api>,
    scope: Scope,
    permits: usize,
    mut stop: watch::Receiver<bool>,
    listener: impl Listener,
) {
    let permits = Arc::new(Permits {
        free: Arc::new(Semaphore::new(permits)),
        taken: Mutex::default(),
    });
    let mut connections = JoinSet::new();
    let (clock, mut told) = (api.dispatch.clock().clone(), None);
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let stream = listener.next().await?;
            Ok((stream, permits.take(&api.counts).await))
        };
        let accepted: io::Result<_> = tokio::select! {
            accepted = next => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, Some(permit))) => {
                let (api, permits, stop) = (api.clone(), permits.clone(), stop.clone());
                connections.spawn(connection(api, scope, stream, permits, permit, stop));
            }
            Ok((_, None)) => break,
            Err(error) => {
                if told.is_none_or(|at| clock.instant().saturating_duration_since(at) >= TELL) {
                    tracing::warn!(%error, "a connection can't be accepted");
                    told = Some(clock.instant());
                }
                // It may be for want of descriptors, of which an idle one has one.
                permits.evict();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(LAST_ANSWERS, all).await);
}

/// Gives its permit back also where the connection panics.
struct Permit {
    api: Arc<Api>,
    permits: Arc<Permits>,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.api.counts.open.fetch_sub(1, Ordering::Relaxed);
        self.permits.leave(&self.activity);
    }
}

async fn connection<S>(
    api: Arc<Api>,
    scope: Scope,
    stream: S,
    permits: Arc<Permits>,
    permit: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let activity = Arc::new(Activity::new(api.dispatch.clock().clone()));
    permits.enter(&activity);
    api.counts.open.fetch_add(1, Ordering::Relaxed);
    let held = Permit {
        api: api.clone(),
        permits,
        activity: activity.clone(),
        _permit: permit,
    };
    let mut stream = Stream {
        inner: stream,
        first: None,
        activity: activity.clone(),
    };
    let served = talk(&api, scope, &mut stream, &activity, stop);
    tokio::select! {
        // How it ended is the client's to notice.
        served = served => drop(served),
        () = activity.over() => {}
    }
    drop(held);
}

/// HTTP, or plain lines where the first byte says so.
async fn talk<S>(
    api: &Arc<Api>,
    scope: Scope,
    stream: &mut Stream<S>,
    activity: &Arc<Activity>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut first = [0];
    let read = tokio::select! {
        read = stream.read(&mut first) => Some(read),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let read = match read {
        Some(read) => read?,
        None => match tokio::time::timeout(LAST_WORDS, stream.read(&mut first)).await {
            Ok(read) => read?,
            Err(_) => return Ok(()),
        },
    };
    if read == 0 {
        return Ok(());
    }
    stream.first = Some(first[0]);
    if scope == Scope::All && first[0] == b'{' {
        return lines::serve(api, stream, activity, &mut stop).await;
    }
    if !may_begin(first[0]) {
        return refuse(stream, first[0]).await;
    }
    let service =
        service_fn(|request| route::answer(api.clone(), scope, activity.clone(), request));
    let mut http = http1::Builder::new();
    // A client may close its side behind its request, as `nc -N` does.
    http.max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(true);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        // First the connection: one that has read nothing at all would be closed by the second.
        biased;
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(io::Error::other)
}

/// Whether a request may begin so: with a method, or with the blank lines that clients may send before.
fn may_begin(first: u8) -> bool {
    first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n')
}

/// Says to who sends neither what is taken here. HTTP's own refusal would have no words.
async fn refuse<S>(stream: &mut Stream<S>, first: u8) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let words = format!(
        "a connection sends HTTP requests, or lines with one JSON object each, from its first byte on; \
         this one begins with \"{}\"",
        first.escape_ascii()
    );
    let body = format!("{}\n", json!({ "error": words }));
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await?;
    // A close with bytes unread would cost a client by TCP the answer.
    let rest = async {
        while stream
            .read(&mut [0; 4 << 10])
            .await
            .is_ok_and(|read| read > 0)
        {}
    };
    drop(tokio::time::timeout(LAST_WORDS, rest).await);
    Ok(())
}

/// A stream whose first byte was looked at, and whose reads are counted.
struct Stream<S> {
    inner: S,
    first: Option<u8>,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(first) = self.first.take() {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.activity.read(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
