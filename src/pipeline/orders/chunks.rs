//! Chunks: what is made in bulk is made in small ones with a pause after each, so that the log's lock is
//! free most of the time and a webhook's own live events wait behind few of them.

use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::send::{Dispatch, Lane};
use crate::transport::Transport;

/// Deliveries made in one transaction: some 2 ms of the log's lock, and of a fast endpoint's time.
pub(super) const CHUNK_ROWS: usize = 100;

/// A lane with no more than this queued is ready for the next chunk.
const READY_ROWS: usize = 32;

/// The longest wait after a chunk for lanes to be ready: an endpoint that is down would else hold up
/// the deliveries of all the others.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The log's lock is free for this many times as long as a chunk held it, and at least for 2 ms.
const PAUSE_SHARE: (u32, Duration) = (4, Duration::from_millis(2));

impl<T: Transport> Dispatch<T> {
    /// How many ids at most go into one call of [`redeliver`](Self::redeliver).
    #[must_use]
    pub fn chunk_rows(&self) -> usize {
        CHUNK_ROWS
    }

    /// The pause after a chunk that held the log for `took`.
    pub(super) async fn let_others_through(
        &self,
        lanes: &[Arc<Lane<T::Endpoint>>],
        took: Duration,
    ) {
        let mut pause = (took * PAUSE_SHARE.0).clamp(PAUSE_SHARE.1, LONGEST_PAUSE);
        let mut waited = Duration::ZERO;
        loop {
            tokio::time::sleep(pause).await;
            waited += pause;
            let ready = self.unrecorded() <= CHUNK_ROWS
                && lanes.iter().all(|lane| lane.load().queued <= READY_ROWS);
            if ready || waited >= LONGEST_PAUSE || self.is_stopping() {
                return;
            }
            pause = PAUSE_SHARE.1;
        }
    }
}
