//! Counts since the start, and the pulse of each part: whether it moves, and what keeps it.
//!
//! Written by every part of the pipeline and read by `status`; nothing here is added up or shown.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::complaint::Complaint;
use super::standing::Standing;
use crate::model::{Attempt, Clock, DeliveryId, Fault, METRICS_BUCKETS, METRICS_EDGES_MS, Verdict};

/// Between two journal lines about faults of our own machine, which would come by the thousand.
const FAULT_LINE_MS: i64 = 10_000;

/// The intake and the refill look around twice a second; silent for so long, one of them hangs.
const STALL_MS: i64 = 10_000;

/// Trouble with a file that is over within this is not worth an alarm.
pub(crate) const TROUBLE_MS: i64 = 5_000;

/// Between two journal lines about trouble that lasts: the journal may be on the disk that is full.
const SAY_MS: i64 = 60_000;

/// What has happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) taken: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) faults: AtomicU64,
    fault_line_ms: AtomicI64,
    pub(crate) commits: AtomicU64,
    pub(crate) commit_us: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) reload_failures: AtomicU64,
    pub(crate) last_reload_failed: AtomicBool,
    remarks: parking_lot::Mutex<Remarks>,
    pub(crate) intake: Heartbeat,
    pub(crate) refill: Heartbeat,
    pub(crate) record: Heartbeat,
    pub(crate) durable: Heartbeat,
    /// Of several nodes this one.
    pub(crate) nodes: Heartbeat,
    /// Of the thread that appends what comes over the socket.
    pub(crate) append: Heartbeat,
    /// Requests that it has not answered.
    appends: AtomicU64,
    /// In trouble while a reader holds the log's WAL, which keeps nothing from moving.
    pub(crate) wal: Heartbeat,
    pub(crate) standing: Standing,
    pub(crate) wal_held_bytes: AtomicU64,
    /// Deliveries, and rows set aside, that went before their days were over.
    pub(crate) deleted_early: AtomicU64,
    pub(crate) behind: Behind,
}

/// Rows of an outbox in PostgreSQL that were not taken in yet; one in SQLite is asked itself.
#[derive(Debug)]
pub(crate) struct Behind(AtomicI64);

impl Default for Behind {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

impl Behind {
    /// `None`: nobody knows.
    pub(crate) fn set(&self, rows: Option<i64>) {
        self.0.store(rows.unwrap_or(-1), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|rows| *rows >= 0)
    }
}

/// What was found against the configuration's file when it was last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Why the last reload was refused, each error with its line; empty where it was not.
    pub errors: Vec<String>,
    /// When that was, UNIX milliseconds.
    pub refused_ms: Option<i64>,
    /// What the configuration in force warns of, each with its line.
    pub warnings: Vec<String>,
}

/// Whether a part moves, and what keeps it.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// How often it came round, well or in trouble.
    pub(crate) ticks: AtomicU64,
    /// When it last came round, UNIX milliseconds; 0 before the first time.
    beat_ms: AtomicI64,
    /// Since when it is in trouble; 0 while it is not.
    trouble_ms: AtomicI64,
    /// When the journal was last told of it; 0 while it was not.
    said_ms: AtomicI64,
    /// What it is, and what there is to do about it.
    trouble: parking_lot::Mutex<Option<(String, Option<String>)>>,
}

impl Heartbeat {
    /// The part came round, without trouble. Whether that ends trouble that the journal was told of.
    pub(crate) fn tick(&self, clock: &Clock) -> bool {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.beat_ms.store(clock.now_ms(), Ordering::Relaxed);
        if self.trouble_ms.swap(0, Ordering::Relaxed) != 0 {
            *self.trouble.lock() = None;
        }
        self.said_ms.swap(0, Ordering::Relaxed) != 0
    }

