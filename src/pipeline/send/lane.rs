//! A lane: one webhook's queue in memory, and what is known of the rest of it in the log.
//!
//! A lane is bounded. What does not fit stays in the log as pending rows, and `log_has_more` says that
//! there are such rows due by now; while it is set nothing is queued past them, so a webhook gets
//! its deliveries in the order in which they are due. `held` are the ids that this process has
//! taken out of the log and not yet recorded: a refill passes them over.
//!
//! Plain data behind a short lock: no I/O, no time, no spawning. `dispatch` and `worker` move it. Other
//! wings can't lock it: they see its [`Load`]. What is right only while the log is locked takes its guard.

mod gather;
mod hand;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::pace::{Opens, Spacing};
use super::pacing::{UNANSWERED, UNHEARD};
use super::probe::Probe;
use super::target::Target;
use crate::model::{Attempt, Clock, DeliveryId, Due, Rate, Trigger};
use crate::pipeline::shared::counters::Tally;
use crate::pipeline::shared::{Bounds, LogGuard};
use crate::store::Lost;

/// Deliveries queued in memory for one webhook: two batches of the intake.
pub(crate) const QUEUE_ROWS: usize = 2_048;

/// Bytes of bodies queued in memory for one webhook, before what comes next is left in the log.
pub(super) const QUEUE_BYTES: usize = 2 << 20;

/// One webhook's queue.
pub(crate) struct Lane<E> {
    pub(super) name: Arc<str>,
    tally: Tally,
    /// Attempts in a row that got no answer.
    unanswered: AtomicU32,
    /// Attempts begun since the last answer.
    unheard: AtomicU32,
    /// Events that were refused alone in an array, since one was taken.
    refused_alone: AtomicU32,
    /// Results that wait for the log.
    unrecorded: AtomicUsize,
    state: Mutex<State<E>>,
}

/// What a lane knows; see the module's text.
pub(super) struct State<E> {
    /// `None` once the webhook is inactive or has left the configuration.
    pub(super) target: Option<Arc<Target<E>>>,
    pub(super) queue: VecDeque<Due>,
    /// The most rows in it.
    queue_rows: usize,
    pub(super) bytes: usize,
    /// Whether the webhook is paused: see `gate`.
    pub(super) is_shut: bool,
    pub(super) probe: Probe,
    held: HashSet<DeliveryId>,
    /// Those of them that were cancelled by order while a worker had them: not sent, unless they are already.
    withdrawn: HashSet<DeliveryId>,
    /// Where to say that one of those was let go of without a record.
    lost: Lost,
    /// Rows and bytes that are promised to what is being written.
    promised: (usize, usize),
    /// Something of what is being written was turned away: nothing behind it is taken.
    overflows: bool,
    /// Requests in flight, or just about to be.
    pub(super) active: usize,
    /// Bytes of their bodies.
    flying_bytes: usize,
    /// Whether the next delivery waited for bytes in flight: whoever lands looks again.
    waits_for_bytes: bool,
    /// Whether the log may hold due rows that are not in memory.
    pub(super) log_has_more: bool,
    /// Whether the lane is on the list of those to be filled again.
    listed: bool,
    /// The lane is listed when its queue is no longer than this: half of what it had when it could
    /// take no more, in time before it runs dry and not for each row.
    low_rows: usize,
    /// Whether somebody comes back when what is gathered has waited long enough.
    pub(super) is_gathering: bool,
    /// Whether the lane is in the line for a permit above its floor.
    pub(super) in_line: bool,
    /// Whether the lane has got something of the batch that is being handed out.
    pub(super) touched: bool,
    /// Deliveries taken so far, for the intake to see whether the lane moves.
    pub(super) taken: u64,
    /// The earliest later due time in the log that the calendar has an entry for.
    pub(super) next_due_ms: Option<i64>,
    /// How often the lane was closed. What was taken before a close was cancelled with the rest.
    closed: u32,
    /// How often its gate was shut. What was taken before that may have become another node's meanwhile.
    pub(super) shuts: u32,
    /// When the next request may begin.
    pub(super) spacing: Spacing,
}

