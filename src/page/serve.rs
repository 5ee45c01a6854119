//! Connections of browsers: taken, kept within limits, let go.
//!
//! A page for a few people: where all places are taken the next one waits until a silent connection is
//! closed, which takes at most [`SILENCE`].

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Page, route};

/// Connections at a time: a browser has six to a host.
const CONNECTIONS: usize = 64;

/// A connection on which no request is begun or finished is closed after so long.
const SILENCE: Duration = Duration::from_secs(15);

/// The longest head of a request: a browser's, with the cookies of all ports of the host.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// The most headers of a request.
const MAX_HEADERS: usize = 64;

/// After an `accept` that failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Serves the page for as long as it is polled.
pub(crate) async fn serve(page: Arc<Page>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        };
        let page = page.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| route::answer(page.clone(), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(SILENCE)
                .max_buf_size(MAX_HEAD_BYTES)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // How it ended is the browser's to notice.
            drop((served, place));
        });
    }
}
