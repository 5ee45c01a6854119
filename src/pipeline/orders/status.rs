//! What the pipeline says of itself: counts since the start, what is in memory, and whether it moves.
//!
//! Read by status, metrics and health. Taking a snapshot touches no file and waits for nobody but
//! each lane's short lock. What is in the log (pending, rates by hour) is asked of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Pause, Rate};
use crate::pipeline::send::{Dispatch, Lane, Node};
use crate::pipeline::shared::complaint;
use crate::pipeline::shared::counters::{Heartbeat, Remarks};
use crate::transport::Transport;

/// The parts that are watched.
pub(crate) const PARTS: usize = 4;

/// How often a part of the pipeline has come round since the start, well or in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// What the part is called.
    pub part: &'static str,
    /// How often.
    pub count: u64,
    /// Whether it has something to do; a part that has comes round within a second or so.
    pub busy: bool,
}

/// One webhook, as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it gets anything by today's configuration.
    pub active: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// Deliveries queued in memory.
    pub queued: usize,
    /// How many requests may begin in a second; `None`: any number.
    pub max_per_second: Option<f64>,
    /// Until when its endpoint asked to wait, UNIX milliseconds, where that is not over.
    pub held_until_ms: Option<i64>,
    /// Attempts that were delivered, since the start.
    pub delivered: u64,
    /// Attempts to be made again.
    pub retried: u64,
    /// Attempts after which the delivery was given up.
    pub failed: u64,
    /// POSTs of several events; `None` where it gets them one by one.
    pub batches: Option<u64>,
    /// The sum of all attempts' durations, microseconds.
    pub duration_us: u64,
    /// Attempts by duration: one count for each edge of [`METRICS_EDGES_MS`](crate::model::METRICS_EDGES_MS),
    /// then those above.
    /// Not cumulative.
    pub durations: Vec<u64>,
    /// Its pause, where it is paused.
    pub pause: Option<Pause>,
}

/// The pipeline, as it is now. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Events taken from the outbox.
    pub taken: u64,
    /// Rows of the outbox set aside.
    pub rejected: u64,
    /// Deliveries that were not made because their webhook's `where` does not want the event's data.
    pub filtered: u64,
    /// Attempts that our own machine could not make; they cost no try.
    pub faults: u64,
    /// Transactions of results.
    pub commits: u64,
    /// How long they took in all, microseconds.
    pub commit_us: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Results that wait for the log.
    pub unrecorded: usize,
    /// Configurations taken in or refused after the start.
    pub reloads: u64,
    /// Those refused.
    pub reload_failures: u64,
    /// Whether the last one was refused.
    pub last_reload_failed: bool,
    /// What was found against the configuration's file.
    pub remarks: Remarks,
    /// Why the pipeline is not well; empty while it is.
    pub complaints: Vec<String>,
    /// What somebody should see to though the pipeline is well.
    pub warnings: Vec<String>,
    /// How long the log's WAL is where a reader keeps it from starting over, bytes; else 0.
    pub wal_held_bytes: u64,
    /// What the log's size is kept below, bytes; `None`: any.
    pub log_max_bytes: Option<u64>,
    /// Deliveries, and rows set aside, that went before their days were over.
    pub deleted_early: u64,
    /// Rows of an outbox in PostgreSQL that were not taken in yet, where that is known; counted to a limit.
    pub behind: Option<i64>,
    /// Since when the intake waits for room in the log, UNIX milliseconds; `None`: it does not.
    pub waits_for_room_since_ms: Option<i64>,
    /// The nodes of the log, this one among them; none where the log is in a file.
    pub nodes: Vec<Node>,
    /// Every webhook that gets something, or still has something in hand, by name.
    pub webhooks: Vec<WebhookSnapshot>,
}

