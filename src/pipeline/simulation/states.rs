//! What the log must say of every delivery, looked at after every commit of the product.
//!
//! A delivery begins as pending and leaves that state by a recorded attempt, or cancelled while
//! nobody serves its webhook or because somebody asked for it, and by nothing else. The log's pending deliveries are compared with
//! those as a whole, by their number and the sum of their ids, so that each commit is judged in a
//! few microseconds; only where these differ are they looked for one by one.

use std::collections::BTreeSet;

use super::oracle::{Oracle, Sent, Try};
use super::vendors::delay_ms;
use crate::model::{Bodies, Dialect};
use crate::store::person::Attempted;

impl Oracle {
    /// The product committed a transaction of that step.
    pub(super) fn committed(&mut self, step: &'static str) {
        if self.person.is_none() || self.broken.is_some() {
            return;
        }
        self.count(step);
        match step {
            "register webhooks" => {
                if let Some(coming) = self.coming.take() {
                    self.routes = coming;
                }
            }
            "record attempts" => {
                self.observe();
                self.bodies_are_right();
            }
            "admit events" => {
                self.observe();
                self.admitted();
                self.owed = self.person().debts();
            }
            "make owed deliveries" => self.paid(),
            "set the cursor" => self.cursor_set(),
            "cancel deliveries" => self.cancelled(),
            "cancel by order" => self.cancelled_by_order(),
            "write a mark" | "delete old marks" | "write the roll-up" => return,
            _ => {}
        }
        self.look_at_own(step);
        self.pending_is_right(step);
    }

    /// Each debt becomes one delivery, and what was not paid is still owed.
    fn paid(&mut self) {
        let made = self.person().paid_after(self.last_delivery);
        self.observe();
        for debt in made {
            if !self.owed.remove(&debt) {
                self.broke(&format!("{debt:?} was paid, and not owed"));
            }
        }
        let left = self.person().debts();
        if left != self.owed {
            let should = &self.owed;
            self.broke(&format!("{left:?} is owed, and should be {should:?}"));
        }
    }

    fn serves(&self, webhook: &str) -> bool {
        let mut all = self.routes.iter();
        all.any(|w| *w.name == *webhook && w.active)
    }

    fn close(&mut self, id: i64, state: &'static str) {
        if self.open.remove(&id) {
            self.open_sum -= id;
        }
        self.sent.entry(id).or_default().state = state;
    }

    /// What nobody serves may be cancelled.
    fn cancelled(&mut self) {
        let unserved = |id: &i64| {
            let sent = self.sent.get(id);
            sent.is_some_and(|sent| !self.serves(&sent.webhook))
        };
        let cancelled = |id: &i64| {
            let row = self.person().delivery(*id);
            row.is_some_and(|row| row.state == "cancelled")
        };
        let ids: Vec<i64> = (self.open.iter().copied())
            .filter(|id| unserved(id) && cancelled(id))
            .collect();
        for id in ids {
            self.close(id, "cancelled");
        }
    }

    /// What was asked for is.
    fn cancelled_by_order(&mut self) {
        let asked: Vec<i64> = self.ordered.intersection(&self.open).copied().collect();
        for id in asked {
            self.close(id, "cancelled");
        }
    }

    /// Where the log keeps the bodies of what failed alone, it keeps those, and no others.
    fn bodies_are_right(&mut self) {
        if self.bodies == Bodies::All {
            return;
        }
        let (lacking, left) = (self.person().bodies_lacking(), self.person().bodies_left());
        if (lacking, left) != (0, 0) {
            self.broke(&format!(
                "{lacking} bodies are needed and gone, {left} answers of what was delivered are kept"
            ));
        }
    }

    /// Nothing is lost: what must be pending is, and nothing else.
    fn pending_is_right(&mut self, step: &str) {
        let (count, sum) = self.person().pending_sum();
        if usize::try_from(count) == Ok(self.open.len()) && sum == self.open_sum {
            return;
        }
        let pending: BTreeSet<i64> = self.person().pending().iter().map(|row| row.id).collect();
        for id in &self.open - &pending {
            let row = self.person().delivery(id);
            self.broke(&format!(
                "{step}: delivery {id} must be pending, and is {row:?}"
            ));
        }
        for id in &pending - &self.open {
            let state = self.sent.get(&id).map(|sent| sent.state);
            self.broke(&format!(
                "{step}: delivery {id} is pending, and was {state:?}"
            ));
        }
    }

