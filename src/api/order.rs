//! Orders: reload, test, replay, and what all orders share; what a portal's buttons do.
//!
//! Each goes to the pipeline or the daemon and waits for its answer. Those about many deliveries have files of
//! their own: `redeliver`, `cancel`, and `bulk`, which works them off.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Api;
use super::answer::{self, Answer, HttpError};
use super::fields::Fields;
use super::item;
use crate::model::event::is_name;
use crate::model::{Attempt, EventId, Pattern, ReplayId, TimeWindow};
use crate::pipeline::{OrderError, Tested, Wanted, chain};
use crate::store;

struct TestOrder {
    event: Option<String>,
    data: Option<String>,
}

impl TestOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let order = Fields::of(text(bytes)?, AN_ORDER, ["event", "data"])?;
        let data = order.raw("data").map(|data| data.get().to_owned());
        Ok(Self {
            event: order.text("event")?,
            // `null` is data too: the sample stands in where the field is left out.
            data,
        })
    }
}

struct ReplayOrder {
    since: i64,
    from: Option<EventId>,
    until: Option<i64>,
    webhook: Option<String>,
    event: Option<String>,
    dry_run: bool,
}

impl ReplayOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let known = ["since", "from_id", "until", "webhook", "event", "dry_run"];
        let order = Fields::of(text(bytes)?, AN_ORDER, known)?;
        let (since, from) = match (order.whole("since")?, order.whole("from_id")?) {
            (Some(since), None) => (since, None),
            (None, Some(id)) if id > 0 => (0, Some(EventId::new(id))),
            (None, Some(_)) => return Err("from_id: is the id of a row of the outbox".to_owned()),
            (None, None) => return Err("missing field `since`".to_owned()),
            (Some(_), Some(_)) => return Err("since, from_id: one of the two".to_owned()),
        };
        Ok(Self {
            since,
            from,
            until: order.whole("until")?,
            webhook: order.text("webhook")?,
            event: order.text("event")?,
            dry_run: order.is_true("dry_run")?,
        })
    }
}

/// What the body of an order is, for the words.
pub(super) const AN_ORDER: &str = "an order";

/// The text of an order; an empty one is one without fields.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.trim_ascii().is_empty() {
        return Ok("{}");
    }
    item::text("the body", bytes)
}

/// An event's time is at most the year 9999: behind every end.
const FOREVER_MS: i64 = i64::MAX;

/// The time that an order is about.
pub(super) fn window(since: Option<i64>, until: Option<i64>) -> TimeWindow {
    TimeWindow {
        from_ms: since.unwrap_or(0),
        to_ms: until.unwrap_or(FOREVER_MS),
    }
}

pub(super) fn bad(words: &str) -> HttpError {
    answer::denial(StatusCode::BAD_REQUEST, words)
}

pub(super) fn broken(error: &store::Error) -> HttpError {
    answer::unavailable(&chain(error), Some(not_taken(error)))
}

/// What there is to do about an order that the log did not take.
pub(super) fn not_taken(error: &store::Error) -> String {
    let again = "the order was not taken, and is to be given again";
    let Some(hint) = error.hint() else {
        return again.to_owned();
    };
    // The daemon waits for its server; an order does not.
    let hint = hint.strip_prefix("it is waited for; ").unwrap_or(&hint);
    format!("{again}: {hint}")
}

pub(super) fn refused(webhook: &str, refused: &OrderError) -> HttpError {
    match refused {
        OrderError::Unknown => answer::denial(
            StatusCode::NOT_FOUND,
            &format!("no webhook is called {webhook:?}"),
        ),
        OrderError::Inactive => answer::denial(
            StatusCode::CONFLICT,
            &format!("webhook {webhook:?} is inactive"),
        ),
        OrderError::Store(error) => broken(error),
        OrderError::Outbox(error) => answer::unavailable(&chain(error), error.hint()),
    }
}

impl Api {
    /// A permit among the orders at work.
    pub(super) fn order_permit(&self) -> Result<OwnedSemaphorePermit, HttpError> {
        let permit = Arc::clone(&self.orders).try_acquire_owned();
        permit.or(Err(answer::denial(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many orders at a time",
        )))
    }

