//! Weeks in which webhooks have an order: all of it, or by a value of `data`.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. At the begin of each request the oracle holds, by a
//! reader of its own, that nothing of the same line is in flight, and nothing of it before this one is pending or was given
//! up and holds it; what goes in one POST is one there. In peace no failure holds a line, so that all that waits is sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::together;
use crate::filter::path;
use crate::model::{Due, Order, Trigger, Webhook};
use crate::pipeline::simulation::endpoints::Behavior;
use crate::pipeline::simulation::hooks::Sending;
use crate::pipeline::simulation::oracle::Oracle;
use crate::pipeline::simulation::rng::Rng;
use crate::pipeline::simulation::subscriptions::Subscriptions;

/// The first seed whose week has this.
pub(in super::super) const FROM: u64 = 22_000_000_000;

/// Whether webhooks have one in that week.
pub(in super::super) fn is_such(seed: u64) -> bool {
    seed >= FROM
}

/// How a webhook's deliveries go, all through a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// In no order.
    None,
    /// One at a time.
    Whole,
    /// One batch at a time, where it has batches.
    Together,
    /// One at a time of those at the same place.
    Place,
}

fn line(seed: u64, name: &str) -> (Line, bool) {
    if !is_such(seed) {
        return (Line::None, false);
    }
    let name: u64 = name.bytes().map(u64::from).sum();
    let mut rng = Rng::new(seed, 30_000 + name);
    let line = *rng.of(&[Line::None, Line::Whole, Line::Together, Line::Place]);
    (line, rng.in_thousand(300))
}

/// What such a webhook asks for, by its name: several in one POST, and an order.
pub(in super::super) fn ask(seed: u64, webhook: &mut Webhook) {
    together::ask(seed, webhook);
    let (line, holds) = line(seed, &webhook.name);
    if matches!(line, Line::Whole | Line::Place) {
        webhook.batch = None;
    }
    let by = (line == Line::Place).then(|| path("$.at").unwrap());
    webhook.order = (line != Line::None).then_some(Order { by, holds });
    // As the configuration has it: what has one turn may be more than goes in a POST.
    if webhook.order.is_some() && webhook.batch.is_some() {
        webhook.max_in_flight = 1;
    }
}

/// How an endpoint is in peace. One that is dead for good would have those of its line go through their ladders one
/// behind the other, for weeks.
pub(super) fn rest(
    seed: u64,
    moods: &mut BTreeMap<String, Behavior>,
    name: String,
    mood: Behavior,
) {
    let is_ordered = line(seed, &name).0 != Line::None;
    moods.insert(name, if is_ordered { Behavior::Healthy } else { mood });
}

impl Subscriptions {
    /// Nothing more is held back by what people or webhooks themselves decide.
    pub(super) fn make_peace(&mut self) {
        self.auto_pause_ms = None;
        for order in self.webhooks.iter_mut().filter_map(|w| w.order.as_mut()) {
            order.holds = false;
        }
    }
}

impl Oracle {
    /// A request begins for several: nothing of their line is before them or beside them.
    pub(in super::super) fn stand_together(&mut self, to: &Arc<str>, sending: &[Sending]) {
        let (line, _) = line(self.orders, to);
        let events = sending.iter().map(|one| &one.due);
        let events = events.filter(|due| due.origin == Trigger::Event);
        let events: Vec<i64> = events.map(|due| due.id.get()).collect();
        let (Line::Together, Some(last)) = (line, events.iter().max()) else {
            return;
        };
        let before = self.person().events_before(to, *last);
        // What goes together goes in the order of the outbox, which late commits may make another.
        let newest = sending.iter().map(|one| one.due.event_id.get()).max();
        let is_before = |id: i64| self.person().event_id(id) < newest;
        let mut before = before.iter().map(|(id, _)| *id);
        if let Some(id) = before.find(|id| !events.contains(id) && is_before(*id)) {
            self.broke(&format!("{events:?} of {to} begin before {id}"));
        }
        let flying = self.sent.iter();
        let flying = flying
            .filter(|(id, sent)| sent.in_flight && !events.contains(id) && *sent.webhook == **to);
        if let Some(id) = flying
            .map(|(id, _)| *id)
            .find(|id| self.person().is_event(*id))
        {
            self.broke(&format!("{events:?} of {to} begin beside {id}"));
        }
        self.count("arrays in order");
    }

    /// A request begins for a delivery: it is the first of its line, and nothing that was given up holds it.
    fn nothing_holds(&mut self, to: &Arc<str>, due: &Due) {
        match self.person().holder(to, due.id.get()) {
            (Some(id), _) => self.broke(&format!("{} of {to} begins, and {id} holds it", due.id)),
            (None, true) => self.count("requests beside what is held"),
            (None, false) => {}
        }
    }

    /// A request begins for a delivery: it is the first of its line.
    pub(in super::super) fn stands_first(&mut self, to: &Arc<str>, due: &Due, body: &Bytes) {
        let (line, _) = line(self.orders, to);
        if due.origin != Trigger::Event || line == Line::None {
            return;
        }
        self.nothing_holds(to, due);
        if line == Line::Together {
            return;
        }
        let mine = place(body);
        if line == Line::Place && mine.is_none() {
            return;
        }
        let is_alike = |body: &[u8]| line == Line::Whole || place(body) == mine;
        let before = self.person().events_before(to, due.id.get());
        if let Some((id, _)) = before.iter().find(|(_, body)| is_alike(body)) {
            self.broke(&format!(
                "{} of {to} begins before {id} of its line",
                due.id
            ));
        }
        let flying = self.sent.iter();
        let mut flying = flying
            .filter(|(id, sent)| sent.in_flight && **id != due.id.get() && *sent.webhook == **to);
        let beside = flying.find(|(id, sent)| {
            let is_event = self.person().is_event(**id);
            is_event && sent.body.as_ref().is_some_and(|body| is_alike(body))
        });
        if let Some(id) = beside.map(|(id, _)| *id) {
            self.broke(&format!(
                "{} of {to} begins beside {id} of its line",
                due.id
            ));
        }
        self.count("requests in order");
    }
}

/// Where the event's data says it was.
fn place(body: &[u8]) -> Option<String> {
    fn find(value: &Value) -> Option<&str> {
        match value {
            Value::Object(all) => match all.get("at") {
                Some(Value::String(at)) => Some(at),
                _ => all.values().find_map(find),
            },
            _ => None,
        }
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    find(&value).map(str::to_owned)
}
