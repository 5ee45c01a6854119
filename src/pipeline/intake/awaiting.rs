//! Waiting for an outbox that its application has not made yet, and following it from then on.
//!
//! The daemon is ready meanwhile, and sends what the log has; its health says what it waits for. The
//! application may be the next to start, or not be installed yet: waiting is no failure, and a service
//! manager that gave up would leave every event of the day after unsent. The files are looked at by
//! path, and opened only where something about them changed: an application at work in a rollback
//! journal is not to be disturbed by a reader that only waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::batch::Intake;
use super::error::IntakeError;
use super::follow::{Claim, Follow, Followed, Follower};
use crate::model::{Cursor, EventId};
use crate::outbox::{self, Finding, Tail, Trace, Watch};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::transport::Transport;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// So many looks after the last one it is opened though nothing seems to have changed: the times of
/// files are no finer than some milliseconds.
const OPEN: u32 = 20;

/// Starts a thread that opens the outbox by `open` once it is there, and follows it. `ended` is called
/// with the way it ended.
///
/// # Errors
/// No thread can be made.
pub(crate) fn follow_later<T: Transport>(
    dispatch: Arc<Dispatch<T>>,
    path: PathBuf,
    (open, claim): (
        impl FnMut() -> Result<(Tail, Cursor), IntakeError> + Send + 'static,
        Claim,
    ),
    ended: impl FnOnce(Followed) + Send + 'static,
) -> Result<Follow, IntakeError> {
    let (watch, waker) = Watch::blind().map_err(IntakeError::Outbox)?;
    let follow = Follow::new(waker);
    let this = follow.clone();
    std::thread::Builder::new()
        .name("intake".into())
        .spawn(move || {
            let begun = wait(&dispatch, &path, watch, open, &this);
            ended(begun.and_then(|begun| match begun {
                Some(intake) => Follower::begin(intake, path, claim, &this)?.run(),
                None => Ok(()),
            }));
        })
        .map_err(IntakeError::Thread)?;
    Ok(follow)
}

/// Waits until the outbox can be followed; `None` where the daemon stops first.
fn wait<T: Transport>(
    dispatch: &Arc<Dispatch<T>>,
    path: &std::path::Path,
    mut watch: Watch,
    mut open: impl FnMut() -> Result<(Tail, Cursor), IntakeError>,
    follow: &Follow,
) -> Result<Option<Intake<T>>, IntakeError> {
    let (heartbeat, standing) = (&dispatch.counters().intake, &dispatch.counters().standing);
    // Where there was an outbox, it is worth saying so: its file may have been lost.
    let known = dispatch.store().cursor().ok().flatten();
    let taken = known.map_or(EventId::NONE, |cursor| cursor.event_id);
    let (mut seen, mut looks): (Option<Trace>, u32) = (None, 0);
    while !follow.stop.load(Ordering::Acquire) {
        let now = Trace::of(path);
        if seen.as_ref() != Some(&now) || looks >= OPEN {
            looks = 0;
            match open() {
                Ok((tail, cursor)) => {
                    standing.set(Matter::Awaited, Vec::new());
                    tracing::info!(
                        outbox = &*path.to_string_lossy(),
                        "the outbox is there: following it"
                    );
                    return Ok(Some(Intake::new(dispatch.clone(), tail, cursor)));
                }
                Err(IntakeError::Outbox(error)) if is_worth_waiting(&error) => {
                    standing.set(Matter::Awaited, vec![waits_for(&error, taken)]);
                    // Where it is busy, nothing needs to change for the next try to succeed.
                    seen = error.is_awaited().then_some(now);
                }
                Err(IntakeError::Store(error)) if error.is_transient() => seen = None,
                Err(error) => return Err(error),
            }
        }
        looks += 1;
        heartbeat.tick(dispatch.clock());
        watch.wait(LOOK).map_err(IntakeError::Outbox)?;
    }
    Ok(None)
}

/// A table may be made in steps, by one migration after another; and another daemon that was faster
/// may end before this one does.
fn is_worth_waiting(error: &outbox::Error) -> bool {
    use outbox::Error as E;
    let unfinished = matches!(
        error,
        E::NotTable { .. } | E::NoColumn { .. } | E::NotAutoincrement { .. } | E::Held { .. }
    );
    error.is_awaited() || error.may_pass() || unfinished
}

fn waits_for(error: &outbox::Error, taken: EventId) -> Finding {
    let mut finding = Finding::of(error, true);
    let of_which = match taken {
        EventId::NONE => String::new(),
        taken => format!(", of which events up to {taken} were taken"),
    };
    finding.text = format!("waiting for the outbox{of_which}: {}", finding.text);
    finding
}
