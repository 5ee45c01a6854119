//! One life of the process: started as the daemon starts, acted upon by the world, and ended by an
//! orderly stop or a crash between any two steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::endpoints::Endpoints;
use super::follower::{Follower, Line};
use super::hooks::{self, VFS};
use super::oracle::{FLOOR, Oracle};
use super::subscriptions::{MAX_DATA_BYTES, Subscriptions};
use super::vendors::delay_ms;
use super::world::Files;
use super::world::ordered;
use super::world::together::MOST_EVENTS;
use crate::model::{Clock, Cursor, Dialect, Generation};
use crate::outbox::Tail;
use crate::pipeline::send::QUEUE_ROWS;
use crate::pipeline::{Dispatch, Intake, IntakeError, Pace, Resume, resolve_cursor};
use crate::store::person::Person;
use crate::store::{self, Checkpointer, Store};

/// How long the last results may wait for a log that does not take them.
const RECORD: Duration = Duration::from_secs(5);

/// A log that took nothing at a stop was troubled no longer ago.
const LOST_MS: i64 = 20_000;

/// What may come between the end of a poll and the request, with every pause of a simulated call.
const SLACK_MS: i64 = 15_000;

/// A running process.
pub(super) struct Process {
    pub(super) dispatch: Arc<Dispatch<Endpoints>>,
    pub(super) line: Line,
    clock: Clock,
    oracle: Arc<Mutex<Oracle>>,
    follower: JoinHandle<Result<(), IntakeError>>,
    loops: JoinSet<Result<(), store::Error>>,
    stopped: oneshot::Sender<()>,
    poll: Duration,
    /// What went before its days were over, as last seen.
    early: u64,
    /// The most requests that each lane might have in flight so far.
    most_in_hand: BTreeMap<Arc<str>, usize>,
}

impl Process {
    /// Starts in the daemon's order.
    pub(super) async fn start(
        files: &Files,
        oracle: &Arc<Mutex<Oracle>>,
        clock: &Clock,
        subscriptions: &Subscriptions,
        pace: Pace,
    ) -> Result<Self, store::Error> {
        let mut tail = Tail::open_by(VFS, &files.outbox, MAX_DATA_BYTES).unwrap();
        let mut store = Store::open_with(files.opening.clone(), &files.log, clock.now_ms())?;
        // Kept through the lives, for opening a log is dear.
        lock(oracle)
            .person
            .get_or_insert_with(|| Person::by(VFS, &files.log));
        let cursor = cursor(&mut tail, &mut store, clock, oracle)?;
        let checkpointer = Checkpointer::open_with(files.opening.clone(), &files.log)?;
        let endpoints = Endpoints {
            oracle: oracle.clone(),
        };
        let dispatch = Dispatch::new(
            Box::new(store),
            endpoints,
            clock.clone(),
            pace,
            hooks::runtime(),
        );
        dispatch.clamp().await?;
        let line = Line::default();
        let mut loops = JoinSet::new();
        let (stopped, ended) = oneshot::channel();
        let rng = super::rng::Rng::new(lock(oracle).trace.digest, 7);
        let follower = Follower {
            intake: Intake::new(dispatch.clone(), tail, cursor),
            dispatch: dispatch.clone(),
            oracle: oracle.clone(),
            path: files.outbox.clone(),
            rng,
            verify: true,
            commit_unseen: false,
        };
        reconfigure(&dispatch, oracle, subscriptions, files).await?;
        loops.spawn(dispatch.clone().record());
        loops.spawn(dispatch.clone().refill());
        loops.spawn(dispatch.clone().retain());
        loops.spawn(dispatch.clone().keep_small());
        loops.spawn(dispatch.clone().keep_durable(Some(checkpointer), ended));
        Ok(Self {
            follower: tokio::spawn(follower.follow(line.clone(), pace.poll)),
            dispatch,
            line,
            clock: clock.clone(),
            oracle: oracle.clone(),
            loops,
            stopped,
            poll: pace.poll,
            early: 0,
            most_in_hand: BTreeMap::new(),
        })
    }

    /// Takes a configuration in.
    pub(super) async fn reconfigure(
        &self,
        to: &Subscriptions,
        files: &Files,
    ) -> Result<(), store::Error> {
        reconfigure(&self.dispatch, &self.oracle, to, files).await
    }

    /// Whether a person has to decide where to go on.
    pub(super) fn refused(&self) -> bool {
        self.follower.is_finished()
    }

