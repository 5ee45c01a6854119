//! What became of one event, over all webhooks: what `explain` says, and every delivery of it that the log has.

use super::{Page, Source, Trouble};
use crate::dialect::row_id_of;
use crate::model::EventId;
use crate::query::{self, Fate, Reason, Story, Tone};
use crate::store::{DeliveryTrace, EventTrace};

/// Deliveries of an event that are listed.
const DELIVERIES: usize = 50;

/// Where an event has more, it is not told what became of it for each webhook: the last ones stand for themselves.
const MANY: usize = 200;

/// Webhooks for which it is told what became of it, those that it was for and the others.
const TOLD: usize = 50;
const OTHERS: usize = 25;

/// One event.
pub(in crate::page) struct OneEvent {
    /// The outbox id.
    pub id: EventId,
    /// Its name, where one is known.
    pub name: Option<String>,
    /// What the log has of it.
    pub trace: EventTrace,
    /// The deliveries of it that are shown, the newest first.
    pub deliveries: Vec<DeliveryTrace>,
    /// What became of it for each webhook, and why, by today's configuration; first those that it was for.
    pub told: Vec<Told>,
    /// The same of those whose patterns, tenants or state alone kept it from them.
    pub others: Vec<Told>,
    /// How many of both kinds are left out.
    pub more: usize,
    /// It has more deliveries than are looked at; these are the last ones.
    pub has_many: bool,
    /// Whether the page acts, and its row is there.
    pub acts: bool,
}

/// What became of it for one webhook.
pub(in crate::page) struct Told {
    /// The webhook's name.
    pub webhook: String,
    /// In words, as others wrote them in part.
    pub words: String,
    /// How that is to be taken.
    pub tone: Tone,
    /// The delivery's id, where there is one.
    pub delivery: Option<crate::model::DeliveryId>,
}

/// # Errors
/// Nobody knows the event, or the log can't be read.
pub(in crate::page) fn event(page: &Page, typed: &str) -> Result<OneEvent, Trouble> {
    let unknown = || {
        let typed = crate::model::shown::line(typed);
        Trouble::Nothing(format!("the log knows no event {typed}"))
    };
    let id = row_id_of(typed).ok_or_else(unknown)?;
    let reader = page.reader()?;
    if let Some(last) = reader.last_of_many(id, (MANY, DELIVERIES))? {
        return Ok(of_many(page, id, last));
    }
    let trace = reader.event(id)?;
    let now_ms = page.clock.now_ms();
    let story = match &page.source {
        Source::Own { config, .. } => query::explain(config, id, typed, now_ms)?.story.ok(),
        Source::Copy(_) => None,
    };
    let is_there = !trace.deliveries.is_empty() || !trace.earlier.is_empty();
    if !is_there && trace.rejected.is_none() && story.is_none() {
        return Err(unknown());
    }
    let all = trace.deliveries.iter().chain(&trace.earlier);
    let rejected = trace.rejected.as_ref().map(|rejected| &rejected.event);
    let name = trace.deliveries.first().map(|first| &first.event);
    let mut event = OneEvent {
        id,
        name: name.or(rejected).cloned(),
        deliveries: all.take(DELIVERIES).cloned().collect(),
        told: Vec::new(),
        others: Vec::new(),
        more: 0,
        has_many: false,
        acts: page.acts() && story.as_ref().is_some_and(|story| story.event.is_some()),
        trace,
    };
    if let Some(story) = story {
        event.tell(&story, now_ms);
    }
    Ok(event)
}

/// One with so many deliveries that these last ones are all that is shown.
fn of_many(page: &Page, id: EventId, last: Vec<DeliveryTrace>) -> OneEvent {
    let generation = last.iter().map(|one| one.generation).max();
    let parted = last.iter().cloned();
    let (deliveries, earlier) = parted.partition(|one| Some(one.generation) == generation);
    OneEvent {
        id,
        name: last.first().map(|first| first.event.clone()),
        trace: EventTrace {
            deliveries,
            earlier,
            ..EventTrace::default()
        },
        deliveries: last,
        told: Vec::new(),
        others: Vec::new(),
        more: 0,
        has_many: true,
        acts: page.acts(),
    }
}

impl OneEvent {
    fn tell(&mut self, story: &Story, now_ms: i64) {
        self.name = self.name.take().or_else(|| story.name.clone());
        for webhook in &story.webhooks {
            let (delivery, is_other) = match &webhook.fate {
                Fate::Delivery { trace, .. } => (Some(trace.id), false),
                Fate::NotSent(reason) => (None, is_other(reason)),
            };
            let (group, most) = if is_other {
                (&mut self.others, OTHERS)
            } else {
                (&mut self.told, TOLD)
            };
            if group.len() == most {
                self.more += 1;
                continue;
            }
            let beside = story.beside.get(&webhook.webhook);
            let (words, tone) = query::words(webhook, beside, now_ms);
            group.push(Told {
                webhook: webhook.webhook.clone(),
                words,
                tone,
                delivery,
            });
        }
    }
}

/// Whether the event was none of the webhook's by what does not ask for its data.
fn is_other(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Name(_)
            | Reason::OwnName(_)
            | Reason::Tenant { .. }
            | Reason::Inactive
            | Reason::AnothersTest
    )
}
