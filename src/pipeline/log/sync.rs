//! Durability: once a second what was committed is synchronised, and the WAL kept short.
//!
//! No commit on the hot path waits for the disk, nor behind one that does: the synchronisation is a
//! checkpoint on a connection of its own beside the commits, and only where a reader prevents that
//! does a commit of the writer's wait for the disk instead. A power cut may cost the log its last
//! second, cursor and states together, so that those deliveries are made again. The writer is
//! stopped only for the last bit of a long WAL, so that it starts over even under steady load.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::model::crash;
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::chain;
use crate::store::{self, Checkpointer, WalBounds, WalState};
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Synchronises until the pipeline has stopped, and once more then.
    ///
    /// # Errors
    /// The log can't be written for a reason that will not pass.
    pub async fn keep_durable(
        self: Arc<Self>,
        mut checkpointer: Option<Checkpointer>,
        mut ended: oneshot::Receiver<()>,
    ) -> Result<(), store::Error> {
        while !self.next_second(&mut ended).await {
            let (mine, synchronised) = if self.log().take_tight() {
                (checkpointer, self.synchronise_alone().await)
            } else {
                self.synchronise(checkpointer).await
            };
            checkpointer = mine;
            match synchronised {
                Ok((state, bounds)) => {
                    self.watch_wal(state, bounds);
                    if self.counters().durable.tick(self.clock()) {
                        tracing::info!("the log is synchronised again");
                    }
                }
                Err(error) if error.is_transient() => {
                    let (text, hint) = (chain(&error), error.hint());
                    let heartbeat = &self.counters().durable;
                    if heartbeat.trouble(self.clock(), (text.clone(), hint.clone()), 0) {
                        tracing::warn!(
                            step = "synchronise the log",
                            error = text,
                            hint,
                            "a power cut now could have more sent again; trying again"
                        );
                    }
                    self.with_store(|_, log| log.not_synced()).await;
                }
                Err(error) => return Err(error),
            }
        }
        if !self.share().has_all() {
            // Who has others leaves behind its last write, and the log knows it no more (`nodes/tenure.rs`).
            return Ok(());
        }
        self.with_store(|this, store| store.flush(this.clock().now_ms()))
            .await
    }

    /// Waits until a second after the next commit, or for a WAL that is too long for its log; true when the
    /// pipeline has stopped.
    async fn next_second(&self, ended: &mut oneshot::Receiver<()>) -> bool {
        let second = async {
            self.log().unsynced().await;
            tokio::select! {
                biased;
                () = tokio::time::sleep(self.running().pace().durable) => {}
                () = self.log().hurried() => {}
            }
        };
        tokio::select! {
            biased;
            () = second => false,
            _ = ended => true,
        }
    }

    async fn synchronise(
        self: &Arc<Self>,
        checkpointer: Option<Checkpointer>,
    ) -> (
        Option<Checkpointer>,
        Result<(WalState, WalBounds), store::Error>,
    ) {
        crash::point("synchronise", "begun");
        let (bounds, rolled_up) = self
            .with_store(|this, log| {
                let rolled_up = log.roll_up(this.clock().now_ms());
                if rolled_up.is_ok() {
                    log.begin_sync();
                }
                (log.wal_bounds(), rolled_up)
            })
            .await;
        let Some(mut checkpointer) = checkpointer else {
            // A server keeps what it has committed by itself.
            let state = WalState::default();
            return (None, rolled_up.map(|()| (state, bounds)));
        };
        checkpointer.bound(bounds);
        let (checkpointer, synchronised) = self
            .with_blocking(move || {
                let synchronised = checkpointer.synchronise();
                crash::point("synchronise", "done");
                (checkpointer, synchronised)
            })
            .await;
        let done = match (rolled_up, synchronised) {
            (Ok(()), Ok(done)) => done,
            (Err(error), _) | (_, Err(error)) => return (Some(checkpointer), Err(error)),
        };
        let rest = self.with_store(move |this, log| {
            let mut state = done.state;
            if !done.durable {
                log.not_synced();
                log.flush(this.clock().now_ms())?;
            }
            if done.restart {
                state = log.checkpoint()?;
            }
            if state.wants_cut(bounds) {
                log.start_wal_over()?;
            }
            Ok(state)
        });
        let rest = if done.durable && !done.restart && !done.state.wants_cut(bounds) {
            Ok(done.state)
        } else {
            rest.await
        };
        (Some(checkpointer), rest.map(|state| (state, bounds)))
    }

    /// The same by the writer's own connection, under its lock: a log that is half above its size already
    /// has no room for what would be committed meanwhile.
    async fn synchronise_alone(self: &Arc<Self>) -> Result<(WalState, WalBounds), store::Error> {
        self.with_store(|this, log| {
            let (now_ms, bounds) = (this.clock().now_ms(), log.wal_bounds());
            log.roll_up(now_ms)?;
            log.begin_sync();
            let state = log.checkpoint()?;
            if state.left > 0 {
                log.not_synced();
                log.flush(now_ms)?;
            } else if state.pages > 0 {
                log.start_wal_over()?;
            }
            Ok((state, bounds))
        })
        .await
    }

    /// Says that a reader holds the WAL, and has it looked at again until none does.
    fn watch_wal(&self, state: WalState, bounds: WalBounds) {
        let (heartbeat, held) = (&self.counters().wal, state.held_bytes());
        self.counters()
            .wal_held_bytes
            .store(held, Ordering::Relaxed);
        if held > 0 {
            let mib = held >> 20;
            let text = format!(
                "the -wal of the log is {mib} MiB long and can't start over: a program keeps a \
                 transaction open in the log; `fuser` on the -wal lists who has it open"
            );
            if heartbeat.trouble(self.clock(), (text.clone(), None), 0) {
                tracing::warn!("{text}");
            }
        } else if heartbeat.tick(self.clock()) {
            tracing::info!("the -wal of the log starts over again");
        }
        if state.is_unfinished(bounds) || state.wants_cut(bounds) {
            self.log().look_again();
        }
    }
}
