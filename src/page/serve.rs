//! Connections of browsers: taken, kept within limits, let go.
//!
//! A page for a few people: where all places are taken the next one waits until a silent connection is
//! closed, which takes at most [`SILENCE`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::streams::STREAMS;
use super::{Pages, route};

/// Connections at a time: a browser has six to a host, and as many pages may be live as there are streams.
const CONNECTIONS: usize = 64 + STREAMS;

/// A connection on which no request is begun or finished is closed after so long.
const SILENCE: Duration = Duration::from_secs(15);

/// The longest head of a request: a browser's, with the cookies of all ports of the host.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// After an `accept` that failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that the connections take, and the looks into the log.
pub(crate) const DESCRIPTORS: u64 = 224;

/// Serves the pages for as long as it is polled and they have a sender. Without one its connections end too.
pub(crate) async fn serve(mut pages: Pages, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (accepted, place) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                None => return,
            },
            () = gone(&mut pages) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        };
        let mut pages = pages.clone();
        tokio::spawn(async move {
            let of_moment = pages.clone();
            let service = service_fn(|request| {
                let page = of_moment.borrow().clone();
                async { Ok::<_, Infallible>(route::answer(page, request).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(SILENCE)
                .max_buf_size(MAX_HEAD_BYTES)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            // How it ended is the browser's to notice.
            tokio::select! {
                served = served => drop(served),
                () = gone(&mut pages) => {}
            }
            drop(place);
        });
    }
}

/// Waits until nobody makes pages any more.
async fn gone(pages: &mut Pages) {
    while pages.changed().await.is_ok() {}
}
