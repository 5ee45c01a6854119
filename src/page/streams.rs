//! The streams of live rows that are open: how many, for which searches, and what was found for them.
//!
//! Left out: the look into the log, and how a stream is answered (`live`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::model::AttemptId;
use crate::store::LogFilter;

/// Streams at a time; the next page has none, and says so. A stream takes a connection.
pub(super) const STREAMS: usize = 128;

/// The streams of all pages of a process.
pub(super) struct Live {
    pub(super) places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The searches that somebody looks at.
    searches: HashMap<String, Search>,
    /// Whether somebody looks into the log for them.
    looks: bool,
}

#[derive(Clone)]
pub(super) struct Search {
    pub(super) filter: LogFilter,
    pub(super) tell: watch::Sender<Arc<Batch>>,
}

/// What a look found.
#[derive(Default)]
pub(super) struct Batch {
    /// The attempts behind this one and up to that one were looked at.
    pub(super) after: AttemptId,
    pub(super) to: AttemptId,
    /// The rows, the oldest first, as they are sent.
    pub(super) rows: Vec<(AttemptId, Bytes)>,
    /// Others were passed over.
    pub(super) gap: bool,
    /// All of it as one piece, which those who had everything before share.
    pub(super) whole: Bytes,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(STREAMS)),
            state: Mutex::default(),
        }
    }
}

impl Live {
    /// Ends the streams that there are; their browsers begin others, as far as they are let in.
    pub(super) fn cut(&self) {
        self.state.lock().searches.clear();
    }

    /// Ends the streams that there are, and has no others.
    pub(super) fn end(&self) {
        self.places.close();
        self.cut();
    }

    /// Takes part in what is found for a search from now on; whether nobody looks into the log yet, so that the caller
    /// has to.
    pub(super) fn join(
        &self,
        searched: &str,
        filter: LogFilter,
    ) -> (watch::Receiver<Arc<Batch>>, bool) {
        let mut state = self.state.lock();
        let search = state.searches.entry(searched.to_owned());
        let search = search.or_insert_with(|| Search {
            filter,
            tell: watch::Sender::default(),
        });
        let found = search.tell.subscribe();
        let is_first = !std::mem::replace(&mut state.looks, true);
        (found, is_first)
    }

    /// The searches that somebody still looks at. Where there are none, nobody looks for them any more.
    pub(super) fn searches(&self) -> Vec<Search> {
        let mut state = self.state.lock();
        state
            .searches
            .retain(|_, search| search.tell.receiver_count() > 0);
        state.looks = !state.searches.is_empty();
        state.searches.values().cloned().collect()
    }
}
