//! The doorbell: a thread with a connection of its own, which hears the notifications of the trigger and wakes
//! whoever waits.
//!
//! It only ever makes somebody look earlier. What it does not hear, because it is not connected or a pooler stands
//! between, is found by a look all the same; whether to rely on it is decided by who looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::Server;
use crate::outbox::Waker;
use crate::postgres::{Ear, Heard};

/// Between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Shared by the thread and its owner.
#[derive(Debug, Default)]
struct Told {
    rung: AtomicBool,
    hears: AtomicBool,
    /// Nobody wants to know any more.
    left: Notify,
}

/// A running thread; it ends where this is dropped.
#[derive(Debug)]
pub(crate) struct Doorbell(Arc<Told>);

impl Doorbell {
    /// Begins to listen; each ring wakes by `waker`. `None`: no thread can be made.
    pub(crate) fn listen(server: &Arc<Server>, waker: Waker) -> Option<Self> {
        let told = Arc::new(Told::default());
        let (heard, server) = (told.clone(), server.clone());
        std::thread::Builder::new()
            .name("doorbell".into())
            .spawn(move || while hear(&server, &heard, &waker) {})
            .ok()?;
        Some(Self(told))
    }

    /// Whether it rang since this was last asked.
    pub(crate) fn take_rung(&self) -> bool {
        self.0.rung.swap(false, Ordering::AcqRel)
    }

    /// Whether it rang since that was last taken note of.
    pub(crate) fn has_rung(&self) -> bool {
        self.0.rung.load(Ordering::Acquire)
    }

    /// Whether there is a connection that would hear it.
    pub(crate) fn hears(&self) -> bool {
        self.0.hears.load(Ordering::Acquire)
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // Kept for the thread where it does not wait yet.
        self.0.left.notify_one();
    }
}

/// Hears until the connection ends; whether to connect anew.
fn hear(server: &Arc<Server>, told: &Told, waker: &Waker) -> bool {
    let Ok(mut ear) = Ear::open(server, "outbox_doorbell") else {
        return !Ear::rest(RETRY_PAUSE, &told.left);
    };
    told.hears.store(true, Ordering::Release);
    // What rang before is not known: somebody looks.
    waker.wake();
    let left = loop {
        match ear.wait(&told.left) {
            Heard::Ring => {
                told.rung.store(true, Ordering::Release);
                waker.wake();
            }
            Heard::Lost => break false,
            Heard::Left => break true,
        }
    };
    told.hears.store(false, Ordering::Release);
    !left && !Ear::rest(RETRY_PAUSE, &told.left)
}
