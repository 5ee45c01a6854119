//! The work of a log of the shape before comes over, in small steps between other work, and is sent as it does.
//!
//! Left out: what a step does (`store`).

use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::send::Dispatch;
use crate::store;
use crate::transport::Transport;

/// Deliveries of one step: some 5 ms of the log's lock.
const CHUNK_ROWS: usize = 250;

/// Between two steps the lock is free for so long.
const BREATHER: Duration = Duration::from_millis(5);

impl<T: Transport> Dispatch<T> {
    /// Brings all pending work over. Costs one look at the log where there is none.
    ///
    /// # Errors
    /// The log can't be read or written; the same call again goes on.
    pub async fn come_over(self: &Arc<Self>) -> Result<(), store::Error> {
        let mut rows = 0;
        while !self.is_stopping() {
            let limit = self.bounds().of(CHUNK_ROWS);
            let step = self
                .with_store(move |_, store| store.come_over(limit))
                .await?;
            rows += step.rows;
            for name in step.webhooks {
                self.came_to_be_due(&name, "pending deliveries of an earlier version's log")
                    .await?;
            }
            if !step.more {
                break;
            }
            let mut stop = self.stopping();
            drop(tokio::time::timeout(BREATHER, stop.wait_for(|stop| *stop)).await);
        }
        if rows > 0 {
            tracing::info!(
                deliveries = rows,
                "the pending work of an earlier version's log has come over"
            );
        }
        Ok(())
    }
}
