//! Following the outbox: the thread that runs the intake, woken by the folder.
//!
//! inotify tells of the write before the commit is visible, so the watch is followed by a short
//! burst of looks at `data_version`, and a slow poll stands behind it all. Trouble with the outbox
//! (locked, unreadable, replaced) is waited out; trouble that a person must decide ends the thread.
//! Where nothing can be watched, the outbox is polled instead.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::batch::{Intake, Step};
use super::catch_up::let_catch_up;
use super::error::IntakeError;
use crate::outbox::{self, Backfill, Burst, Finding, Tail, Wake, Waker, Watch};
use crate::pipeline::shared::chain;
use crate::pipeline::shared::counters::TROUBLE_MS;
use crate::pipeline::shared::standing::Matter;
use crate::transport::Transport;

/// A gap that is no longer part of a burst: a look at its end is at the table, come what may.
const SLOW: Duration = Duration::from_millis(25);

/// After trouble with the outbox or the log, before the next try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Between two verifications of the cursor when others commit and no row comes: an application may
/// do so a thousand times a second in its own tables.
const VERIFY: Duration = Duration::from_millis(500);

/// Between two tries to watch again what could not be watched: polling finds all there is meanwhile.
const BLIND: Duration = Duration::from_secs(60);

/// A running thread that follows the outbox.
#[derive(Clone)]
pub(crate) struct Follow {
    pub(super) stop: Arc<AtomicBool>,
    /// Of each watch that the thread has waited with.
    wakers: Arc<Mutex<Vec<Waker>>>,
}

impl Follow {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            stop: Arc::default(),
            wakers: Arc::new(Mutex::new(vec![waker])),
        }
    }

    /// Makes the thread end after the batch in hand.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let wakers = self.wakers.lock();
        wakers.iter().for_each(Waker::wake);
    }

    /// Takes the waker of one more watch. The thread looks at `stop` after this and before it waits.
    fn add(&self, waker: Waker) {
        let mut wakers = self.wakers.lock();
        wakers.push(waker);
    }
}

/// Sees to it that nobody else follows the outbox that is under the path now: cheap where that is so.
/// While it fails nothing is read.
pub(crate) type Claim = Box<dyn FnMut() -> Result<(), outbox::Error> + Send>;

/// How the thread ended.
pub(crate) type Followed = Result<(), IntakeError>;

/// Starts the thread. `ended` is called with the way it ended.
///
/// # Errors
/// There is no descriptor to wait with, or no thread can be made.
pub(crate) fn follow<T: Transport>(
    intake: Intake<T>,
    path: PathBuf,
    claim: Claim,
    ended: impl FnOnce(Followed) + Send + 'static,
) -> Result<Follow, IntakeError> {
    let (watch, waker) = Watch::blind().map_err(IntakeError::Outbox)?;
    let (room, follow) = (waker.clone(), Follow::new(waker));
    intake.dispatch().log().hold().wake_by(move || room.wake());
    let follower = Follower::new(intake, path, (claim, watch), &follow);
    std::thread::Builder::new()
        .name("intake".into())
        .spawn(move || ended(follower.run()))
        .map_err(IntakeError::Thread)?;
    Ok(follow)
}

pub(super) struct Follower<T: Transport> {
    intake: Intake<T>,
    path: PathBuf,
    claim: Claim,
    /// Somebody else follows the outbox, or did when that was last asked.
    unclaimed: bool,
    stop: Arc<AtomicBool>,
    watch: Watch,
    burst: Burst,
    /// Nothing can be watched, and the journal was told.
    polls: bool,
    /// When it was last tried to watch.
    aimed: Instant,
    backfill: Backfill,
    /// Somebody committed since the cursor was last verified, and no row came of it.
    commit_unseen: bool,
    verified: Option<Instant>,
    /// The file was found to be damaged, and what of it is in memory may be, though it is mended.
    needs_reopen: bool,
    /// The file was opened, and its rows were not compared with the cursor yet.
    unknown: bool,
}

