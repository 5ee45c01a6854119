//! Retention: what is older than its days goes, in small chunks between other work.
//!
//! Once an hour a mark notes how far the ids have come, so that rows are deleted by id range and
//! never searched by time. Pending work outlives the window. After a leap of the clock nothing goes
//! for a day, so that a wrong date alone deletes nothing. Rows of the outbox go by their own
//! number of days after they were taken, and only those that were.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Cursor, EventId, IdRange, Vfs};
use crate::outbox::{self, Finding, Kept, Pruned, Pruner, Tail};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::pipeline::shared::{Retention, chain, is_in_order};
use crate::store;
use crate::transport::Transport;

/// Rows deleted in one transaction: some 4 ms of the log's lock.
const CHUNK_ROWS: usize = 200;

/// Between two chunks the lock is free for at least so long.
const BREATHER: Duration = Duration::from_millis(8);

/// And so many times as long as the chunk took, so that a sweep costs deliveries a tenth of their
/// rate. That is 5,000 rows a second; a round that takes over half of the time until the next one is
/// behind, and leaves it at the [`BREATHER`].
const SHARE: u32 = 8;

/// After a log that was full or locked: its expired rows may be the very space that is short.
const AGAIN: Duration = Duration::from_secs(10);

const DAY_MS: i64 = 86_400_000;

impl<T: Transport> Dispatch<T> {
    /// Brings over what an earlier shape left, marks and sweeps until the pipeline stops.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass.
    pub async fn retain(self: Arc<Self>) -> Result<(), store::Error> {
        let mut stop = self.stopping();
        while !self.is_stopping() {
            let retention = self.running().retention();
            let kept = async {
                self.make_days(&retention).await;
                if !self.share().leads() {
                    // Whoever leads tells.
                    self.tell_refused(Vec::new());
                    return Ok(());
                }
                self.come_over().await?;
                self.sweep(&retention).await
            };
            let wait = match kept.await {
                Ok(()) => self.running().pace().marks,
                Err(error) if error.is_transient() => {
                    let (error, hint) = (chain(&error), error.hint());
                    tracing::warn!(
                        step = "delete expired rows",
                        error,
                        hint,
                        "trying again later"
                    );
                    self.running().pace().marks.min(AGAIN)
                }
                Err(error) => return Err(error),
            };
            let again = tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await;
            drop(again);
        }
        Ok(())
    }

    async fn sweep(self: &Arc<Self>, retention: &Retention) -> Result<(), store::Error> {
        // The whole round goes by one look at the clock: should it leap meanwhile, nobody has asked
        // whether that was a leap.
        let (now_ms, leapt) = self
            .with_store(|this, store| {
                let now_ms = this.clock().now_ms();
                store.mark(now_ms)?;
                Ok((now_ms, store.leapt()?))
            })
            .await?;
        if leapt && (retention.log_days, retention.outbox_days) != (0, 0) {
            tracing::info!(
                "more than a week passed at once, or the clock was set: no row is deleted for a day"
            );
            return Ok(());
        }
        self.sweep_log(retention, now_ms).await?;
        self.sweep_outbox(retention, now_ms).await
    }

    async fn sweep_log(
        self: &Arc<Self>,
        retention: &Retention,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        let days = i64::from(retention.log_days);
        if days == 0 {
            return Ok(());
        }
        self.drop_days(retention, now_ms - days * DAY_MS).await?;
        let (mut rows, begun) = (0, self.clock().instant());
        while !self.is_stopping() {
            let chunk = self.clock().instant();
            let limit = self.bounds().of(CHUNK_ROWS);
            let swept = self
                .with_store(move |_, store| store.sweep(now_ms - days * DAY_MS, limit))
                .await?;
            rows += swept.rows;
            if !swept.more {
                break;
            }
            self.breathe(begun, chunk).await;
        }
        if rows > 0 {
            tracing::info!(rows, days, "expired rows of the log deleted");
        }
        Ok(())
    }

