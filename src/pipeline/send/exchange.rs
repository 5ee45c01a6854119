//! Exchange: lanes and subscriptions by another configuration, in one step under the log's lock.
//!
//! A closed lane keeps what is in hand until it is recorded; what was queued is the log's again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dispatch::Dispatch;
use super::lane::{Lane, Target};
use crate::pipeline::shared::{LogGuard, PipelineConfig, Routes};
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Takes a configuration in. Returns every lane, to be filled once the lock is free.
    pub(crate) fn exchange_lanes(
        &self,
        _log: &LogGuard<'_>,
        change: PipelineConfig<T::Endpoint>,
    ) -> Vec<Arc<Lane<T::Endpoint>>> {
        let webhooks = change.webhooks.iter().map(|(w, _)| w.clone()).collect();
        self.permits.resize(change.max_in_flight);
        self.max_data_bytes
            .store(change.max_data_bytes, Ordering::Relaxed);
        self.retention.send_replace(change.retention);
        let mut lanes = self.lanes.write();
        let bounds = self.bounds();
        let mut served: HashSet<Arc<str>> = HashSet::new();
        for (webhook, endpoint) in change.webhooks.into_iter().filter(|(w, _)| w.active) {
            served.insert(webhook.name.clone());
            let lane = lanes.entry(webhook.name.clone()).or_insert_with(|| {
                Arc::new(Lane::new(webhook.name.clone(), bounds, self.lost.clone()))
            });
            let url = Arc::new(webhook.url.clone());
            self.direct_lane(
                lane,
                Some(Arc::new(Target {
                    webhook,
                    url,
                    endpoint,
                })),
            );
        }
        for lane in lanes.values().filter(|lane| !served.contains(&lane.name)) {
            self.direct_lane(lane, None);
        }
        // A closed lane that still has something in hand stays, so that the same delivery can't be
        // taken twice should its webhook come back meanwhile.
        lanes.retain(|name, lane| served.contains(name) || !lane.lock().is_idle());
        // By name, so that the same change starts the same requests in the same order.
        let mut all: Vec<_> = lanes.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        drop(lanes);
        *self.routes.write() = Arc::new(Routes::new(webhooks, change.tenant));
        all
    }

    /// Directs a lane to a target, or closes it.
    fn direct_lane(&self, lane: &Lane<T::Endpoint>, target: Option<Arc<Target<T::Endpoint>>>) {
        let mut state = lane.lock();
        let before = state.queued_bytes();
        state.reconfigure(target);
        self.queued_bytes
            .fetch_sub(before - state.queued_bytes(), Ordering::Relaxed);
    }
}