    pub(super) async fn reload(&self) -> Result<Answer, HttpError> {
        let stopping = || answer::denial(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
        let (tell, told) = oneshot::channel();
        self.reload.send(tell).await.or(Err(stopping()))?;
        let directed = told.await.or(Err(stopping()))?;
        let directed =
            directed.map_err(|report| answer::denial(StatusCode::UNPROCESSABLE_ENTITY, &report))?;
        let cancelled = directed.cancelled.iter();
        let cancelled: Vec<Value> = cancelled
            .map(|(webhook, count)| {
                let mut told = json!({ "webhook": &**webhook, "count": count });
                if directed.in_order.contains(webhook) {
                    told["in_order"] = true.into();
                }
                told
            })
            .collect();
        let mut done = json!({ "webhooks": directed.active, "cancelled": cancelled });
        let warnings = self.dispatch.counters().remarks().warnings;
        if !warnings.is_empty() {
            done["warnings"] = warnings.into();
        }
        Ok(answer::value(StatusCode::OK, &done))
    }

    pub(super) async fn test(&self, webhook: &str, body: &[u8]) -> Result<Answer, HttpError> {
        let order = TestOrder::of(body).map_err(|words| bad(&words))?;
        if let Some(event) = &order.event
            && !is_name(event.as_bytes())
        {
            return Err(bad("event: must be 1 to 255 of A-Z a-z 0-9 - _ . : /"));
        }
        let tested = self.dispatch.test(webhook, order.event, order.data).await;
        let tested = tested.map_err(|why| refused(webhook, &why))?;
        let Tested {
            delivery_id,
            attempt,
        } = tested;
        let Some(attempt) = attempt else {
            let words = format!(
                "no attempt was made in time: delivery {delivery_id} is cancelled, but for an attempt that had begun"
            );
            let told = json!({ "error": words, "delivery_id": delivery_id });
            return Ok(answer::value(StatusCode::GATEWAY_TIMEOUT, &told));
        };
        Ok(answer::value(StatusCode::OK, &of_attempt(&attempt)))
    }

    pub(super) async fn replay(&self, body: &[u8]) -> Result<Answer, HttpError> {
        let order = ReplayOrder::of(body).map_err(|words| bad(&words))?;
        if order.event.as_ref().is_some_and(String::is_empty) {
            return Err(bad("event: a pattern is not empty"));
        }
        let webhook = order.webhook.clone().unwrap_or_default();
        let wanted = Wanted {
            since_ms: order.since,
            from: order.from,
            until_ms: order.until,
            webhook: order.webhook,
            event: order
                .event
                .map(|text| Pattern::new(&text).text().to_owned()),
        };
        let found = self.dispatch.begin_replay(wanted, order.dry_run).await;
        let found = found.map_err(|why| refused(&webhook, &why))?;
        let status = if order.dry_run {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        let (id, matched, pruned) = (found.id, found.matched, found.pruned);
        let told = json!({ "replay": id, "matched": matched, "pruned": pruned });
        Ok(answer::value(status, &told))
    }

    pub(super) async fn replay_state(&self, id: &str) -> Result<Answer, HttpError> {
        let path = self.about.log.clone();
        let id = id.parse().map_or(ReplayId::NONE, ReplayId::new);
        let read = move || store::read_log(&path)?.replay(id);
        let replay = self.dispatch.with_blocking(read).await;
        let untold = |error: store::Error| answer::unavailable(&chain(&error), error.hint());
        let replay = replay.map_err(untold)?;
        let unknown = || answer::denial(StatusCode::NOT_FOUND, "no replay has that id");
        let replay = replay.ok_or_else(unknown)?;
        let state = json!({
            "replay": replay.id, "matched": replay.matched, "done": replay.done,
            "finished": replay.finished,
        });
        Ok(answer::value(StatusCode::OK, &state))
    }
}

/// An attempt as the answer to a test.
fn of_attempt(attempt: &Attempt) -> Value {
    let exchange = &attempt.exchange;
    let answer = exchange.result.as_ref().ok();
    let ms = |us: Option<i64>| us.map(in_ms);
    let phases = exchange.phases;
    json!({
        "delivery_id": attempt.due.id,
        "event_id": attempt.due.event_id,
        "event": &*attempt.due.event,
        "outcome": attempt.outcome(),
        "status": answer.map(|answer| answer.status),
        "error": attempt.error,
        "note": exchange.note,
        "url": attempt.url.text(),
        "duration_ms": in_ms(exchange.duration_us),
        "phases": {
            "name_ms": ms(phases.name_us),
            "connect_ms": ms(phases.connect_us),
            "proxy_ms": ms(phases.proxy_us),
            "tls_ms": ms(phases.tls_us),
            "head_ms": ms(phases.head_us),
            "body_ms": ms(phases.body_us),
        },
        "peer": exchange.peer.map(|peer| peer.to_string()),
        "request_headers": attempt.request_headers.text(),
        "request_body": String::from_utf8_lossy(&attempt.due.body),
        "response_headers": answer.map(|answer| answer.headers.lines()),
        "response_body": answer.map(|answer| String::from_utf8_lossy(&answer.body)),
    })
}

/// Milliseconds with three places: exact, for an attempt lasts seconds.
fn in_ms(us: i64) -> f64 {
    f64::from(i32::try_from(us).unwrap_or(i32::MAX)) / 1_000.0
}
