//! Following an outbox in PostgreSQL: a thread with one connection, which asks what a snapshot has not seen.
//!
//! It asks again soon after it found something and ever less often where it does not. A server that is away,
//! starts anew or stops answering is waited for and connected to again; the log has the place, so nothing is
//! taken twice or left out. What a person must decide ends the thread.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::again::look_again;
use super::catch_up::let_catch_up;
use super::error::IntakeError;
use super::follow::{Follow, Followed};
use super::taking::{From, take_in};
use crate::model::{Cursor, Deferred, EventId, Server, Snapshot};
use crate::outbox::postgres::{Tail, Trouble};
use crate::outbox::{self, Finding, Row, Watch};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::pipeline::shared::{Patience, ResumeError, chain};
use crate::store::{self, LogWriter};
use crate::transport::Transport;

/// After rows were found, until the next look.
const SOON: Duration = Duration::from_millis(2);

/// The longest wait between two looks: some 0.3 % of a core of the server's.
const IDLE: Duration = Duration::from_millis(50);

/// After trouble with the server or the log, before the next try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Events older than this, in a log that is new, are somebody's decision to send.
const OLD_MS: i64 = 3_600_000;

/// Settles with what the log knows where to go on in an outbox, and whether that is new to the log.
///
/// # Errors
/// The outbox can't be read, is another one than the log followed, or a person decides where to begin.
pub(crate) fn settle(
    tail: &mut Tail,
    server: &Server,
    known: Option<Cursor>,
    now_ms: i64,
) -> Result<(Cursor, bool), IntakeError> {
    let cursor = known.unwrap_or_default();
    match &cursor.snapshot {
        Some(at) if tail.is_of(at) => return Ok((cursor, false)),
        None if is_untouched(&cursor) => {}
        // A log that followed another database, or an outbox in SQLite.
        _ => {
            let trouble = Trouble::elsewhere(&server.shown);
            return Err(IntakeError::Outbox(outbox::Error::Server(trouble)));
        }
    }
    let oldest_ms = tail.oldest_ms().map_err(IntakeError::Outbox)?;
    if let Some(oldest_ms) = oldest_ms.filter(|ms| *ms < now_ms - OLD_MS) {
        let count = tail.count().map_err(IntakeError::Outbox)?;
        return Err(IntakeError::Refused(ResumeError::OldEvents {
            count,
            oldest_ms,
        }));
    }
    let place = tail.place(Snapshot::NOTHING, EventId::NONE);
    let snapshot = Some(Box::new(place));
    Ok((Cursor { snapshot, ..cursor }, true))
}

/// The same with the log at hand, which is told where that is new to it.
///
/// # Errors
/// As [`settle`], or the log can't be read or written.
pub(crate) fn settle_in<S: DerefMut<Target = dyn LogWriter>>(
    tail: &mut Tail,
    server: &Server,
    store: &mut dyn FnMut() -> S,
    now_ms: i64,
) -> Result<Cursor, IntakeError> {
    let known = store().cursor().map_err(IntakeError::Store)?;
    let (mut cursor, mut is_new) = settle(tail, server, known, now_ms)?;
    // The log is let go of while the server is asked.
    let again = look_again(tail, &cursor, &mut |generation, ids| {
        let traced = store().traced(generation, ids);
        traced.map_err(IntakeError::Store)
    })?;
    if let Some(again) = again {
        (cursor, is_new) = (again, true);
    }
    if is_new {
        let told = store().set_cursor(&cursor, now_ms);
        told.map_err(IntakeError::Store)?;
    }
    Ok(cursor)
}

/// Whether the log has taken nothing of any outbox.
fn is_untouched(cursor: &Cursor) -> bool {
    cursor.event_id == EventId::NONE && cursor.fingerprints.is_empty() && cursor.former.is_empty()
}

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
    let (watch, waker) = Watch::blind().map_err(IntakeError::Outbox)?;
    let (room, follow) = (waker.clone(), Follow::new(waker));
    dispatch.log().hold().wake_by(move || room.wake());
    let follower = Follower {
        stop: follow.stop.clone(),
        was_there: tail.is_some(),
        open: tail.map(|(tail, cursor)| Open { tail, cursor }),
        dispatch,
        server,
        watch,
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

/// A connection, and how far the log is.
struct Open {
    tail: Tail,
    cursor: Cursor,
}

struct Follower<T: Transport> {
    dispatch: Arc<Dispatch<T>>,
    server: Arc<Server>,
    open: Option<Open>,
    /// The server was reached before: from then on nothing about it ends the daemon.
    was_there: bool,
    stop: Arc<AtomicBool>,
    watch: Watch,
    gap: Duration,
    /// What was put off in the last step.
    owed: Vec<Deferred>,
    patience: Patience,
}

impl<T: Transport> Follower<T> {
    fn run(mut self) -> Followed {
        while !self.stop.load(Ordering::Acquire) {
            let wait = match self.step() {
                Ok(true) => {
                    self.gap = SOON;
                    self.tick();
                    continue;
                }
                Ok(false) => {
                    self.tick();
                    let wait = self.gap;
                    self.gap = IDLE.min(self.gap * 13 / 10);
                    wait
                }
                Err(error) => self.wait_out(error)?,
            };
            self.watch.wait(wait).map_err(IntakeError::Outbox)?;
        }
        Ok(())
    }

    /// One look; whether something was taken.
    fn step(&mut self) -> Result<bool, IntakeError> {
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
        if self.dispatch.intake_waits(&mut self.patience) {
            self.open = Some(open);
            return Ok(false);
        }
        let Some(from) = open.cursor.snapshot.as_deref() else {
            return Ok(false);
        };
        // Where it fails the connection is dropped with what is open.
        let mut batch = open.tail.read(from).map_err(IntakeError::Outbox)?;
        if from.is_again() {
            let ids: Vec<EventId> = batch.rows.iter().map(Row::id).collect();
            let traced = self.dispatch.store().traced(open.cursor.generation, &ids);
            batch.leave_out(&traced.map_err(IntakeError::Store)?);
        }
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
                open.cursor = taken.cursor;
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

    fn connect(&mut self) -> Result<Open, IntakeError> {
        let max_data_bytes = self.dispatch.max_data_bytes();
        let tail = Tail::open(&self.server, max_data_bytes).map_err(IntakeError::Outbox)?;
        self.take_over(tail)
    }

    fn take_over(&mut self, mut tail: Tail) -> Result<Open, IntakeError> {
        let now_ms = self.dispatch.clock().now_ms();
        let dispatch = self.dispatch.clone();
        let cursor = settle_in(&mut tail, &self.server, &mut || dispatch.store(), now_ms)?;
        let standing = &self.dispatch.counters().standing;
        standing.set(Matter::Awaited, Vec::new());
        standing.set(Matter::Guards, tail.findings(false));
        if !self.was_there {
            tracing::info!(
                outbox = self.server.shown,
                "the outbox is there: following it"
            );
        }
        self.was_there = true;
        Ok(Open { tail, cursor })
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
                let (error, hint) = (chain(cause), cause.hint());
                if !self.was_there {
                    let mut finding = Finding::of(cause, true);
                    finding.text = format!("waiting for the outbox: {}", finding.text);
                    let standing = &self.dispatch.counters().standing;
                    standing.set(Matter::Awaited, vec![finding]);
                    let _: bool = heartbeat.tick(clock);
                } else if heartbeat.trouble(clock, error.clone(), 0) {
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
                if heartbeat.trouble(clock, error.clone(), 0) {
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