impl<T: Transport> Dispatch<T> {
    /// The pipeline, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (lanes, now_ms) = (self.all_lanes(), self.clock().now_ms());
        let mut webhooks: Vec<_> = lanes
            .iter()
            .filter_map(|lane| self.of_lane(lane, now_ms))
            .collect();
        webhooks.sort_by(|a, b| a.name.cmp(&b.name));
        Snapshot {
            webhooks,
            ..self.counts()
        }
    }

    /// The same without the webhooks, of which there may be ten thousand.
    #[must_use]
    pub fn counts(&self) -> Snapshot {
        let counters = self.counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            taken: count(&counters.taken),
            rejected: count(&counters.rejected),
            filtered: self.routes().filtered(),
            faults: count(&counters.faults),
            commits: count(&counters.commits),
            commit_us: count(&counters.commit_us),
            in_flight: self.in_flight(),
            unrecorded: self.unrecorded(),
            reloads: count(&counters.reloads),
            reload_failures: count(&counters.reload_failures),
            last_reload_failed: counters.last_reload_failed.load(Ordering::Relaxed),
            remarks: counters.remarks(),
            complaints: self.complaints(),
            warnings: self.warnings(),
            wal_held_bytes: count(&counters.wal_held_bytes),
            log_max_bytes: self.running().retention().log_max_bytes,
            deleted_early: count(&counters.deleted_early),
            waits_for_room_since_ms: self.waits_for_room_since_ms(),
            webhooks: Vec::new(),
            nodes: self.share().nodes(),
            behind: counters.behind.get(),
        }
    }

    /// Why the pipeline is not well; empty while it is. Well means that it moves, not that it is there.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let (now_ms, counters) = (self.clock().now_ms(), &self.counters());
        let busy = self.unrecorded() > 0;
        let parts = [
            counters.intake.complaint("take events in", now_ms, true),
            counters
                .refill
                .complaint("read due deliveries", now_ms, true),
            counters.record.complaint("record attempts", now_ms, busy),
            counters
                .durable
                .complaint("synchronise the log", now_ms, false),
            counters
                .nodes
                .complaint("look which webhooks are this node's", now_ms, false),
            counters
                .append
                .complaint("append events", now_ms, counters.append_is_busy()),
        ];
        let mut complaints = complaint::told(parts.into_iter().flatten());
        complaints.extend(counters.standing.told(true));
        complaints
    }

    /// What somebody should see to though the pipeline is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let wal =
            self.counters()
                .wal
                .complaint("the -wal of the log", self.clock().now_ms(), false);
        let mut warnings = complaint::told(wal);
        warnings.extend(self.waits_for_room_warning());
        warnings.extend(self.counters().standing.told(false));
        warnings
    }

    /// How often each part has come round, the one that follows the outbox first.
    #[must_use]
    pub fn ticks(&self) -> [Ticks; PARTS] {
        let counters = self.counters();
        let of = |part, heartbeat: &Heartbeat, busy| Ticks {
            part,
            count: heartbeat.ticks.load(Ordering::Relaxed),
            busy,
        };
        [
            of("intake", &counters.intake, true),
            of("refill", &counters.refill, true),
            of("record", &counters.record, self.unrecorded() > 0),
            of("append", &counters.append, counters.append_is_busy()),
        ]
    }

    /// `None` where the lane is only there for what it knows of requests before.
    fn of_lane(&self, lane: &Lane<T::Endpoint>, now_ms: i64) -> Option<WebhookSnapshot> {
        let (load, tally) = (lane.load_at(now_ms), lane.tally());
        if load.limit.is_none() && load.is_idle {
            return None;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(WebhookSnapshot {
            name: lane.name().clone(),
            active: load.limit.is_some(),
            in_flight: load.in_flight,
            queued: load.queued,
            max_per_second: load.rate.map(Rate::per_second),
            held_until_ms: load.held_until_ms,
            delivered: count(&tally.delivered),
            retried: count(&tally.retried),
            failed: count(&tally.failed),
            batches: load.is_batched.then(|| count(&tally.batches)),
            duration_us: count(&tally.duration_us),
            durations: tally.buckets.iter().map(count).collect(),
            pause: self.gates().of(lane.name()),
        })
    }
}
