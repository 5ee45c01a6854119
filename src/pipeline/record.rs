//! The recorder: results are committed in groups, then the lanes learn what became of them.
//!
//! While the log takes commits a result waits at most 5 ms, and not at all when little happens.
//! While it does not (locked, disk full) the results are kept, nothing is lost, and workers stop at
//! [`UNRECORDED`] of them, so that memory stays bounded and no endpoint is sent more than what can
//! be remembered. One journal line per attempt is written here, after the commit.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::dispatch::Dispatch;
use super::{chain, within};
use crate::model::clock::micros;
use crate::model::{Attempt, Verdict, crash};
use crate::store;
use crate::transport::Transport;

/// Results in one transaction: from 100 on a row costs nearly the same, and 256 hold the log's lock
/// for some 2 ms, which is what an event that comes meanwhile waits for.
const BATCH_ROWS: usize = 256;

/// The same while results come faster than that: half of those that wait, but no more than this.
const BATCH_ROWS_BUSY: usize = 512;

/// How long results are gathered after a commit, where they are fewer than a batch: small commits write
/// the same pages over and over, which took 3 % of the CPU at 40,000 deliveries a second.
const GATHER: Duration = Duration::from_millis(5);

/// Results that may wait for the log before workers stop, but for a webhook with hardly any of them.
pub(crate) const UNRECORDED: usize = 4_096;

/// Bytes of bodies and answers of those: a thousand attempts of 64 KiB, or a few dozen of the largest.
const UNRECORDED_BYTES: usize = 64 << 20;

/// Pauses between tries while the log refuses: the first and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Attempts that wait for their record.
#[derive(Default)]
pub(crate) struct Results {
    /// A ring: what is not in the next batch is not moved when the batch is taken.
    waiting: Mutex<VecDeque<Attempt>>,
    /// Those waiting and those in a transaction.
    unrecorded: AtomicUsize,
    /// What they hold.
    bytes: AtomicUsize,
    arrived: Notify,
    /// A batch is whole.
    plenty: Notify,
    room: Notify,
    /// Nobody records any more.
    closed: AtomicBool,
    /// Something was committed since the last full synchronisation.
    pub(crate) dirty: AtomicBool,
    pub(crate) dirtied: Notify,
}

impl Results {
    pub(crate) fn push(&self, attempt: Attempt) {
        self.unrecorded.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(bytes(&attempt), Ordering::AcqRel);
        let mut waiting = self.lock();
        waiting.push_back(attempt);
        let count = waiting.len();
        drop(waiting);
        if count == 1 {
            self.arrived.notify_one();
        } else if count == within(BATCH_ROWS) {
            self.plenty.notify_one();
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.unrecorded() >= within(UNRECORDED) || !self.has_bytes_left()
    }

    pub(crate) fn has_bytes_left(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < within(UNRECORDED_BYTES)
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
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.room.notify_waiters();
    }

    pub(crate) fn unrecorded(&self) -> usize {
        self.unrecorded.load(Ordering::Acquire)
    }

    /// Says that a commit was made that the next full synchronisation has to cover.
    pub(crate) fn mark_dirty(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.dirtied.notify_one();
        }
    }

    /// Waits for a whole batch, but not beyond this moment.
    async fn gather(&self, until: Instant) {
        let enough = async {
            while self.lock().len() < within(BATCH_ROWS) {
                self.plenty.notified().await;
            }
        };
        // Late is as good as enough: what came is recorded.
        drop(timeout_at(until, enough).await);
    }

