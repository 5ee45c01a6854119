//! The recorder: results are committed in groups, then the lanes learn what became of them.
//!
//! While the log takes commits a result waits at most 5 ms, and not at all when little happens.
//! While it does not (locked, disk full) the results are kept, nothing is lost, and workers stop at
//! a limit of them, so that memory stays bounded and no endpoint is sent more than what can
//! be remembered. One journal line per attempt is written here, after the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::dialect::LONGEST_HOLD_MS;
use crate::model::clock::micros;
use crate::model::{Attempt, DeliveryId, Verdict, crash};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::{LogGuard, chain};
use crate::store;
use crate::transport::Transport;

/// How long results are gathered after a commit, where they are fewer than a batch: small commits write
/// the same pages over and over, which took 3 % of the CPU at 40,000 deliveries a second.
const GATHER: Duration = Duration::from_millis(5);

/// Pauses between tries while the log refuses: the first and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The longest where other nodes have the log too. Behind a failover the log may say that another one has the webhook, and
/// that one begins 0.6 of a lease after it is answered again: what was sent before is in the log by then.
const RETRY_SHARED: Duration = Duration::from_millis(500);

impl<T: Transport> Dispatch<T> {
    /// Records results until the pipeline has stopped and none is left.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass, such as corruption.
    pub async fn record(self: Arc<Self>) -> Result<(), store::Error> {
        let mut last = self.clock().instant() - GATHER;
        while let Some(mut batch) = self.next_results(last + GATHER).await {
            let mut pause = RETRY.0;
            while let Err((error, same)) = self.commit(batch).await {
                if !error.is_transient() {
                    self.end_recording();
                    return Err(error);
                }
                let (text, hint) = (chain(&error), error.hint());
                let heartbeat = &self.counters().record;
                if heartbeat.trouble(self.clock(), (text.clone(), hint.clone()), 0) {
                    let waiting = self.unrecorded();
                    tracing::warn!(
                        step = "record attempts",
                        error = text,
                        hint,
                        waiting,
                        "the log does not take results; they wait, and nothing is lost"
                    );
                }
                tokio::time::sleep(pause).await;
                let longest = if self.share().has_all() {
                    RETRY.1
                } else {
                    RETRY_SHARED
                };
                pause = (pause * 2).min(longest);
                batch = same;
            }
            if self.counters().record.tick(self.clock()) {
                tracing::info!("the log takes results again");
            }
            last = self.clock().instant();
        }
        Ok(())
    }

    /// One transaction, and what follows from it in memory.
    async fn commit(
        self: &Arc<Self>,
        mut batch: Vec<Attempt>,
    ) -> Result<(), (store::Error, Vec<Attempt>)> {
        let this = self.clone();
        self.with_blocking(move || {
            let mut log = this.store();
            let begun = this.clock().instant();
            // Under the lock: what a clock that goes back after this leaves too late, a pass mends.
            let now_ms = this.clock().now_ms();
            batch.iter_mut().for_each(|attempt| end_by(attempt, now_ms));
            if let Err(error) = log.record(&batch) {
                return Err((error, batch));
            }
            this.heed_recorded(&mut log);
            this.look_for_own(&mut log);
            this.counters().committed(micros(begun.elapsed()));
            this.hold_back(&mut log, &batch);
            // Nearly always there are none, and this is nothing.
            let mut cancelled: HashSet<DeliveryId> = HashSet::new();
            for attempt in &batch {
                if this.let_go(&log, attempt) {
                    cancelled.insert(attempt.due.id);
                }
            }
            this.heed_turns(&mut log);
            let holders = holders(&log, &batch);
            drop(log);
            crash::point("record attempts", "let go");
            this.make_room(&batch);
            for attempt in &batch {
                let id = attempt.due.id;
                journal(attempt, cancelled.contains(&id), holders.get(&id).copied());
            }
            Ok(())
        })
        .await
    }
}

/// An attempt that ended later than now waited for the log while the clock went back: it ended now,
/// and its next one is no later than its delay from now; nor is its endpoint left alone for longer than may be.
fn end_by(attempt: &mut Attempt, now_ms: i64) {
    let ahead_ms = attempt.finished_at_ms - now_ms;
    if ahead_ms <= 0 {
        return;
    }
    attempt.finished_at_ms = now_ms;
    if let Verdict::RetryAt(at_ms) = &mut attempt.verdict {
        *at_ms -= ahead_ms;
    }
    let longest_ms = now_ms.saturating_add(LONGEST_HOLD_MS);
    attempt.held_until_ms = attempt
        .held_until_ms
        .map(|until_ms| until_ms.min(longest_ms));
    attempt.verdict = attempt.verdict.not_before(attempt.held_until_ms);
}

/// Of what was given up, the delivery that holds its line now; itself, or what it was sent again for. It is only told
/// of: what the log does not answer is left out.
fn holders(log: &LogGuard<'_>, batch: &[Attempt]) -> HashMap<DeliveryId, DeliveryId> {
    let given_up = batch.iter().filter(|a| a.verdict == Verdict::Failed);
    given_up
        .filter_map(|a| Some((a.due.id, log.holder(a.due.id).ok()??)))
        .collect()
}

/// The attempt's line: ids and outcome, never a header, a body or a secret. `cancelled`: by order, meanwhile. `holder`:
/// the delivery that holds what is behind it, by this failure.
fn journal(attempt: &Attempt, cancelled: bool, holder: Option<DeliveryId>) {
    let status = attempt
        .exchange
        .result
        .as_ref()
        .ok()
        .map(|answer| answer.status);
    let error = attempt.error.as_deref();
    let batch = attempt.posted.as_ref().map(|posted| &*posted.batch.name);
    let duration_ms = attempt.exchange.duration_us / 1_000;
    let trace_id = attempt.trace.as_ref().map(|trace| trace.trace_id());
    let trace_id = trace_id.as_deref();
    macro_rules! line {
        ($level:ident, $text:literal, $($more:tt)*) => {
            tracing::$level!(
                webhook = &*attempt.due.webhook, event = &*attempt.due.event,
                event_id = attempt.due.event_id.get(), delivery = attempt.due.id.get(),
                attempt = attempt.number, outcome = attempt.outcome(), status, error,
                batch, duration_ms, trace_id, $($more)* $text)
        };
    }
    match attempt.verdict {
        Verdict::Delivered => line!(info, "delivered",),
        _ if cancelled => line!(info, "not tried again: it was cancelled meanwhile",),
        Verdict::RetryAt(at_ms) => {
            line!(
                info,
                "will be tried again",
                in_ms = at_ms - attempt.finished_at_ms,
            );
        }
        Verdict::Failed => {
            let hint = holder.map(|id| {
                format!(
                    "what is behind delivery {id} waits for `webhooksd redeliver {id}` to deliver it, or for \
                     `webhooksd cancel {id}`"
                )
            });
            line!(
                warn,
                "given up",
                holds = holder.map(|_| true),
                hint = hint.as_deref(),
            );
        }
    }
}
