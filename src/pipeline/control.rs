//! Control: what people ask of a running pipeline, each through the way that events go.
//!
//! A test is a delivery of its own, put before the queue, and its one attempt is handed to the one
//! who waits as soon as it is in the log. A redelivery is a row that the refill reads back. What is
//! made in bulk is made in small chunks with a pause after each, so that the log's lock is free most
//! of the time and a webhook's own live events wait behind few of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::dispatch::Dispatch;
use super::lane::Lane;
use crate::dialect;
use crate::model::{Attempt, Dialect, Event, Fanned, Origin, Webhook};
use crate::outbox;
use crate::store::{self, Again, NotAgain};
use crate::transport::Transport;

/// Deliveries made in one transaction: some 2 ms of the log's lock, and of a fast endpoint's time.
pub(super) const CHUNK_ROWS: usize = 100;

/// A lane with no more than this queued is ready for the next chunk.
const READY_ROWS: usize = 32;

/// The longest wait after a chunk for lanes to be ready: an endpoint that is down would else hold up
/// the deliveries of all the others.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The log's lock is free for this many times as long as a chunk held it, and at least for 2 ms.
const PAUSE_SHARE: (u32, Duration) = (4, Duration::from_millis(2));

/// How long a test may take in all: the 9 s of an attempt, after another one that holds the last
/// place, and time to be recorded.
const TEST_WAIT: Duration = Duration::from_secs(30);

/// Attempts that somebody waits for.
#[derive(Default)]
pub(crate) struct Watched {
    count: AtomicUsize,
    waiting: Mutex<HashMap<i64, oneshot::Sender<Attempt>>>,
}

impl Watched {
    fn watch(&self, delivery: i64) -> oneshot::Receiver<Attempt> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who gave up waiting have no other end.
        waiting.retain(|_, tell| !tell.is_closed());
        waiting.insert(delivery, tell);
        self.count.store(waiting.len(), Ordering::Release);
        told
    }

    /// Tells of an attempt that is in the log now. Costs one load while nobody waits.
    pub(crate) fn tell(&self, attempt: &Attempt) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tell) = waiting.remove(&attempt.due.id) {
            self.count.store(waiting.len(), Ordering::Release);
            drop(tell.send(attempt.clone()));
        }
    }
}

/// Why the pipeline does not do what was asked.
#[derive(Debug)]
pub enum Refused {
    /// No webhook has that name.
    Unknown,
    /// The webhook gets nothing by today's configuration.
    Inactive,
    /// The log does not take or tell it.
    Store(store::Error),
    /// The outbox can't be read.
    Outbox(outbox::Error),
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The delivery that was made for it.
    pub delivery_id: i64,
    /// Its attempt; `None` where it was not made in time.
    pub attempt: Option<Attempt>,
}

/// A redelivery's answer, with the id that was asked for.
pub type Asked = (i64, Result<i64, NotAgain>);

type Begun = (i64, oneshot::Receiver<Attempt>);

impl<T: Transport> Dispatch<T> {
    /// The webhook of that name, if it gets events.
    ///
    /// # Errors
    /// [`Refused::Unknown`] and [`Refused::Inactive`].
    pub fn served(&self, name: &str) -> Result<Arc<Webhook>, Refused> {
        let routes = self.routes();
        let found = routes.webhooks().iter().find(|w| *w.name == *name);
        let webhook = found.ok_or(Refused::Unknown)?;
        if webhook.active {
            Ok(webhook.clone())
        } else {
            Err(Refused::Inactive)
        }
    }

    /// Tries a webhook out: one attempt, logged, with the dialect's own sample unless an event's
    /// name or data are given. Waits for it 30 s at most.
    ///
    /// # Errors
    /// Nothing was sent.
    pub async fn test(
        self: &Arc<Self>,
        name: &str,
        event: Option<String>,
        data: Option<String>,
    ) -> Result<Tested, Refused> {
        let webhook = self.served(name)?;
        let (sample_event, sample_data) = sample(webhook.dialect);
        let event = event.unwrap_or_else(|| sample_event.to_owned());
        let data = data.unwrap_or_else(|| sample_data.to_owned());
        // In the same call: who asked may be gone when it returns, and this future too.
        let begun = self
            .with_store(move |this, store| {
                let begun = this.begin_test(store, &webhook, &event, data)?;
                if let Some(lane) = this.lane(&webhook.name) {
                    this.fill(&lane);
                }
                Ok(begun)
            })
            .await?;
        let (delivery_id, told) = begun;
        let attempt = tokio::time::timeout(TEST_WAIT, told).await;
        Ok(Tested {
            delivery_id,
            attempt: attempt.ok().and_then(Result::ok),
        })
    }