    async fn sweep_outbox(
        self: &Arc<Self>,
        retention: &Retention,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        if retention.outbox_days == 0 {
            self.counters().standing.set(Matter::Kept, Vec::new());
            return Ok(());
        }
        let days = i64::from(retention.outbox_days);
        if let Some(server) = &retention.outbox_server {
            return self.sweep_server(server, days, now_ms).await;
        }
        let marks = self
            .with_store(move |_, store| {
                let mark = store.outbox_mark(now_ms - days * DAY_MS)?;
                Ok(mark.zip(store.cursor()?))
            })
            .await?;
        let Some(((generation, marked), cursor)) = marks else {
            return Ok(());
        };
        // Ids of a generation that is over were given again, to rows that may not be taken yet.
        if generation != cursor.generation {
            return Ok(());
        }
        let up_to = marked.min(cursor.event_id);
        let cursor = Arc::new(cursor);
        let (mut rows, begun) = (0, self.clock().instant());
        let (mut after, mut kept): (EventId, Option<Kept>) = (EventId::NONE, None);
        let ended = loop {
            if self.is_stopping() {
                return Ok(());
            }
            let chunk = self.clock().instant();
            let (path, cursor) = (retention.outbox.clone(), cursor.clone());
            let limits = (IdRange { after, up_to }, self.bounds().of(CHUNK_ROWS));
            let (max_data_bytes, vfs) = (self.max_data_bytes(), self.vfs());
            let deleted = self
                .with_blocking(move || {
                    prune((&path, vfs), max_data_bytes, limits, (&cursor, now_ms))
                })
                .await;
            match deleted {
                Ok(Pruned::Rows(done)) => {
                    rows += done.deleted;
                    kept = joined(kept, done.kept);
                    match done.next {
                        Some(next) => after = next,
                        None => break Ok(()),
                    }
                }
                // The application is writing: its work comes first.
                Ok(Pruned::Busy) => {}
                // The intake will see that, too, and go back.
                Ok(Pruned::Kept) => break Ok(()),
                Err(error) => break Err(error),
            }
            self.breathe(begun, chunk).await;
        };
        if rows > 0 {
            tracing::info!(rows, days, "dispatched rows of the outbox deleted");
        }
        let found = match ended {
            Ok(()) => kept.map(|kept| finding_of(&kept, &retention.outbox)),
            Err(error) => Some(Finding::of(&error, false)),
        };
        let standing = &self.counters().standing;
        standing.set(Matter::Kept, Vec::from_iter(found));
        Ok(())
    }

    /// Leaves the databases to others, in a round that began at `begun`, after a chunk that did at `chunk`.
    async fn breathe(&self, begun: Instant, chunk: Instant) {
        let now = self.clock().instant();
        let pause = if now - begun < self.running().pace().marks / 2 {
            BREATHER.max((now - chunk) * SHARE)
        } else {
            BREATHER
        };
        let mut stop = self.stopping();
        drop(tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await);
    }
}

/// What chunks kept, as one.
fn joined(before: Option<Kept>, more: Option<Kept>) -> Option<Kept> {
    match (before, more) {
        (Some(mut kept), Some(more)) => {
            kept.count += more.count;
            Some(kept)
        }
        (before, more) => before.or(more),
    }
}

/// Tells of rows that the application keeps: the journal whenever it is another story.
fn finding_of(kept: &Kept, outbox: &Path) -> Finding {
    let Kept { count, first, why } = kept;
    Finding {
        is_error: false,
        text: format!(
            "{count} dispatched rows of outbox {outbox:?} can't be deleted, the first is event \
             {first}: {why}"
        ),
        hint: Some(
            "a foreign key or a trigger of the application's keeps them; all others are deleted"
                .to_owned(),
        ),
    }
}

/// Deletes a chunk of rows between those ids, unless the outbox was put back and the intake has not seen
/// it yet: their ids may have been given again by now, to rows that nobody took.
pub(crate) fn prune(
    (path, vfs): (&Path, Vfs),
    max_data_bytes: usize,
    (between, rows): (IdRange<EventId>, usize),
    (cursor, now_ms): (&Cursor, i64),
) -> Result<Pruned, outbox::Error> {
    let mut pruner = Pruner::open(path, vfs)?;
    // Opened once, when first asked: a chunk of rows that the application keeps is asked for row by row.
    let mut opened = None;
    pruner.delete(between, rows, || {
        let tail = match opened.take() {
            Some(tail) => tail,
            None => Tail::open_by(vfs, path, max_data_bytes)?,
        };
        is_in_order(opened.insert(tail), cursor, now_ms)
    })
}
