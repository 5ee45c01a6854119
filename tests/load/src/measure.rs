//! The two ways to measure a daemon: a backlog as fast as it goes, and single commits, timed.
//!
//! [`Bench::backlog`] times a filled outbox until its last row is delivered and logged;
//! [`Bench::latency`] times single commits until their requests arrive.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::bench::Bench;
use crate::build::Build;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::figure::{Figure, percentile};
use crate::http::BODY_BYTES;
use crate::log::Log;
use crate::outbox;
use crate::process::{Written, now_ns};

/// Longer than any backlog takes on a machine that this bench is meant for.
const BACKLOG_LIMIT_NS: u64 = 120_000_000_000;

/// A backlog of the event "tick".
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) config: Config,
    pub(crate) events: u64,
    /// Deliveries of each event.
    pub(crate) fan_out: u64,
    /// How many values the events have in turn at `$.place`; with 0 they have none.
    pub(crate) places: u64,
}

impl Load {
    pub(crate) fn new(config: Config, events: u64) -> Self {
        Self {
            config,
            events,
            fan_out: 1,
            places: 0,
        }
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.events * self.fan_out
    }
}

/// One backlog, delivered. What is of a delivery is in microseconds and bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) per_second: f64,
    cpu_us: f64,
    peak_mib: f64,
    written: Written,
}

impl Delivered {
    pub(crate) fn rate(&self, of: &str) -> Figure {
        Figure::new(with(of, "deliveries"), self.per_second, "/s", 0)
    }

    pub(crate) fn cpu(&self, of: &str) -> Figure {
        Figure::new(with(of, "CPU per delivery"), self.cpu_us, "µs", 1)
    }

    pub(crate) fn peak(&self, of: &str) -> Figure {
        Figure::new(with(of, "peak RSS"), self.peak_mib, "MiB", 1)
    }

    /// What write and writev were given, and what of files became dirty by that. The first has
    /// the requests in it where a build sends them by writev, so it compares two builds that do
    /// alike; the second is of files alone, in whole pages.
    pub(crate) fn written(&self) -> [Figure; 2] {
        [
            Figure::new("written per delivery (wchar)", self.written.calls, "B", 0),
            Figure::new(
                "file pages per delivery (write_bytes)",
                self.written.pages,
                "B",
                0,
            ),
        ]
    }
}

impl Delivered {
    /// The same two as parts of another's.
    pub(crate) fn written_of(&self, other: &Self) -> [Figure; 2] {
        [
            Figure::new(
                "written per event, of that one by one (wchar)",
                self.written.calls / other.written.calls,
                "",
                2,
            ),
            Figure::new(
                "file pages per event, of those one by one (write_bytes)",
                self.written.pages / other.written.pages,
                "",
                2,
            ),
        ]
    }
}

impl std::fmt::Display for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0}/s, {:.1} µs CPU each, peak {:.0} MiB",
            self.per_second, self.cpu_us, self.peak_mib
        )
    }
}

/// Commits at an even pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) event: &'static str,
    pub(crate) per_second: u64,
    pub(crate) seconds: u64,
    pub(crate) synchronous: &'static str,
}

impl Pace {
    pub(crate) fn new(per_second: u64, seconds: u64) -> Self {
        Self {
            event: "tick",
            per_second,
            seconds,
            synchronous: "NORMAL",
        }
    }
}

/// How long events took from the COMMIT's return to the request's arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    p50_ms: f64,
    pub(crate) p99_ms: f64,
    max_ms: f64,
    count: usize,
    missing: usize,
    /// Of the daemon, for each event.
    cpu_us: f64,
}

impl Latency {
    pub(crate) fn p50(&self, of: &str) -> Figure {
        self.all_came(Figure::new(with(of, "p50"), self.p50_ms, "ms", 2))
    }

    pub(crate) fn p99(&self, of: &str) -> Figure {
        self.all_came(Figure::new(with(of, "p99"), self.p99_ms, "ms", 2))
    }

    /// In thousands of events a second it is that of a delivery; in fifty mostly that of waking up.
    pub(crate) fn cpu(&self, of: &str) -> Figure {
        Figure::new(with(of, "CPU per event"), self.cpu_us, "µs", 1)
    }

    fn all_came(&self, figure: Figure) -> Figure {
        figure.fault_unless(self.missing == 0, format!("{} NEVER CAME", self.missing))
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {} events, {:.0} µs CPU each",
            self.p50_ms, self.p99_ms, self.max_ms, self.count, self.cpu_us
        )?;
        if self.missing > 0 {
            write!(f, ", {} NEVER CAME", self.missing)?;
        }
        Ok(())
    }
}

fn with(of: &str, what: &str) -> String {
    if of.is_empty() {
        what.into()
    } else {
        format!("{of}: {what}")
    }
}

