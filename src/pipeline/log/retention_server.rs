//! Retention of an outbox in PostgreSQL: rows whose days are over and that were taken, in small chunks.
//!
//! Its ids say when they were given, and its snapshot which rows were taken, so no marks are needed.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Server;
use crate::outbox::{self, Finding, postgres};
use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::standing::Matter;
use crate::store;
use crate::transport::Transport;

/// Rows of one statement: some milliseconds of the server's.
const CHUNK_ROWS: usize = 500;

/// Between two chunks.
const BREATHER: Duration = Duration::from_millis(20);

const DAY_MS: i64 = 86_400_000;

impl<T: Transport> Dispatch<T> {
    /// Deletes what was taken and is older than so many days.
    pub(super) async fn sweep_server(
        self: &Arc<Self>,
        server: &Arc<Server>,
        days: i64,
        now_ms: i64,
    ) -> Result<(), store::Error> {
        let cursor = self.with_store(|_, store| store.cursor()).await?;
        let Some(at) = cursor.and_then(|cursor| cursor.snapshot) else {
            return Ok(());
        };
        let (this, server) = (self.clone(), server.clone());
        let before_ms = now_ms - days * DAY_MS;
        // One thread for all chunks: its connection is not to be handed about.
        let deleting = move || -> Result<u64, outbox::Error> {
            let mut tail = postgres::Tail::open(&server, 0)?;
            let mut all = 0;
            // Of another database the snapshot says nothing.
            while tail.is_of(&at) && !this.is_stopping() {
                let rows = this.bounds().of(CHUNK_ROWS);
                let deleted = tail.prune(before_ms, &at.seen, rows)?;
                all += deleted;
                if deleted < rows as u64 {
                    break;
                }
                std::thread::park_timeout(BREATHER);
            }
            Ok(all)
        };
        let found = match self.with_blocking(deleting).await {
            Ok(0) => None,
            Ok(rows) => {
                tracing::info!(rows, days, "dispatched rows of the outbox deleted");
                None
            }
            // The intake tells of a server that is away.
            Err(error) if error.may_pass() && !error.is_refused() => None,
            Err(error) => Some(Finding::of(&error, false)),
        };
        let standing = &self.counters().standing;
        standing.set(Matter::Kept, Vec::from_iter(found));
        Ok(())
    }
}
