//! Following an outbox in PostgreSQL: a thread with one connection, which asks what a snapshot has not seen.
//!
//! It asks again soon after it found something and ever less often where it does not. A server that is away,
//! starts anew or stops answering is waited for and connected to again; the log has the place, so nothing is
//! taken twice or left out. What a person must decide ends the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::bell::{self, Bell, Tell};
use super::catch_up::let_catch_up;
use super::error::IntakeError;
use super::follow::{Follow, Followed};
use super::settle::settle_in;
use super::taking::{From, take_in};
use crate::model::{Cursor, Deferred, EventId, Generation, Server, Snapshot};
use crate::outbox::postgres::{self, Batch, Doorbell, Tail, Waiting};
use crate::outbox::{self, Finding, Row, Waker, Watch};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::pipeline::shared::{Patience, chain};
use crate::store;
use crate::transport::Transport;

/// After rows were found, until the next look.
const SOON: Duration = Duration::from_millis(2);

/// Between two counts of what is still to be taken, and what is counted at most.
const COUNT: (Duration, i64) = (Duration::from_secs(1), 100_000);

/// Between two looks for others that follow the outbox.
const OTHERS: Duration = Duration::from_secs(30);

/// After trouble with the server or the log, before the next try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread. `tail` is the connection that the start has made, if the server was there. `ended` is
/// called with the way it ended.
///
/// # Errors
/// There is no descriptor to wait with, or no thread can be made.
pub(crate) fn follow_server<T: Transport>(
    dispatch: Arc<Dispatch<T>>,
    server: Arc<Server>,
    tail: Option<(Tail, Cursor)>,
    ended: impl FnOnce(Followed) + Send + 'static,
) -> Result<Follow, IntakeError> {
    let was_there = tail.is_some();
    start(dispatch, server, tail, was_there, ended)
}

/// Starts the thread of a log that several nodes share: it follows while this one leads.
///
/// # Errors
/// As [`follow_server`].
pub(crate) fn follow_shared<T: Transport>(
    dispatch: Arc<Dispatch<T>>,
    server: Arc<Server>,
    ended: impl FnOnce(Followed) + Send + 'static,
) -> Result<Follow, IntakeError> {
    start(dispatch, server, None, true, ended)
}

fn start<T: Transport>(
    dispatch: Arc<Dispatch<T>>,
    server: Arc<Server>,
    tail: Option<(Tail, Cursor)>,
    was_there: bool,
    ended: impl FnOnce(Followed) + Send + 'static,
) -> Result<Follow, IntakeError> {
    let (watch, waker) = Watch::blind().map_err(IntakeError::Outbox)?;
    let (room, follow) = (waker.clone(), Follow::new(waker.clone()));
    dispatch.log().hold().wake_by(move || room.wake());
    let (of_wait, shown) = (dispatch.clone(), server.shown.clone());
    // One that stands still is the server's trouble and none of this thread: a new start would not help.
    let waiting: Waiting = Arc::new(move || {
        let text = format!("the server of outbox {shown:?} does not answer");
        let heartbeat = &of_wait.counters().intake;
        // The journal is told where it is given up.
        let _: bool = heartbeat.trouble(of_wait.clock(), (text, None), i64::MAX);
    });
    let follower = Follower {
        stop: follow.stop.clone(),
        was_there,
        open: tail.map(|(mut tail, cursor)| {
            tail.tell(waiting.clone());
            Open {
                tail,
                cursor,
                rest: None,
            }
        }),
        waiting,
        dispatch,
        server,
        watch,
        waker,
        doorbell: None,
        bell: Bell::default(),
        counted: None,
        looked: None,
        gap: SOON,
        owed: Vec::new(),
        patience: Patience::default(),
    };
    std::thread::Builder::new()
        .name("intake".into())
        .spawn(move || ended(follower.run()))
        .map_err(IntakeError::Thread)?;
    Ok(follow)
}

