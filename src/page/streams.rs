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

/// Looks of a flood that are held behind one that is told.
const HELD: u32 = 2;

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
    /// What waits to be told, where more comes than anybody reads.
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    batch: Option<Batch>,
    /// For how many looks more such a one is held.
    looks: u32,
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
    /// And so many that they come in a flood.
    pub(super) is_flood: bool,
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

impl Search {
    /// Tells those who look what was found; `None`: nothing new. In a flood most rows are passed over anyway, so only
    /// each third look is told, with the newest rows of it: that is a third of what sending them to a hundred pages
    /// costs, and no row is told later for it than a look after it was found.
    pub(super) fn told(&self, found: Option<Batch>) {
        let mut held = self.held.lock();
        let Some(found) = found else {
            // The flood is over.
            held.looks = 0;
            if let Some(batch) = held.batch.take() {
                self.tell.send_replace(Arc::new(batch));
            }
            return;
        };
        let is_flood = found.is_flood;
        let batch = match held.batch.take() {
            Some(before) => before.then(found),
            None => found,
        };
        if is_flood && held.looks > 0 {
            held.looks -= 1;
            held.batch = Some(batch);
            return;
        }
        held.looks = if is_flood { HELD } else { 0 };
        self.tell.send_replace(Arc::new(batch));
    }
}

impl Batch {
    /// Both, the later one's rows alone where that is a flood.
    fn then(mut self, later: Self) -> Self {
        if later.is_flood {
            return Self {
                after: self.after,
                ..later
            };
        }
        self.to = later.to;
        self.gap |= later.gap;
        self.whole = [&*self.whole, &*later.whole].concat().into();
        self.rows.extend(later.rows);
        self
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
            held: Arc::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(after: i64, to: i64, is_flood: bool) -> Batch {
        let row = Bytes::from(format!("row {to}\n"));
        Batch {
            after: AttemptId::new(after),
            to: AttemptId::new(to),
            rows: vec![(AttemptId::new(to), row.clone())],
            gap: is_flood,
            is_flood,
            whole: if is_flood {
                format!("gap\nrow {to}\n").into()
            } else {
                row
            },
        }
    }

    /// What a look tells whoever looks: from where to where, and the bytes; nothing where it is held.
    fn told(search: &Search, found: Option<Batch>) -> Option<(i64, i64, String)> {
        let mut told = search.tell.subscribe();
        search.told(found);
        if !told.has_changed().unwrap() {
            return None;
        }
        let batch = told.borrow_and_update();
        let whole = String::from_utf8(batch.whole.to_vec()).unwrap();
        assert_eq!(batch.rows.len(), whole.matches("row").count());
        Some((batch.after.get(), batch.to.get(), whole))
    }

    #[test]
    fn of_a_flood_each_third_look_is_told_and_of_anything_else_each() {
        let live = Live::default();
        let (_found, _) = live.join("", LogFilter::default());
        let search = live.searches().pop().unwrap();
        let some = |after, to, text: &str| Some((after, to, text.to_owned()));
        assert_eq!(
            told(&search, Some(batch(0, 1, false))),
            some(0, 1, "row 1\n")
        );
        let flood = |after, to| told(&live.searches()[0], Some(batch(after, to, true)));
        // The first is told at once, and each third behind it.
        assert_eq!(flood(1, 100), some(1, 100, "gap\nrow 100\n"));
        assert_eq!((flood(100, 200), flood(200, 300)), (None, None));
        assert_eq!(flood(300, 400), some(100, 400, "gap\nrow 400\n"));
        // What is held at the end is told by the next look, which found little or nothing.
        assert_eq!(flood(400, 500), None);
        let last = told(&search, Some(batch(500, 501, false)));
        assert_eq!(last, some(400, 501, "gap\nrow 500\nrow 501\n"));
        assert_eq!(flood(501, 600), some(501, 600, "gap\nrow 600\n"));
        assert_eq!(flood(600, 700), None);
        assert_eq!(told(&search, None), some(600, 700, "gap\nrow 700\n"));
        assert_eq!(told(&search, None), None);
    }
}
