//! Signals: what the pipeline's loops wait for beside their own work.
//!
//! A hint that is lost costs nothing but time: the stop is a state, and replays stand in the log.

use tokio::sync::{Notify, watch};

/// What the loops wait for.
pub(crate) struct Signals {
    stop: watch::Sender<bool>,
    replay_asked: Notify,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(false),
            replay_asked: Notify::new(),
        }
    }
}

impl Signals {
    /// Has the loops end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Becomes true when the pipeline stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Says that a replay was written.
    pub(crate) fn ask_for_replay(&self) {
        self.replay_asked.notify_one();
    }

    /// Waits until one was.
    pub(crate) async fn replay_asked(&self) {
        self.replay_asked.notified().await;
    }
}
