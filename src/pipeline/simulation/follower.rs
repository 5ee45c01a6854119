//! The follower of a simulation: the intake, called as the thread that follows the outbox calls it.
//!
//! The thread itself is left out, with its inotify and its waits in real time; what it asks of the
//! intake and in which order is the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::endpoints::Endpoints;
use super::hooks::VFS;
use super::oracle::Oracle;
use super::process::lock;
use super::rng::Rng;
use super::subscriptions::MAX_DATA_BYTES;
use super::world::held::LONGEST_MS;
use crate::outbox::Tail;
use crate::pipeline::{Dispatch, Intake, IntakeError, Step};

/// A burst of looks after somebody committed takes so long.
const BURST: Duration = Duration::from_millis(50);

/// After trouble, before the next try.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks whether a full log has room.
const ROOM: Duration = Duration::from_millis(500);

/// How the application and the actor reach it.
#[derive(Clone, Default)]
pub(super) struct Line {
    /// Somebody committed.
    pub(super) look: Arc<Notify>,
    pub(super) halt: Arc<AtomicBool>,
}

pub(super) struct Follower {
    pub(super) intake: Intake<Endpoints>,
    pub(super) dispatch: Arc<Dispatch<Endpoints>>,
    pub(super) oracle: Arc<Mutex<Oracle>>,
    pub(super) path: PathBuf,
    pub(super) rng: Rng,
    pub(super) verify: bool,
    /// Somebody committed since the rows were last compared, and no row came of it.
    pub(super) commit_unseen: bool,
}

impl Follower {
    /// Follows until it is halted or a person has to decide.
    pub(super) async fn follow(mut self, line: Line, poll: Duration) -> Result<(), IntakeError> {
        let (mut always, mut wait_next) = (true, poll);
        let mut held_since: Option<i64> = None;
        while !line.halt.load(Ordering::Relaxed) {
            let dispatch = self.dispatch.clone();
            let looked = move || {
                let looked = self.look(always);
                (self, looked)
            };
            let (this, looked) = dispatch.with_blocking(looked).await;
            self = this;
            always = false;
            let is_held = matches!(looked, Ok(Step::Held));
            self.look_at_the_wait(is_held, &mut held_since);
            let wait = match looked {
                Ok(Step::Taken(_) | Step::Replaced) => continue,
                Ok(Step::Drained) => poll,
                Ok(Step::Held) => ROOM,
                Err(IntakeError::Store(error)) if error.is_transient() => RETRY_PAUSE,
                Err(IntakeError::Outbox(error)) if error.is_busy() => RETRY_PAUSE,
                Err(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = line.look.notified() => {
                    // A burst of looks at commits ends with one at the file.
                    always = self.rng.in_thousand(500);
                    wait_next = BURST;
                }
                () = self.dispatch.log().hold().freed(), if is_held => {}
                () = tokio::time::sleep(wait.min(wait_next)) => {
                    always = true;
                    wait_next = poll;
                }
            }
        }
        Ok(())
    }

    /// Looks that no wait for room lasts.
    fn look_at_the_wait(&self, is_held: bool, since: &mut Option<i64>) {
        if !is_held {
            *since = None;
            return;
        }
        let mut oracle = lock(&self.oracle);
        let now_ms = oracle.mono_ms();
        let since_ms = *since.get_or_insert_with(|| {
            oracle.count("waits for room");
            now_ms
        });
        if now_ms > since_ms + LONGEST_MS {
            oracle.broke(&format!("the intake waits for room since {since_ms}"));
        }
    }

    fn look(&mut self, always: bool) -> Result<Step<Arc<str>>, IntakeError> {
        self.intake.limit_data();
        if (always || self.intake.has_more()) && self.intake.tail.replaced() {
            let tail =
                Tail::open_by(VFS, &self.path, MAX_DATA_BYTES).map_err(IntakeError::Outbox)?;
            self.intake.tail = tail;
            self.verify = true;
        }
        self.verify |= self.rng.in_thousand(10);
        if self.verify {
            let was = self.intake.cursor().clone();
            self.intake.verify()?;
            self.verify = false;
            let mut oracle = lock(&self.oracle);
            let now = self.intake.cursor();
            if *now != was {
                oracle.note(&format!("back from {} to {}", was.event_id, now.event_id));
            }
            if always {
                oracle.cursor_is_right(now.event_id.get());
            }
        }
        let changed = self.intake.tail.changed().map_err(IntakeError::Outbox)?;
        let step = self.intake.step();
        self.commit_unseen = (self.commit_unseen || changed) && matches!(step, Ok(Step::Drained));
        // Not for each commit of the application's, but soon.
        if self.commit_unseen && self.rng.in_thousand(700) {
            self.intake.verify()?;
            self.commit_unseen = false;
        }
        lock(&self.oracle).goes_on_at(self.intake.cursor());
        step
    }
}
