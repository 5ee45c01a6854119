//! Gathering: which deliveries of a lane go together in one POST, and how long the first waits for others.
//!
//! What is pending goes at once where the webhook has no POST in flight. While it has one, more is gathered:
//! until there are as many as may go, until something else stands behind them, or until the oldest has waited
//! its time. Only neighbours of the queue go together, and only those that are alike: made for the same
//! reason, and with as many sends behind them. A batch that went already goes as it went.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Lane, Leased, State};
use crate::dialect;
use crate::model::{BatchRule, DeliveryId, Due, Trigger};

/// Events refused alone in a row after which a person is asked whether the receiver takes arrays: as many bad
/// ones behind each other, and none taken between, are few.
const REFUSED_ALONE: u32 = 3;

impl<E> Lane<E> {
    /// Takes note of a POST. True where it is time to ask whether the receiver takes arrays at all: every event
    /// since the last that was taken was refused alone as well.
    pub(crate) fn note_array(&self, is_taken: bool, is_refused_alone: bool) -> bool {
        if is_taken {
            self.refused_alone.store(0, Ordering::Relaxed);
            return false;
        }
        is_refused_alone && self.refused_alone.fetch_add(1, Ordering::Relaxed) + 1 == REFUSED_ALONE
    }
}

impl<E> Leased<E> {
    /// All that was taken, in their order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = DeliveryId> {
        std::iter::once(&self.due)
            .chain(&self.more)
            .map(|due| due.id)
    }

    /// Bytes of all their bodies.
    pub(crate) fn bytes(&self) -> usize {
        let more = self.more.iter().map(|due| due.body.len());
        self.due.body.len() + more.sum::<usize>()
    }
}

impl<E> State<E> {
    /// Whether several of its events go in one POST.
    pub(crate) fn is_batched(&self) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| target.webhook.batch.is_some())
    }

    /// How much longer the next POST waits for more to go with it, where there are `others` in flight.
    /// `None`: it goes now.
    pub(crate) fn gathers(&self, others: usize, now_ms: i64) -> Option<Duration> {
        let rule = self.target.as_ref()?.webhook.batch?;
        let first = self.queue.front()?;
        if others == 0 || first.batch.is_some() || !goes_with_others(first) {
            return None;
        }
        let alike = self.alike(first, rule);
        // What stands behind them is of another kind, or too much: they will not become more.
        if alike >= rule.max_events || alike < self.queue.len() {
            return None;
        }
        let waited = u64::try_from(now_ms - first.due_at_ms).unwrap_or(0);
        let left = rule.wait.saturating_sub(Duration::from_millis(waited));
        (!left.is_zero()).then_some(left)
    }

    /// In the order of the body, which is that of the events' ids.
    pub(crate) fn put_in_order(first: &mut Due, more: &mut [Due]) {
        let place = |due: &Due| (due.event_id, due.id);
        more.sort_by_key(place);
        if let Some(least) = more.first_mut()
            && place(least) < place(first)
        {
            std::mem::swap(first, least);
            more.sort_by_key(place);
        }
    }

    /// Some of the queue was let go of: what is left of a batch goes anew.
    pub(crate) fn part(&mut self) {
        let mut left: HashMap<DeliveryId, usize> = HashMap::new();
        for batch in self.queue.iter().filter_map(|due| due.batch.as_ref()) {
            *left.entry(batch.first()).or_default() += 1;
        }
        let is_parted = |due: &Due| {
            let batch = due.batch.as_ref();
            batch.is_some_and(|batch| left.get(&batch.first()) != Some(&batch.members.len()))
        };
        for due in self.queue.iter_mut().filter(|due| is_parted(due)) {
            due.batch = None;
        }
    }

    /// How many at the head of the queue go together, the first included.
    fn alike(&self, first: &Due, rule: BatchRule) -> usize {
        let mut bytes = dialect::BRACKETS;
        let fits = |due: &&Due| {
            bytes += due.body.len();
            let fits = bytes <= rule.max_bytes;
            bytes += 1;
            fits && is_alike(first, due)
        };
        let queue = self.queue.iter().take(rule.max_events);
        queue.take_while(fits).count().max(1)
    }

    /// Takes what goes with the delivery that was just taken.
    pub(super) fn take_with(&mut self, first: &Due, rule: BatchRule) -> Vec<Due> {
        let count = if let Some(batch) = &first.batch {
            let is_same = |due: &&Due| due.batch.as_ref().is_some_and(|b| Arc::ptr_eq(b, batch));
            self.queue.iter().take_while(is_same).count()
        } else if goes_with_others(first) {
            self.count_behind(first, rule)
        } else {
            0
        };
        self.queue.drain(..count).collect()
    }

    fn count_behind(&self, first: &Due, rule: BatchRule) -> usize {
        let mut bytes = dialect::BRACKETS + first.body.len();
        let fits = |due: &&Due| {
            bytes += 1 + due.body.len();
            bytes <= rule.max_bytes && is_alike(first, due)
        };
        let queue = self.queue.iter().take(rule.max_events.saturating_sub(1));
        queue.take_while(fits).count()
    }
}

/// Whether it goes in an array at all; a test goes alone in one.
fn goes_with_others(due: &Due) -> bool {
    dialect::is_batched(due.dialect) && due.origin != Trigger::Test
}

