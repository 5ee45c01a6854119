//! Results: attempts that were made and wait for their record.
//!
//! They are kept until the log has them, whatever it does meanwhile; how many there may be is a limit
//! that workers stop at. `log/record.rs` writes them.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::waiters::Waiters;
use crate::model::{Attempt, DeliveryId};
use crate::pipeline::shared::Bounds;

/// Results in one transaction: from 100 on a row costs nearly the same, and 256 hold the log's lock
/// for some 2 ms, which is what an event that comes meanwhile waits for.
const BATCH_ROWS: usize = 256;

/// The same while results come faster than that: half of those that wait, but no more than this.
const BATCH_ROWS_BUSY: usize = 512;

/// Answers in one transaction, in bytes: larger ones hold the log's lock no longer than many small ones, and a
/// log of a limited size grows by no more at once.
const BATCH_BYTES: usize = 1 << 20;

/// Results that may wait for the log before workers stop, but for a webhook with hardly any of them.
pub(crate) const UNRECORDED: usize = 4_096;

/// Bytes of bodies and answers of those: a thousand attempts of 64 KiB, or a few dozen of the largest.
const UNRECORDED_BYTES: usize = 64 << 20;

/// Attempts that wait for their record.
pub(crate) struct Results {
    bounds: Bounds,
    /// A ring: what is not in the next batch is not moved when the batch is taken.
    waiting: Mutex<VecDeque<Attempt>>,
    /// Those waiting and those in a transaction.
    unrecorded: AtomicUsize,
    /// What they hold.
    bytes: AtomicUsize,
    arrived: Notify,
    /// A batch is whole, or is not waited for.
    plenty: Notify,
    /// Somebody has nothing to send before these are in the log.
    hurried: AtomicBool,
    room: Notify,
    /// Nobody records any more.
    closed: AtomicBool,
    waiters: Waiters,
}

impl Results {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiting: Mutex::default(),
            unrecorded: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            arrived: Notify::new(),
            plenty: Notify::new(),
            hurried: AtomicBool::new(false),
            room: Notify::new(),
            closed: AtomicBool::new(false),
            waiters: Waiters::default(),
        }
    }

    /// Takes the attempts of one POST, one or several.
    pub(crate) fn push(&self, attempt: Attempt, more: Vec<Attempt>) {
        self.unrecorded.fetch_add(1 + more.len(), Ordering::AcqRel);
        let held = more.iter().map(bytes).sum::<usize>() + bytes(&attempt);
        self.bytes.fetch_add(held, Ordering::AcqRel);
        let mut waiting = self.lock();
        let before = waiting.len();
        waiting.push_back(attempt);
        waiting.extend(more);
        let count = waiting.len();
        drop(waiting);
        let enough = self.bounds.of(BATCH_ROWS);
        if before == 0 {
            self.arrived.notify_one();
        }
        if before < enough && count >= enough {
            self.plenty.notify_one();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.unrecorded() >= self.bounds.of(UNRECORDED) || !self.has_bytes_left()
    }

    pub(crate) fn has_bytes_left(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < self.bounds.of(UNRECORDED_BYTES)
    }

    /// Waits until results may be added. False where the pipeline stops first: the log takes none,
    /// and what was not sent yet is better left for the next start.
    pub(crate) async fn room(&self, mut stop: watch::Receiver<bool>) -> bool {
        while self.is_full() {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            if !self.is_full() {
                break;
            }
            tokio::select! {
                biased;
                () = room => {}
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
        true
    }

    /// Says that nothing will be recorded any more: the log failed for good.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.room.notify_waiters();
    }

    /// Whether some wait.
    pub(crate) fn is_any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Whether nobody records any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits for the first result after none.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Told when there is room again, and when nobody records any more.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Takes note that these are in the log.
    pub(crate) fn recorded(&self, batch: &[Attempt]) {
        let held = batch.iter().map(bytes).sum();
        self.bytes.fetch_sub(held, Ordering::AcqRel);
        self.unrecorded.fetch_sub(batch.len(), Ordering::AcqRel);
        self.room.notify_waiters();
    }

    /// The end of that delivery's attempt, once it is in the log.
    pub(crate) fn watch(&self, delivery: DeliveryId) -> oneshot::Receiver<Attempt> {
        self.waiters.watch(delivery)
    }

    /// Tells who waits for this attempt, which is in the log now.
    pub(crate) fn tell(&self, attempt: &Attempt) {
        self.waiters.tell(attempt);
    }

    pub(crate) fn unrecorded(&self) -> usize {
        self.unrecorded.load(Ordering::Acquire)
    }

    /// Has what waits recorded without waiting for more: somebody has nothing to send before.
    pub(crate) fn hurry(&self) {
        if !self.hurried.swap(true, Ordering::AcqRel) {
            self.plenty.notify_one();
        }
    }

    /// Waits for a whole batch, but not beyond this moment, nor where somebody is in a hurry.
    pub(crate) async fn gather(&self, until: Instant) {
        let waits = || {
            let is_hurried = self.hurried.load(Ordering::Acquire);
            !is_hurried && self.lock().len() < self.bounds.of(BATCH_ROWS)
        };
        let enough = async {
            while waits() {
                self.plenty.notified().await;
            }
        };
        // Late is as good as enough: what came is recorded.
        drop(timeout_at(until, enough).await);
    }

    pub(crate) fn take(&self) -> Vec<Attempt> {
        let mut waiting = self.lock();
        self.hurried.store(false, Ordering::Release);
        let most = (waiting.len() / 2).clamp(BATCH_ROWS, BATCH_ROWS_BUSY);
        let mut answered = 0;
        let some = waiting.iter().take(self.bounds.of(most));
        let mut rows = some
            .take_while(|attempt| {
                let has_room = answered < BATCH_BYTES;
                answered += answer_bytes(attempt);
                has_room
            })
            .count();
        // What was one POST is recorded in one transaction.
        let post = |row: usize| waiting.get(row)?.posted.as_ref().map(|p| &p.batch);
        while rows > 0
            && let (Some(last), Some(next)) = (post(rows - 1), post(rows))
            && Arc::ptr_eq(last, next)
        {
            rows += 1;
        }
        let batch = waiting.drain(..rows).collect();
        if waiting.is_empty() {
            // What a burst needed is not kept for ever.
            waiting.shrink_to(self.bounds.of(BATCH_ROWS));
        }
        batch
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, VecDeque<Attempt>> {
        self.waiting.lock()
    }
}

/// The memory that an attempt holds, as far as it can be large.
fn bytes(attempt: &Attempt) -> usize {
    attempt.due.body.len() + attempt.request_headers.own_bytes() + answer_bytes(attempt)
}

fn answer_bytes(attempt: &Attempt) -> usize {
    let answer = attempt.exchange.result.as_ref().ok();
    answer.map_or(0, |answer| answer.headers.lines().len() + answer.body.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_gathered_while_somebody_waits_for_the_record() {
        let results = Results::new(Bounds::default());
        let begun = Instant::now();
        let until = begun + Duration::from_millis(5);
        results.hurry();
        results.gather(until).await;
        assert_eq!(Instant::now(), begun);
        // What there was is taken: the next are gathered again.
        assert!(results.take().is_empty());
        results.gather(until).await;
        assert!(Instant::now() >= until);
    }
}
