//! Pause and resume: a person holds a webhook back, and lets it go on.
//!
//! A row of the log's table `pause`, and the gate in the same call; who writes the row by SQL is heeded by
//! `log/pauses.rs`.

use std::sync::Arc;

use super::error::OrderError;
use crate::model::Pause;
use crate::pipeline::send::Dispatch;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Pauses a webhook of the configuration, for so many milliseconds or until it is resumed, in the place
    /// of what pause it had. What is in flight ends and is recorded; no other attempt begins.
    ///
    /// # Errors
    /// [`OrderError::Unknown`]; or the log can't be written: then nothing has changed.
    pub async fn pause_webhook(
        self: &Arc<Self>,
        name: &str,
        for_ms: Option<i64>,
    ) -> Result<Pause, OrderError> {
        let routes = self.routes();
        let webhook = routes.webhooks().iter().find(|w| *w.name == *name);
        let webhook = webhook.ok_or(OrderError::Unknown)?.name.clone();
        let paused = self.with_store(move |this, log| {
            let since_ms = this.clock().now_ms();
            let pause = Pause {
                webhook,
                since_ms,
                until_ms: for_ms.map(|ms| since_ms.saturating_add(ms)),
                reason: None,
                next_try_ms: None,
            };
            log.pause(&pause)?;
            this.look_for_own(log);
            let mut all = this.gates().all();
            all.retain(|other| other.webhook != pause.webhook);
            all.push(pause.clone());
            this.heed_pauses(log, all);
            Ok(pause)
        });
        paused.await.map_err(OrderError::Store)
    }

    /// Ends a webhook's pause. Whether it was paused.
    ///
    /// # Errors
    /// [`OrderError::Unknown`] where nothing of that name is paused either; or the log can't be written: then
    /// nothing has changed.
    pub async fn resume_webhook(self: &Arc<Self>, name: &str) -> Result<bool, OrderError> {
        let webhook: Arc<str> = name.into();
        let resumed = self.with_store(move |this, log| {
            let resumed = log.resume(&webhook, this.clock().now_ms())?;
            this.look_for_own(log);
            let mut all = this.gates().all();
            all.retain(|other| other.webhook != webhook);
            this.heed_pauses(log, all);
            Ok(resumed)
        });
        let resumed = resumed.await.map_err(OrderError::Store)?;
        let routes = self.routes();
        let is_known = || routes.webhooks().iter().any(|w| *w.name == *name);
        if resumed || is_known() {
            Ok(resumed)
        } else {
            Err(OrderError::Unknown)
        }
    }

    /// Until when a webhook's endpoint asked to wait, UNIX milliseconds, where that is not over: no resume
    /// changes that.
    pub fn held_until_ms(&self, name: &str) -> Option<i64> {
        let now_ms = self.clock().now_ms();
        self.lane(name)?.load_at(now_ms).held_until_ms
    }
}
