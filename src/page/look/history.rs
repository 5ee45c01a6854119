//! What became of one event, over all webhooks: what `explain` says, and every delivery of it that the log has.

use super::{Page, Source, Trouble};
use crate::dialect::row_id_of;
use crate::model::EventId;
use crate::query::{self, Fate, Reason, Story, Tone};
use crate::store::{DeliveryTrace, EventTrace};

/// Deliveries of an event that are listed.
const DELIVERIES: usize = 100;

/// Webhooks for which it is told what became of it, those that it was for, and as many of the others.
const TOLD: usize = 50;

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
    let trace = page.reader()?.event(id)?;
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
        acts: page.acts() && story.as_ref().is_some_and(|story| story.event.is_some()),
        trace,
    };
    if let Some(story) = story {
        event.tell(&story, now_ms);
    }
    Ok(event)
}

impl OneEvent {
    fn tell(&mut self, story: &Story, now_ms: i64) {
        self.name = self.name.take().or_else(|| story.name.clone());
        for webhook in &story.webhooks {
            let (delivery, is_other) = match &webhook.fate {
                Fate::Delivery { trace, .. } => (Some(trace.id), false),
                Fate::NotSent(reason) => (None, is_other(reason)),
            };
            let group = if is_other {
                &mut self.others
            } else {
                &mut self.told
            };
            if group.len() == TOLD {
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
