//! Waiters: those who wait for one delivery's attempt, such as the person behind a test.
//!
//! Told once the attempt is in the log; who gave up waiting is forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::{Attempt, DeliveryId};

/// Attempts that somebody waits for.
#[derive(Default)]
pub(crate) struct Waiters {
    count: AtomicUsize,
    waiting: Mutex<HashMap<DeliveryId, oneshot::Sender<Attempt>>>,
}

impl Waiters {
    pub(crate) fn watch(&self, delivery: DeliveryId) -> oneshot::Receiver<Attempt> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        // Those who gave up waiting have no other end.
        waiting.retain(|_, tell| !tell.is_closed());
        waiting.insert(delivery, tell);
        self.count.store(waiting.len(), Ordering::Release);
        told
    }

    /// Tells of an attempt that is in the log now. Costs one load while nobody waits.
    pub(crate) fn tell(&self, attempt: &Attempt) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock();
        if let Some(tell) = waiting.remove(&attempt.due.id) {
            self.count.store(waiting.len(), Ordering::Release);
            drop(tell.send(attempt.clone()));
        }
    }
}