/// How a lane is at a moment, for those who only look.
pub(crate) struct Load {
    /// Requests that may be in flight; none where the webhook gets nothing.
    pub(crate) limit: Option<usize>,
    /// How many may begin in a second; none where that is any number.
    pub(crate) rate: Option<Rate>,
    /// Until when the endpoint asked to wait, UNIX milliseconds, where that is not over.
    pub(crate) held_until_ms: Option<i64>,
    /// Requests in flight, or just about to be.
    pub(crate) in_flight: usize,
    /// Deliveries in memory that wait.
    pub(crate) queued: usize,
    /// Bytes of their bodies.
    #[cfg_attr(not(test), expect(dead_code, reason = "the simulation adds them up"))]
    pub(crate) queued_bytes: usize,
    /// Whether several of its events go in one POST.
    pub(crate) is_batched: bool,
    /// Deliveries taken so far: it moves where this does.
    pub(crate) taken: u64,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the simulation looks who waits")
    )]
    pub(crate) is_in_line: bool,
    /// Whether nothing of it is in this process's hands.
    pub(crate) is_idle: bool,
}

/// What a worker gets to send.
pub(super) struct Leased<E> {
    pub(super) due: Due,
    /// What goes with it in the same POST.
    pub(super) more: Vec<Due>,
    pub(super) target: Arc<Target<E>>,
    /// The lane has just become one to be filled again.
    pub(super) refill: bool,
    /// How often the lane had been closed by then.
    closed: u32,
    /// How often it had been shut.
    shuts: u32,
}

impl<E> Lane<E> {
    pub(super) fn new(name: Arc<str>, bounds: Bounds, lost: Lost) -> Self {
        let state = State {
            target: None,
            queue: VecDeque::new(),
            queue_rows: bounds.of(QUEUE_ROWS),
            bytes: 0,
            is_shut: false,
            probe: Probe::No,
            held: HashSet::new(),
            withdrawn: HashSet::new(),
            lost,
            promised: (0, 0),
            overflows: false,
            active: 0,
            flying_bytes: 0,
            waits_for_bytes: false,
            log_has_more: false,
            listed: false,
            low_rows: 0,
            is_gathering: false,
            in_line: false,
            touched: false,
            taken: 0,
            next_due_ms: None,
            closed: 0,
            shuts: 0,
            spacing: Spacing::default(),
        };
        Self {
            name,
            tally: Tally::default(),
            unanswered: AtomicU32::new(0),
            unheard: AtomicU32::new(0),
            refused_alone: AtomicU32::new(0),
            unrecorded: AtomicUsize::new(0),
            state: Mutex::new(state),
        }
    }

    /// The webhook's name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its attempts since the start.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How it is at this moment.
    pub(crate) fn load(&self) -> Load {
        self.load_at(i64::MAX)
    }

    /// The same, with what its endpoint asked for at that time.
    pub(crate) fn load_at(&self, now_ms: i64) -> Load {
        let state = self.lock();
        let webhook = state.target.as_ref().map(|t| &t.webhook);
        Load {
            limit: webhook.map(|webhook| webhook.max_in_flight),
            rate: webhook.and_then(|webhook| webhook.max_per_second),
            held_until_ms: state.spacing.held_until_ms(now_ms),
            in_flight: state.active,
            queued: state.queued(),
            queued_bytes: state.queued_bytes(),
            is_batched: state.is_batched(),
            taken: state.taken,
            is_in_line: state.in_line,
            is_idle: state.is_idle(),
        }
    }

    /// Whether this process has that delivery in hand. An answer that lasts needs the log's lock.
    pub(crate) fn holds(&self, id: DeliveryId) -> bool {
        self.lock().holds(id)
    }

