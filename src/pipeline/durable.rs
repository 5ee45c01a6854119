//! Durability: once a second what was committed is synchronised, and the WAL kept short.
//!
//! No commit on the hot path waits for the disk. A power cut may cost the log its last second,
//! cursor and states together, so that those deliveries are made again. The bulk of a checkpoint
//! runs on a connection of its own beside the commits; only the little that was written meanwhile
//! is done under the log's lock, so that the WAL starts over even under steady load.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dispatch::Dispatch;
use crate::store::{self, Checkpointer};
use crate::transport::Transport;

/// A WAL of so many pages (16 MiB of 8 KiB pages) is checkpointed.
const CHECKPOINT_PAGES: u64 = 2_048;

impl<T: Transport> Dispatch<T> {
    /// Synchronises until the pipeline has stopped, and once more then.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass.
    pub async fn keep_durable(
        self: Arc<Self>,
        checkpointer: Checkpointer,
        mut ended: tokio::sync::oneshot::Receiver<()>,
    ) -> Result<(), store::Error> {
        let mut checkpointer = Some(checkpointer);
        loop {
            let last = tokio::select! {
                () = self.results.dirtied.notified() => {
                    tokio::select! {
                        () = tokio::time::sleep(self.pace.durable) => false,
                        _ = &mut ended => true,
                    }
                }
                _ = &mut ended => true,
            };
            self.results.dirty.store(false, Ordering::Release);
            let flushed = self
                .with_store(|this, store| store.flush(this.clock.now_ms()))
                .await;
            match flushed {
                Ok(()) => {}
                Err(error) if error.is_transient() && !last => {
                    tracing::warn!(step = "synchronise the log", %error, "trying again");
                    self.results.mark_dirty();
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Some(mine) = checkpointer.take() {
                checkpointer = Some(self.checkpoint(mine).await?);
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn checkpoint(
        self: &Arc<Self>,
        mut checkpointer: Checkpointer,
    ) -> Result<Checkpointer, store::Error> {
        let (checkpointer, first) = self
            .with_blocking(move || {
                let state = match checkpointer.state() {
                    Ok(state) if state.left >= CHECKPOINT_PAGES => checkpointer.passive().map(Some),
                    Ok(_) => Ok(None),
                    Err(error) => Err(error),
                };
                (checkpointer, state)
            })
            .await;
        let rest = match first {
            Ok(None) => Ok(()),
            Ok(Some(_)) => self
                .with_store(|_, store| store.checkpoint())
                .await
                .map(drop),
            Err(error) => Err(error),
        };
        match rest {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                tracing::warn!(step = "checkpoint the log", %error, "the WAL grows meanwhile");
            }
            Err(error) => return Err(error),
        }
        Ok(checkpointer)
    }
}