/// Whether so long is over since, or it never was.
fn is_due(last: Option<Instant>, now: Instant, every: Duration) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= every)
}

/// A connection, and how far the log is.
struct Open {
    tail: Tail,
    cursor: Cursor,
    /// What was read behind the cursor and not taken yet, for it was more than goes into one transaction.
    rest: Option<Batch>,
}

struct Follower<T: Transport> {
    dispatch: Arc<Dispatch<T>>,
    server: Arc<Server>,
    open: Option<Open>,
    /// Told while an answer is waited for.
    waiting: Waiting,
    /// The server was reached before: from then on nothing about it ends the daemon.
    was_there: bool,
    stop: Arc<AtomicBool>,
    watch: Watch,
    waker: Waker,
    /// Heard on a connection of its own, where one is wanted and there.
    doorbell: Option<Doorbell>,
    bell: Bell,
    /// When it was last counted, and last looked for others.
    counted: Option<Instant>,
    looked: Option<Instant>,
    gap: Duration,
    /// What was put off in the last step.
    owed: Vec<Deferred>,
    patience: Patience,
}

impl<T: Transport> Follower<T> {
    fn run(mut self) -> Followed {
        if let Some(open) = self.open.take() {
            self.begin(&open.tail);
            self.open = Some(open);
        }
        while !self.stop.load(Ordering::Acquire) {
            let wait = match self.step() {
                Ok(true) => {
                    self.gap = SOON;
                    self.tick();
                    continue;
                }
                Ok(false) => {
                    self.tick();
                    let longest = self.longest();
                    let wait = self.gap.min(longest);
                    self.gap = if longest > bell::IDLE {
                        longest
                    } else {
                        longest.min(self.gap * 13 / 10)
                    };
                    wait
                }
                Err(error) => self.wait_out(error)?,
            };
            self.watch.wait(wait).map_err(IntakeError::Outbox)?;
        }
        if let Some(open) = self.open.as_mut().filter(|_| self.bell.is_asleep()) {
            // Who starts next says so again; until then nobody needs to ring.
            drop(open.tail.set_asleep(false));
        }
        Ok(())
    }

    /// A connection is there.
    fn begin(&mut self, tail: &Tail) {
        let standing = &self.dispatch.counters().standing;
        standing.set(Matter::Guards, tail.findings(false));
        self.bell = Bell::default();
        if !tail.has_doorbell() {
            self.doorbell = None;
        } else if self.doorbell.is_none() {
            self.doorbell = Doorbell::listen(&self.server, self.waker.clone());
        }
    }

    /// Tells how many rows are still to be taken. Of many it is asked now and then.
    fn count(
        &mut self,
        tail: &mut Tail,
        from: &Snapshot,
        batch: &Batch,
    ) -> Result<(), IntakeError> {
        let rows = i64::try_from(batch.rows.len()).unwrap_or(i64::MAX);
        let now = self.dispatch.clock().instant();
        let behind = if batch.ends() {
            rows
        } else if is_due(self.counted, now, COUNT.0) {
            self.counted = Some(now);
            tail.behind(from, COUNT.1).map_err(IntakeError::Outbox)?
        } else {
            return Ok(());
        };
        self.dispatch.counters().behind.set(Some(behind));
        Ok(())
    }

    /// The same while the log is full and nothing is taken.
    fn count_on_hold(&mut self, open: &mut Open) -> Result<(), IntakeError> {
        let now = self.dispatch.clock().instant();
        if let Some(from) = open.cursor.snapshot.as_deref()
            && is_due(self.counted, now, COUNT.0)
        {
            self.counted = Some(now);
            let behind = open.tail.behind(from, COUNT.1);
            let behind = behind.map_err(IntakeError::Outbox)?;
            self.dispatch.counters().behind.set(Some(behind));
        }
        Ok(())
    }

