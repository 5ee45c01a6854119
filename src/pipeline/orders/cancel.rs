//! Cancelling: pending deliveries end because somebody asked for it.
//!
//! In the log and in memory by one step under the log's lock, so no attempt begins behind the answer. One that
//! had begun before it ends and is recorded: its success counts, its failure is not tried again.

use std::sync::Arc;

use crate::model::DeliveryId;
use crate::pipeline::send::Dispatch;
use crate::store::{self, CancelError, Withdrawal};
use crate::transport::Transport;

/// Deliveries cancelled in one transaction: some 5 ms of the log's lock.
const CHUNK_ROWS: usize = 250;

/// A delivery that was to be cancelled: what was done, or why not.
pub(crate) type Withdrawn = (DeliveryId, Result<Withdrawal, CancelError>);

impl<T: Transport> Dispatch<T> {
    /// How many ids at most go into one call of [`cancel`](Self::cancel).
    #[must_use]
    pub fn cancel_rows(&self) -> usize {
        CHUNK_ROWS
    }

    /// Cancels deliveries that are pending. The answers are in the order of the ids.
    ///
    /// # Errors
    /// The log can't be written: then none was.
    pub async fn cancel(
        self: &Arc<Self>,
        ids: Vec<DeliveryId>,
    ) -> Result<Vec<Withdrawn>, store::Error> {
        let (begun, several) = (self.clock().instant(), ids.len() > 1);
        let answers = self
            .with_store(move |this, log| {
                let in_hand = |name: &str, id| this.is_in_hand(name, id);
                let answers = log.cancel_by_order(&ids, this.clock().now_ms(), &in_hand)?;
                let cancelled = ids.iter().zip(&answers);
                let cancelled =
                    cancelled.filter_map(|(id, answer)| Some((*id, &*answer.as_ref().ok()?.0)));
                this.withdraw(log, cancelled);
                this.heed_turns(log);
                let answers = ids.into_iter().zip(answers);
                Ok(answers
                    .map(|(id, answer)| (id, answer.map(|(_, done)| done)))
                    .collect())
            })
            .await?;
        if several {
            self.let_others_through(&[], begun.elapsed()).await;
        }
        Ok(answers)
    }
}