impl<T: Transport> Follower<T> {
    /// Begins on a thread that is there already.
    pub(super) fn begin(
        intake: Intake<T>,
        path: PathBuf,
        claim: Claim,
        follow: &Follow,
    ) -> Result<Self, IntakeError> {
        let (watch, waker) = Watch::blind().map_err(IntakeError::Outbox)?;
        follow.add(waker.clone());
        let hold = intake.dispatch().log().hold();
        hold.wake_by(move || waker.wake());
        Ok(Self::new(intake, path, (claim, watch), follow))
    }

    fn new(
        intake: Intake<T>,
        path: PathBuf,
        (claim, watch): (Claim, Watch),
        follow: &Follow,
    ) -> Self {
        let now = intake.clock().instant();
        let mut follower = Self {
            stop: follow.stop.clone(),
            burst: Burst::new(true),
            watch,
            polls: false,
            aimed: now,
            backfill: Backfill::new(&path, now.into_std()),
            intake,
            path,
            claim,
            unclaimed: false,
            commit_unseen: false,
            verified: None,
            needs_reopen: false,
            unknown: true,
        };
        follower.aim();
        follower
    }

    pub(super) fn run(mut self) -> Followed {
        let mut look = true;
        while !self.stop.load(Ordering::Acquire) {
            let wait = match self.look(look) {
                Ok(()) => {
                    self.tick();
                    self.burst.gap()
                }
                Err(error) => self.wait_out(error)?,
            };
            look = false;
            match self.watch.wait(wait) {
                Ok(Wake::File) => self.burst.restart(),
                Ok(Wake::Quiet) => {
                    look = wait >= SLOW;
                    self.burst.advance();
                }
                Ok(Wake::Woken) => {}
                Err(error) => return Err(IntakeError::Outbox(error)),
            }
        }
        self.backfill.end();
        Ok(())
    }

    /// Watches the files that are under the path now, or says once why they are polled instead.
    fn aim(&mut self) {
        self.aimed = self.intake.clock().instant();
        let seen = self.watch.see(&self.path);
        self.burst = Burst::new(self.watch.is_blind());
        let outbox = &*self.path.to_string_lossy();
        match seen {
            Ok(()) if self.polls => tracing::info!(outbox, "the outbox is watched again"),
            Err(cause) if !self.polls => {
                let (error, hint) = (chain(&cause), cause.hint());
                tracing::warn!(
                    outbox,
                    error,
                    hint,
                    "the outbox can't be watched: it is looked at 40 times a second instead"
                );
            }
            _ => {}
        }
        self.polls = self.watch.is_blind();
    }

    /// What is due now and then, while nothing is committed.
    fn keep(&mut self) {
        let now = self.intake.clock().instant();
        if self.polls && now.saturating_duration_since(self.aimed) >= BLIND {
            self.aim();
        }
        self.backfill.look(now.into_std());
    }

    /// Takes in what is there. `always`: also where no commit was noticed.
    fn look(&mut self, always: bool) -> Result<(), IntakeError> {
        self.intake.limit_data();
        if always || self.unclaimed {
            self.claim()?;
        }
        // After trouble too: what was read then is read anew, and not from a file that is gone.
        if (always || self.intake.has_more()) && self.intake.tail.replaced() {
            self.follow_on()?;
        } else if always && self.needs_reopen {
            self.reopen()?;
        }
        if always {
            let now = self.intake.clock().instant().into_std();
            let looked = self.intake.tail.check_companions(now, true);
            looked.map_err(IntakeError::Outbox)?;
            self.keep();
            self.look_at_names();
        }
        self.look_at_guards();
        self.make_known()?;
        if !always && self.intake.tail.being_written() {
            return Ok(());
        }
        let changed = self.intake.tail.changed().map_err(IntakeError::Outbox)?;
        if changed {
            let now = self.intake.clock().instant().into_std();
            self.backfill.touch(now);
            self.intake.notice_set_back()?;
        }
        if !changed && !always && !self.commit_unseen && !self.intake.has_more() {
            return Ok(());
        }
        let mut any = false;
        while !self.stop.load(Ordering::Acquire) {
            match self.intake.step()? {
                Step::Taken(lanes) => let_catch_up(self.intake.dispatch(), &lanes),
                Step::Drained | Step::Held => break,
                Step::Replaced => {
                    self.follow_on()?;
                    self.make_known()?;
                }
            }
            any = true;
            self.tick();
        }
        self.look_at_guards();
        self.commit_unseen = (self.commit_unseen || changed) && !any;
        if self.commit_unseen {
            self.verify_now_and_then()?;
        }
        self.intake.look_below(changed)
    }

