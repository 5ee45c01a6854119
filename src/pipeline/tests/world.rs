//! What the pipeline's tests stand on: a log in a temporary folder, and endpoints that do as told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::model::{
    Admission, Answer, Class, Clock, Cursor, Deferred, Dialect, Due, Event, EventId, Exchange,
    Failure, Fault, Generation, Phases, Request, Webhook,
};
use crate::pipeline::{Applied, Dispatch, Pace, PipelineConfig, Retention};
use crate::store::{self, Checkpointer, Store};
use crate::transport::Transport;

/// 2024-11-14T09:32:17Z: when every test begins.
pub(super) const START_MS: i64 = 1_731_576_737_000;

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Answers with that status after so many milliseconds.
    Answer(u16, u64),
    /// Answers with that status after 10 ms, and asks to wait.
    Wait(u16, &'static str),
    /// Says nothing: the transport gives up after 3 s.
    Silence,
    /// The machine itself can't send.
    Fault,
    /// The same, found after so many milliseconds.
    LateFault(u64),
    /// The attempt panics.
    Panic,
    /// The request never ends: not even its time-outs are kept.
    Never,
}

/// A request as an endpoint saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) webhook: Arc<str>,
    pub(super) at_ms: i64,
    pub(super) body: String,
}

type Script = dyn Fn(&Seen, usize) -> Act + Send + Sync;

/// Endpoints by script: the second argument is how many requests came before, of all webhooks.
pub(super) struct Scripted {
    clock: Clock,
    script: Box<Script>,
    pub(super) seen: Mutex<Vec<Seen>>,
    in_flight: AtomicUsize,
    pub(super) most_in_flight: AtomicUsize,
}

impl Transport for Scripted {
    type Endpoint = Arc<str>;

    async fn send(&self, to: &Arc<str>, request: &Request) -> Result<Exchange, Fault> {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let seen = Seen {
            webhook: to.clone(),
            at_ms: self.clock.now_ms(),
            body,
        };
        let before = {
            let mut all = self.seen.lock();
            all.push(seen.clone());
            all.len() - 1
        };
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let result = match (self.script)(&seen, before) {
            Act::Answer(status, after_ms) => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                Ok(Answer {
                    status,
                    headers: "".into(),
                    body: Vec::new(),
                    truncated: false,
                    turned_away: None,
                })
            }
            Act::Wait(status, value) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(Answer {
                    status,
                    headers: format!("retry-after: {value}").as_str().into(),
                    body: Vec::new(),
                    truncated: false,
                    turned_away: None,
                })
            }
            Act::Silence => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Err(Failure {
                    class: Class::ResponseTimeout,
                    text: "no answer within 3 s".into(),
                })
            }
            Act::Fault => {
                self.in_flight.fetch_sub(1, Ordering::SeqCst);
                return Err(Fault("no descriptors".into()));
            }
            Act::LateFault(after_ms) => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                self.in_flight.fetch_sub(1, Ordering::SeqCst);
                return Err(Fault("no thread".into()));
            }
            Act::Never => std::future::pending().await,
            Act::Panic => {
                self.in_flight.fetch_sub(1, Ordering::SeqCst);
                panic!("on purpose");
            }
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        Ok(Exchange {
            result,
            phases: Phases::default(),
            peer: None,
            duration_us: 1_000,
            note: None,
        })
    }
}

/// A webhook that wants everything.
pub(super) fn webhook(name: &str, dialect: Dialect) -> Webhook {
    Webhook {
        dialect,
        ..Webhook::sample(name, "http://127.0.0.1:9/hook")
    }
}

/// A running pipeline on a log of its own.
pub(super) struct World {
    pub(super) folder: Arc<TempDir>,
    pub(super) clock: Clock,
    pub(super) dispatch: Arc<Dispatch<Scripted>>,
    loops: JoinSet<Result<(), store::Error>>,
    stopped: oneshot::Sender<()>,
    events: i64,
    /// What the last admission put off.
    pub(super) owed: Vec<Deferred>,
    /// Bytes of padding in each event's data.
    pub(super) data_bytes: usize,
}

impl World {
    pub(super) async fn new(
        webhooks: Vec<Webhook>,
        script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = Clock::follow_tokio(START_MS);
        Self::begin(folder, clock, webhooks, script, 0, 0).await
    }

    async fn begin(
        folder: Arc<TempDir>,
        clock: Clock,
        webhooks: Vec<Webhook>,
        script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
        events: i64,
        stepped_ms: i64,
    ) -> Self {
        let path = folder.path().join("log.db");
        let store = Store::open(&path, clock.now_ms()).unwrap();
        let checkpointer = Checkpointer::open(&path).unwrap();
        let transport = Scripted {
            clock: clock.clone(),
            script: Box::new(script),
            seen: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        };
        // Looks around once an hour: nobody else writes this log, and days must pass quickly.
        let pace = Pace {
            poll: Duration::from_secs(3_600),
            ..Pace::default()
        };
        let dispatch = Dispatch::new(
            Box::new(store),
            transport,
            clock.clone(),
            pace,
            Handle::current().into(),
        );
        dispatch.clamp().await.unwrap();
        clock.step(stepped_ms);
        let mut loops = JoinSet::new();
        let (stopped, ended) = oneshot::channel();
        loops.spawn(dispatch.clone().record());
        loops.spawn(dispatch.clone().refill());
        loops.spawn(dispatch.clone().keep_durable(Some(checkpointer), ended));
        let world = Self {
            folder,
            clock,
            dispatch,
            loops,
            stopped,
            events,
            owed: Vec::new(),
            data_bytes: 0,
        };
        world.reconfigure(webhooks, 4_096).await;
        world
    }