impl Bench {
    /// A backlog in a new folder, from the start of the daemon's process to the last attempt in the
    /// log; and what log.db has for a delivery in the end, without the bodies.
    pub(crate) fn fresh_backlog(
        &mut self,
        build: &Build,
        load: &Load,
        level: &str,
    ) -> (Delivered, f64) {
        let folder = self.fresh();
        load.config.write(&folder);
        let (delivered, daemon) = self.backlog(build, &folder, load, level);
        // Stopped, it has brought its WAL into the file.
        daemon.stop();
        let bytes = ["log.db", "log.db-wal"]
            .map(|name| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len()));
        // Deliveries of an event share its body; that of one has a few bytes more or less.
        let bodies = load.events * BODY_BYTES as u64;
        let logged = (bytes.iter().sum::<u64>() as f64 - bodies as f64) / load.deliveries() as f64;
        std::fs::remove_dir_all(folder).unwrap();
        (delivered, logged)
    }

    /// The same in a folder with a configuration, and perhaps a history. The daemon still runs.
    pub(crate) fn backlog(
        &mut self,
        build: &Build,
        folder: &Path,
        load: &Load,
        level: &str,
    ) -> (Delivered, Daemon) {
        let deliveries = load.deliveries();
        let outbox = outbox::open(build, folder, "NORMAL");
        outbox::fill_places(&outbox, "tick", load.events, load.places);
        drop(outbox);
        let before = Log::open(folder).map_or(0, |log| log.last_attempt());
        self.receiver.reset();
        let mut daemon = Daemon::start(build, folder, level);
        let begun_ns = daemon.started_ns;
        let ended_ns = logged(&mut daemon, begun_ns, before, deliveries);
        let each = |total: f64| total / deliveries as f64;
        let cpu_us = each(daemon.cpu_us());
        let peak_mib = daemon.peak_mib();
        let written = daemon.written();
        let log = Log::open(folder).expect("the log");
        let (attempts, delivered) = log.attempts_after(before);
        let count = self.receiver.count();
        let wanted = i64::try_from(deliveries).unwrap();
        assert_eq!(
            (attempts, delivered),
            (wanted, wanted),
            "attempts, deliveries"
        );
        let is_batched = load.config.webhooks.iter().any(|w| w.batch.is_some());
        assert!(
            count.answered == deliveries || is_batched && count.answered < deliveries,
            "{} requests",
            count.answered
        );
        let ended_ns = ended_ns.max(count.last_ns);
        let delivered = Delivered {
            per_second: deliveries as f64 * 1e9 / (ended_ns - daemon.started_ns) as f64,
            cpu_us,
            peak_mib,
            written: Written {
                calls: each(written.calls),
                pages: each(written.pages),
            },
        };
        (delivered, daemon)
    }

    /// Single commits beside a running daemon whose webhook for them is on `/timed`.
    pub(crate) fn latency(&mut self, daemon: &Daemon, pace: Pace) -> Latency {
        let outbox = outbox::open(&daemon.build, &daemon.folder, pace.synchronous);
        self.receiver.reset();
        let before_us = daemon.cpu_us();
        let committed = outbox::trickle(&outbox, pace);
        let ended_ns = now_ns();
        while self.receiver.count().answered < committed.len() as u64
            && now_ns() - ended_ns < 5_000_000_000
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let cpu_us = (daemon.cpu_us() - before_us) / committed.len() as f64;
        let arrivals = self.receiver.arrivals(&daemon.folder);
        let arrivals: HashMap<i64, u64> = arrivals.into_iter().rev().collect();
        let spans: Vec<f64> = committed
            .iter()
            .filter_map(|(id, committed_ns)| {
                Some(arrivals.get(id)?.saturating_sub(*committed_ns) as f64 / 1e6)
            })
            .collect();
        Latency {
            p50_ms: percentile(&spans, 50.0),
            p99_ms: percentile(&spans, 99.0),
            max_ms: percentile(&spans, 100.0),
            count: spans.len(),
            missing: committed.len() - spans.len(),
            cpu_us,
        }
    }
}

/// Waits until so many attempts more are in the log than at that time; returns when they were.
pub(crate) fn logged(daemon: &mut Daemon, begun_ns: u64, before: i64, deliveries: u64) -> u64 {
    let (mut log, wanted) = (None, i64::try_from(deliveries).unwrap());
    loop {
        std::thread::sleep(Duration::from_millis(2));
        log = log.or_else(|| Log::open(&daemon.folder));
        let logged = log.as_ref().map_or(0, |log| log.last_attempt() - before);
        if logged >= wanted {
            return now_ns();
        }
        daemon.check_alive();
        assert!(
            now_ns() - begun_ns < BACKLOG_LIMIT_NS,
            "only {logged} of {deliveries} deliveries were logged"
        );
    }
}
