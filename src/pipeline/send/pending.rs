//! What is pending in the log for each webhook: entered into the calendar, or cancelled where nobody
//! serves the webhook any more.
//!
//! Asked for by a reload, and by what is found in the log while it runs.

use std::sync::Arc;

use super::dispatch::Dispatch;
use crate::store;
use crate::transport::Transport;

/// Deliveries cancelled in one transaction: some 5 ms of the log's lock.
const CHUNK_ROWS: usize = 500;

impl<T: Transport> Dispatch<T> {
    /// Enters every lane's earliest due time into the calendar.
    ///
    /// # Errors
    /// As of the log.
    pub(crate) async fn enter_all(self: &Arc<Self>) -> Result<(), store::Error> {
        self.with_store(|this, store| {
            for name in store.pending_webhooks()? {
                let Some(lane) = this.lane(&name) else {
                    continue;
                };
                if let Some(at_ms) = store.next_due(&name)? {
                    this.note_due(&lane, at_ms);
                }
            }
            Ok(())
        })
        .await
    }

    /// Cancels what is pending for a webhook that gets nothing, as long as it does. Returns how many.
    ///
    /// # Errors
    /// As of the log.
    pub(crate) async fn cancel_pending(
        self: &Arc<Self>,
        name: Arc<str>,
    ) -> Result<usize, store::Error> {
        let mut all = 0;
        loop {
            let name = name.clone();
            let cancelled = self
                .with_store(move |this, store| {
                    // A reload exchanges the webhooks under this lock: it may get some again by now.
                    if this.is_served(&name) {
                        return Ok(0);
                    }
                    let in_hand = |name: &str, id| this.is_in_hand(name, id);
                    let rows = this.bounds().of(CHUNK_ROWS);
                    store.cancel(&name, rows, this.clock.now_ms(), &in_hand)
                })
                .await?;
            all += cancelled;
            if cancelled < self.bounds().of(CHUNK_ROWS) {
                return Ok(all);
            }
        }
    }
}