    /// Gives the pipeline other webhooks.
    pub(super) async fn reconfigure(
        &self,
        webhooks: Vec<Webhook>,
        max_in_flight: usize,
    ) -> Applied {
        let with_endpoint = |w: Webhook| (Arc::new(w.clone()), w.name);
        let change = PipelineConfig {
            webhooks: webhooks.into_iter().map(with_endpoint).collect(),
            tenant: Some("acme".into()),
            max_in_flight,
            max_data_bytes: 1 << 20,
            retention: Retention::default(),
        };
        self.dispatch.reconfigure(change).await.unwrap()
    }

    /// Admits so many events, as the intake does.
    pub(super) async fn admit(&mut self, events: i64) {
        let first = self.events + 1;
        self.events += events;
        let last = self.events;
        let padding = "x".repeat(self.data_bytes);
        let (touched, owed) = self
            .dispatch
            .with_store(move |dispatch, store| {
                let now_ms = dispatch.clock().now_ms();
                let event = |id| Event {
                    id,
                    name: "story-submit".into(),
                    data: if padding.is_empty() {
                        format!("{{\"n\":{id}}}").into()
                    } else {
                        format!("{{\"n\":{id},\"padding\":\"{padding}\"}}").into()
                    },
                    time_ms: START_MS,
                    tenant: None,
                };
                let routes = dispatch.routes();
                let events = (first..=last)
                    .filter_map(|id| routes.fan_out(&event(EventId::new(id))))
                    .collect();
                let cursor = Cursor {
                    generation: Generation::FIRST,
                    event_id: EventId::new(last),
                    fingerprints: Vec::new(),
                    former: Vec::new(),
                    time_ms: now_ms,
                    snapshot: None,
                };
                let admission = Admission {
                    events,
                    rejected: Vec::new(),
                    cursor,
                    gaps: Vec::new(),
                };
                let silent = dispatch.defer(&admission.events);
                let later = |name: &str| silent.contains(name);
                let mut room = dispatch.room_for_next(store);
                let mut takes = |due: &Due| room.takes(due);
                let made = store.admit(&admission, &later, &mut takes, now_ms);
                let (dues, owed) = made.unwrap();
                (dispatch.offer(store, room, dues), owed)
            })
            .await;
        for lane in &touched {
            self.dispatch.fill(lane);
        }
        self.owed = owed;
    }

    /// Makes what was put off, as the intake does next. True where that was something.
    pub(super) async fn materialize(&self) -> bool {
        let (dispatch, owed) = (self.dispatch.clone(), self.owed.clone());
        let materialize = move || dispatch.materialize(&owed).unwrap();
        !self.dispatch.with_blocking(materialize).await.is_empty()
    }

    /// The process dies: nothing is finished, recorded or told.
    pub(super) async fn crash(mut self) -> Wreck {
        self.loops.shutdown().await;
        Wreck {
            folder: self.folder,
            clock: self.clock,
            events: self.events,
        }
    }

    /// Stops as the daemon does.
    pub(super) async fn stop(mut self) -> Wreck {
        self.dispatch.stop();
        self.dispatch.drained().await;
        self.dispatch.recorded().await;
        self.stopped.send(()).unwrap();
        while let Some(ended) = self.loops.join_next().await {
            ended.unwrap().unwrap();
        }
        Wreck {
            folder: self.folder,
            clock: self.clock,
            events: self.events,
        }
    }

    /// None of the loops has ended.
    pub(super) fn assert_running(&mut self) {
        if let Some(ended) = self.loops.try_join_next() {
            panic!("a loop ended: {ended:?}");
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.dispatch.transport().seen.lock().clone()
    }

    /// When requests came, milliseconds after the beginning.
    pub(super) fn times_ms(&self) -> Vec<i64> {
        self.seen()
            .iter()
            .map(|seen| seen.at_ms - START_MS)
            .collect()
    }

    /// Deliveries by state, from the log itself.
    pub(super) async fn states(&self) -> Vec<(String, i64)> {
        self.dispatch
            .with_store(|_, store| store.states().unwrap())
            .await
    }

    /// Waits, in paused time, until nothing is pending.
    pub(super) async fn settled(&self) {
        for _ in 0..200_000 {
            let states = self.states().await;
            if states.iter().all(|(state, _)| state != "pending") {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("still pending: {:?}", self.states().await);
    }
}

/// What a process leaves behind.
pub(super) struct Wreck {
    folder: Arc<TempDir>,
    pub(super) clock: Clock,
    events: i64,
}

impl Wreck {
    /// The next process on the same log.
    pub(super) async fn restart(
        self,
        webhooks: Vec<Webhook>,
        script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
    ) -> World {
        self.restart_with_a_step(webhooks, script, 0).await
    }

    /// The same, and the wall clock steps in the middle of the start.
    pub(super) async fn restart_with_a_step(
        self,
        webhooks: Vec<Webhook>,
        script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
        by_ms: i64,
    ) -> World {
        World::begin(
            self.folder,
            self.clock,
            webhooks,
            script,
            self.events,
            by_ms,
        )
        .await
    }
}
