//! Directing: the pipeline is given webhooks, at the start and at each reload.
//!
//! The exchange is one step under the log's lock: an event is fanned out by the old webhooks or by
//! the new ones, never by a mix. What is in flight ends as it began. A webhook that is inactive or
//! has left the file loses what was pending: it is cancelled in the log, in chunks, afterwards.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{Announce, Dialect, Webhook, crash};
use crate::pipeline::send::{Dispatch, Lane};
use crate::pipeline::shared::{Applied, LogGuard, PipelineConfig, chain};
use crate::store;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Every webhook of the running configuration.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Arc<Webhook>> {
        self.routes().webhooks().to_vec()
    }

    /// Takes a configuration in.
    ///
    /// # Errors
    /// The log can't be written: where that may pass, nothing was exchanged.
    pub async fn reconfigure(
        self: &Arc<Self>,
        change: PipelineConfig<T::Endpoint>,
    ) -> Result<Applied, store::Error> {
        let before = self.webhooks();
        let after = change.webhooks.iter().map(|(webhook, _)| webhook);
        let ordered = before.iter().chain(after);
        let ordered = ordered.filter(|webhook| webhook.order.is_some());
        let ordered: HashSet<Arc<str>> = ordered.map(|w| w.name.clone()).collect();
        let active = change.webhooks.iter().filter(|(w, _)| w.active).count();
        let lanes = self
            .with_store(|this, log| this.exchange(log, change))
            .await?;
        crash::point("reload", "webhooks exchanged");
        for lane in &lanes {
            self.fill(lane);
        }
        let mut directed = Applied {
            active,
            cancelled: Vec::new(),
            in_order: Vec::new(),
        };
        // The exchange is done: what follows from it is tried until the log takes it.
        while let Err(error) = self.see_to_pending(&mut directed).await {
            if !error.is_transient() || self.is_stopping() {
                return Err(error);
            }
            tracing::warn!(
                step = "cancel pending deliveries",
                error = chain(&error),
                "trying again"
            );
            tokio::time::sleep(self.running().pace().poll).await;
        }
        let cancelled = directed.cancelled.iter().map(|(name, _)| name);
        let in_order = cancelled.filter(|name| ordered.contains(*name));
        directed.in_order = in_order.cloned().collect();
        Ok(directed)
    }

    async fn see_to_pending(self: &Arc<Self>, directed: &mut Applied) -> Result<(), store::Error> {
        self.pay_all().await?;
        self.let_lines_go().await?;
        let unserved = if self.share().leads() {
            self.unserved().await?
        } else {
            Vec::new()
        };
        for name in unserved {
            let cancelled = self.cancel_pending(name.clone()).await?;
            if cancelled > 0 {
                directed.cancelled.push((name, cancelled));
            }
        }
        self.enter_all().await
    }

    /// Exchanges the webhooks.
    fn exchange(
        &self,
        log: &mut LogGuard<'_>,
        change: PipelineConfig<T::Endpoint>,
    ) -> Result<Vec<Arc<Lane<T::Endpoint>>>, store::Error> {
        let registered: Vec<_> = change
            .webhooks
            .iter()
            .map(|(w, _)| (w.name.clone(), w.active))
            .collect();
        let asks = change.webhooks.iter().any(|(w, _)| w.asks_for_own());
        let dialects = change.webhooks.iter();
        let dialects: Vec<_> = dialects.map(|(w, _)| (w.name.clone(), w.dialect)).collect();
        if self.share().leads() {
            self.tell_log(log, &registered, &dialects, asks)?;
        }
        // Before the lanes are exchanged: where it fails nothing was.
        log.end_pauses(self.clock().now_ms())?;
        let pauses = log.pauses()?;
        let spans = change.webhooks.iter().filter(|(webhook, _)| webhook.active);
        let spans = spans.filter_map(|(w, _)| Some((w.name.clone(), w.auto_pause_ms?)));
        log.pause_by_themselves(spans.collect())?;
        log.keep_bodies(change.retention.log_bodies);
        let held = log.held(self.clock().now_ms())?;
        let orders = change.webhooks.iter().filter(|(webhook, _)| webhook.active);
        let orders = orders.filter_map(|(w, _)| Some((w.name.clone(), w.turn_rule()?)));
        log.keep_order(orders.collect())?;
        let lanes = self.exchange_lanes(log, change, &held);
        let routes = self.routes();
        log.announce_by(asks.then_some(routes as Arc<dyn Announce>));
        self.hold_back(log, &[]);
        self.heed_pauses(log, pauses);
        if !self.share().has_all() {
            self.heed_gates(log);
        }
        Ok(lanes)
    }

    /// What the log knows of a configuration: that of the node that leads.
    fn tell_log(
        &self,
        log: &mut LogGuard<'_>,
        registered: &[(Arc<str>, bool)],
        dialects: &[(Arc<str>, Dialect)],
        asks_for_own: bool,
    ) -> Result<(), store::Error> {
        if asks_for_own {
            log.ask_for_own(true)?;
        }
        log.register(registered, self.clock().now_ms())?;
        log.know_dialects(dialects)
    }

    /// This node leads from now on: what the log knows of a configuration is what this one's says, and what is pending
    /// for nobody by it is cancelled.
    ///
    /// # Errors
    /// As of the log: then it is to be called again.
    pub(crate) async fn lead(self: &Arc<Self>) -> Result<Applied, store::Error> {
        let mut directed = Applied::default();
        // At a start it leads before it has a configuration, by which nobody is served: taking that in does all this.
        if self.routes().webhooks().is_empty() {
            return Ok(directed);
        }
        self.with_store(|this, log| {
            let routes = this.routes();
            let all = routes.webhooks().iter();
            let registered: Vec<_> = all.clone().map(|w| (w.name.clone(), w.active)).collect();
            let dialects: Vec<_> = all.map(|w| (w.name.clone(), w.dialect)).collect();
            this.tell_log(log, &registered, &dialects, routes.ask_for_own())
        })
        .await?;
        self.see_to_pending(&mut directed).await?;
        Ok(directed)
    }

    /// What was given up, and holds its line by none of today's orders, holds it no longer.
    async fn let_lines_go(self: &Arc<Self>) -> Result<(), store::Error> {
        loop {
            let begun = self.clock().instant();
            let more = self
                .with_store(|this, log| {
                    let in_hand = |name: &str, id| this.is_in_hand(name, id);
                    let more = log.let_lines_go(this.clock().now_ms(), &in_hand)?;
                    this.heed_turns(log);
                    Ok::<_, store::Error>(more)
                })
                .await?;
            if !more {
                return Ok(());
            }
            self.let_others_through(&[], begun.elapsed()).await;
        }
    }

    /// The names that have pending deliveries and get nothing by today's configuration.
    async fn unserved(self: &Arc<Self>) -> Result<Vec<Arc<str>>, store::Error> {
        self.with_store(|this, store| {
            if !this.routes().ask_for_own() {
                store.ask_for_own(false)?;
            }
            let pending = store.pending_webhooks()?.into_iter();
            let dead = |name: &String| !this.is_served(name);
            Ok(pending.filter(dead).map(Arc::from).collect())
        })
        .await
    }
}
