//! Where the product asks the simulation, under test only: how large a bound is, how long a call
//! that may block takes, and which delivery is about to be sent.
//!
//! All of it belongs to the thread of one simulated run; on every other thread the hooks do nothing
//! and the product behaves as built. Calls that may block are made inline, so that the order of
//! everything is the seed's, with pauses before and after them in which others go on, or in which
//! the process dies. It may die right behind a commit, too: the call that made it ends there by a
//! panic. Once it is dead it sends nothing and calls nothing.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::rng::Rng;
use crate::model::{Due, Rate, Vfs, Webhook};
use crate::pipeline::shared::{Bounds, Runtime};

/// A week's databases are no other process's business. By this SQLite keeps their locks and the index of
/// their WAL in its memory and asks the kernel for none, which was a seventh of the week's time.
/// Connections of the process still lock each other out as ever.
pub(super) const VFS: Vfs = Vfs("unix-excl");

/// What the hooks of a thread do.
pub(super) struct Hooks {
    /// What decides by how much each bound is smaller.
    pub(super) seed: u64,
    pub(super) rng: Rng,
    /// When the process dies, if it does.
    pub(super) death: Option<Death>,
    /// Told when it does.
    pub(super) crash: Arc<Notify>,
}

/// A death to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// In a pause of a call, after so many.
    InPause(u64),
    /// Right behind a commit, after so many.
    AtCommit(u64),
    /// It is dead.
    Dead,
}

/// The panic that a call ends with in which the process died.
struct Died;

/// The attempt that the transport is called for next.
pub(super) struct Sending {
    pub(super) due: Due,
    pub(super) max_attempts: u32,
    pub(super) max_in_flight: usize,
    /// How far apart the requests of the webhook are to begin.
    pub(super) gap: Option<Duration>,
    /// Whether it is to tell of its trace.
    pub(super) traceparent: bool,
}

thread_local! {
    static HOOKS: RefCell<Option<Hooks>> = const { RefCell::new(None) };
    static SENDING: RefCell<Vec<Sending>> = const { RefCell::new(Vec::new()) };
}

/// Sets this thread's hooks, or takes them away. The pipeline gets at them by [`runtime`].
pub(super) fn set(hooks: Option<Hooks>) {
    HOOKS.set(hooks);
}

/// What the pipeline of this thread runs on.
pub(super) fn runtime() -> Runtime {
    Runtime {
        bounds: Bounds(within),
        vfs: VFS,
        inline: Some(|| Box::pin(pause().wait())),
        sending: Some(sending),
        holds: seed() >= super::world::held::FROM,
        ..Handle::current().into()
    }
}

/// The seed of this thread's week; 0 outside of one.
pub(super) fn seed() -> u64 {
    HOOKS.with_borrow(|hooks| hooks.as_ref().map_or(0, |hooks| hooks.seed))
}

/// Changes this thread's hooks.
pub(super) fn with(change: impl FnOnce(&mut Hooks)) {
    HOOKS.with_borrow_mut(|hooks| change(hooks.as_mut().unwrap()));
}

/// How many times smaller a bound may be.
const SCALES: [usize; 8] = [1, 16, 64, 128, 256, 512, 1_024, 4_096];

/// The bound, or a smaller one in its place: by the seed, and each by itself, so that every one of
/// them is at some time the first that is reached.
pub(super) fn within(bound: usize) -> usize {
    HOOKS.with_borrow(|hooks| {
        let seed = hooks.as_ref().unwrap().seed;
        let mut rng = Rng::new(seed, bound as u64);
        (bound / rng.of(&SCALES)).max(2)
    })
}

/// Notes which delivery is sent by the call that follows at once, alone or with others.
fn sending(due: &Due, webhook: &Webhook) {
    let one = Sending {
        due: due.clone(),
        max_attempts: webhook.max_attempts,
        max_in_flight: webhook.max_in_flight,
        gap: webhook.max_per_second.map(Rate::gap),
        traceparent: webhook.traceparent,
    };
    SENDING.with_borrow_mut(|sending| sending.push(one));
}

/// What [`sending`] noted: the deliveries of one request.
pub(super) fn sent() -> Vec<Sending> {
    SENDING.take()
}

/// A commit was made; the process may die here.
pub(super) fn committed() {
    let crash = HOOKS.with_borrow_mut(|hooks| {
        let hooks = hooks.as_mut()?;
        match &mut hooks.death {
            Some(Death::AtCommit(left)) if *left > 1 => *left -= 1,
            Some(Death::AtCommit(_)) => {
                hooks.death = Some(Death::Dead);
                return Some(hooks.crash.clone());
            }
            _ => {}
        }
        None
    });
    if let Some(crash) = crash {
        crash.notify_one();
        // Past the panic hook, which would print.
        resume_unwind(Box::new(Died));
    }
}

/// Does not return where the process is dead.
pub(super) async fn alive() {
    if HOOKS.with_borrow(|h| {
        h.as_ref()
            .is_some_and(|h| matches!(h.death, Some(Death::Dead)))
    }) {
        pending::<()>().await;
    }
}

/// Runs a life; where it died in a call of its own, the rest of it never comes.
pub(super) async fn until_death<F: Future>(process: F) -> F::Output {
    let mut process = pin!(process);
    let mut dead = false;
    poll_fn(|cx| {
        if dead {
            return Poll::Pending;
        }
        match catch_unwind(AssertUnwindSafe(|| process.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(panic) if panic.is::<Died>() => {
                dead = true;
                Poll::Pending
            }
            Err(panic) => resume_unwind(panic),
        }
    })
    .await
}

enum Pause {
    None,
    Yield,
    Sleep(u64),
    Crash(Arc<Notify>),
}

fn pause() -> Pause {
    HOOKS.with_borrow_mut(|hooks| {
        let Some(hooks) = hooks.as_mut() else {
            return Pause::None;
        };
        match &mut hooks.death {
            Some(Death::InPause(left)) if *left > 1 => *left -= 1,
            Some(Death::InPause(_) | Death::Dead) => {
                hooks.death = Some(Death::Dead);
                return Pause::Crash(hooks.crash.clone());
            }
            Some(Death::AtCommit(_)) | None => {}
        }
        match hooks.rng.from(0, 19) {
            0..=11 => Pause::None,
            12..=15 => Pause::Yield,
            16..=18 => Pause::Sleep(hooks.rng.from(1, 20)),
            _ => Pause::Sleep(hooks.rng.from(20, 400)),
        }
    })
}

impl Pause {
    async fn wait(self) {
        match self {
            Self::None => {}
            Self::Yield => tokio::task::yield_now().await,
            Self::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Self::Crash(crash) => {
                crash.notify_one();
                pending::<()>().await;
            }
        }
    }
}
