//! A test: a person tries a webhook out.
//!
//! It is a delivery of its own, put before the queue, and its one attempt is handed to the one who
//! waits as soon as it is in the log. Where nobody waits any more it ends as cancelled, unless its attempt has begun:
//! sent later it would stand before real work, and nobody would look at it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error::OrderError;
use crate::dialect;
use crate::model::{Attempt, DeliveryId, Dialect, Event, FanOut, Trigger, Webhook};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::{LogGuard, chain};
use crate::transport::Transport;

/// How long a test may take in all: its attempt, after another one that holds the last permit, and time
/// to be recorded.
pub(crate) const TEST_WAIT: Duration = dialect::longest_attempt()
    .saturating_mul(2)
    .saturating_add(Duration::from_secs(6));

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The delivery that was made for it.
    pub delivery_id: DeliveryId,
    /// Its attempt; `None` where it was not made in time: then the delivery is cancelled, unless it is in flight.
    pub attempt: Option<Attempt>,
}

/// Who waits for a test; gone before its end, the test is cancelled.
struct Waiting<T: Transport> {
    dispatch: Arc<Dispatch<T>>,
    test: Option<DeliveryId>,
}

impl<T: Transport> Drop for Waiting<T> {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.test, Handle::try_current()) else {
            return;
        };
        let dispatch = self.dispatch.clone();
        runtime.spawn(async move { dispatch.end_test(id).await });
    }
}

type Begun = (DeliveryId, oneshot::Receiver<Attempt>);

impl<T: Transport> Dispatch<T> {
    /// Tries a webhook out: one attempt, logged, with the dialect's own sample unless an event's
    /// name or data are given. Waits for it [`TEST_WAIT`] at most.
    ///
    /// # Errors
    /// Nothing was sent.
    pub async fn test(
        self: &Arc<Self>,
        name: &str,
        event: Option<String>,
        data: Option<String>,
    ) -> Result<Tested, OrderError> {
        let webhook = self.served(name)?;
        let (sample_event, sample_data) = sample(webhook.dialect);
        let event = event.unwrap_or_else(|| sample_event.to_owned());
        let data = data.unwrap_or_else(|| sample_data.to_owned());
        // In the same call: who asked may be gone when it returns, and this future too.
        let begun = self
            .with_store(move |this, log| {
                let begun = this.begin_test(log, &webhook, &event, data)?;
                if let Some(lane) = this.lane(&webhook.name) {
                    this.fill(&lane);
                }
                Ok(begun)
            })
            .await?;
        let (delivery_id, told) = begun;
        let mut waiting = Waiting {
            dispatch: self.clone(),
            test: Some(delivery_id),
        };
        let attempt = tokio::time::timeout(TEST_WAIT, told).await;
        let attempt = attempt.ok().and_then(Result::ok);
        if attempt.is_none() {
            self.end_test(delivery_id).await;
        }
        waiting.test = None;
        Ok(Tested {
            delivery_id,
            attempt,
        })
    }

    /// Cancels a test that nobody waits for. A log that does not take that sends it later, as it did before.
    async fn end_test(self: &Arc<Self>, id: DeliveryId) {
        if let Err(error) = self.cancel(vec![id]).await {
            let (error, hint) = (chain(&error), error.hint());
            let delivery = id.get();
            tracing::warn!(
                step = "end a test",
                delivery,
                error,
                hint,
                "the test goes when its turn comes"
            );
        }
    }

    /// Writes the delivery and queues it first.
    pub(crate) fn begin_test(
        &self,
        log: &mut LogGuard<'_>,
        webhook: &Webhook,
        name: &str,
        data: String,
    ) -> Result<Begun, OrderError> {
        let now_ms = self.clock().now_ms();
        // Before anything is written, or it would be pending for a webhook that gets nothing.
        let lane = self
            .lane(&webhook.name)
            .filter(|_| self.is_served(&webhook.name));
        let lane = lane.ok_or(OrderError::Inactive)?;
        let id = log.next_test_id(now_ms).map_err(OrderError::Store)?;
        let event = Event {
            id,
            name: name.into(),
            data: data.into(),
            time_ms: now_ms,
            tenant: sample_tenant(webhook, self.routes().tenant.as_deref()),
        };
        let tenant = self.routes().tenant.clone();
        let fanned = FanOut {
            event_id: id,
            event: event.name.clone(),
            message: dialect::message_id(webhook, &event).map(Into::into),
            bodies: vec![(
                webhook.dialect,
                dialect::body(webhook.dialect, &event, tenant.as_deref()),
            )],
            webhooks: vec![(webhook.name.clone(), 0)],
            turns: Vec::new(),
            tenant: event.tenant.clone(),
        };
        let cursor = log.cursor().map_err(OrderError::Store)?.unwrap_or_default();
        let dues = log
            .add(
                cursor.generation,
                &[fanned],
                Trigger::Test,
                // First of all, and whatever there is room for.
                &mut |_| true,
                now_ms,
            )
            .map_err(OrderError::Store)?;
        let due = dues.into_iter().next().ok_or(OrderError::Inactive)?;
        Ok((due.id, self.offer_first(log, &lane, due)))
    }
}

/// Whose event a sample is: nobody's in particular, so that the configuration's tenant stands in, but
/// where the webhook is for others only, one of theirs.
fn sample_tenant(webhook: &Webhook, configured: Option<&str>) -> Option<Box<str>> {
    if webhook.wants_tenant(configured).is_ok() {
        return None;
    }
    webhook.tenants.iter().flatten().next().cloned()
}

/// The vendors' own sample events: the documents of Bold CMS (its sample's data is left open there),
/// Bold Factory, OpenBoxes Lift, and Standard Webhooks' own.
fn sample(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::BoldCms => (
            "story-submit",
            r#"{"story":{"id":1,"headline":"A test event of webhooksd","status":"submitted"}}"#,
        ),
        Dialect::BoldFactory => (
            "production.order.completed",
            r#"{"id":"...","reference":"PO-2024-00412","status":"completed","completed_at":"2024-11-14T09:31:55Z"}"#,
        ),
        // The sample of the specification, "Payload structure".
        Dialect::StandardWebhooks => (
            "contact.created",
            r#"{"id":"1f81eb52-5198-4599-803e-771906343485","type":"contact","fullName":"John Smith"}"#,
        ),
        Dialect::OpenboxesLift => (
            "stockMovement.shipped",
            r#"{"id":"sm-001","identifier":"SM-00142","name":"Transfer to Regional Depot","status":"SHIPPED","origin":{"id":"loc-001","name":"Central Warehouse"},"destination":{"id":"loc-002","name":"Regional Depot"},"dateShipped":"2025-04-01T14:30:00Z","lineItems":[{"product":{"id":"prod-001","name":"Ibuprofen 200mg"},"quantityShipped":1000}]}"#,
        ),
    }
}
