//! How events, questions and orders come in from other programs: HTTP and lines over a Unix socket.
//!
//! `serve` takes connections and keeps them within limits, `activity` says how long each may take,
//! `route` finds what answers a request, `intake` reads events and `append` makes them durable,
//! `order` passes on what people ask of the pipeline, `report` and `metrics` render how it is.
//! `item` reads one event as the JSON that the socket and `emit -` take.
//!
//! Nothing here opens a listening socket or reads the configuration: the daemon does. Invariants: an
//! id is answered only after its event is durable in the outbox; of a refused request nothing is
//! stored; what one client does or leaves undone costs another no more than a bounded wait.

mod activity;
mod answer;
mod append;
mod body;
mod fields;
mod intake;
pub mod item;
mod limits;
mod lines;
mod metrics;
mod order;
mod report;
mod route;
mod serve;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

pub use append::Appending;
pub use metrics::FAMILIES;
pub use serve::{DESCRIPTORS, serve_metrics, serve_socket};

use crate::pipeline::{Directed, Dispatch};
use crate::query::{About, Reading};
use crate::transport::Client;
use append::Append;
use serve::Counts;

/// An order to take the configuration in: the answer is what it did, or the report of its errors.
pub type Reload = oneshot::Sender<Result<Directed, String>>;

/// What answers requests.
pub struct Api {
    dispatch: Arc<Dispatch<Client>>,
    about: About,
    append: Append,
    reading: Reading,
    reload: mpsc::Sender<Reload>,
    large: Arc<Semaphore>,
    orders: Arc<Semaphore>,
    counts: Counts,
}

impl Api {
    /// Makes the thread that appends to the outbox, which the caller has to watch, and all that
    /// answers. Orders to reload go to `reload`.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new(
        dispatch: Arc<Dispatch<Client>>,
        about: About,
        reload: mpsc::Sender<Reload>,
    ) -> std::io::Result<(Arc<Self>, Appending)> {
        let (append, appending) = Append::start(&about.outbox, &dispatch)?;
        let reading = Reading::new(&about);
        let api = Arc::new(Self {
            dispatch,
            about,
            append,
            reading,
            reload,
            large: Arc::new(Semaphore::new(body::LARGE_AT_A_TIME)),
            orders: Arc::new(Semaphore::new(order::AT_A_TIME)),
            counts: Counts::default(),
        });
        Ok((api, appending))
    }
}
