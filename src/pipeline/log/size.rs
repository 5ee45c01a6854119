//! The log's size: beyond `max_size` the oldest finished work goes before its days are over.
//!
//! While the log is full in spite of it the intake waits (`shared/hold.rs`). A look costs two `stat`s. One comes a moment after a commit, the sooner the less room there is, and
//! none where nothing is committed. Above the limit chunks of old work are deleted one behind the other
//! until the rest fits. The log's lock is fair, so the intake, the recorder and a chunk come in turns:
//! where what is in use has grown from one chunk to the next in spite of it, the next is twice as large,
//! and larger soon than all that the others write in a turn, so deletion keeps up with any intake. Where
//! it shrinks, chunks get smaller again and leave the others as much time as they took.
//!
//! Work that is pending is never deleted. Where that alone is too large it is told, and the log grows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{LogPlace, bytes};
use crate::outbox::Finding;
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::pipeline::shared::{Retention, chain};
use crate::store::{self, Shrunk, SizeBounds, WalBounds};
use crate::transport::Transport;

/// Deliveries deleted in one transaction: at the least some 4 ms of the log's lock, and at the most more
/// than are admitted and recorded in between.
const CHUNK_ROWS: (usize, usize) = (200, 3_200);

/// Nobody writes faster, in bytes for each millisecond: a look comes before the room is gone.
const MOST_BYTES_A_MS: u64 = 1_000_000;

/// Between a commit and the look at what it came to.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The same while a small chunk makes the log smaller: a pause is no longer than this.
const BREATHER: Duration = Duration::from_millis(8);

/// After a log that was full or locked.
const AGAIN: Duration = Duration::from_secs(2);

/// The journal is told again when nothing had to go for so long.
const QUIET: Duration = Duration::from_secs(86_400);

/// What one run of the process keeps from one look to the next.
#[derive(Default)]
struct Memory {
    /// When something last went before its time.
    deleted: Option<Instant>,
    /// Whether it was said that what is pending is too much.
    stuck: bool,
}

impl<T: Transport> Dispatch<T> {
    /// Keeps the log below its size until the pipeline stops.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass.
    pub async fn keep_small(self: Arc<Self>) -> Result<(), store::Error> {
        let mut stop = self.stopping();
        let mut settings = self.running().retention_changes();
        let (mut memory, mut bounded) = (Memory::default(), None);
        while !self.is_stopping() {
            let retention = settings.borrow_and_update().clone();
            let fitted = self.keep_to(&retention, &mut bounded, &mut memory).await;
            let look = async {
                match fitted {
                    Ok(None) => std::future::pending().await,
                    Ok(Some(wait)) => {
                        let later = async {
                            self.log().grown().await;
                            tokio::time::sleep(wait).await;
                        };
                        tokio::select! {
                            biased;
                            () = self.log().urged() => {}
                            () = later => {}
                        }
                    }
                    Err(error) if error.is_transient() => {
                        let (error, hint) = (chain(&error), error.hint());
                        tracing::debug!(
                            step = "delete old rows",
                            error,
                            hint,
                            "trying again later"
                        );
                        tokio::time::sleep(AGAIN).await;
                    }
                    Err(error) => return Err(error),
                }
                Ok(())
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                _ = settings.changed() => {}
                looked = look => looked?,
            }
        }
        Ok(())
    }

    /// Deletes until the log fits, by the size of the moment; returns how long after the next commit to look
    /// again, or that there is no size to keep.
    async fn keep_to(
        self: &Arc<Self>,
        retention: &Retention,
        bounded: &mut Option<u64>,
        memory: &mut Memory,
    ) -> Result<Option<Duration>, store::Error> {
        let max_bytes = retention.log_max_bytes;
        if max_bytes != *bounded {
            let bounds = WalBounds::of(max_bytes);
            let holds = self.log().runtime().holds;
            let size = max_bytes.filter(|_| holds);
            self.log().hold().limit(size);
            self.with_store(move |_, log| {
                log.bound_wal(bounds)?;
                log.limit_size(size.map(SizeBounds::of));
                Ok(())
            })
            .await?;
            self.log().hold().set_stuck(false);
            self.tell_pending(memory, None);
            *bounded = max_bytes;
        }
        match max_bytes {
            None => Ok(None),
            Some(most) => self.fit(retention, most, memory).await.map(Some),
        }
    }

