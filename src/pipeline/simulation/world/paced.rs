//! Webhooks with a pace, which people change, while everything else happens.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. At the begin of each request of any week the
//! oracle holds that the gap since the webhook's one before is over.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Rate;
use crate::pipeline::simulation::oracle::Oracle;
use crate::pipeline::simulation::rng::Rng;
use crate::pipeline::simulation::subscriptions::Subscriptions;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 18_000_000_000;

/// What decides about the paces of such a week.
pub(super) fn rng(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 13))
}

impl Oracle {
    /// A request begins, with that gap to the one before by its webhook of the moment.
    pub(in super::super) fn begins_apart(&mut self, to: &str, gap: Option<Duration>) {
        let now = Instant::now();
        let before = self.begun.insert(to.to_owned(), now);
        let (Some(gap), Some(before)) = (gap, before) else {
            return;
        };
        let apart = now.saturating_duration_since(before);
        if apart < gap {
            self.broke(&format!(
                "{to} gets a request {apart:?} after the last, not {gap:?}"
            ));
        }
        if apart < gap + Duration::from_millis(2) {
            self.count("requests that waited for their pace");
        }
    }

    /// What has no pace by a configuration is not remembered.
    pub(in super::super) fn forget_unpaced(&mut self, subscriptions: &Subscriptions) {
        let unpaced = subscriptions.webhooks.iter();
        for webhook in unpaced.filter(|webhook| webhook.max_per_second.is_none()) {
            self.begun.remove(&*webhook.name);
        }
    }

    /// How long a webhook's next request may be due for the sake of its pace, milliseconds.
    pub(in super::super) fn pace_ms(&self, webhook: &str) -> i64 {
        let mut webhooks = self.routes.iter();
        let rate = webhooks.find(|w| *w.name == *webhook);
        let gap = rate.and_then(|w| w.max_per_second).map(Rate::gap);
        gap.map_or(0, |gap| i64::try_from(gap.as_millis()).unwrap())
    }
}