    /// Two daemons with a log each would both send everything: neither knows of the other but by the server. And whoever
    /// drops a guard of the table tells nobody.
    fn look_about(&mut self, tail: &mut Tail) -> Result<(), IntakeError> {
        let now = self.dispatch.clock().instant();
        if is_due(self.looked, now, OTHERS) {
            self.looked = Some(now);
            let others = tail.others(&self.server.application_name);
            let pid = others.map_err(IntakeError::Outbox)?;
            let found = pid.map(|pid| postgres::another(&self.server, pid));
            let guards = tail.findings_now().map_err(IntakeError::Outbox)?;
            let standing = &self.dispatch.counters().standing;
            standing.set(Matter::Others, Vec::from_iter(found));
            standing.set(Matter::Guards, guards);
        }
        Ok(())
    }

    /// How long to wait for the next look at most.
    fn longest(&self) -> Duration {
        let hears = self.doorbell.as_ref().is_some_and(Doorbell::hears);
        self.bell.longest(hears)
    }

    /// A look was made: the doorbell's row is told where that changes it.
    fn looked(
        &mut self,
        tail: &mut Tail,
        rows: usize,
        under_way: &[String],
    ) -> Result<(), IntakeError> {
        let doorbell = self.doorbell.as_ref().filter(|doorbell| doorbell.hears());
        let Some(doorbell) = doorbell else {
            return Ok(());
        };
        let was_deaf = self.bell.is_deaf();
        let told = self.bell.looked(doorbell.take_rung(), rows, under_way);
        if let Some(tell) = told {
            let asleep = tell == Tell::Asleep;
            tail.set_asleep(asleep).map_err(IntakeError::Outbox)?;
            self.bell.told(tell);
            self.gap = SOON;
        }
        if was_deaf == self.bell.is_deaf() {
            return Ok(());
        }
        let deaf = self.bell.is_deaf().then(|| Finding {
            is_error: false,
            text: "rows came and the doorbell of the outbox did not ring: it is asked every 50 ms as without one"
                .to_owned(),
            hint: Some("a pooler such as PgBouncer passes no notifications on: connect directly, or leave \
                        [outbox] doorbell out".to_owned()),
        });
        let standing = &self.dispatch.counters().standing;
        standing.set(Matter::Doorbell, Vec::from_iter(deaf));
        Ok(())
    }

