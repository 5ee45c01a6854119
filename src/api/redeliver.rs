//! The orders to send deliveries of the log again: one, some, or all that ended in a way.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::activity::Activity;
use super::answer::{self, Answer, HttpError};
use super::bulk::{Among, Deed, Search, Source, not_again, work_off};
use super::fields::Fields;
use super::order::{AN_ORDER, bad, broken, refused, text, window};
use crate::model::DeliveryId;
use crate::store::{self, Ended, RedeliverError};

struct RedeliverOrder {
    ids: Option<Vec<DeliveryId>>,
    failed: bool,
    cancelled: bool,
    webhook: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    dry_run: bool,
}

impl RedeliverOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let known = [
            "ids",
            "failed",
            "cancelled",
            "webhook",
            "since",
            "until",
            "dry_run",
        ];
        let order = Fields::of(text(bytes)?, AN_ORDER, known)?;
        Ok(Self {
            ids: order
                .wholes("ids")?
                .map(|ids| ids.into_iter().map(DeliveryId::new).collect()),
            failed: order.is_true("failed")?,
            cancelled: order.is_true("cancelled")?,
            webhook: order.text("webhook")?,
            since: order.whole("since")?,
            until: order.whole("until")?,
            dry_run: order.is_true("dry_run")?,
        })
    }
}

impl Api {
    pub(super) async fn redeliver_one(&self, id: &str) -> Result<Answer, HttpError> {
        let unknown = || {
            let (status, words) = not_again(RedeliverError::Unknown);
            answer::denial(status, words)
        };
        let id = id.parse().or(Err(unknown()))?;
        let answers = self.dispatch.redeliver(vec![DeliveryId::new(id)]).await;
        let answers = answers.map_err(|error| broken(&error))?;
        match answers.into_iter().next() {
            Some((_, Ok(new))) => Ok(answer::value(
                StatusCode::ACCEPTED,
                &json!({ "delivery_id": new }),
            )),
            Some((_, Err(why))) => {
                let (status, words) = not_again(why);
                Err(answer::denial(status, words))
            }
            None => Err(unknown()),
        }
    }

    pub(super) async fn redeliver(
        self: &Arc<Self>,
        body: &[u8],
        activity: &Arc<Activity>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Answer, HttpError> {
        let order = RedeliverOrder::of(body).map_err(|words| bad(&words))?;
        let source = self.source(&order).await?;
        let order = (Deed::Redeliver, source, order.dry_run);
        Ok(work_off(order, self.dispatch.clone(), activity, permit))
    }

    /// What an order of redeliveries is about.
    async fn source(self: &Arc<Self>, order: &RedeliverOrder) -> Result<Source, HttpError> {
        let how = match (&order.ids, order.failed, order.cancelled) {
            (Some(ids), false, false) => {
                if order.webhook.is_some() || order.since.is_some() || order.until.is_some() {
                    return Err(bad("ids go without webhook, since and until"));
                }
                return Ok(Source::Ids(ids.clone()));
            }
            (None, true, false) => Ended::Failed,
            (None, false, true) => Ended::Cancelled,
            _ => {
                return Err(bad(
                    "one of ids, failed and cancelled says what is sent again",
                ));
            }
        };
        let webhooks: Vec<String> = match &order.webhook {
            Some(name) => {
                let served = self.dispatch.served(name);
                served.map_err(|why| refused(name, &why))?;
                vec![name.clone()]
            }
            None => {
                let all = self.dispatch.webhooks().into_iter();
                all.filter(|w| w.active)
                    .map(|w| w.name.to_string())
                    .collect()
            }
        };
        let window = window(order.since, order.until);
        let path = self.about.log.clone();
        let survey =
            move || Search::new(store::read_log(&path)?, Among::Ended(how), webhooks, window);
        let search = self.dispatch.with_blocking(survey).await;
        let search = search.map_err(|error| broken(&error))?;
        Ok(Source::Search(Box::new(search)))
    }
}
