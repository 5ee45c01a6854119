//! What people ask for: deliveries are cancelled, and webhooks want only some events.
//!
//! Only in weeks from [`FROM`] on: those before are what they were; chance is a stream of its own. The oracle holds
//! that what was cancelled has no attempt that begins behind the commit, so behind the answer; that an answer
//! says what is; and by a judge of its own who wants what.

use super::super::process::{Process, lock};
use super::super::rng::Rng;
use super::{World, ordered};
use crate::model::DeliveryId;
use crate::store::{CancelError, Withdrawal};

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 16_000_000_000;

/// The chance of such a week's orders.
pub(super) fn rng(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 13))
}

/// The chance of its filters.
pub(super) fn filtering(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 12))
}

impl World {
    /// Sometimes some deliveries are cancelled: one, a few, or those of a webhook; and one that has ended.
    pub(super) async fn cancel(&mut self, process: &Process) {
        let Some(mut rng) = self.asked.take() else {
            return;
        };
        if rng.in_thousand(150) {
            let ids = self.any_to_cancel(&mut rng);
            if !ids.is_empty() {
                self.cancel_these(process, ids).await;
            }
        }
        self.asked = Some(rng);
    }

    fn any_to_cancel(&self, rng: &mut Rng) -> Vec<i64> {
        let mut oracle = lock(&self.oracle);
        oracle.observe();
        let pending = oracle.person().pending();
        let mut ids: Vec<i64> = Vec::new();
        if !pending.is_empty() {
            let one = rng.of(&pending);
            ids = match rng.from(0, 2) {
                0 => vec![one.id],
                1 => (0..rng.from(2, 8)).map(|_| rng.of(&pending).id).collect(),
                _ => (pending.iter())
                    .filter(|row| row.webhook == one.webhook)
                    .map(|row| row.id)
                    .collect(),
            };
        }
        if rng.in_thousand(100) {
            ids.push(oracle.last_delivery + 1_000_000);
        }
        let mut ended = oracle
            .sent
            .iter()
            .filter(|(_, sent)| sent.state != "pending");
        if rng.in_thousand(200)
            && let Some((id, _)) = ended.next_back()
        {
            ids.push(*id);
        }
        ids
    }

    async fn cancel_these(&self, process: &Process, ids: Vec<i64>) {
        {
            let mut oracle = lock(&self.oracle);
            oracle.ordered.extend(&ids);
            oracle.note(&format!("cancel {ids:?}"));
        }
        let asked = ids.into_iter().map(DeliveryId::new).collect();
        let answers = process.dispatch.cancel(asked).await;
        let mut oracle = lock(&self.oracle);
        oracle.ordered.clear();
        oracle.observe();
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return oracle.note(&format!("not cancelled: {error}")),
        };
        for (id, answer) in answers {
            let id = id.get();
            let state = oracle.sent.get(&id).map(|sent| sent.state);
            // A success of what had begun counts.
            let fits = match answer {
                // What was given up and holds an order lets go of it, and stays so.
                Ok(Withdrawal::LetGo) => state == Some("failed") && ordered::is_such(oracle.orders),
                Ok(Withdrawal::Cancelled) => matches!(state, Some("cancelled" | "delivered")),
                Err(CancelError::Again(_)) => {
                    ordered::is_such(oracle.orders) && state.is_some_and(|state| state != "pending")
                }
                Err(CancelError::Ended) => state.is_some_and(|state| state != "pending"),
                Err(CancelError::Unknown) => oracle.person().delivery(id).is_none(),
            };
            if !fits {
                oracle.broke(&format!("cancel {id}: {answer:?}, and it is {state:?}"));
            }
        }
    }
}
