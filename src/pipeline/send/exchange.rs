//! Exchange: lanes and subscriptions by another configuration, in one step under the log's lock.
//!
//! A closed lane keeps what is in hand until it is recorded; what was queued is the log's again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::dispatch::Dispatch;
use super::lane::Lane;
use super::target::Target;
use crate::model::Rate;
use crate::pipeline::shared::{LogGuard, PipelineConfig, Routes};
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Takes a configuration in, and until when endpoints asked to wait. Returns every lane, to be filled once
    /// the lock is free.
    pub(crate) fn exchange_lanes(
        &self,
        log: &LogGuard<'_>,
        change: PipelineConfig<T::Endpoint>,
        held: &HashMap<String, i64>,
    ) -> Vec<Arc<Lane<T::Endpoint>>> {
        let webhooks = change.webhooks.iter().map(|(w, _)| w.clone()).collect();
        self.capacity.permits.resize(change.max_in_flight);
        self.running.limit_data(change.max_data_bytes);
        self.running.keep_for(change.retention);
        let mut lanes = self.lanes.write();
        let bounds = self.bounds();
        let mut served: HashSet<Arc<str>> = HashSet::new();
        for (webhook, endpoint) in change.webhooks.into_iter().filter(|(w, _)| w.active) {
            served.insert(webhook.name.clone());
            let lane = lanes
                .entry(webhook.name.clone())
                .or_insert_with(|| Arc::new(Lane::new(webhook.name.clone(), bounds, log.lost())));
            let target = Some(Arc::new(Target::new(webhook, endpoint)));
            self.direct_lane(log, lane, target);
            if let Some(until_ms) = held.get(&*lane.name) {
                let now_ms = self.clock.now_ms();
                let _: bool = lane.lock().spacing.hold(*until_ms, now_ms);
            }
        }
        for lane in lanes.values().filter(|lane| !served.contains(&lane.name)) {
            self.direct_lane(log, lane, None);
        }
        // A closed lane that still has something in hand stays, so that the same delivery can't be
        // taken twice should its webhook come back meanwhile; and one that knows of a request less than its
        // gap ago.
        let now = self.clock.instant();
        let stays = |lane: &Lane<T::Endpoint>| {
            let state = lane.lock();
            !state.is_idle() || state.spacing.opens_later(now)
        };
        lanes.retain(|name, lane| served.contains(name) || stays(lane));
        // By name, so that the same change starts the same requests in the same order.
        let mut all: Vec<_> = lanes.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        drop(lanes);
        let routes = Routes::new(webhooks, change.tenant);
        self.running.exchange_routes(log, routes);
        all
    }

    /// Calls `act` with the endpoint of every webhook that gets events.
    pub fn each_endpoint(&self, act: impl Fn(&T::Endpoint)) {
        for lane in self.all_lanes() {
            let target = lane.lock().target.clone();
            if let Some(target) = target {
                act(&target.endpoint);
            }
        }
    }

    /// Directs a lane to a target, or closes it.
    fn direct_lane(
        &self,
        log: &LogGuard<'_>,
        lane: &Lane<T::Endpoint>,
        target: Option<Arc<Target<T::Endpoint>>>,
    ) {
        let mut state = lane.lock();
        let before = state.queued_bytes();
        let rate = target.as_ref().map(|target| target.webhook.max_per_second);
        state.reconfigure(log, target);
        if let Some(rate) = rate {
            let has_sent = state.taken > 0;
            state
                .spacing
                .set(rate.map(Rate::gap), has_sent, self.clock.instant());
        }
        self.capacity.unqueue(before - state.queued_bytes());
    }
}