    /// One look; whether something was taken.
    fn step(&mut self) -> Result<bool, IntakeError> {
        if !self.dispatch.share().leads() {
            // Another node takes events in. Where this one comes to lead it begins at what the log knows by then.
            (self.open, self.owed) = (None, Vec::new());
            return Ok(false);
        }
        if !self.owed.is_empty() {
            let paid = self.dispatch.materialize(&self.owed);
            let paid = paid.map_err(IntakeError::Store)?;
            self.owed.clear();
            let_catch_up(&self.dispatch, &paid);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        open.tail.limit_data(self.dispatch.max_data_bytes());
        self.look_about(&mut open.tail)?;
        if self.dispatch.intake_waits(&mut self.patience) {
            open.rest = None;
            self.count_on_hold(&mut open)?;
            self.open = Some(open);
            return Ok(false);
        }
        let Some(from) = open.cursor.snapshot.as_deref() else {
            return Ok(false);
        };
        // Where it fails the connection is dropped with what is open.
        let batch = match open.rest.take() {
            Some(rest) => rest,
            None => self.read(&mut open.tail, from, open.cursor.generation)?,
        };
        self.count(&mut open.tail, from, &batch)?;
        if batch.rows.is_empty() {
            // Rows that are too large to be read together end no window.
            let found = !batch.ends();
            open.cursor.snapshot = Some(Box::new(batch.behind(from, 0)));
            self.open = Some(open);
            return Ok(found);
        }
        let taken = take_in(
            &self.dispatch,
            &batch.rows,
            &open.cursor,
            &From::Window(&batch),
        );
        match taken {
            Ok(taken) => {
                if taken.rows == batch.rows.len() && batch.ends() {
                    self.dispatch.counters().behind.set(Some(0));
                }
                open.cursor = taken.cursor;
                open.rest = batch.rest(taken.rows);
                self.open = Some(open);
                self.owed = taken.owed;
                let_catch_up(&self.dispatch, &taken.touched);
                Ok(true)
            }
            Err(error) => {
                self.open = Some(open);
                Err(error)
            }
        }
    }

    /// What is behind a place, without what the log is known to have.
    fn read(
        &mut self,
        tail: &mut Tail,
        from: &Snapshot,
        generation: Generation,
    ) -> Result<Batch, IntakeError> {
        if self.doorbell.as_ref().is_some_and(Doorbell::has_rung) {
            tail.expect_rows();
        }
        let mut batch = tail.read(from).map_err(IntakeError::Outbox)?;
        self.looked(tail, batch.rows.len(), &batch.under_way())?;
        if from.is_again() {
            let ids: Vec<EventId> = batch.rows.iter().map(Row::id).collect();
            let traced = self.dispatch.store().traced(generation, &ids);
            batch.leave_out(&traced.map_err(IntakeError::Store)?);
        }
        Ok(batch)
    }

    fn connect(&mut self) -> Result<Open, IntakeError> {
        let max_data_bytes = self.dispatch.max_data_bytes();
        let tail = Tail::open_telling(&self.server, max_data_bytes, self.waiting.clone());
        let tail = tail.map_err(IntakeError::Outbox)?;
        self.take_over(tail)
    }

    fn take_over(&mut self, mut tail: Tail) -> Result<Open, IntakeError> {
        let now_ms = self.dispatch.clock().now_ms();
        let dispatch = self.dispatch.clone();
        let cursor = settle_in(&mut tail, &self.server, &mut || dispatch.store(), now_ms)?;
        let standing = &self.dispatch.counters().standing;
        standing.set(Matter::Awaited, Vec::new());
        if !self.was_there {
            tracing::info!(
                outbox = self.server.shown,
                "the outbox is there: following it"
            );
        }
        self.was_there = true;
        self.begin(&tail);
        Ok(Open {
            tail,
            cursor,
            rest: None,
        })
    }

    fn tick(&self) {
        if self.dispatch.counters().intake.tick(self.dispatch.clock()) {
            tracing::info!(outbox = self.server.shown, "events are taken in again");
        }
    }

    /// How long to wait after trouble, or the trouble itself where waiting does not help.
    fn wait_out(&mut self, error: IntakeError) -> Result<Duration, IntakeError> {
        let (heartbeat, clock) = (&self.dispatch.counters().intake, self.dispatch.clock());
        match &error {
            IntakeError::Outbox(cause @ outbox::Error::Server(trouble)) => {
                if trouble.is_elsewhere() || !(self.was_there || trouble.may_pass()) {
                    return Err(error);
                }
                self.dispatch.counters().behind.set(None);
                self.looked = None;
                let (error, hint) = (chain(cause), cause.hint());
                if !self.was_there {
                    let mut finding = Finding::of(cause, true);
                    finding.text = format!("waiting for the outbox: {}", finding.text);
                    let standing = &self.dispatch.counters().standing;
                    standing.set(Matter::Awaited, vec![finding]);
                    let _: bool = heartbeat.tick(clock);
                } else if heartbeat.trouble(clock, (error.clone(), hint.clone()), 0) {
                    tracing::warn!(
                        outbox = self.server.shown,
                        error,
                        hint,
                        "the outbox can't be read; trying again"
                    );
                }
                Ok(RETRY_PAUSE)
            }
            IntakeError::Store(cause) if store::Error::is_transient(cause) => {
                let (error, hint) = (chain(cause), cause.hint());
                if heartbeat.trouble(clock, (error.clone(), hint.clone()), 0) {
                    tracing::warn!(
                        error,
                        hint,
                        "the log does not take events; they stay in the outbox"
                    );
                }
                Ok(RETRY_PAUSE)
            }
            _ => Err(error),
        }
    }
}
