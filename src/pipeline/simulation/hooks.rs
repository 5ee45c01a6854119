//! Where the product asks the simulation, under test only: how large a bound is, how long a call
//! that may block takes, and which delivery is about to be sent.
//!
//! All of it belongs to the thread of one simulated run; on every other thread the hooks do nothing
//! and the product behaves as built. Calls that may block are made inline, so that the order of
//! everything is the seed's, with pauses before and after them in which others go on, or in which
//! the process dies.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::chance::Chance;
use crate::model::{Due, Webhook};

/// What the hooks of a thread do.
pub(super) struct Hooks {
    /// Bounds are this many times smaller.
    pub(super) scale: usize,
    pub(super) chance: Chance,
    /// So many pauses of calls until the process dies in one.
    pub(super) crash_in: Option<u64>,
    /// Told when it does.
    pub(super) crash: Arc<Notify>,
}

/// The attempt that the transport is called for next.
pub(super) struct Sending {
    pub(super) due: Due,
    pub(super) max_attempts: u32,
    pub(super) max_in_flight: usize,
}

thread_local! {
    static HOOKS: RefCell<Option<Hooks>> = const { RefCell::new(None) };
    static SENDING: RefCell<Option<Sending>> = const { RefCell::new(None) };
}

/// Sets this thread's hooks, or takes them away.
pub(super) fn set(hooks: Option<Hooks>) {
    HOOKS.set(hooks);
}

/// Changes this thread's hooks.
pub(super) fn with(change: impl FnOnce(&mut Hooks)) {
    HOOKS.with_borrow_mut(|hooks| change(hooks.as_mut().unwrap()));
}

/// The bound, or a smaller one in its place.
pub(crate) fn within(bound: usize) -> usize {
    HOOKS.with_borrow(|hooks| hooks.as_ref().map_or(bound, |h| (bound / h.scale).max(2)))
}

/// Notes which delivery is sent by the call that follows at once.
pub(crate) fn sending(due: &Due, webhook: &Webhook) {
    if HOOKS.with_borrow(Option::is_none) {
        return;
    }
    SENDING.set(Some(Sending {
        due: due.clone(),
        max_attempts: webhook.max_attempts,
        max_in_flight: webhook.max_in_flight,
    }));
}

/// What [`sending`] noted.
pub(super) fn sent() -> Sending {
    SENDING.take().unwrap()
}

/// Makes a call that may block, or gives it back where this thread simulates nothing.
pub(crate) async fn blocking<R, F: FnOnce() -> R>(call: F) -> Result<R, F> {
    let Some(before) = pause() else {
        return Err(call);
    };
    before.wait().await;
    let value = call();
    if let Some(after) = pause() {
        after.wait().await;
    }
    Ok(value)
}

enum Pause {
    None,
    Yield,
    Sleep(u64),
    Crash(Arc<Notify>),
}

fn pause() -> Option<Pause> {
    HOOKS.with_borrow_mut(|hooks| {
        let hooks = hooks.as_mut()?;
        if let Some(left) = &mut hooks.crash_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Some(Pause::Crash(hooks.crash.clone()));
            }
        }
        Some(match hooks.chance.from(0, 19) {
            0..=11 => Pause::None,
            12..=15 => Pause::Yield,
            16..=18 => Pause::Sleep(hooks.chance.from(1, 20)),
            _ => Pause::Sleep(hooks.chance.from(20, 400)),
        })
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
                std::future::pending::<()>().await;
            }
        }
    }
}
