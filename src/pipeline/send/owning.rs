//! Owning: the lanes of this node's webhooks are open, and those of all others shut.
//!
//! Left out: what a share is (`share`), and who says what it is (`pipeline/nodes`).

use std::sync::Arc;

use super::dispatch::Dispatch;
use super::share::{Names, Share};
use crate::pipeline::shared::LogGuard;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// What this node has.
    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// This node has these webhooks from now on: the lanes of all others are shut, and its own are filled from the log.
    pub(crate) fn own(&self, log: &LogGuard<'_>, names: Names) {
        *self.share.names.write() = Some(Arc::new(names));
        self.heed_gates(log);
    }

    /// Waits until the pipeline was told to stop, and nothing is in this node's hands.
    pub(crate) async fn let_all_go(&self) {
        let mut stop = self.stopping();
        drop(stop.wait_for(|stop| *stop).await);
        self.idle().await;
        let _left: usize = self.recorded().await;
    }

    /// Whether nothing of a webhook is in this node's hands: no attempt is under way, and each result is in the log.
    pub(crate) fn is_let_go(&self, webhook: &str) -> bool {
        self.lane(webhook).is_none_or(|lane| {
            let is_idle = lane.lock().is_idle();
            is_idle && lane.unrecorded() == 0
        })
    }
}