    fn take(&self) -> Vec<Attempt> {
        let mut waiting = self.lock();
        let most = (waiting.len() / 2).clamp(BATCH_ROWS, BATCH_ROWS_BUSY);
        let rows = waiting.len().min(within(most));
        let batch = waiting.drain(..rows).collect();
        if waiting.is_empty() {
            // What a burst needed is not kept for ever.
            waiting.shrink_to(within(BATCH_ROWS));
        }
        batch
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Attempt>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Dispatch<T> {
    /// Records results until the pipeline has stopped and none is left.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass, such as corruption.
    pub async fn record(self: Arc<Self>) -> Result<(), store::Error> {
        let mut last = self.clock.instant() - GATHER;
        loop {
            // After a commit with nothing behind it there is nothing to wake up for.
            let some = !self.results.lock().is_empty();
            if some && !self.is_stopping() && self.clock.instant() < last + GATHER {
                self.results.gather(last + GATHER).await;
            }
            let mut batch = self.results.take();
            if batch.is_empty() {
                if self.is_stopping() && self.in_flight() == 0 && self.results.unrecorded() == 0 {
                    return Ok(());
                }
                self.next_result().await;
                continue;
            }
            let mut pause = RETRY.0;
            while let Err((error, same)) = self.commit(batch).await {
                if !error.is_transient() {
                    self.results.close();
                    return Err(error);
                }
                let (text, hint) = (chain(&error), error.hint());
                let pulse = &self.counters.record;
                if pulse.trouble(&self.clock, text.clone(), 0) {
                    let waiting = self.results.unrecorded();
                    tracing::warn!(
                        step = "record attempts",
                        error = text,
                        hint,
                        waiting,
                        "the log does not take results; they wait, and nothing is lost"
                    );
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
                batch = same;
            }
            if self.counters.record.beat(&self.clock) {
                tracing::info!("the log takes results again");
            }
            last = self.clock.instant();
        }
    }

    /// Waits until every result is in the log, or will never be. Returns how many are not.
    pub async fn recorded(&self) -> usize {
        let open = || self.results.unrecorded() > 0 && !self.results.closed.load(Ordering::Acquire);
        while open() {
            let mut room = pin!(self.results.room.notified());
            room.as_mut().enable();
            if open() {
                room.await;
            }
        }
        self.results.unrecorded()
    }

    /// Waits for a result, or for the end of the last worker.
    async fn next_result(self: &Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let ended = async {
            if stop.wait_for(|stop| *stop).await.is_ok() {
                self.drained().await;
            }
        };
        tokio::select! {
            biased;
            () = self.results.arrived.notified() => {}
            () = ended => {}
        }
    }

    /// One transaction. The lanes are told under the log's lock, so that a refill sees either the
    /// row as it was with the delivery still held, or as it is with the delivery let go.
    async fn commit(
        self: &Arc<Self>,
        mut batch: Vec<Attempt>,
    ) -> Result<(), (store::Error, Vec<Attempt>)> {
        let this = self.clone();
        self.with_blocking(move || {
            let mut store = this.store();
            let begun = this.clock.instant();
            // Under the lock: what a clock that goes back after this leaves too late, a pass mends.
            let now_ms = this.clock.now_ms();
            batch.iter_mut().for_each(|attempt| end_by(attempt, now_ms));
            if let Err(error) = store.record(&batch) {
                return Err((error, batch));
            }
            this.counters.committed(micros(begun.elapsed()));
            for attempt in &batch {
                this.let_go(attempt);
                this.watched.tell(attempt);
            }
            drop(store);
            crash::point("record attempts", "let go");
            let held = batch.iter().map(bytes).sum();
            this.results.bytes.fetch_sub(held, Ordering::AcqRel);
            this.results
                .unrecorded
                .fetch_sub(batch.len(), Ordering::AcqRel);
            this.results.room.notify_waiters();
            if this.places.steer(this.results.unrecorded()) {
                this.fill_line();
            }
            this.results.mark_dirty();
            batch.iter().for_each(journal);
            Ok(())
        })
        .await
    }

    fn let_go(&self, attempt: &Attempt) {
        let Some(lane) = self.lane(&attempt.due.webhook) else {
            return;
        };
        lane.tally.count(attempt);
        // A lane stays until the last of its results is here, so this never falls below none.
        lane.unrecorded.fetch_sub(1, Ordering::Relaxed);
        let mut state = lane.lock();
        state.release(attempt.due.id);
        if let Verdict::RetryAt(at_ms) = attempt.verdict
            && state.note_due(at_ms)
        {
            drop(state);
            self.calendar.enter(at_ms, &lane);
        }
    }
}

/// An attempt that ended later than now waited for the log while the clock went back: it ended now,
/// and its next one is no later than its delay from now.
fn end_by(attempt: &mut Attempt, now_ms: i64) {
    let ahead_ms = attempt.finished_at_ms - now_ms;
    if ahead_ms <= 0 {
        return;
    }
    attempt.finished_at_ms = now_ms;
    if let Verdict::RetryAt(at_ms) = &mut attempt.verdict {
        *at_ms -= ahead_ms;
    }
}

/// The memory that an attempt holds, as far as it can be large.
fn bytes(attempt: &Attempt) -> usize {
    let answer = attempt.exchange.result.as_ref().ok();
    let answer = answer.map_or(0, |answer| answer.headers.lines().len() + answer.body.len());
    attempt.due.body.len() + attempt.request_headers.len() + answer
}

/// The attempt's line: ids and outcome, never a header, a body or a secret.
fn journal(attempt: &Attempt) {
    let status = attempt
        .exchange
        .result
        .as_ref()
        .ok()
        .map(|answer| answer.status);
    let error = attempt.error.as_deref();
    let duration_ms = attempt.exchange.duration_us / 1_000;
    macro_rules! line {
        ($level:ident, $text:literal, $($more:tt)*) => {
            tracing::$level!(
                webhook = &*attempt.due.webhook, event = &*attempt.due.event,
                event_id = attempt.due.event_id, delivery = attempt.due.id,
                attempt = attempt.number, outcome = attempt.outcome(), status, error,
                duration_ms, $($more)* $text)
        };
    }
    match attempt.verdict {
        Verdict::Delivered => line!(info, "delivered",),
        Verdict::RetryAt(at_ms) => {
            line!(
                info,
                "will be tried again",
                in_ms = at_ms - attempt.finished_at_ms,
            );
        }
        Verdict::Failed => line!(warn, "given up",),
    }
}
