//! What the files say: pending deliveries, how far the outbox was taken, sizes.
//!
//! Read through connections of its own, never under the writer's lock, by one reader at a time, and
//! kept for a second or ten times as long as the reading took: whoever asks a hundred times a second
//! costs no more than who asks once. Sizes are asked of the path, for opening a database's file and
//! closing it again would drop the process's locks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Shared, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::About;
use crate::outbox::Tail;
use crate::pipeline::Dispatch;
use crate::store::Reader;
use crate::transport::Client;

/// How long facts are kept at least.
const FRESH: Duration = Duration::from_secs(1);

/// Health waits no longer for the log.
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);

/// For so long is told of rows that were set aside.
const DAY_MS: i64 = 86_400_000;

/// The reading may take this share of the time.
const SHARE: u32 = 10;

/// One webhook's pending deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) webhook: String,
    pub(super) count: i64,
    /// When the one that is due first was made, UNIX milliseconds.
    pub(super) since_ms: Option<i64>,
}

/// What the files said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// `None` where the log could not be read.
    pub(super) pending: Option<Vec<Pending>>,
    pub(super) cursor: Option<i64>,
    /// The highest id of the outbox; `None` where it could not be read.
    pub(super) newest: Option<i64>,
    /// Rows that were set aside in the last day.
    pub(super) aside: Option<i64>,
    pub(super) log_bytes: u64,
    pub(super) wal_bytes: u64,
    pub(super) outbox_bytes: u64,
    pub(super) outbox_wal_bytes: u64,
}

impl Files {
    /// Events of the outbox that were not taken in yet.
    pub(super) fn lag(&self) -> Option<i64> {
        Some(self.newest?.saturating_sub(self.cursor?).max(0))
    }

    /// What somebody should see to, as the files say it.
    pub(super) fn warning(&self) -> Option<String> {
        told(self.aside?)
    }
}

/// What is said of so many rows that were set aside.
fn told(count: i64) -> Option<String> {
    let rows = match count {
        0 => return None,
        1 => "1 row was".to_owned(),
        // No more are counted.
        1_000 => "1000 rows or more were".to_owned(),
        _ => format!("{count} rows were"),
    };
    Some(format!(
        "{rows} set aside in the last day and not sent: see why by \
         SELECT * FROM rejected ORDER BY id DESC, in the log"
    ))
}

#[derive(Default)]
struct Connections {
    log: Option<Reader>,
    outbox: Option<Tail>,
}

struct Kept {
    until: Instant,
    files: Arc<Files>,
}

/// The reading, and what it said last.
pub(super) struct Facts {
    log: PathBuf,
    outbox: PathBuf,
    kept: Mutex<Option<Kept>>,
    connections: Arc<Shared<Connections>>,
    /// For what health asks of the log: it must not wait for a reading of the outbox.
    of_health: Arc<Shared<Option<Reader>>>,
}

impl Facts {
    pub(super) fn new(about: &About) -> Self {
        Self {
            log: about.log.clone(),
            outbox: about.outbox.clone(),
            kept: Mutex::new(None),
            connections: Arc::default(),
            of_health: Arc::default(),
        }
    }

    /// What health warns of, as the log says it. Waits a second at most, and never for another who asks:
    /// a disk that answers nobody must not keep health from telling so.
    pub(super) async fn warning(&self, dispatch: &Dispatch<Client>) -> Option<String> {
        let (log, reader) = (self.log.clone(), self.of_health.clone());
        let since_ms = dispatch.clock.now_ms() - DAY_MS;
        let count = dispatch.with_blocking(move || {
            let mut reader = reader.try_lock().ok()?;
            if reader.is_none() {
                *reader = Reader::open(&log).ok();
            }
            reader.as_ref()?.set_aside_since(since_ms).ok()
        });
        told(timeout(HEALTH_PATIENCE, count).await.ok()??)
    }

    pub(super) async fn get(&self, dispatch: &Dispatch<Client>) -> Arc<Files> {
        let mut kept = self.kept.lock().await;
        let begun = dispatch.clock.instant();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > begun) {
            return kept.files.clone();
        }
        let (log, outbox) = (self.log.clone(), self.outbox.clone());
        let connections = self.connections.clone();
        let since_ms = dispatch.clock.now_ms() - DAY_MS;
        let read = move || {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            read(&log, &outbox, since_ms, &mut connections)
        };
        let files = Arc::new(dispatch.with_blocking(read).await);
        let now = dispatch.clock.instant();
        let took = now.saturating_duration_since(begun);
        *kept = Some(Kept {
            until: now + FRESH.max(took * SHARE),
            files: files.clone(),
        });
        files
    }
}

fn read(log: &Path, outbox: &Path, since_ms: i64, connections: &mut Connections) -> Files {
    let mut files = Files {
        log_bytes: size(log, ""),
        wal_bytes: size(log, "-wal"),
        outbox_bytes: size(outbox, ""),
        outbox_wal_bytes: size(outbox, "-wal"),
        ..Files::default()
    };
    if connections.log.is_none() {
        connections.log = Reader::open(log).ok();
    }
    if let Some(reader) = &connections.log {
        files.cursor = reader.cursor().ok();
        files.pending = pending(reader);
        files.aside = reader.set_aside_since(since_ms).ok();
    }
    if connections.outbox.as_ref().is_none_or(Tail::replaced) {
        // Only its ids are asked for, whatever is in its rows.
        connections.outbox = Tail::open(outbox, 0).ok();
    }
    if let Some(tail) = &mut connections.outbox {
        files.newest = tail.sequence().ok();
    }
    files
}

fn pending(reader: &Reader) -> Option<Vec<Pending>> {
    let counts = reader.pending().ok()?;
    let counts = counts.into_iter().map(|(webhook, count)| Pending {
        since_ms: reader.oldest_pending(&webhook).ok().flatten(),
        webhook,
        count,
    });
    Some(counts.collect())
}

fn size(path: &Path, more: &str) -> u64 {
    let mut path = path.as_os_str().to_owned();
    path.push(more);
    std::fs::metadata(path).map_or(0, |data| data.len())
}
