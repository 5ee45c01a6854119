//! What answers requests stands on: the pipeline, the thread that appends, the limits of all requests
//! together.
//!
//! Left out: every answer. Each kind has a file of its own beside this one.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::append::{Append, Appending};
use super::counts::Counts;
use super::limits::{LARGE_AT_A_TIME, ORDERS_AT_A_TIME};
use crate::page::Page;
use crate::pipeline::{Applied, Dispatch};
use crate::query::{About, Reading};
use crate::transport::Client;

/// An order to take the configuration in: the answer is what it did, or the report of its errors.
pub type Reload = oneshot::Sender<Result<Applied, String>>;

/// What answers requests.
pub struct Api {
    pub(super) dispatch: Arc<Dispatch<Client>>,
    pub(super) about: About,
    pub(super) append: Append,
    pub(super) reading: Reading,
    pub(super) reload: mpsc::Sender<Reload>,
    pub(super) large: Arc<Semaphore>,
    pub(super) orders: Arc<Semaphore>,
    pub(super) counts: Counts,
    /// The page on the socket; none until the daemon has one shown.
    pub(super) page: RwLock<Option<Arc<Page>>>,
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
            large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)),
            orders: Arc::new(Semaphore::new(ORDERS_AT_A_TIME)),
            counts: Counts::default(),
            page: RwLock::new(None),
        });
        Ok((api, appending))
    }
}
