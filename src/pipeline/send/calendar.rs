//! The calendar: when webhooks have rows due in the log, and which lanes run low.
//!
//! At most a few entries for each webhook, however many retries wait: the earliest due time that is
//! known. It reads nothing; `log/refill.rs` works it off.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::lane::Lane;

/// A UNIX millisecond, and the webhook that has rows due then.
type Entry = (i64, Arc<str>);

/// When lanes have rows due, and which run low.
pub(crate) struct Calendar<E> {
    /// Each once: a later time is entered again after every earlier one that came between.
    entries: Mutex<BTreeSet<Entry>>,
    low: Mutex<Vec<Arc<Lane<E>>>>,
    changed: Notify,
}

impl<E> Default for Calendar<E> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            low: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl<E> Calendar<E> {
    /// Notes that rows of the lane are due then.
    pub(crate) fn enter(&self, at_ms: i64, lane: &Lane<E>) {
        self.entries.lock().insert((at_ms, lane.name.clone()));
        self.changed.notify_one();
    }

    /// Has the times looked at anew: another one than an entry may be the next.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Asks for a lane to be filled from the log.
    pub(crate) fn list(&self, lane: &Arc<Lane<E>>) {
        self.low.lock().push(lane.clone());
        self.changed.notify_one();
    }

    /// Waits for a new entry, or a lane that runs low.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Puts lanes back that could not be filled. Wakes nobody, for the log is to be left alone a while.
    pub(crate) fn list_again(&self, lanes: impl Iterator<Item = Arc<Lane<E>>>) {
        self.low.lock().extend(lanes);
    }

    pub(crate) fn listed(&self) -> Vec<Arc<Lane<E>>> {
        std::mem::take(&mut *self.low.lock())
    }

    /// Takes an entry whose time has come.
    pub(crate) fn come_due(&self, now_ms: i64) -> Option<(i64, Arc<str>)> {
        let mut entries = self.entries.lock();
        let (at_ms, _) = entries.first()?;
        if *at_ms > now_ms {
            return None;
        }
        entries.pop_first()
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        let entries = self.entries.lock();
        entries.first().map(|(at_ms, _)| *at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::shared::Bounds;

    #[test]
    fn a_far_time_that_is_entered_after_each_near_one_is_there_once() {
        let calendar = Calendar::<()>::default();
        let lane = Lane::new("w".into(), Bounds::default(), crate::store::Lost::default());
        for near_ms in 0..1_000 {
            calendar.enter(near_ms, &lane);
            assert_eq!(calendar.come_due(near_ms), Some((near_ms, "w".into())));
            calendar.enter(3_600_000, &lane);
        }
        assert_eq!(calendar.next_ms(), Some(3_600_000));
        assert!(calendar.come_due(3_600_000).is_some());
        assert_eq!(calendar.next_ms(), None);
    }
}
