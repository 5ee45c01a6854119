//! What the files say: pending deliveries, how far the outbox was taken, sizes.
//!
//! Read through connections of its own, never under the writer's lock, by one reader at a time, and
//! kept for a second or ten times as long as the reading took: whoever asks a hundred times a second
//! costs no more than who asks once. Sizes are asked of the path, for opening a database's file and
//! closing it again would drop the process's locks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex as Shared;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::about::About;
use crate::model::{EventId, LogPlace};
use crate::outbox::Tail;
use crate::pipeline::Dispatch;
use crate::store::{self, Count, Holding, LastFailure, LogReader};
use crate::transport::Transport;

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
pub(crate) struct Pending {
    /// The webhook's name.
    pub webhook: String,
    /// How many, exactly.
    pub count: i64,
    /// When the one that is due first was made, UNIX milliseconds.
    pub since_ms: Option<i64>,
    /// How many of them wait for their turn, counted to a limit.
    pub held: i64,
}

/// What the files said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// The webhooks that have some pending; `None` where the log could not be read, or only in brief.
    pub pending: Option<Vec<Pending>>,
    /// What was given up and holds its line, by webhook.
    pub holding: Vec<(String, Holding)>,
    /// What is pending in all; exact but for a reading in brief.
    pub pending_in_all: Option<Count>,
    /// The active webhook that failed last, by a reading in brief.
    pub last_failure: Option<LastFailure>,
    /// The last event that was taken in.
    pub cursor: Option<EventId>,
    /// The highest id of the outbox; `None` where it could not be read.
    pub newest: Option<EventId>,
    /// Rows that were set aside in the last day.
    pub aside: Option<i64>,
    /// The log's size.
    pub log_bytes: u64,
    /// Of the log's WAL.
    pub wal_bytes: u64,
    /// When the oldest attempt of finished work was made, UNIX milliseconds.
    pub oldest_ms: Option<i64>,
    /// The outbox's size.
    pub outbox_bytes: u64,
    /// Of the outbox's WAL.
    pub outbox_wal_bytes: u64,
}

impl Files {
    /// Events of the outbox that were not taken in yet.
    #[must_use]
    pub(crate) fn lag(&self) -> Option<i64> {
        Some(self.newest?.distance_from(self.cursor?).max(0))
    }

    /// What somebody should see to, as the files say it.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<String> {
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
    log: Option<Box<dyn LogReader>>,
    outbox: Option<Tail>,
}

impl Connections {
    /// Where something of the log could not be read its connection may have ended: the next reading opens another.
    fn let_go_of_log(&mut self, failed: bool) {
        self.log.take_if(|_| failed);
    }
}

struct Kept {
    until: Instant,
    files: Arc<Files>,
}

/// The reading, and what it said last.
pub(crate) struct Reading {
    log: LogPlace,
    outbox: PathBuf,
    kept: Mutex<Option<Kept>>,
    connections: Arc<Shared<Connections>>,
    /// For what health asks of the log: it must not wait for a reading of the outbox.
    of_health: Arc<Shared<Option<Box<dyn LogReader>>>>,
}

impl Reading {
    /// Of the daemon's files. Nothing is opened yet.
    #[must_use]
    pub(crate) fn new(about: &About) -> Self {
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
    pub(crate) async fn warning<T: Transport>(&self, dispatch: &Dispatch<T>) -> Option<String> {
        let (log, reader) = (self.log.clone(), self.of_health.clone());
        let since_ms = dispatch.clock().now_ms() - DAY_MS;
        let count = dispatch.with_blocking(move || {
            let mut reader = reader.try_lock()?;
            if reader.is_none() {
                *reader = store::read_log(&log).ok();
            }
            let count = reader.as_ref()?.set_aside_since(since_ms).ok();
            // Of a server's it may have ended: the next look opens another.
            reader.take_if(|_| count.is_none());
            count
        });
        told(timeout(HEALTH_PATIENCE, count).await.ok()??)
    }

    /// All that the files say, as it is now or was a moment ago.
    pub(crate) async fn whole<T: Transport>(&self, dispatch: &Dispatch<T>) -> Arc<Files> {
        let mut kept = self.kept.lock().await;
        let begun = dispatch.clock().instant();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > begun) {
            return kept.files.clone();
        }
        let (log, outbox) = (self.log.clone(), self.outbox.clone());
        let connections = self.connections.clone();
        let since_ms = dispatch.clock().now_ms() - DAY_MS;
        let read = move || {
            let mut connections = connections.lock();
            read(&log, &outbox, since_ms, &mut connections)
        };
        let files = Arc::new(dispatch.with_blocking(read).await);
        let now = dispatch.clock().instant();
        let took = now.saturating_duration_since(begun);
        *kept = Some(Kept {
            until: now + FRESH.max(took * SHARE),
            files: files.clone(),
        });
        files
    }

    /// What is pending in all and what failed last, within some 5 ms whatever the backlog: for who asks
    /// every few seconds, all the time.
    pub(crate) async fn brief<T: Transport>(&self, dispatch: &Dispatch<T>) -> Files {
        let (log, connections) = (self.log.clone(), self.connections.clone());
        let read = move || {
            let mut connections = connections.lock();
            let mut files = Files::default();
            if let Some(reader) = log_of(&mut connections, &log) {
                files.pending_in_all = reader.pending_in_all().ok();
                files.last_failure = reader.last_failure().ok().flatten();
            }
            connections.let_go_of_log(files.pending_in_all.is_none());
            files
        };
        dispatch.with_blocking(read).await
    }
}

fn log_of<'a>(connections: &'a mut Connections, log: &LogPlace) -> Option<&'a dyn LogReader> {
    if connections.log.is_none() {
        connections.log = store::read_log(log).ok();
    }
    connections.log.as_deref()
}

fn read(log: &LogPlace, outbox: &Path, since_ms: i64, connections: &mut Connections) -> Files {
    let (log_bytes, wal_bytes) = store::log_size(log);
    let (outbox_bytes, outbox_wal_bytes) = store::size(outbox);
    let mut files = Files {
        log_bytes,
        wal_bytes,
        outbox_bytes,
        outbox_wal_bytes,
        ..Files::default()
    };
    if let Some(reader) = log_of(connections, log) {
        if let Some(bytes) = reader.bytes() {
            files.log_bytes = bytes;
        }
        files.cursor = reader.cursor().ok();
        files.oldest_ms = reader.oldest().ok().flatten();
        files.pending = pending(reader);
        files.holding = reader.holding().unwrap_or_default();
        files.aside = reader.set_aside_since(since_ms).ok();
        let all = files.cursor.is_some() && files.pending.is_some() && files.aside.is_some();
        connections.let_go_of_log(!all);
    }
    files.pending_in_all = files.pending.as_ref().map(|pending| Count {
        count: pending.iter().map(|pending| pending.count).sum(),
        more: false,
    });
    if connections.outbox.as_ref().is_none_or(Tail::replaced) {
        // Only its ids are asked for, whatever is in its rows.
        connections.outbox = Tail::open(outbox, 0).ok();
    }
    if let Some(tail) = &mut connections.outbox {
        files.newest = tail.sequence().ok();
    }
    files
}

fn pending(reader: &dyn LogReader) -> Option<Vec<Pending>> {
    let counts = reader.pending().ok()?;
    let counts = counts.into_iter().map(|(webhook, count)| Pending {
        since_ms: reader.oldest_pending(&webhook).ok().flatten(),
        held: (reader.held_of(&webhook).ok().flatten()).map_or(0, |held| held.count.count),
        webhook,
        count,
    });
    Some(counts.collect())
}