    /// Tells of guards that the table does not have any more, where its schema was altered.
    fn look_at_guards(&mut self) {
        // Where it can't be looked at now, the next look does.
        if let Ok(Some(findings)) = self.intake.tail.findings() {
            self.intake.standing().set(Matter::Guards, findings);
        }
    }

    /// Tells of another name of the file. What is read by this one is right as long as the others
    /// are not used, so events flow; a start refuses.
    fn look_at_names(&self) {
        let other = outbox::other_name(&self.path).map(|how| {
            let path = self.path.clone();
            Finding::of(&outbox::Error::OtherName { path, how }, true)
        });
        self.intake
            .standing()
            .set(Matter::Names, Vec::from_iter(other));
    }

    fn verify_now_and_then(&mut self) -> Result<(), IntakeError> {
        let now = self.intake.clock().instant();
        if self
            .verified
            .is_some_and(|at| now.saturating_duration_since(at) < VERIFY)
        {
            return Ok(());
        }
        self.verified = Some(now);
        self.intake.verify()?;
        self.commit_unseen = false;
        Ok(())
    }

    /// Goes on in the file that is under the path now.
    fn follow_on(&mut self) -> Result<(), IntakeError> {
        tracing::warn!(
            outbox = &*self.path.to_string_lossy(),
            "the outbox was replaced: opening it anew"
        );
        self.reopen()
    }

    /// Compares the rows of a file that was opened anew with the cursor.
    fn make_known(&mut self) -> Result<(), IntakeError> {
        if self.unknown {
            self.intake.verify()?;
            self.unknown = false;
        }
        Ok(())
    }

    /// Looks after the lock, which may have been removed, or be that of another file.
    fn claim(&mut self) -> Result<(), IntakeError> {
        let claimed = (self.claim)();
        self.unclaimed = claimed.is_err();
        claimed.map_err(IntakeError::Outbox)
    }

    fn reopen(&mut self) -> Result<(), IntakeError> {
        self.claim()?;
        let tail =
            Tail::open(&self.path, self.intake.max_data_bytes()).map_err(IntakeError::Outbox)?;
        self.intake.tail = tail;
        self.needs_reopen = false;
        self.unknown = true;
        self.aim();
        Ok(())
    }

    fn tick(&self) {
        if self.intake.heartbeat().tick(self.intake.clock()) {
            tracing::info!(
                outbox = &*self.path.to_string_lossy(),
                "events are taken in again"
            );
        }
    }

    /// How long to wait after trouble, or the trouble itself where waiting does not help.
    fn wait_out(&mut self, error: IntakeError) -> Result<Duration, IntakeError> {
        let (heartbeat, clock) = (self.intake.heartbeat(), self.intake.clock());
        match &error {
            // This process can't see the outbox any more, the next one can.
            IntakeError::Outbox(outbox::Error::Unlinked { .. }) => Err(error),
            IntakeError::Outbox(cause)
                if cause.is_unfinished() && self.intake.tail.finish().is_ok() =>
            {
                tracing::warn!(
                    outbox = &*self.path.to_string_lossy(),
                    "the application crashed in a transaction, which was taken back"
                );
                Ok(RETRY_PAUSE)
            }
            IntakeError::Outbox(cause) => {
                // An application's transaction is nothing to tell of, unless it takes long.
                let (wait, patience_ms) = if cause.is_busy() {
                    (self.burst.gap(), TROUBLE_MS)
                } else {
                    (RETRY_PAUSE, 0)
                };
                self.needs_reopen |= cause.is_corrupt();
                let (error, hint) = (chain(cause), cause.hint());
                if heartbeat.trouble(clock, (error.clone(), hint.clone()), patience_ms) {
                    tracing::warn!(
                        outbox = &*self.path.to_string_lossy(),
                        error,
                        hint,
                        "the outbox can't be read; trying again"
                    );
                }
                Ok(wait)
            }
            IntakeError::Store(cause) if cause.is_transient() => {
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
            IntakeError::Store(_) | IntakeError::Refused(_) | IntakeError::Thread(_) => Err(error),
        }
    }
}