    /// Stops as the daemon does. False where the log did not take the last results.
    pub(super) async fn stop(mut self) -> bool {
        self.line.halt.store(true, Ordering::Relaxed);
        self.line.look.notify_one();
        self.dispatch.stop();
        let left = self.dispatch.drained().await;
        if left > 0 {
            lock(&self.oracle).broke(&format!("{left} requests did not end before the stop"));
        }
        let lost = tokio::time::timeout(RECORD, self.dispatch.recorded()).await;
        if lost != Ok(0) {
            let mut oracle = lock(&self.oracle);
            if oracle.mono_ms() > oracle.disturbed_ms + LOST_MS {
                oracle.broke(&format!("the stop lost {lost:?}, and the log was well"));
            }
            return false;
        }
        drop(self.follower.await);
        if self.stopped.send(()).is_err() {
            return false;
        }
        let mut well = true;
        while let Some(ended) = self.loops.join_next().await {
            well &= ended.is_ok_and(|ended| ended.is_ok());
        }
        let mut queued = 0;
        for lane in self.dispatch.all_lanes() {
            let name = lane.name();
            let load = lane.load();
            queued += load.queued_bytes;
            if load.queued == 0 && !load.is_idle {
                lock(&self.oracle).broke(&format!("{name} holds deliveries after the stop"));
            }
        }
        let counted = self.dispatch.capacity_in_use().queued_bytes;
        if counted != queued {
            let promise = format!("{queued} bytes are queued, and {counted} counted");
            lock(&self.oracle).broke(&promise);
        }
        well
    }

    /// How long after a commit of somebody else's, or after trouble, all is as it says.
    pub(super) fn late_ms(&self) -> i64 {
        i64::try_from(self.poll.as_millis()).unwrap() + SLACK_MS
    }

    /// Looks whether everything is as promised at this moment.
    pub(super) fn check(&mut self) {
        let ended = self.loops.try_join_next();
        let mut oracle = lock(&self.oracle);
        if let Some(ended) = ended {
            oracle.broke(&format!("a loop ended: {ended:?}"));
        }
        oracle.observe();
        let early = self
            .dispatch
            .counters()
            .deleted_early
            .load(Ordering::Relaxed);
        if std::mem::replace(&mut self.early, early) != early {
            oracle.count("work deleted early");
        }
        let lanes = self.dispatch.all_lanes();
        let in_use = self.dispatch.capacity_in_use();
        let (mut above, mut queued, mut waiting) = (0, 0, Vec::new());
        for lane in &lanes {
            let name = lane.name();
            let load = lane.load();
            above += load.in_flight.saturating_sub(FLOOR);
            queued += load.queued_bytes;
            let limit = load.limit.unwrap_or(0);
            if load.is_in_line && load.queued > 0 && load.in_flight < limit {
                waiting.push(name.clone());
            }
            let most = self.most_in_hand.entry(name.clone()).or_default();
            *most = limit.max(load.in_flight).max(*most);
            // What was put back by a fault waits without a permit where there is a pace. Where an endpoint asks to
            // wait, all that its workers had in hand and did not begin yet goes back, behind which a refill had
            // filled the queue up. That is the most: a queue that is full takes nothing on top.
            let in_hand = match oracle.waits {
                Some(_) => *most,
                None => load.in_flight.max(usize::from(load.rate.is_some())),
            };
            // What goes in one POST comes and goes together.
            let together = if load.is_batched { 2 * MOST_EVENTS } else { 1 };
            if load.queued > hooks::within(QUEUE_ROWS) + in_hand * together + together - 1 {
                oracle.broke(&format!("{name} has {} rows in memory", load.queued));
            }
            if load.queued > 0 && oracle.is_held(name) {
                oracle.broke(&format!("{name} is paused, and has rows in memory"));
            }
        }
        if above != in_use.permits {
            let taken = in_use.permits;
            oracle.broke(&format!("{taken} permits are taken, and {above} in use"));
        }
        let counted = self.dispatch.capacity_in_use().queued_bytes;
        if counted < queued || counted > 1 << 30 {
            oracle.broke(&format!("{queued} bytes are queued, and {counted} counted"));
        }
        drop(lanes);
        if !waiting.is_empty() && in_use.is_permit_free {
            oracle.broke(&format!("{waiting:?} stand in line, and a permit is free"));
        }
        oracle.in_line(&waiting);
        self.check_pending(&mut oracle);
    }