    /// Compares what the log says of attempts and deliveries with what was seen.
    pub(super) fn observe(&mut self) {
        for row in self.person().deliveries_after(self.last_delivery) {
            self.last_delivery = row.id;
            let sent = self.sent.entry(row.id).or_default();
            (sent.webhook, sent.state) = (row.webhook, "pending");
            self.open.insert(row.id);
            self.open_sum += row.id;
        }
        for row in self.person().attempts_after(self.last_attempt) {
            self.last_attempt = row.id;
            let process = self.process;
            let sent = self.sent.entry(row.delivery_id).or_default();
            let fits = |t: &&mut Try| {
                !t.recorded && t.process == process && t.number == row.number && t.ended.is_some()
            };
            let Some(seen) = sent.tries.iter_mut().find(fits) else {
                self.broke(&format!(
                    "the log has an attempt that no endpoint saw: {row:?}"
                ));
                continue;
            };
            seen.recorded = true;
            let seen = seen.clone();
            self.unrecorded -= 1;
            let outcome = match seen.status {
                Some(200..=299) if !seen.meant.named => "delivered",
                _ if seen.meant.split => "retry",
                _ if seen.number >= seen.sends => "failed",
                _ => "retry",
            };
            // A success counts whatever became of the delivery meanwhile.
            let gives_up = outcome == "failed" && sent.state == "pending";
            if outcome == "delivered" || gives_up {
                self.close(row.delivery_id, outcome);
            }
            if gives_up {
                self.gave_up(row.delivery_id);
            }
            if (outcome, seen.status) != (row.outcome.as_str(), row.status) {
                self.broke(&format!(
                    "the log says {row:?}, and it was {outcome}: {seen:?}"
                ));
            }
            self.follows(&row, &seen);
        }
    }

    /// What follows from a recorded attempt is in the log with it.
    fn follows(&mut self, row: &Attempted, seen: &Try) {
        let id = row.delivery_id;
        let state = self.sent.get(&id).map_or("", |sent| sent.state);
        let Some(delivery) = self.person().delivery(id) else {
            return self.broke(&format!("{row:?} is of no delivery"));
        };
        let sends = row.number - u32::from(seen.meant.split);
        if delivery.state != state || delivery.attempts != sends {
            self.broke(&format!("after {row:?} it is {delivery:?}, not {state}"));
        }
        if state != "pending" {
            return;
        }
        let dialect = Dialect::from_name(&delivery.dialect).unwrap();
        let least_ms = match seen.meant.split {
            true => 0,
            false => delay_ms(dialect, row.number),
        };
        let most_ms = match dialect {
            Dialect::BoldFactory | Dialect::StandardWebhooks => least_ms + least_ms / 10,
            Dialect::BoldCms | Dialect::OpenboxesLift => least_ms,
        };
        // A clock that went back while the result waited makes it wait from now on.
        let now_ms = self
            .clock
            .as_ref()
            .map_or(i64::MAX, |(clock, _)| clock.now_ms());
        let since_ms = seen.ended_wall_ms.min(now_ms);
        let delay_ms = delivery.due_at_ms.unwrap_or(i64::MAX) - since_ms;
        let (earliest_ms, latest_ms) = self.asked_by(id, row.number);
        let least_ms = least_ms.max(earliest_ms - since_ms);
        let most_ms = most_ms.max(latest_ms - since_ms);
        // What was split waits for its turn as well, where that is another's.
        let is_held = seen.meant.split && self.person().is_held(id);
        if !is_held && !(least_ms..=most_ms).contains(&delay_ms) {
            self.broke(&format!(
                "after {row:?} it waits {delay_ms} ms, not {least_ms} to {most_ms}"
            ));
        }
    }

    /// Every delivery was delivered, given up after its schedule, or cancelled, and the log says so
    /// unless it is over its days.
    pub(super) fn look_at_every_delivery(&mut self) {
        let right = |(id, sent): (&i64, &Sent)| match self.person().delivery(*id) {
            _ if sent.state == "pending" => Err((*id, None)),
            Some(row) if row.state != sent.state => Err((*id, Some(row))),
            _ => Ok(()),
        };
        let wrong = self.sent.iter().map(right).find_map(Result::err);
        if let Some((id, row)) = wrong {
            let sent = self.sent.get(&id);
            self.broke(&format!(
                "at the end delivery {id} is {row:?}, and the endpoint saw {sent:?}"
            ));
        }
    }
}
