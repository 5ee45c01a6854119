//! What a worker has in hand and does not send: it goes back into the queue, to the log, or nowhere where it was
//! cancelled by order.
//!
//! Left out: what is sent, and how it was taken (`lane`, `gather`).

use std::collections::HashSet;
use std::sync::Arc;

use super::{Leased, State};
use crate::model::{DeliveryId, Trigger};
use crate::pipeline::shared::LogGuard;

impl<E> State<E> {
    /// Puts back what could not be tried by a fault of our own, and returns how many bytes of it are queued: not
    /// those that were cancelled by order, and none where the lane was closed meanwhile, though it may be open
    /// again, or is paused: then the log alone knows what it is now.
    pub(crate) fn put_back(&mut self, taken: Leased<E>) -> usize {
        if self.target.is_none() || !self.keeps(&taken) {
            self.lose_all(&taken);
            return 0;
        }
        let is_whole = !taken.ids().any(|id| self.withdrawn.contains(&id));
        let mut bytes = 0;
        for mut due in taken.more.into_iter().rev().chain([taken.due]) {
            if self.withdrawn.contains(&due.id) {
                self.lose(due.id);
                continue;
            }
            if !is_whole {
                due.batch = None;
            }
            bytes += due.body.len();
            self.queue.push_front(due);
        }
        self.bytes += bytes;
        bytes
    }

    /// Whether what was taken is its still. Where the lane was closed it was cancelled, or will be; and where it was shut
    /// and is open again, others may have had it meanwhile: the log alone knows what it is now.
    fn keeps(&self, taken: &Leased<E>) -> bool {
        let was_shut = taken.shuts != self.shuts && !self.is_shut;
        let is_waited_for = taken.due.origin == Trigger::Test;
        taken.closed == self.closed && self.lets_pass(&taken.due) && (!was_shut || is_waited_for)
    }

    /// Has what was taken sent as today's configuration says, however long it waited. False where the
    /// lane was closed meanwhile, though it may be open again: it was cancelled, or will be; where the webhook is
    /// paused; or where it was cancelled by order.
    pub(crate) fn renew(&self, taken: &mut Leased<E>) -> bool {
        if let Some(target) = &self.target
            && !Arc::ptr_eq(target, &taken.target)
        {
            taken.target = target.clone();
        }
        self.keeps(taken) && !taken.ids().any(|id| self.withdrawn.contains(&id))
    }

    /// Whether a worker has it, or its result waits for the log.
    pub(crate) fn is_in_hand(&self, id: DeliveryId) -> bool {
        self.holds(id) && !self.queue.iter().any(|due| due.id == id)
    }

    /// Whether some of what was taken together was cancelled by order, and the rest is to go without it.
    pub(crate) fn is_divided(&self, taken: &Leased<E>) -> bool {
        self.keeps(taken) && !taken.ids().all(|id| self.withdrawn.contains(&id))
    }

    /// Lets go of what was cancelled by order, under the lock of that commit. True when the lane has become one
    /// to be filled again.
    pub(crate) fn withdraw(&mut self, _log: &LogGuard<'_>, ids: &HashSet<DeliveryId>) -> bool {
        let (held, bytes) = (&mut self.held, &mut self.bytes);
        self.queue.retain(|due| {
            let goes = ids.contains(&due.id);
            if goes {
                held.remove(&due.id);
                *bytes -= due.body.len();
            }
            !goes
        });
        self.part();
        // What is left of them is in a worker's hand, or waits for its record.
        self.withdrawn.extend(ids.intersection(&self.held));
        self.log_has_more && self.list_if_low()
    }
}
