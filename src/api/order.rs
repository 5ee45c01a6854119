//! Orders: reload, test, redeliver, replay; what a portal's buttons do.
//!
//! Each goes to the pipeline or the daemon and waits for its answer. What may be long is streamed,
//! line by line, and ends when its client goes: what was done is done, and the same order goes on
//! from there, for what was sent again is no longer among what failed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Api;
use super::activity::Activity;
use super::answer::{self, Answer, HttpError};
use super::fields::Fields;
use super::item;
use crate::model::event::is_name;
use crate::model::{Attempt, DeliveryId, IdRange, Pattern, ReplayId, TimeWindow};
use crate::pipeline::{Dispatch, OrderError, Tested, Wanted, chain};
use crate::store::{self, Ended, Reader, RedeliverError};
use crate::transport::Client;

/// A client that reads none of its lines for so long has gone.
const UNREAD: Duration = Duration::from_secs(60);

/// Lines that may wait for the client.
const LINES: usize = 16;

/// An event's time is at most the year 9999: behind every end.
const FOREVER_MS: i64 = i64::MAX;

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

struct ReplayOrder {
    since: i64,
    until: Option<i64>,
    webhook: Option<String>,
    event: Option<String>,
    dry_run: bool,
}

impl ReplayOrder {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let known = ["since", "until", "webhook", "event", "dry_run"];
        let order = Fields::of(text(bytes)?, AN_ORDER, known)?;
        Ok(Self {
            since: order.whole("since")?.ok_or("missing field `since`")?,
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

pub(super) fn bad(words: &str) -> HttpError {
    answer::denial(StatusCode::BAD_REQUEST, words)
}

fn broken(error: &dyn std::error::Error) -> HttpError {
    answer::denial(StatusCode::SERVICE_UNAVAILABLE, &chain(error))
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
        OrderError::Outbox(error) => broken(error),
    }
}

fn not_again(why: RedeliverError) -> (StatusCode, &'static str) {
    let words = match why {
        RedeliverError::Unknown => return (StatusCode::NOT_FOUND, "no delivery has that id"),
        RedeliverError::Pending => "that delivery is still pending",
        RedeliverError::Unserved => "its webhook is inactive or has left the configuration",
        RedeliverError::NotKept => "its body was not kept; `webhooksd replay` reads the outbox",
    };
    (StatusCode::CONFLICT, words)
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
            .map(|(webhook, count)| json!({ "webhook": &**webhook, "count": count }))
            .collect();
        let done = json!({ "webhooks": directed.active, "cancelled": cancelled });
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
            let told = json!({
                "error": "the attempt was not made in time; it stands in the log once it is",
                "delivery_id": delivery_id,
            });
            return Ok(answer::value(StatusCode::GATEWAY_TIMEOUT, &told));
        };
        Ok(answer::value(StatusCode::OK, &of_attempt(&attempt)))
    }

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
        let (send, lines) = mpsc::channel(LINES);
        let again = Again {
            dispatch: self.dispatch.clone(),
            lines: send,
            done: 0,
            refused: Vec::new(),
            _permit: permit,
        };
        drop(tokio::spawn(again.run(source, order.dry_run)));
        Ok(answer::lines(lines, activity.clone()))
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
        let window = TimeWindow {
            from_ms: order.since.unwrap_or(0),
            to_ms: order.until.unwrap_or(FOREVER_MS),
        };
        let path = self.about.log.clone();
        let survey = move || -> Result<Filter, store::Error> {
            let reader = Reader::open(&path)?;
            let up_to = reader.newest_delivery()?;
            let mut matched = 0;
            for webhook in &webhooks {
                matched += reader.count_ended(how, webhook, window, up_to)?;
            }
            Ok(Filter {
                reader,
                how,
                webhooks,
                window,
                ids: IdRange {
                    after: DeliveryId::NONE,
                    up_to,
                },
                matched,
            })
        };
        let filter = self.dispatch.with_blocking(survey).await;
        filter.map(Source::Filter).map_err(|error| broken(&error))
    }

    pub(super) async fn replay(&self, body: &[u8]) -> Result<Answer, HttpError> {
        let order = ReplayOrder::of(body).map_err(|words| bad(&words))?;
        if order.event.as_ref().is_some_and(String::is_empty) {
            return Err(bad("event: a pattern is not empty"));
        }
        let webhook = order.webhook.clone().unwrap_or_default();
        let wanted = Wanted {
            since_ms: order.since,
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
        let read = move || Reader::open(&path)?.replay(id);
        let replay = self.dispatch.with_blocking(read).await;
        let replay = replay.map_err(|error| broken(&error))?;
        let unknown = || answer::denial(StatusCode::NOT_FOUND, "no replay has that id");
        let replay = replay.ok_or_else(unknown)?;
        let state = json!({
            "replay": replay.id, "matched": replay.matched, "done": replay.done,
            "finished": replay.finished,
        });
        Ok(answer::value(StatusCode::OK, &state))
    }
}

