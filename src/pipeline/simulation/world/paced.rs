//! Webhooks with a pace, which people change, and endpoints that ask to wait, while everything else happens.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. At the begin of each request of any week the
//! oracle holds that the gap since the webhook's one before is over, and the time too until which its endpoint
//! asked to wait, as far as the log knows of it or the process that was told.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Dialect, Due, Rate};
use crate::pipeline::simulation::oracle::Oracle;
use crate::pipeline::simulation::rng::Rng;
use crate::pipeline::simulation::subscriptions::Subscriptions;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 18_000_000_000;

/// What decides about the paces of such a week.
pub(super) fn rng(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 13))
}

/// What decides about whom asks to wait in such a week.
pub(super) fn waits(seed: u64) -> Option<Rng> {
    (seed >= FROM).then(|| Rng::new(seed, 17))
}

/// The longest that an endpoint is left alone.
const LONGEST_MS: i64 = 86_400_000;

/// A step of the clock is seen at the next look around, by a process that looks so seldom.
const SEEN_WITHIN_MS: i64 = 1_800_000;

/// What an endpoint asked for.
pub(in super::super) struct Hold {
    webhook: String,
    delivery: i64,
    number: u32,
    until_ms: i64,
    /// The same at the latest, where a step of the clock was seen late.
    latest_ms: i64,
    /// The same before any step of the clock.
    asked_ms: i64,
}

impl Oracle {
    /// What an answer with that status says of waiting, if anything.
    pub(in super::super) fn any_wait(&mut self, status: Option<u16>) -> Option<&'static str> {
        let rng = self.waits.as_mut()?;
        let asks = matches!(status, Some(429 | 503)) && rng.in_thousand(700);
        asks.then(|| *rng.of(&["0", "1", "20", "20", "600", "7200", "100000", "soon"]))
    }

    /// The answer to that request, which ended now, said so.
    pub(in super::super) fn asked_to_wait(&mut self, due: &Due, asks: Option<&'static str>) {
        let seconds: i64 = asks.map_or(0, |value| value.parse().unwrap_or_default());
        if seconds == 0 || due.dialect == Dialect::BoldCms {
            return;
        }
        self.count("endpoints that asked to wait");
        let until_ms = self.wall_ms() + LONGEST_MS.min(seconds * 1_000);
        self.holds.push(Hold {
            webhook: due.webhook.to_string(),
            delivery: due.id.get(),
            number: due.attempts + 1,
            until_ms,
            latest_ms: until_ms,
            asked_ms: until_ms,
        });
    }

    fn wall_ms(&self) -> i64 {
        self.clock.as_ref().map_or(0, |(clock, _)| clock.now_ms())
    }

    /// A request begins: nobody asked to wait for longer.
    pub(in super::super) fn begins_unasked(&mut self, to: &str) {
        let (now_ms, until_ms) = (self.wall_ms(), self.held_until_ms(to));
        if now_ms < until_ms {
            self.broke(&format!(
                "{to} gets a request at {now_ms} and asked to wait until {until_ms}"
            ));
        }
    }

    /// Until when a webhook's endpoint asked to wait.
    pub(in super::super) fn held_until_ms(&self, webhook: &str) -> i64 {
        let of_it = self.holds.iter().filter(|hold| hold.webhook == *webhook);
        of_it
            .map(|hold| hold.until_ms)
            .max()
            .unwrap_or(i64::MIN / 2)
    }

    /// The same at the latest: by how late a step of the clock may have been seen.
    pub(in super::super) fn held_at_latest_ms(&self, webhook: &str) -> i64 {
        let of_it = self.holds.iter().filter(|hold| hold.webhook == *webhook);
        of_it
            .map(|hold| hold.latest_ms)
            .max()
            .unwrap_or(i64::MIN / 2)
    }

    /// Until when that answer asked to wait: at least by the steps of the clock since, and at most.
    pub(in super::super) fn asked_by(&self, delivery: i64, number: u32) -> (i64, i64) {
        let mut holds = self.holds.iter();
        let hold = holds.find(|hold| hold.delivery == delivery && hold.number == number);
        hold.map_or((i64::MIN / 2, i64::MIN / 2), |hold| {
            (hold.until_ms, hold.asked_ms)
        })
    }

    /// The clock was stepped.
    pub(in super::super) fn hold_at_most_from(&mut self, now_ms: i64) {
        for hold in &mut self.holds {
            hold.until_ms = hold.until_ms.min(now_ms + LONGEST_MS);
            hold.latest_ms = hold.latest_ms.min(now_ms + LONGEST_MS + SEEN_WITHIN_MS);
        }
    }

    /// The process is gone: what it was told is known as far as it is in the log.
    pub(in super::super) fn forget_unrecorded_holds(&mut self) {
        let sent = &self.sent;
        self.holds.retain(|hold| {
            let tries = sent.get(&hold.delivery).map(|sent| &sent.tries);
            tries.is_some_and(|tries| {
                let mut tries = tries.iter();
                tries.any(|t| t.number == hold.number && t.recorded)
            })
        });
    }

    /// A request begins, with that gap to the one before by its webhook of the moment.
    pub(in super::super) fn begins_apart(&mut self, to: &str, gap: Option<Duration>) {
        let now = Instant::now();
        let before = self.begun.insert(to.to_owned(), now);
        let (Some(gap), Some(before)) = (gap, before) else {
            return;
        };
        let apart = now.saturating_duration_since(before);
        if apart < gap {
            self.broke(&format!(
                "{to} gets a request {apart:?} after the last, not {gap:?}"
            ));
        }
        if apart < gap + Duration::from_millis(2) {
            self.count("requests that waited for their pace");
        }
    }

    /// What has no pace by a configuration is not remembered.
    pub(in super::super) fn forget_unpaced(&mut self, subscriptions: &Subscriptions) {
        let unpaced = subscriptions.webhooks.iter();
        for webhook in unpaced.filter(|webhook| webhook.max_per_second.is_none()) {
            self.begun.remove(&*webhook.name);
        }
    }

    /// How long a webhook's next request may be due for the sake of its pace, milliseconds.
    pub(in super::super) fn pace_ms(&self, webhook: &str) -> i64 {
        let mut webhooks = self.routes.iter();
        let rate = webhooks.find(|w| *w.name == *webhook);
        let gap = rate.and_then(|w| w.max_per_second).map(Rate::gap);
        gap.map_or(0, |gap| i64::try_from(gap.as_millis()).unwrap())
    }
}
