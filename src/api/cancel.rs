//! The orders to cancel what is pending: one delivery, some, or a webhook's.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::activity::Activity;
use super::answer::{self, Answer, HttpError};
use super::bulk::{Among, Deed, Search, Source, journal_let_go, not_cancelled, work_off};
use super::fields::Fields;
use super::order::{AN_ORDER, bad, broken, refused, text, window};
use crate::model::DeliveryId;
use crate::pipeline::OrderError;
use crate::store::{self, CancelError, Withdrawal};

struct CancelOrder {
    ids: Option<Vec<DeliveryId>>,
    webhook: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    dry_run: bool,
}

impl CancelOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let known = ["ids", "webhook", "since", "until", "dry_run"];
        let order = Fields::of(text(bytes)?, AN_ORDER, known)?;
        Ok(Self {
            ids: order
                .wholes("ids")?
                .map(|ids| ids.into_iter().map(DeliveryId::new).collect()),
            webhook: order.text("webhook")?,
            since: order.whole("since")?,
            until: order.whole("until")?,
            dry_run: order.is_true("dry_run")?,
        })
    }
}

impl Api {
    pub(super) async fn cancel_one(&self, id: &str) -> Result<Answer, HttpError> {
        let refused = |why| {
            let (status, words) = not_cancelled(why);
            answer::denial(status, &words)
        };
        let id = id.parse().or(Err(refused(CancelError::Unknown)))?;
        // What an earlier version left is in no table yet of which anything is cancelled.
        self.dispatch
            .come_over()
            .await
            .map_err(|error| broken(&error))?;
        let answers = self.dispatch.cancel(vec![DeliveryId::new(id)]).await;
        let answers = answers.map_err(|error| broken(&error))?;
        match answers.into_iter().next() {
            Some((id, Ok(Withdrawal::Cancelled))) => {
                tracing::info!(delivery = id.get(), "cancelled by order");
                let done = json!({ "delivery_id": id, "state": "cancelled" });
                Ok(answer::value(StatusCode::OK, &done))
            }
            Some((id, Ok(Withdrawal::LetGo))) => {
                journal_let_go(id);
                let done = json!({ "delivery_id": id, "state": "failed", "let_go": true });
                Ok(answer::value(StatusCode::OK, &done))
            }
            Some((_, Err(why))) => Err(refused(why)),
            None => Err(refused(CancelError::Unknown)),
        }
    }

    pub(super) async fn cancel(
        self: &Arc<Self>,
        body: &[u8],
        activity: &Arc<Activity>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Answer, HttpError> {
        let order = CancelOrder::of(body).map_err(|words| bad(&words))?;
        let source = match (order.ids, order.webhook) {
            (Some(ids), None) => {
                if order.since.is_some() || order.until.is_some() {
                    return Err(bad("ids go without webhook, since and until"));
                }
                Source::Ids(ids)
            }
            (None, Some(webhook)) => self.pending_of(webhook, order.since, order.until).await?,
            _ => return Err(bad("one of ids and webhook says what is cancelled")),
        };
        let order = (Deed::Cancel, source, order.dry_run);
        Ok(work_off(order, self.dispatch.clone(), activity, permit))
    }

    /// What is pending for a webhook now, made within that time.
    async fn pending_of(
        &self,
        webhook: String,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Source, HttpError> {
        let known = self.dispatch.webhooks();
        if !known.iter().any(|known| *known.name == *webhook) {
            return Err(refused(&webhook, &OrderError::Unknown));
        }
        let over = self.dispatch.come_over().await;
        over.map_err(|error| broken(&error))?;
        // What is owed to it has no row to be cancelled yet.
        let paid = self.dispatch.pay_all().await;
        paid.map_err(|error| broken(&error))?;
        let window = window(since, until);
        let path = self.about.log.clone();
        let survey = move || {
            let log = store::read_log(&path)?;
            Search::new(log, Among::Pending, vec![webhook], window)
        };
        let search = self.dispatch.with_blocking(survey).await;
        let search = search.map_err(|error| broken(&error))?;
        Ok(Source::Search(Box::new(search)))
    }
}
