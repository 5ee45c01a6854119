//! What every row needs: the binary, the receiver, a folder on disk, and two ways to measure.
//!
//! [`Bench::backlog`] times a filled outbox until its last row is delivered and logged;
//! [`Bench::latency`] times single commits until their requests arrive. Raw figures are kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::arguments::Options;
use crate::certificate::{self, Files};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::figure::percentile;
use crate::log::Log;
use crate::outbox;
use crate::process::{now_ns, write_back};
use crate::receiver::Receiver;

/// Longer than any backlog takes on a machine that this bench is meant for.
const BACKLOG_LIMIT_NS: u64 = 120_000_000_000;

/// `f_type` of tmpfs and ramfs: a disk that costs nothing would make figures that mean nothing.
const MEMORY_FILE_SYSTEMS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) binary: PathBuf,
    pub(crate) receiver: Receiver,
    pub(crate) files: Files,
    folder: TempDir,
    folders: u32,
    raw: Vec<String>,
}

/// One backlog, delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) per_second: f64,
    /// CPU microseconds of the daemon for each delivery.
    pub(crate) cpu_us: f64,
    pub(crate) peak_mib: f64,
}

/// How long events took from the COMMIT's return to the request's arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) count: usize,
    pub(crate) missing: usize,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {} events",
            self.p50_ms, self.p99_ms, self.max_ms, self.count
        )?;
        if self.missing > 0 {
            write!(f, ", {} NEVER CAME", self.missing)?;
        }
        Ok(())
    }
}

impl Bench {
    pub(crate) fn new(options: &Options) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let binary = match &options.binary {
            Some(path) => path
                .canonicalize()
                .map_err(|error| format!("{}: {error}", path.display()))?,
            None => build(&root.join("../.."))?,
        };
        let home = options
            .folder
            .clone()
            .unwrap_or_else(|| root.join("target"));
        std::fs::create_dir_all(&home)
            .map_err(|error| format!("make {}: {error}", home.display()))?;
        let kind = rustix::fs::statfs(&home)
            .map_err(|error| error.to_string())?
            .f_type;
        if MEMORY_FILE_SYSTEMS.contains(&kind) {
            return Err(format!(
                "{} is in memory; give a --folder on a disk",
                home.display()
            ));
        }
        let folder = tempfile::Builder::new().prefix("load-").tempdir_in(&home);
        let folder = folder.map_err(|error| error.to_string())?;
        let files = certificate::make(folder.path());
        let receiver = Receiver::start(&files);
        Ok(Self {
            options: options.clone(),
            binary,
            receiver,
            files,
            folder,
            folders: 0,
            raw: Vec::new(),
        })
    }

    /// `full`, or `quick` where that was asked for.
    pub(crate) fn count(&self, full: u64, quick: u64) -> u64 {
        if self.options.quick { quick } else { full }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.receiver.port)
    }

    /// The same on another address of loopback.
    pub(crate) fn url_on(&self, address: usize, path: &str) -> String {
        format!(
            "http://127.0.0.{}:{}/{path}",
            address + 1,
            self.receiver.port
        )
    }

    pub(crate) fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.receiver.tls_port)
    }

    /// An empty folder.
    pub(crate) fn fresh(&mut self) -> PathBuf {
        self.folders += 1;
        let folder = self.folder.path().join(self.folders.to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    /// Deletes a row's databases.
    /// What they left to be written is written now, or the next row would be measured with it.
    pub(crate) fn end_row(&mut self) {
        for number in 1..=self.folders {
            std::fs::remove_dir_all(self.folder.path().join(number.to_string())).ok();
        }
        write_back();
    }

    /// Keeps a raw figure.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        eprintln!("  . {text}");
        self.raw.push(text);
    }

    pub(crate) fn take_raw(&mut self) -> Vec<String> {
        std::mem::take(&mut self.raw)
    }

    /// A backlog in a new folder, from the start of the daemon's process to the last attempt in the log.
    pub(crate) fn fresh_backlog(
        &mut self,
        config: &Config,
        events: u64,
        deliveries: u64,
        level: &str,
    ) -> Delivered {
        let folder = self.fresh();
        config.write(&folder);
        let delivered = self.backlog(&folder, events, deliveries, level).0;
        std::fs::remove_dir_all(folder).unwrap();
        delivered
    }

    /// The same in a folder with a configuration, and perhaps a history. The daemon still runs.
    pub(crate) fn backlog(
        &mut self,
        folder: &Path,
        events: u64,
        deliveries: u64,
        level: &str,
    ) -> (Delivered, Daemon) {
        let outbox = outbox::open(&self.binary, folder, "NORMAL");
        outbox::fill(&outbox, "tick", events);
        let before = Log::open(folder).map_or(0, |log| log.last_attempt());
        self.receiver.reset();
        let mut daemon = Daemon::start(&self.binary, folder, level);
        let wanted = i64::try_from(deliveries).unwrap();
        let mut log = None;
        let ended_ns = loop {
            std::thread::sleep(Duration::from_millis(2));
            log = log.or_else(|| Log::open(folder));
            let logged = log.as_ref().map_or(0, |log| log.last_attempt() - before);
            if logged >= wanted {
                break now_ns();
            }
            daemon.check_alive();
            assert!(
                now_ns() - daemon.started_ns < BACKLOG_LIMIT_NS,
                "only {logged} of {deliveries} deliveries were logged"
            );
        };
        let cpu_us = daemon.cpu_us() / deliveries as f64;
        let peak_mib = daemon.peak_mib();
        let (attempts, delivered) = log.unwrap().attempts_after(before);
        let count = self.receiver.count();
        assert_eq!(
            (attempts, delivered, count.answered),
            (wanted, wanted, deliveries),
            "attempts, deliveries, requests"
        );
        let ended_ns = ended_ns.max(count.last_ns);
        let per_second = deliveries as f64 * 1e9 / (ended_ns - daemon.started_ns) as f64;
        (
            Delivered {
                per_second,
                cpu_us,
                peak_mib,
            },
            daemon,
        )
    }

    /// Single commits of the event "tick" beside a running daemon whose webhook for it is on `/timed`.
    pub(crate) fn latency(
        &mut self,
        folder: &Path,
        per_second: u64,
        seconds: u64,
        synchronous: &str,
    ) -> Latency {
        let outbox = outbox::open(&self.binary, folder, synchronous);
        self.receiver.reset();
        let committed = outbox::trickle(&outbox, "tick", per_second, seconds);
        let ended_ns = now_ns();
        while self.receiver.count().answered < committed.len() as u64
            && now_ns() - ended_ns < 5_000_000_000
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let arrivals: std::collections::HashMap<i64, u64> =
            self.receiver.arrivals(folder).into_iter().rev().collect();
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
        }
    }
}

/// Builds the product's release binary, as a user would.
fn build(root: &Path) -> Result<PathBuf, String> {
    let status = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--locked",
            "--bin",
            "webhooksd",
            "--manifest-path",
        ])
        .arg(root.join("Cargo.toml"))
        .status()
        .map_err(|error| format!("run cargo: {error}"))?;
    if !status.success() {
        return Err("the release build failed".into());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = target.join("release/webhooksd");
    binary
        .canonicalize()
        .map_err(|error| format!("{}: {error}", binary.display()))
}
