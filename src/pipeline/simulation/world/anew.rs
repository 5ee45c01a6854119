//! Ids that an application gives again by itself: its newest rows deleted and the counter set back to
//! what is left, or the whole table refilled in one transaction, with the counter set back and without.
//!
//! Chance is a stream of its own, and only of weeks from [`FROM`] on: those before are what they were. What
//! the product can't tell (see `evidence`) is left out by construction: each new row has data of its own
//! and a time later than all; one taken row alone is never replaced; and between the deed and the
//! product's look at it no clock is turned, no row is changed, and none comes that can't be sent.
//!
//! The oracle holds that each new row is taken, and that the cursor goes back only where ids of taken rows
//! are given again. Rows between the newest print and those that were deleted are sent once more, which
//! is no fault.

use super::super::process::lock;
use super::super::rng::Rng;
use super::super::rows::OutboxRow;
use super::super::subscriptions::{EVENTS, TENANTS};
use super::World;
use crate::outbox::application::{self, Refill};

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 4_000_000_000;

/// The most of the newest rows that are deleted.
const MOST: usize = 20;

/// The chance of such a week.
pub(super) fn rng(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 9))
}

impl World {
    /// Whether ids were given again that the product has not looked at.
    pub(super) fn is_given_again(&self) -> bool {
        lock(&self.oracle).given_again
    }

    /// Sometimes rows go, and others come in their place.
    pub(super) fn replace(&mut self, now_ms: i64) {
        let Some(mut rng) = self.anew.take() else {
            return;
        };
        if rng.in_thousand(60) && self.can_be_told(now_ms) {
            if rng.in_thousand(500) {
                let most = *rng.of(&[1, 10, 60]);
                let refill = Refill {
                    after: 0,
                    set_back: rng.in_thousand(500),
                    // By statements of their own the table is seen empty, which `empty` has.
                    at_once: true,
                };
                self.refill(&mut rng, &refill, 1, most, now_ms);
                lock(&self.oracle).count("tables refilled");
            } else {
                self.give_newest_again(&mut rng, now_ms);
            }
        }
        self.anew = Some(rng);
    }

    /// Whether what is written now is surely later than all that was, and nothing else is in question.
    fn can_be_told(&self, now_ms: i64) -> bool {
        let newest_ms = application::newest_ms(self.files.outbox());
        let oracle = lock(&self.oracle);
        now_ms >= self.latest_ms.max(1)
            && newest_ms.is_none_or(|newest_ms| newest_ms < now_ms)
            && oracle.columns.is_empty()
            && !oracle.given_again
    }

    fn give_newest_again(&mut self, rng: &mut Rng, now_ms: i64) {
        let ids = application::ids_after(self.files.outbox(), 0);
        if ids.len() < 2 {
            return;
        }
        let count = rng.size(2, ids.len().min(MOST));
        let deleted = &ids[ids.len() - count..];
        let cursor = lock(&self.oracle).cursor.1;
        if deleted.iter().filter(|id| **id <= cursor).count() == 1 {
            return;
        }
        let refill = Refill {
            after: deleted[0] - 1,
            set_back: true,
            at_once: rng.in_thousand(500),
        };
        self.refill(rng, &refill, 0, 2 * count, now_ms);
        lock(&self.oracle).count("newest rows given again");
    }

    fn refill(&mut self, rng: &mut Rng, refill: &Refill, least: usize, most: usize, now_ms: i64) {
        let count = rng.size(least, most);
        let rows: Vec<OutboxRow> = (0..count)
            .map(|_| {
                self.numbers += 1;
                let number = self.numbers;
                let tenant = rng.in_thousand(300).then(|| *rng.of(&TENANTS));
                OutboxRow {
                    number,
                    event: (*rng.of(&EVENTS)).into(),
                    data: format!("{{\"n\":{number}}}"),
                    tenant: tenant.map(Into::into),
                    bad: false,
                    key: rng.in_thousand(200).then(|| format!("key-{number}")),
                }
            })
            .collect();
        let written: Vec<_> = (rows.iter())
            .map(|row| application::Written {
                event: &row.event,
                data: row.data.clone(),
                tenant: row.tenant.as_deref(),
                key: row.key.as_deref(),
            })
            .collect();
        let ids = application::refill(self.files.outbox(), refill, &written, now_ms);
        let mut oracle = lock(&self.oracle);
        let mut all = oracle.rows.clone();
        all.retain(|id, _| *id <= refill.after);
        all.extend(ids.iter().copied().zip(rows));
        let again = refill.set_back && refill.after < oracle.cursor.1;
        oracle.replaced(all, again);
        oracle.note(&format!("{refill:?}, and {count} rows: {ids:?}"));
    }
}
