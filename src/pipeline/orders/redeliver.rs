//! Redelivery: deliveries of the log are made once more, with the same bytes.
//!
//! A row each, in chunks, which the refill reads back; who asked by SQL goes the same way.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::DeliveryId;
use crate::pipeline::send::{Dispatch, Lane};
use crate::store::{self, Again, RedeliverError};
use crate::transport::Transport;

/// A redelivery's answer, with the id that was asked for.
pub(crate) type Asked = (DeliveryId, Result<DeliveryId, RedeliverError>);

impl<T: Transport> Dispatch<T> {
    /// Makes deliveries once more, with the same bytes, and has them sent.
    ///
    /// # Errors
    /// The log can't be written: then none was made.
    pub async fn redeliver(
        self: &Arc<Self>,
        ids: Vec<DeliveryId>,
    ) -> Result<Vec<Asked>, store::Error> {
        let begun = self.clock().instant();
        // Lanes are told in the same call: who asked may be gone when it returns, and this future too.
        let (answers, lanes) = self
            .with_store(move |this, store| {
                let answers = store.redeliver(&ids, &|name| this.is_served(name))?;
                let lanes = this.have_sent(answers.iter().flatten().map(|(_, name)| &**name));
                Ok((ids.into_iter().zip(answers).collect::<Vec<_>>(), lanes))
            })
            .await?;
        let took = begun.elapsed();
        if answers.len() > 1 {
            self.let_others_through(&lanes, took).await;
        }
        let asked = |(id, answer): (DeliveryId, Again)| (id, answer.map(|(new, _)| new));
        Ok(answers.into_iter().map(asked).collect())
    }

    /// Has what became due in the log read back for these webhooks. Returns their lanes.
    fn have_sent<'n>(
        &self,
        webhooks: impl Iterator<Item = &'n str>,
    ) -> Vec<Arc<Lane<T::Endpoint>>> {
        let names: BTreeSet<&str> = webhooks.collect();
        let lanes: Vec<_> = names.into_iter().filter_map(|n| self.lane(n)).collect();
        for lane in &lanes {
            self.look_for_due(lane);
        }
        lanes
    }
}
