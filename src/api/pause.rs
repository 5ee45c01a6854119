//! `POST /pause` and `POST /resume`: a webhook is held back, or goes on.

use hyper::StatusCode;
use serde_json::json;

use super::Api;
use super::answer::{self, Answer, HttpError};
use super::fields::Fields;
use super::order::{AN_ORDER, bad, refused, text};
use crate::model::LONGEST_PAUSE_MS;
use crate::model::clock::utc;

struct PauseOrder {
    webhook: String,
    for_ms: Option<i64>,
}

impl PauseOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let order = Fields::of(text(bytes)?, AN_ORDER, ["webhook", "for_ms"])?;
        let for_ms = order.whole("for_ms")?;
        if for_ms.is_some_and(|ms| !(1..=LONGEST_PAUSE_MS).contains(&ms)) {
            return Err(format!(
                "for_ms: must be 1 to {LONGEST_PAUSE_MS} (366 days); left out, the pause lasts until it is resumed"
            ));
        }
        let webhook = order.text("webhook")?.ok_or("missing field `webhook`")?;
        Ok(Self { webhook, for_ms })
    }
}

impl Api {
    pub(super) async fn pause(&self, body: &[u8]) -> Result<Answer, HttpError> {
        let PauseOrder { webhook, for_ms } = PauseOrder::of(body).map_err(|words| bad(&words))?;
        let paused = self.dispatch.pause_webhook(&webhook, for_ms).await;
        let pause = paused.map_err(|why| refused(&webhook, &why))?;
        let told = json!({
            "webhook": &*pause.webhook,
            "paused_since": utc(pause.since_ms),
            "paused_until": pause.until_ms.map(utc),
        });
        Ok(answer::value(StatusCode::OK, &told))
    }

    pub(super) async fn resume(&self, body: &[u8]) -> Result<Answer, HttpError> {
        let order = text(body).and_then(|text| Fields::of(text, AN_ORDER, ["webhook"]));
        let webhook = order.and_then(|order| {
            order
                .text("webhook")?
                .ok_or("missing field `webhook`".into())
        });
        let webhook = webhook.map_err(|words| bad(&words))?;
        let resumed = self.dispatch.resume_webhook(&webhook).await;
        let resumed = resumed.map_err(|why| refused(&webhook, &why))?;
        let held_until = self.dispatch.held_until_ms(&webhook).map(utc);
        let told = json!({ "webhook": webhook, "resumed": resumed, "held_until": held_until });
        Ok(answer::value(StatusCode::OK, &told))
    }
}