    fn check_pending(&self, oracle: &mut Oracle) {
        let late_ms = self.late_ms();
        let mono_ms = oracle.mono_ms();
        if mono_ms < oracle.disturbed_ms + late_ms {
            oracle.idle.clear();
            return;
        }
        let mut idle = std::mem::take(&mut oracle.idle);
        let mut still = BTreeMap::new();
        let now_ms = self.clock.now_ms();
        let places = self.dispatch.capacity_in_use().permits < oracle.above_floor;
        let mut paused = oracle.person().paused();
        paused.retain(|_, (until_ms, _)| until_ms.is_none_or(|until_ms| until_ms > now_ms));
        for row in oracle.person().pending() {
            let Some(lane) = self.dispatch.lane(&row.webhook) else {
                continue;
            };
            let load = lane.load();
            let Some(limit) = load.limit else {
                continue;
            };
            let is_paused = paused.contains_key(&row.webhook);
            let room = load.in_flight < limit && (load.in_flight < FLOOR || places);
            let taken = load.taken;
            let Some(due_ms) = row.due_at_ms else {
                // It waits for its turn, and is sent in the end.
                if !ordered::is_such(oracle.orders) {
                    oracle.broke(&format!("{row:?} is pending and never due"));
                }
                continue;
            };
            let in_hand =
                (oracle.sent.get(&row.id)).is_some_and(|sent| sent.in_hand(oracle.process));
            let waits =
                (oracle.sent.get(&row.id)).and_then(|sent| sent.waits_since(oracle.process));
            if let Some(since_ms) = waits.filter(|since_ms| since_ms + late_ms < mono_ms) {
                oracle.broke(&format!(
                    "a result of {row:?} waits for the log since {since_ms}"
                ));
            }
            let dialect = Dialect::from_name(&row.dialect).unwrap();
            let longest_ms = match row.attempts {
                0 => 0,
                number => delay_ms(dialect, number) * 11 / 10,
            };
            let held_ms = oracle.held_at_latest_ms(&row.webhook);
            if due_ms > held_ms.max(now_ms + longest_ms) + late_ms {
                oracle.broke(&format!("{row:?} is due much too late, now is {now_ms}"));
            }
            let is_due = due_ms.max(held_ms) + late_ms < now_ms;
            let waits = still.contains_key(&row.webhook) || is_paused;
            if room && !in_hand && is_due && !waits {
                let known = idle.remove(&row.webhook).filter(|(_, then)| *then == taken);
                let (since_ms, _) = known.unwrap_or((mono_ms, taken));
                let pace_ms = oracle.pace_ms(&row.webhook);
                if since_ms + late_ms + pace_ms < mono_ms {
                    let idle_ms = mono_ms - since_ms;
                    oracle.broke(&format!(
                        "{row:?} is due, there is room, and {idle_ms} ms go by"
                    ));
                }
                still.insert(row.webhook, (since_ms, taken));
            }
        }
        oracle.idle = still;
    }
}

pub(super) fn lock(oracle: &Mutex<Oracle>) -> MutexGuard<'_, Oracle> {
    oracle.lock()
}

async fn reconfigure(
    dispatch: &Arc<Dispatch<Endpoints>>,
    oracle: &Arc<Mutex<Oracle>>,
    to: &Subscriptions,
    files: &Files,
) -> Result<(), store::Error> {
    let webhooks: Vec<_> = to.webhooks.iter().cloned().map(Arc::new).collect();
    // Until the exchange the old limits hold, and after it what was begun under them may end.
    let before = lock(oracle).above_floor.max(to.max_in_flight);
    lock(oracle).limit(&webhooks, before, &active(dispatch));
    lock(oracle).coming = Some(webhooks.clone());
    lock(oracle).forget_unpaced(to);
    lock(oracle).own_begins(&webhooks);
    let directed = dispatch
        .reconfigure(to.change(&files.outbox, &files.log))
        .await;
    let mut oracle = lock(oracle);
    oracle.coming = None;
    oracle.own_ends(directed.is_ok());
    oracle.forget_unpaced(to);
    oracle.count("reloads");
    oracle.observe();
    let directed = directed?;
    oracle.limit(&webhooks, to.max_in_flight, &active(dispatch));
    oracle.note(&format!("directed: {directed:?}"));
    if dispatch.webhooks() != webhooks {
        oracle.broke("the configuration is not the one that was given");
    }
    let unserved = |row: &store::person::Delivery| {
        !(webhooks.iter()).any(|w| *w.name == *row.webhook && w.active)
    };
    if let Some(row) = oracle.person().pending().into_iter().find(unserved) {
        oracle.broke(&format!("{row:?} is pending and not served"));
    }
    Ok(())
}

/// Requests in flight, or about to be, by webhook.
fn active(dispatch: &Dispatch<Endpoints>) -> BTreeMap<Arc<str>, usize> {
    let lanes = dispatch.all_lanes();
    let active = (lanes.iter()).map(|lane| (lane.name().clone(), lane.load().in_flight));
    active.collect()
}

/// Settles where to go on, as the daemon does; where it refuses, the operator says from the beginning.
fn cursor(
    tail: &mut Tail,
    store: &mut Store,
    clock: &Clock,
    oracle: &Mutex<Oracle>,
) -> Result<Cursor, store::Error> {
    let known = store.cursor()?;
    let generation = known
        .as_ref()
        .map_or(Generation::FIRST, |cursor| cursor.generation);
    let now_ms = clock.now_ms();
    let settled = match resolve_cursor(tail, known, now_ms).unwrap() {
        Ok(settled) => settled,
        Err(refusal) => {
            let mut oracle = lock(oracle);
            oracle.note(&format!("refused: {refusal:?}"));
            // Rows of an outbox that was seen empty at a later hour of the clock: a person is asked.
            oracle.put_back |= oracle.turned_back && oracle.cursor.1 == 0;
            Resume::Fresh(Cursor {
                generation: generation.next(),
                ..Cursor::default()
            })
        }
    };
    if !matches!(settled, Resume::Same(_)) {
        store.set_cursor(settled.cursor(), settled.known_ms(now_ms))?;
    }
    let mut oracle = lock(oracle);
    oracle.goes_on_at(settled.cursor());
    oracle.cursor_is_right(settled.cursor().event_id.get());
    Ok(settled.cursor().clone())
}