    /// Results that wait for the log.
    pub(super) fn unrecorded(&self) -> usize {
        // Relaxed: it decides whether one more is sent, and hands nothing over.
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// So many results of it wait for the log.
    pub(super) fn count_unrecorded(&self, results: usize) {
        self.unrecorded.fetch_add(results, Ordering::Relaxed);
    }

    /// A result of it is in the log.
    pub(super) fn count_recorded(&self, attempt: &Attempt) {
        self.tally.count(attempt);
        // A lane stays until the last of its results is here, so this never falls below none.
        self.unrecorded.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes note of an attempt's end.
    pub(super) fn note_answer(&self, answered: bool) {
        if answered {
            self.unanswered.store(0, Ordering::Relaxed);
            self.unheard.store(0, Ordering::Relaxed);
        } else {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether its endpoint has stopped to answer, as far as is known.
    pub(super) fn is_silent(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= UNANSWERED
    }

    /// Whether its deliveries go one at a time.
    pub(super) fn is_ordered(&self) -> bool {
        self.lock().is_ordered()
    }

    /// Whether an attempt that begins now takes its turn: nothing has come back of those before it.
    pub(super) fn takes_turns(&self) -> bool {
        self.unheard.fetch_add(1, Ordering::Relaxed) >= UNHEARD || self.is_silent()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock()
    }
}

impl<E> State<E> {
    /// Whether its deliveries go one at a time.
    pub(super) fn is_ordered(&self) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| target.webhook.order.is_some())
    }

    /// Promises to take a delivery of so many bytes that is about to be written, if there is room.
    pub(super) fn promise(&mut self, bytes: usize, most_bytes: usize) -> bool {
        let rows = self.queue.len() + self.promised.0;
        let full = rows >= self.queue_rows || self.bytes + self.promised.1 >= most_bytes;
        if !self.takes_some() || self.log_has_more || self.overflows || full && rows > 0 {
            self.overflows = true;
            return false;
        }
        self.promised.0 += 1;
        self.promised.1 += bytes;
        true
    }

    /// What was promised has been taken, or was not written. Returns how many bytes it was.
    pub(super) fn keep_promises(&mut self) -> usize {
        self.overflows = false;
        std::mem::take(&mut self.promised).1
    }

    /// Takes note that a delivery was left in the log. True when the lane has become one to be filled
    /// again.
    pub(super) fn left(&mut self) -> bool {
        if !self.takes_some() {
            return false;
        }
        if !self.log_has_more {
            self.log_has_more = true;
            self.low_rows = self.queue.len() / 2;
        }
        self.list_if_low()
    }

    /// Queues a row that was read back from the log.
    pub(super) fn push(&mut self, _log: &LogGuard<'_>, due: Due) {
        self.held.insert(due.id);
        self.bytes += due.body.len();
        self.queue.push_back(due);
    }

    /// Queues a delivery before all others: a person waits for it.
    pub(super) fn push_first(&mut self, _log: &LogGuard<'_>, due: Due) {
        self.held.insert(due.id);
        self.bytes += due.body.len();
        self.queue.push_front(due);
    }

    /// The next delivery to send.
    pub(super) fn take(&mut self) -> Option<Leased<E>> {
        let target = self.target.clone()?;
        let mut due = self.has_next().then(|| self.queue.pop_front())??;
        let mut more = match target.webhook.batch {
            None => Vec::new(),
            Some(rule) => self.take_with(&due, rule),
        };
        if !more.is_empty() && due.batch.is_none() {
            Self::put_in_order(&mut due, &mut more);
        }
        let mut taken = Leased {
            due,
            more,
            target,
            refill: false,
            closed: self.closed,
            shuts: self.shuts,
        };
        let bytes = taken.bytes();
        self.bytes -= bytes;
        self.flying_bytes += bytes;
        self.taken += 1 + taken.more.len() as u64;
        taken.refill = self.log_has_more && self.list_if_low();
        Some(taken)
    }

    /// Whether the next delivery may fly as well, where so many bytes may. One always may.
    pub(super) fn next_fits(&mut self, most_bytes: usize) -> bool {
        let next = self.queue.front().map_or(0, |due| due.body.len());
        let fits = self.flying_bytes == 0 || self.flying_bytes + next <= most_bytes;
        self.waits_for_bytes |= !fits;
        fits
    }

    /// A request of so many bytes has ended. True where others waited for that.
    pub(super) fn landed(&mut self, bytes: usize) -> bool {
        self.flying_bytes -= bytes;
        std::mem::take(&mut self.waits_for_bytes)
    }

    /// Lets go of a delivery whose attempt is in the log: under the lock of that commit. Whether it was
    /// cancelled by order meanwhile.
    pub(super) fn recorded(&mut self, _log: &LogGuard<'_>, id: DeliveryId) -> bool {
        self.held.remove(&id);
        // Nearly always it is empty, and nothing is to be hashed for that.
        !self.withdrawn.is_empty() && self.withdrawn.remove(&id)
    }

    /// Lets go of a delivery without a record: only the log knows what is to become of it.
    pub(crate) fn lose(&mut self, id: DeliveryId) {
        self.held.remove(&id);
        self.withdrawn.remove(&id);
        self.lost.tell();
    }

    /// The same of all that was taken together.
    pub(super) fn lose_all(&mut self, taken: &Leased<E>) {
        taken.ids().for_each(|id| self.lose(id));
    }

    /// Whether this process has that delivery in hand.
    pub(super) fn holds(&self, id: DeliveryId) -> bool {
        self.held.contains(&id)
    }

    /// How many more rows and bytes the queue takes; an empty one takes a row whatever its size.
    pub(super) fn room(&self, most_bytes: usize) -> (usize, usize) {
        let bytes = most_bytes.saturating_sub(self.bytes);
        let least = usize::from(self.queue.is_empty());
        (
            self.queue_rows.saturating_sub(self.queue.len()),
            bytes.max(least),
        )
    }

    /// Whether the next delivery's request may begin.
    pub(super) fn opens(&self, clock: &Clock) -> Opens {
        let next = self.queue.front();
        let is_test = next.is_some_and(|due| due.origin == Trigger::Test);
        self.spacing.opens(is_test, clock)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active == 0 && self.held.is_empty()
    }

    /// Notes a later due time of a row in the log. True when the calendar needs an entry for it.
    pub(super) fn note_due(&mut self, at_ms: i64) -> bool {
        if !self.takes_some() || self.next_due_ms.is_some_and(|known| known <= at_ms) {
            return false;
        }
        self.next_due_ms = Some(at_ms);
        true
    }

    /// A time of the calendar has come: rows may be due. True when the lane is to be filled.
    pub(super) fn came_due(&mut self, at_ms: i64) -> bool {
        if self.next_due_ms.is_some_and(|known| known <= at_ms) {
            self.next_due_ms = None;
        }
        if self.is_shut {
            return false;
        }
        self.log_has_more = true;
        self.list_if_low()
    }

    /// Takes note of a refill: whether the log may hold more that is due.
    pub(super) fn refilled(&mut self, more: bool) {
        self.listed = false;
        self.log_has_more = more;
        self.low_rows = self.queue.len() / 2;
    }

    /// Directs the lane to a target, or closes it and lets go of what was queued.
    pub(super) fn reconfigure(&mut self, _log: &LogGuard<'_>, target: Option<Arc<Target<E>>>) {
        self.target = target;
        if self.target.is_none() {
            self.closed = self.closed.wrapping_add(1);
            // What is in flight, too: it is cancelled with the rest.
            self.lost.tell();
            while let Some(due) = self.queue.pop_front() {
                self.lose(due.id);
            }
            self.bytes = 0;
            self.log_has_more = false;
            self.next_due_ms = None;
            self.spacing.close();
        }
    }

    fn list_if_low(&mut self) -> bool {
        self.queue.len() <= self.low_rows && self.list()
    }

    /// Puts it among those to be filled. True where it was not.
    pub(super) fn list(&mut self) -> bool {
        !std::mem::replace(&mut self.listed, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_often_and_says_nothing_takes_turns_until_it_answers() {
        let lane = Lane::<()>::new("w".into(), Bounds::default(), Lost::default());
        assert_eq!((0..UNHEARD).filter(|_| lane.takes_turns()).count(), 0);
        assert!(lane.takes_turns(), "none of 64 has been answered");
        lane.note_answer(true);
        assert!(!lane.takes_turns());
        (0..UNANSWERED).for_each(|_| lane.note_answer(false));
        assert!(lane.takes_turns(), "four ended without an answer");
    }
}