    /// The part came round and could not do its work. Whether to tell the journal: of trouble that
    /// has lasted for `patience_ms`, and then once a minute.
    pub(crate) fn trouble(
        &self,
        clock: &Clock,
        (text, hint): (String, Option<String>),
        patience_ms: i64,
    ) -> bool {
        let now_ms = clock.now_ms();
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.beat_ms.store(now_ms, Ordering::Relaxed);
        *self.trouble.lock() = Some((text, hint));
        if self.trouble_ms.load(Ordering::Relaxed) == 0 {
            self.trouble_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        let lasted_ms = now_ms - self.trouble_ms.load(Ordering::Relaxed);
        let said_ms = self.said_ms.load(Ordering::Relaxed);
        let say = lasted_ms >= patience_ms && (said_ms == 0 || now_ms - said_ms >= SAY_MS);
        if say {
            self.said_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        say
    }

    /// Why the part is not well, if it is not.
    pub(crate) fn complaint(
        &self,
        step: &'static str,
        now_ms: i64,
        must_beat: bool,
    ) -> Option<Complaint> {
        let since_ms = self.trouble_ms.load(Ordering::Relaxed);
        if since_ms != 0 && now_ms - since_ms >= TROUBLE_MS {
            let trouble = self.trouble.lock().clone();
            let (text, hint) = trouble.unwrap_or_default();
            return Some(Complaint {
                step,
                text,
                seconds: (now_ms - since_ms) / 1_000,
                hint,
            });
        }
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        let silent_ms = now_ms - beat_ms;
        (must_beat && beat_ms != 0 && silent_ms >= STALL_MS).then(|| Complaint {
            step,
            text: "it does not move".to_owned(),
            seconds: silent_ms / 1_000,
            hint: None,
        })
    }
}

impl Counters {
    pub(crate) fn admitted(&self, events: usize, rejected: usize) {
        self.taken.fetch_add(events as u64, Ordering::Relaxed);
        self.rejected.fetch_add(rejected as u64, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self, us: i64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_us
            .fetch_add(u64::try_from(us).unwrap_or(0), Ordering::Relaxed);
    }

    /// A configuration was taken in, or refused for these errors, each with its line.
    pub fn reloaded(&self, taken: Result<(), Vec<String>>, now_ms: i64) {
        let well = taken.is_ok();
        self.reloads.fetch_add(1, Ordering::Relaxed);
        self.reload_failures
            .fetch_add(u64::from(!well), Ordering::Relaxed);
        self.last_reload_failed.store(!well, Ordering::Relaxed);
        let mut remarks = self.remarks.lock();
        remarks.refused_ms = (!well).then_some(now_ms);
        remarks.errors = taken.err().unwrap_or_default();
    }

    /// What the configuration in force warns of, each with its line.
    pub fn warned(&self, warnings: Vec<String>) {
        self.remarks.lock().warnings = warnings;
    }

    /// What was found against the configuration's file.
    #[must_use]
    pub fn remarks(&self) -> Remarks {
        self.remarks.lock().clone()
    }

    /// A request came that waits for the outbox. The thread need not have come round while none did.
    pub fn append_asked(&self, clock: &Clock) {
        if !self.append_is_busy() {
            self.append_moved(clock);
        }
        self.appends.fetch_add(1, Ordering::Relaxed);
    }

    /// Such a request was answered, or dropped.
    pub fn append_answered(&self) {
        self.appends.fetch_sub(1, Ordering::Relaxed);
    }

    /// The thread that appends came a step further.
    pub fn append_moved(&self, clock: &Clock) {
        // Its trouble with the outbox is the answer that its clients get.
        let _: bool = self.append.tick(clock);
    }

    pub(crate) fn append_is_busy(&self) -> bool {
        self.appends.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn fault(&self, clock: &Clock, webhook: &str, delivery: DeliveryId, fault: &Fault) {
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        let (now_ms, last_ms) = (clock.now_ms(), self.fault_line_ms.load(Ordering::Relaxed));
        if (now_ms - last_ms).abs() >= FAULT_LINE_MS {
            self.fault_line_ms.store(now_ms, Ordering::Relaxed);
            tracing::warn!(step = "make an attempt", webhook, delivery = delivery.get(), %fault, faults,
                "this machine can't send at the moment; the delivery waits and loses no try");
        }
    }
}

/// One webhook's attempts since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) delivered: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// POSTs of several events.
    pub(crate) batches: AtomicU64,
    pub(crate) duration_us: AtomicU64,
    pub(crate) buckets: [AtomicU64; METRICS_BUCKETS + 1],
}

impl Tally {
    pub(crate) fn count(&self, attempt: &Attempt) {
        let outcome = match attempt.verdict {
            Verdict::Delivered => &self.delivered,
            Verdict::RetryAt(_) => &self.retried,
            Verdict::Failed => &self.failed,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        if attempt.posted.is_some() && attempt.stands_for_its_post() {
            self.batches.fetch_add(1, Ordering::Relaxed);
        }
        let us = attempt.exchange.duration_us;
        self.duration_us
            .fetch_add(u64::try_from(us).unwrap_or(0), Ordering::Relaxed);
        let index = METRICS_EDGES_MS.iter().position(|edge| us <= edge * 1_000);
        self.buckets[index.unwrap_or(METRICS_BUCKETS)].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::shared::complaint::told;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_stands_still_or_is_in_trouble_for_long_complains() {
        let clock = Clock::follow_tokio(1_000_000);
        let heartbeat = Heartbeat::default();
        let complaint = |clock: &Clock| {
            let complaint = heartbeat.complaint("take events in", clock.now_ms(), true);
            told(complaint).pop()
        };
        assert_eq!(complaint(&clock), None, "not begun yet");
        heartbeat.tick(&clock);
        tokio::time::sleep(std::time::Duration::from_secs(9)).await;
        assert_eq!(complaint(&clock), None);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(
            complaint(&clock).unwrap(),
            "take events in: it does not move (for 10 s)"
        );
        let full = |hint: Option<&str>| ("disk full".into(), hint.map(str::to_owned));
        heartbeat.trouble(&clock, full(None), 0);
        assert_eq!(complaint(&clock), None, "that may pass");
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        heartbeat.trouble(&clock, full(None), 0);
        assert_eq!(
            complaint(&clock).unwrap(),
            "take events in: disk full (for 5 s)"
        );
        heartbeat.trouble(&clock, full(Some("free some space")), 0);
        assert_eq!(
            complaint(&clock).unwrap(),
            "take events in: disk full (for 5 s): free some space"
        );
        heartbeat.tick(&clock);
        assert_eq!(complaint(&clock), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_journal_is_told_of_trouble_once_a_minute_and_of_its_end() {
        let clock = Clock::follow_tokio(1_000_000);
        let heartbeat = Heartbeat::default();
        let mut said = Vec::new();
        for second in 0..130 {
            if heartbeat.trouble(&clock, ("locked".into(), None), TROUBLE_MS) {
                said.push(second);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert_eq!(said, [5, 65, 125]);
        assert!(heartbeat.tick(&clock), "the end of what was told is told");
        assert!(!heartbeat.trouble(&clock, ("locked".into(), None), TROUBLE_MS));
        assert!(!heartbeat.tick(&clock), "of what was not is not");
        assert!(heartbeat.trouble(&clock, ("disk full".into(), None), 0));
    }
}
