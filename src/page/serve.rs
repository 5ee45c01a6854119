//! Connections of browsers: taken, kept within limits, let go.
//!
//! A page for a few people: where all places are taken the next one has that of whoever has been there for longest
//! without asking anything. Where all have asked something it waits until one of them is closed, which takes at most
//! [`SILENCE`] where nothing is under way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

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

/// Those who have not asked anything yet, the oldest first: each can be shown out.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    last: u64,
    out: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Silent {
    /// One more; it is over when it is shown out.
    fn enter(&self) -> (u64, oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.0.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.out.insert(number, tell);
        (number, told)
    }

    /// It has asked something, or is gone.
    fn leave(&self, number: u64) {
        self.0.lock().out.remove(&number);
    }

    /// Shows the oldest out.
    fn make_room(&self) {
        if let Some((_, tell)) = self.0.lock().out.pop_first() {
            // Where it is gone already there is room.
            tell.send(()).ok();
        }
    }
}

/// Serves the pages for as long as it is polled and they have a sender. Without one its connections end too.
pub(crate) async fn serve(mut pages: Pages, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let silent = Silent::default();
    loop {
        let next = async {
            let accepted = listener.accept().await;
            if places.available_permits() == 0 {
                silent.make_room();
            }
            let place = places.clone().acquire_owned().await.ok()?;
            Some((accepted, place))
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
        let (mut pages, silent) = (pages.clone(), silent.clone());
        let (number, shown_out) = silent.enter();
        tokio::spawn(async move {
            let of_moment = pages.clone();
            let service = service_fn(|request| {
                silent.leave(number);
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
                // Whoever has asked something is not among those.
                Ok(()) = shown_out => {}
                () = gone(&mut pages) => {}
            }
            silent.leave(number);
            drop(place);
        });
    }
}

/// Waits until nobody makes pages any more.
async fn gone(pages: &mut Pages) {
    while pages.changed().await.is_ok() {}
}
