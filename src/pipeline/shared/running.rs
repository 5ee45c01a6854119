//! The running configuration: what the pipeline goes by at the moment, and since when it runs.
//!
//! A reload replaces it under the log's lock; each reader sees the old value or the new one. Targets and
//! limits of single webhooks are in their lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fan_out::Routes;
use super::log::LogGuard;
use super::settings::{Pace, Retention};
use crate::model::Clock;

/// What the pipeline goes by at the moment.
pub(crate) struct Running {
    begun: (i64, Instant),
    pace: Pace,
    routes: RwLock<Arc<Routes>>,
    retention: watch::Sender<Retention>,
    /// Relaxed: a number by itself, which the intake reads before each look.
    max_data_bytes: AtomicUsize,
}

impl Running {
    pub(crate) fn new(clock: &Clock, pace: Pace) -> Self {
        Self {
            begun: (clock.now_ms(), clock.instant()),
            pace,
            routes: RwLock::new(Arc::new(Routes::new(Vec::new(), None))),
            retention: watch::Sender::default(),
            max_data_bytes: AtomicUsize::new(0),
        }
    }

    /// The wall clock and the other when this was made, before anything went by either.
    pub(crate) fn begun(&self) -> (i64, Instant) {
        self.begun
    }

    /// How often the loops look around.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// The subscriptions of the moment.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.read().clone()
    }

    /// Exchanges the subscriptions: under the log's lock, so that an event is fanned out by the old ones
    /// or by the new.
    pub(crate) fn exchange_routes(&self, _log: &LogGuard<'_>, mut routes: Routes) {
        let mut running = self.routes.write();
        routes.count_on(&running);
        *running = Arc::new(routes);
    }

    /// How long things are kept.
    pub(crate) fn retention(&self) -> Retention {
        self.retention.borrow().clone()
    }

    /// The same, with each change of it.
    pub(crate) fn retention_changes(&self) -> watch::Receiver<Retention> {
        self.retention.subscribe()
    }

    /// Keeps things for so long from now on.
    pub(crate) fn keep_for(&self, retention: Retention) {
        self.retention.send_replace(retention);
    }

    /// Bytes of `data` above which an event is set aside.
    pub(crate) fn max_data_bytes(&self) -> usize {
        self.max_data_bytes.load(Ordering::Relaxed)
    }

    /// Sets events aside above so many bytes from now on.
    pub(crate) fn limit_data(&self, max_data_bytes: usize) {
        self.max_data_bytes.store(max_data_bytes, Ordering::Relaxed);
    }
}