/// Where the ids of an order come from.
enum Source {
    Ids(Vec<DeliveryId>),
    Filter(Filter),
}

/// The deliveries that ended in a way, webhook by webhook.
struct Filter {
    reader: Reader,
    how: Ended,
    webhooks: Vec<String>,
    window: TimeWindow,
    ids: IdRange<DeliveryId>,
    matched: i64,
}

impl Filter {
    /// The next ids; none at the end. Blocks.
    fn next(&mut self, rows: usize) -> Result<Vec<DeliveryId>, store::Error> {
        while let Some(webhook) = self.webhooks.last() {
            let ids = self
                .reader
                .ended(self.how, webhook, self.window, self.ids, rows)?;
            if let Some(last) = ids.last() {
                self.ids.after = *last;
                return Ok(ids);
            }
            self.webhooks.pop();
            self.ids.after = DeliveryId::NONE;
        }
        Ok(Vec::new())
    }
}

/// An order of redeliveries at work.
struct Again {
    dispatch: Arc<Dispatch<Client>>,
    lines: mpsc::Sender<Bytes>,
    done: usize,
    refused: Vec<Value>,
    _permit: OwnedSemaphorePermit,
}

/// The client has gone.
struct Gone;

impl Again {
    async fn run(mut self, source: Source, dry_run: bool) {
        let worked = self.work(source, dry_run).await;
        let last = match worked {
            Ok(()) => json!({ "finished": true, "done": self.done, "refused": self.refused }),
            Err(Some(words)) => {
                json!({ "finished": false, "done": self.done, "refused": self.refused, "error": words })
            }
            Err(None) => return,
        };
        drop(self.tell(&last).await);
    }

    async fn tell(&self, value: &Value) -> Result<(), Gone> {
        let sent = self.lines.send_timeout(answer::line(value), UNREAD).await;
        sent.or(Err(Gone))
    }

    /// The error's words; none where the client has gone.
    async fn work(&mut self, source: Source, dry_run: bool) -> Result<(), Option<String>> {
        let rows = self.dispatch.chunk_rows();
        let matched = match &source {
            Source::Ids(ids) => i64::try_from(ids.len()).unwrap_or(i64::MAX),
            Source::Filter(filter) => filter.matched,
        };
        let told = self.tell(&json!({ "matched": matched })).await;
        told.map_err(|Gone| None)?;
        if dry_run {
            return Ok(());
        }
        match source {
            Source::Ids(ids) => {
                for ids in ids.chunks(rows) {
                    self.chunk(ids.to_vec()).await?;
                }
            }
            Source::Filter(mut filter) => loop {
                let (same, ids) = self
                    .dispatch
                    .with_blocking(move || {
                        let ids = filter.next(rows);
                        (filter, ids)
                    })
                    .await;
                filter = same;
                let ids = ids.map_err(|error| Some(chain(&error)))?;
                if ids.is_empty() {
                    break;
                }
                self.chunk(ids).await?;
            },
        }
        Ok(())
    }

    async fn chunk(&mut self, ids: Vec<DeliveryId>) -> Result<(), Option<String>> {
        if *self.dispatch.stopping().borrow() {
            return Err(Some("the daemon is stopping".into()));
        }
        let answers = self.dispatch.redeliver(ids).await;
        for (id, answer) in answers.map_err(|error| Some(chain(&error)))? {
            match answer {
                Ok(_) => self.done += 1,
                Err(why) => {
                    let words = not_again(why).1;
                    self.refused
                        .push(json!({ "delivery_id": id, "error": words }));
                }
            }
        }
        let told = self.tell(&json!({ "done": self.done })).await;
        told.map_err(|Gone| None)
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