fn is_alike(first: &Due, due: &Due) -> bool {
    due.batch.is_none()
        && due.dialect == first.dialect
        && due.origin == first.origin
        && due.attempts == first.attempts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::model::{Batch, Dialect, EventId, PayloadId, Webhook};
    use crate::pipeline::send::target::Target;
    use crate::pipeline::shared::Bounds;
    use crate::store::Lost;

    const NOW_MS: i64 = 1_731_576_737_000;

    const RULE: BatchRule = BatchRule {
        max_events: 3,
        max_bytes: 100,
        wait: Duration::from_millis(50),
    };

    fn due(id: i64, attempts: u32, bytes: usize) -> Due {
        Due {
            id: DeliveryId::new(id),
            event_id: EventId::new(id),
            event: "e".into(),
            webhook: "w".into(),
            dialect: Dialect::OpenboxesLift,
            origin: Trigger::Event,
            attempts,
            due_at_ms: NOW_MS,
            created_at_ms: NOW_MS,
            payload_id: PayloadId::NONE,
            body: Bytes::from(vec![b'x'; bytes]),
            message: None,
            batch: None,
        }
    }

    fn with(dues: Vec<Due>, act: impl FnOnce(&mut State<()>)) {
        let lane = Lane::<()>::new("w".into(), Bounds::default(), Lost::default());
        let mut state = lane.lock();
        let webhook = Webhook {
            batch: Some(RULE),
            dialect: Dialect::OpenboxesLift,
            ..Webhook::sample("w", "http://127.0.0.1:9/hook")
        };
        state.target = Some(Arc::new(Target::new(Arc::new(webhook), ())));
        state.bytes = dues.iter().map(|due| due.body.len()).sum();
        state.queue = dues.into();
        act(&mut state);
    }

    /// How the queue goes, POST by POST.
    fn posts(dues: Vec<Due>) -> Vec<Vec<i64>> {
        let mut posts = Vec::new();
        with(dues, |state| {
            while let Some(taken) = state.take() {
                posts.push(taken.ids().map(DeliveryId::get).collect());
            }
            assert_eq!(state.bytes, 0);
        });
        posts
    }

    #[test]
    fn a_receiver_that_takes_none_alone_is_asked_about_once() {
        let lane = Lane::<()>::new("w".into(), Bounds::default(), Lost::default());
        let refused = |n| {
            (0..n)
                .map(|_| lane.note_array(false, true))
                .collect::<Vec<_>>()
        };
        assert!(!lane.note_array(false, false), "a batch that was split");
        assert_eq!(refused(5), [false, false, true, false, false]);
        assert!(!lane.note_array(true, false));
        assert_eq!(refused(3), [false, false, true]);
    }

    #[test]
    fn neighbours_that_are_alike_go_together_up_to_the_limits() {
        let alike = (1..=7).map(|id| due(id, 0, 10)).collect();
        assert_eq!(posts(alike), [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        // 2 for the brackets and 1 for each comma: 48 and 49 fit, 49 and 49 don't.
        let large = [48, 49, 49, 49, 200, 5].into_iter().zip(1..);
        let large = large.map(|(bytes, id)| due(id, 0, bytes)).collect();
        assert_eq!(
            posts(large),
            [vec![1, 2], vec![3], vec![4], vec![5], vec![6]]
        );
        let mut odd: Vec<Due> = (1..=5).map(|id| due(id, u32::from(id == 2), 5)).collect();
        odd[3].origin = Trigger::Test;
        odd[4].dialect = Dialect::BoldCms;
        assert_eq!(posts(odd), [vec![1], vec![2], vec![3], vec![4], vec![5]]);
    }

    #[test]
    fn what_goes_together_is_in_the_order_of_its_events() {
        let mut dues: Vec<Due> = (1..=3).map(|id| due(id, 0, 5)).collect();
        for (due, event) in dues.iter_mut().zip([7, 9, 5]) {
            due.event_id = EventId::new(event);
        }
        assert_eq!(posts(dues), [vec![3, 1, 2]]);
    }

    #[test]
    fn what_went_together_goes_together_whatever_the_limits() {
        let batch = Arc::new(Batch {
            name: "batch-1".into(),
            members: (1..=4).map(DeliveryId::new).collect(),
        });
        let mut dues: Vec<Due> = (1..=6).map(|id| due(id, 1, 40)).collect();
        for due in &mut dues[..4] {
            due.batch = Some(batch.clone());
        }
        assert_eq!(posts(dues), [vec![1, 2, 3, 4], vec![5, 6]]);
    }

    #[test]
    fn what_is_gathered_waits_only_beside_a_post_and_only_for_its_time() {
        let some = || vec![due(1, 0, 10), due(2, 0, 10)];
        let left = |dues, others, ms| {
            let mut left = None;
            with(dues, |state| left = state.gathers(others, NOW_MS + ms));
            left
        };
        assert_eq!(left(some(), 0, 0), None, "nothing is in flight");
        assert_eq!(left(some(), 1, 20), Some(Duration::from_millis(30)));
        assert_eq!(left(some(), 1, 50), None, "its time is over");
        assert_eq!(
            left(some(), 1, -9),
            Some(RULE.wait),
            "a clock that went back"
        );
        let whole = (1..=3).map(|id| due(id, 0, 10)).collect();
        assert_eq!(left(whole, 1, 0), None, "as many as may go");
        let other = vec![due(1, 0, 10), due(2, 1, 10)];
        assert_eq!(left(other, 1, 0), None, "another kind stands behind it");
    }
}