    /// Writes the delivery and queues it first, with the log's lock held.
    pub(super) fn begin_test(
        &self,
        store: &mut store::Store,
        webhook: &Webhook,
        name: &str,
        data: String,
    ) -> Result<Begun, Refused> {
        let now_ms = self.clock.now_ms();
        // Before anything is written, or it would be pending for a webhook that gets nothing.
        let lane = self
            .lane(&webhook.name)
            .filter(|_| self.is_served(&webhook.name));
        let lane = lane.ok_or(Refused::Inactive)?;
        let id = store.next_test_id(now_ms).map_err(Refused::Store)?;
        let event = Event {
            id,
            name: name.into(),
            data: data.into(),
            time_ms: now_ms,
            tenant: sample_tenant(webhook, self.routes().tenant.as_deref()),
        };
        let tenant = self.routes().tenant.clone();
        let fanned = Fanned {
            event_id: id,
            event: event.name.clone(),
            bodies: vec![(
                webhook.dialect,
                dialect::body(webhook.dialect, &event, tenant.as_deref()),
            )],
            webhooks: vec![(webhook.name.clone(), 0)],
        };
        let cursor = store.cursor().map_err(Refused::Store)?.unwrap_or_default();
        let dues = store
            .add(cursor.generation, &[fanned], Origin::Test, now_ms)
            .map_err(Refused::Store)?;
        self.results.mark_dirty();
        let due = dues.into_iter().next().ok_or(Refused::Inactive)?;
        let begun = (due.id, self.watched.watch(due.id));
        self.queued_bytes
            .fetch_add(due.body.len(), Ordering::Relaxed);
        lane.lock().push_first(due);
        Ok(begun)
    }

    /// Makes deliveries once more, with the same bytes, and has them sent.
    ///
    /// # Errors
    /// The log can't be written: then none was made.
    pub async fn redeliver(self: &Arc<Self>, ids: Vec<i64>) -> Result<Vec<Asked>, store::Error> {
        let begun = self.clock.instant();
        // Lanes are told in the same call: who asked may be gone when it returns, and this future too.
        let (answers, lanes) = self
            .with_store(move |this, store| {
                let answers = store.redeliver(&ids, &|name| this.is_served(name))?;
                this.results.mark_dirty();
                let lanes = this.have_sent(answers.iter().flatten().map(|(_, name)| &**name));
                Ok((ids.into_iter().zip(answers).collect::<Vec<_>>(), lanes))
            })
            .await?;
        let took = begun.elapsed();
        if answers.len() > 1 {
            self.let_others_through(&lanes, took).await;
        }
        let asked = |(id, answer): (i64, Again)| (id, answer.map(|(new, _)| new));
        Ok(answers.into_iter().map(asked).collect())
    }

    /// Has what became due in the log read back for these webhooks. Returns their lanes.
    fn have_sent<'n>(
        &self,
        webhooks: impl Iterator<Item = &'n str>,
    ) -> Vec<Arc<Lane<T::Endpoint>>> {
        let names: BTreeSet<&str> = webhooks.collect();
        let lanes: Vec<_> = names.into_iter().filter_map(|n| self.lane(n)).collect();
        for lane in &lanes {
            if lane.lock().came_due(self.clock.now_ms()) {
                self.calendar.list(lane);
            }
        }
        lanes
    }

    /// Bytes of `data` above which an event is not taken by today's configuration.
    pub fn max_data_bytes(&self) -> usize {
        self.max_data_bytes.load(Ordering::Relaxed)
    }

    /// How many ids at most go into one call of [`redeliver`](Self::redeliver).
    #[must_use]
    pub fn chunk_rows(&self) -> usize {
        CHUNK_ROWS
    }

    /// The pause after a chunk that held the log for `took`.
    pub(super) async fn let_others_through(
        &self,
        lanes: &[Arc<Lane<T::Endpoint>>],
        took: Duration,
    ) {
        let mut pause = (took * PAUSE_SHARE.0).clamp(PAUSE_SHARE.1, LONGEST_PAUSE);
        let mut waited = Duration::ZERO;
        loop {
            tokio::time::sleep(pause).await;
            waited += pause;
            let ready = self.results.unrecorded() <= CHUNK_ROWS
                && lanes.iter().all(|lane| lane.lock().queued() <= READY_ROWS);
            if ready || waited >= LONGEST_PAUSE || self.is_stopping() {
                return;
            }
            pause = PAUSE_SHARE.1;
        }
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
/// Bold Factory and OpenBoxes Lift.
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
        Dialect::OpenboxesLift => (
            "stockMovement.shipped",
            r#"{"id":"sm-001","identifier":"SM-00142","name":"Transfer to Regional Depot","status":"SHIPPED","origin":{"id":"loc-001","name":"Central Warehouse"},"destination":{"id":"loc-002","name":"Regional Depot"},"dateShipped":"2025-04-01T14:30:00Z","lineItems":[{"product":{"id":"prod-001","name":"Ibuprofen 200mg"},"quantityShipped":1000}]}"#,
        ),
    }
}
