//! Weeks in which webhooks ask for events of webhooksd itself, and what the oracle holds of those.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. After every commit: each delivery that was given
//! up and each row that was set aside has one event in that very commit, and no other has; a pause is told
//! when it differs from what was told, once; nothing is told of their own deliveries; all who ask get each, their
//! ids grow, and none comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::oracle::Oracle;
use super::subscriptions::Subscriptions;
use crate::model::{Pattern, Webhook};

/// The first seed whose week has this.
pub(super) const FROM: u64 = 24_000_000_000;

/// Of the names that webhooks may have, those that ask.
const ASKING: [&str; 3] = ["w2", "w4", "w6"];

/// Whether webhooks ask in that week.
pub(super) fn is_such(seed: u64) -> bool {
    seed >= FROM
}

/// What is known of them.
#[derive(Default)]
pub(super) struct Own {
    /// Whether this is such a week.
    pub(super) is_such: bool,
    /// Who asks by the configuration in force, and by the one that is about to be.
    now: Vec<String>,
    next: Option<Vec<String>>,
    /// Deliveries that were given up, and are not told of.
    failed: BTreeSet<i64>,
    /// Pauses that were told of, or stood there before, with their begin.
    told: BTreeMap<String, i64>,
    last_delivery: i64,
    last_rejected: i64,
    last_id: i64,
}

impl Subscriptions {
    /// Has some webhooks ask, whatever else they want.
    pub(super) fn ask_for_own(&mut self) {
        if !self.asks_own {
            return;
        }
        let asking = |webhook: &&mut Webhook| ASKING.contains(&&*webhook.name);
        for webhook in self.webhooks.iter_mut().filter(asking) {
            if !webhook.asks_for_own() {
                webhook
                    .events
                    .retain(|pattern| pattern.text() != "webhooksd.*");
                webhook.events.push(Pattern::new("webhooksd.*"));
            }
            (webhook.tenants, webhook.rules) = (None, Box::default());
        }
    }
}

impl Oracle {
    /// A configuration is about to be in force.
    pub(super) fn own_begins(&mut self, webhooks: &[Arc<Webhook>]) {
        let asking = webhooks.iter().filter(|webhook| webhook.asks_for_own());
        let mut asking: Vec<_> = asking.map(|webhook| webhook.name.to_string()).collect();
        asking.sort_unstable();
        self.own.next = Some(asking);
    }

    /// It is, or is not.
    pub(super) fn own_ends(&mut self, is_done: bool) {
        let next = self.own.next.take();
        if let Some(next) = next.filter(|_| is_done) {
            self.own.now = next;
        }
    }

    /// The process died: nobody tells of anything.
    pub(super) fn own_dies(&mut self) {
        (self.own.now, self.own.next) = (Vec::new(), None);
    }

    /// That delivery was given up.
    pub(super) fn gave_up(&mut self, id: i64) {
        if self.own.is_such && !self.person().event_of(id).starts_with("webhooksd.") {
            self.own.failed.insert(id);
        }
    }

    /// The product committed a transaction of that step.
    pub(super) fn look_at_own(&mut self, step: &str) {
        if !self.own.is_such {
            return;
        }
        self.observe();
        if step == "ask for own events" {
            self.own.told = match self.person().asks_for_own() {
                true => self.person().paused_since(),
                false => BTreeMap::new(),
            };
        }
        let mut rejected: BTreeSet<i64> = BTreeSet::new();
        for (id, event_id) in self.person().rejected_after(self.own.last_rejected) {
            self.own.last_rejected = id;
            rejected.insert(event_id);
        }
        let mut events: BTreeMap<i64, (String, Value, Vec<String>)> = BTreeMap::new();
        for made in self.person().own_after(self.own.last_delivery) {
            self.own.last_delivery = made.id;
            let body: Value = serde_json::from_str(&made.body).unwrap();
            let data = body.get("v1").unwrap_or(&body)["data"].clone();
            let event = events.entry(made.event_id);
            let event = event.or_insert_with(|| (made.event, data.clone(), Vec::new()));
            event.2.push(made.webhook);
            if event.1 != data {
                self.broke(&format!("event {} says different things", made.event_id));
            }
        }
        self.own.last_delivery = self.own.last_delivery.max(self.last_delivery);
        for (id, (name, data, mut webhooks)) in events {
            webhooks.sort_unstable();
            if id <= self.own.last_id.max(1 << 52) {
                self.broke(&format!(
                    "event {id} of webhooksd comes after {}",
                    self.own.last_id
                ));
            }
            self.own.last_id = id;
            let own = &self.own;
            if webhooks != own.now && Some(&webhooks) != own.next.as_ref() {
                let (now, next) = (&own.now, &own.next);
                self.broke(&format!(
                    "{name} went to {webhooks:?}, not {now:?} or {next:?}"
                ));
            }
            self.is_a_fact(&name, &data, &mut rejected);
        }
        let own = &self.own;
        let must = !own.now.is_empty() && own.next.as_ref().is_none_or(|next| !next.is_empty());
        let failed = std::mem::take(&mut self.own.failed);
        if must && !(failed.is_empty() && rejected.is_empty()) {
            self.broke(&format!(
                "{step}: nothing tells of {failed:?} failed, {rejected:?} set aside"
            ));
        }
    }

    /// What an event says has just become so.
    fn is_a_fact(&mut self, name: &str, data: &Value, rejected: &mut BTreeSet<i64>) {
        let number = |key: &str| data[key].as_i64().unwrap_or_default();
        let webhook = data["webhook"].as_str().unwrap_or_default();
        let pause = self.person().paused_since().get(webhook).copied();
        let told = self.own.told.get(webhook).copied();
        let (is_fact, kind) = match name {
            "webhooksd.delivery.failed" => {
                (self.own.failed.remove(&number("delivery")), "failures told")
            }
            "webhooksd.event.rejected" => {
                (rejected.remove(&number("event_id")), "rows set aside told")
            }
            "webhooksd.webhook.paused" => {
                self.own.told.insert(webhook.to_owned(), number("since"));
                (
                    pause == Some(number("since")) && told != pause,
                    "pauses told",
                )
            }
            "webhooksd.webhook.resumed" => {
                self.own.told.remove(webhook);
                (
                    pause.is_none() && told == Some(number("since")),
                    "resumptions told",
                )
            }
            _ => (false, "unknown events of webhooksd"),
        };
        self.count(kind);
        if !is_fact {
            self.broke(&format!(
                "{name} tells what is not so, or again: {data}; told {told:?}, is {pause:?}"
            ));
        }
    }

    /// At the end of all every pause that there is was told, and no other.
    pub(super) fn look_at_told(&mut self) {
        let paused = self.person().paused_since();
        if !self.own.now.is_empty() && self.own.told != paused {
            let told = &self.own.told;
            self.broke(&format!(
                "at the end {told:?} was told, and {paused:?} is so"
            ));
        }
    }
}