    /// Deletes until the log fits; returns how long after the next commit to look again.
    async fn fit(
        self: &Arc<Self>,
        retention: &Retention,
        max_bytes: u64,
        memory: &mut Memory,
    ) -> Result<Duration, store::Error> {
        let bounds = SizeBounds::of(max_bytes);
        let (mut rows, mut before) = (CHUNK_ROWS.0, None);
        // Of several nodes one sees to it.
        if retention.log.server().is_some() && !self.share().leads() {
            return Ok(self.running().pace().size);
        }
        loop {
            let (begun, limit) = (self.clock().instant(), self.bounds().of(rows));
            let (this, log) = (self.clone(), retention.log.clone());
            let keep_days = retention.log_days;
            let (whole, shrunk) = self
                .with_blocking(move || {
                    if let Some(shed) = this.shed(&log, &bounds, keep_days)? {
                        return Ok((0, shed));
                    }
                    let (file, wal) = store::log_size(&log);
                    let sizes = log.file().map(|_| (file, wal));
                    this.look(sizes, max_bytes, &bounds, limit)
                        .map(|shrunk| (file + wal, shrunk))
                })
                .await?;
            self.tell(retention, max_bytes, memory, shrunk);
            if !shrunk.more || self.is_stopping() {
                if retention.log.server().is_some() {
                    return Ok(self.running().pace().size);
                }
                let room = (max_bytes + max_bytes / 2).saturating_sub(whole);
                let wait = Duration::from_millis(room / MOST_BYTES_A_MS);
                return Ok(wait.clamp(LOOK.0, LOOK.1));
            }
            let grows = before.is_none_or(|before| shrunk.used >= before);
            before = Some(shrunk.used);
            if grows {
                rows = (rows * 2).min(CHUNK_ROWS.1);
            } else {
                rows = (rows / 2).max(CHUNK_ROWS.0);
                if self.log().hold().is_full() {
                    continue;
                }
                let pause = (self.clock().instant() - begun).min(BREATHER);
                let mut stop = self.stopping();
                drop(tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await);
            }
        }
    }

    /// Of a log in PostgreSQL the oldest day, where the log is too large; `None`: there is none, and rows may have to go.
    /// Blocks.
    fn shed(
        &self,
        log: &LogPlace,
        bounds: &SizeBounds,
        keep_days: u32,
    ) -> Result<Option<Shrunk>, store::Error> {
        let Some(server) = log.server() else {
            return Ok(None);
        };
        let (shrunk, gone) = store::shed_days(server, bounds, self.clock().now_ms())?;
        // Retention tells of it, where there is one.
        if keep_days == 0 {
            self.tell_refused(gone.refused);
        }
        Ok(shrunk)
    }

    /// One look, and a chunk where the log is too large; of one that is in no file the server is asked. Blocks.
    fn look(
        self: &Arc<Self>,
        sizes: Option<(u64, u64)>,
        max_bytes: u64,
        bounds: &SizeBounds,
        limit: usize,
    ) -> Result<Shrunk, store::Error> {
        self.log().look_at_size();
        let now_ms = self.clock().now_ms();
        if let Some((file, wal)) = sizes {
            // It is no shorter than it was cut to, however little of it is in use.
            if wal > bounds.wal.cut_bytes() {
                self.log().hurry(file + wal > max_bytes + max_bytes / 4);
            }
            // What is not in the file yet is in the WAL.
            if file + wal <= bounds.used {
                return Ok(Shrunk::default());
            }
        }
        let held = |webhook: &str, id| {
            let lane = self.lane(webhook);
            lane.is_some_and(|lane| lane.holds(id))
        };
        let mut log = self.store();
        log.shrink(bounds, limit, now_ms, &held)
    }

    fn tell(&self, retention: &Retention, max_bytes: u64, memory: &mut Memory, shrunk: Shrunk) {
        if shrunk.deleted > 0 {
            self.log().hold().went();
            let now = self.clock().instant();
            let quiet = memory.deleted.is_none_or(|last| now - last >= QUIET);
            memory.deleted = Some(now);
            let deleted = u64::try_from(shrunk.deleted).unwrap_or(0);
            self.counters()
                .deleted_early
                .fetch_add(deleted, Ordering::Relaxed);
            if quiet {
                tracing::warn!(
                    max_size = bytes::typed(max_bytes),
                    keep_days = retention.log_days,
                    "the log has reached its max_size: from now on the oldest finished deliveries go \
                     before their days are over"
                );
            }
        }
        let is_large = shrunk.used > SizeBounds::of(max_bytes).file;
        self.log().hold().set_stuck(shrunk.stuck && is_large);
        if shrunk.stuck && is_large {
            self.tell_pending(memory, Some(max_bytes));
        } else if !shrunk.stuck && !shrunk.more {
            self.tell_pending(memory, None);
        }
    }

    /// Says that what is pending is more than the log may have, or no longer.
    fn tell_pending(&self, memory: &mut Memory, max_bytes: Option<u64>) {
        if memory.stuck == max_bytes.is_some() {
            return;
        }
        memory.stuck = max_bytes.is_some();
        let finding = max_bytes.map(|max_bytes| Finding {
            is_error: false,
            text: format!(
                "what is pending is more than the log's max_size of {}: none of it is deleted, and the \
                 log grows",
                bytes::typed(max_bytes)
            ),
            hint: Some(
                "`webhooksd status` says which webhook does not take its deliveries, `webhooksd cancel` \
                 ends them; max_size can be raised by a reload"
                    .to_owned(),
            ),
        });
        self.counters()
            .standing
            .set(Matter::Size, Vec::from_iter(finding));
    }
}
