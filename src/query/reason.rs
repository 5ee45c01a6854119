//! The reasons, in the order in which they are sought: what the log did, then what kept it from it.
//!
//! A delivery that somebody asked for later stands for those before it. Where nothing in today's
//! configuration explains that there is no delivery, that is said, rather than a guess.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::known::Known;
use crate::dialect::sends;
use crate::filter;
use crate::model::{Dialect, EventId, Pause, Rate, Unwanted, Webhook};
use crate::outbox::Row;
use crate::store::{Count, DeliveryTrace, HeldBy, WebhookRow};

/// What became of the event for one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfWebhook {
    /// The webhook's name.
    pub webhook: String,
    /// Whether it is in today's configuration.
    pub configured: bool,
    /// What became of it.
    pub fate: Fate,
}

/// A delivery, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The newest delivery to the webhook.
    Delivery {
        /// What the log has of it.
        trace: Box<DeliveryTrace>,
        /// How many attempts there are at most, where that is known.
        sends: Option<u32>,
        /// What it waits for, where that is more than its time.
        waits: Option<Wait>,
        /// Why it is not sent though it is pending: the webhook is paused, or was until then.
        pause: Option<Pause>,
    },
    /// There is none.
    NotSent(Reason),
}

/// What a delivery waits for beside its own time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its webhook's pace.
    Pace {
        /// Pending deliveries that are due before it.
        before: Count,
        /// How many requests may begin in a second.
        rate: Rate,
    },
    /// Its endpoint asked to wait until that UNIX millisecond.
    Hold(i64),
    /// Its turn: that delivery is before it.
    Turn(HeldBy),
}

/// Why an event was not sent to a webhook, or is not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its row was set aside.
    SetAside {
        /// Why.
        reason: String,
        /// When, UNIX milliseconds.
        time_ms: i64,
    },
    /// Its row will be set aside, for this reason.
    WillBeSetAside(String),
    /// It was a test of another webhook.
    AnothersTest,
    /// The webhook is inactive.
    Inactive,
    /// None of the webhook's patterns, which are these, is the event's name.
    Name(Vec<String>),
    /// One of these is, but only a pattern that begins so gets events of webhooksd itself.
    OwnName(Vec<String>),
    /// The webhook is for certain tenants.
    Tenant {
        /// The event's.
        of_event: Option<String>,
        /// The webhook's.
        of_webhook: Vec<String>,
    },
    /// A rule of the webhook's `where` does not hold.
    Rule {
        /// Which, from 1.
        number: usize,
        /// What it asks.
        rule: String,
        /// What is at its paths: some of the values.
        found: Vec<(String, Vec<String>)>,
    },
    /// The daemon has taken the events up to this one.
    NotYet(EventId),
    /// The daemon took the webhook in after the event.
    NewWebhook,
    /// The webhook became active after the event.
    ActiveSince {
        /// When, UNIX milliseconds.
        since_ms: i64,
        /// The last event that had been taken by then; an event of webhooksd itself has no place among them.
        after_event_id: Option<EventId>,
    },
    /// No body of that event of webhooksd itself is kept, so what its data was, which the webhook's `where` asks
    /// about, is not known.
    NoBody,
    /// The log keeps no delivery of that event of webhooksd itself to the webhook, and nothing of today explains it.
    NoDelivery,
    /// The log keeps no trace of it, and what its data was, which the webhook's `where` asks about, is not known.
    NoData,
    /// The log keeps no trace of it, and nothing of today explains it.
    NoTrace,
}

/// Every webhook of the configuration in its order, then those that only the log knows.
pub(super) fn each(configured: &[impl Borrow<Webhook>], known: &Known) -> Vec<OfWebhook> {
    let mut newest: HashMap<&str, &DeliveryTrace> = HashMap::new();
    for delivery in &known.trace.deliveries {
        newest.entry(&delivery.webhook).or_insert(delivery);
    }
    let mut all = Vec::with_capacity(configured.len());
    for webhook in configured.iter().map(Borrow::borrow) {
        let fate = match newest.remove(&*webhook.name) {
            Some(delivery) => Fate::Delivery {
                trace: Box::new(delivery.clone()),
                sends: sends_of(delivery, webhook),
                waits: None,
                pause: pause_of(delivery, known),
            },
            None => Fate::NotSent(why_not(webhook, known)),
        };
        all.push(OfWebhook {
            webhook: webhook.name.to_string(),
            configured: true,
            fate,
        });
    }
    let mut rest: Vec<_> = newest.into_values().collect();
    rest.sort_by(|a, b| a.webhook.cmp(&b.webhook));
    all.extend(rest.into_iter().map(|delivery| OfWebhook {
        webhook: delivery.webhook.clone(),
        configured: false,
        fate: Fate::Delivery {
            trace: Box::new(delivery.clone()),
            sends: None,
            waits: None,
            pause: pause_of(delivery, known),
        },
    }));
    all
}

fn pause_of(delivery: &DeliveryTrace, known: &Known) -> Option<Pause> {
    let mut pauses = known.trace.pauses.iter();
    let pause = pauses.find(|pause| *pause.webhook == *delivery.webhook);
    pause.filter(|_| delivery.state == "pending").cloned()
}

fn sends_of(delivery: &DeliveryTrace, webhook: &Webhook) -> Option<u32> {
    // A test has one attempt, whatever the dialect says.
    let dialect = Dialect::from_name(&delivery.dialect).filter(|_| delivery.origin != "test");
    dialect.map(|dialect| sends(dialect, webhook.max_attempts))
}

/// Why there is no delivery.
fn why_not(webhook: &Webhook, known: &Known) -> Reason {
    if let Some(rejected) = &known.trace.rejected {
        return Reason::SetAside {
            reason: rejected.reason.clone(),
            time_ms: rejected.time_ms,
        };
    }
    let taken = known.is_taken();
    if let (Some(Row::Rejected(rejected)), false) = (&known.row, taken) {
        return Reason::WillBeSetAside(rejected.reason.clone());
    }
    let mut deliveries = known.trace.deliveries.iter();
    if known.row.is_none() && deliveries.any(|delivery| delivery.origin == "test") {
        return Reason::AnothersTest;
    }
    if let Err(unwanted) = wanted(webhook, known) {
        return told(unwanted, webhook, known);
    }
    if !taken {
        return Reason::NotYet(known.trace.cursor.map_or(EventId::NONE, |(_, id)| id));
    }
    // They are by name: ten thousand are not gone through for each of ten thousand.
    let rows = &known.trace.webhooks;
    let place = rows.binary_search_by(|row| (*row.name).cmp(&webhook.name));
    match place.ok().and_then(|place| rows.get(place)) {
        None => Reason::NewWebhook,
        Some(row) if is_newer(row, known) => Reason::ActiveSince {
            since_ms: row.since_ms,
            after_event_id: known.own.is_none().then_some(row.after_event_id),
        },
        Some(_) if let Some(own) = &known.own => {
            if webhook.rules.is_empty() || own.has_data {
                Reason::NoDelivery
            } else {
                Reason::NoBody
            }
        }
        Some(_) if !webhook.rules.is_empty() && known.event().is_none() => Reason::NoData,
        Some(_) => Reason::NoTrace,
    }
}

/// The matching rule, as far as what is known of the event decides it: of one whose row is gone the
/// tenant and the data are not.
fn wanted(webhook: &Webhook, known: &Known) -> Result<(), Unwanted> {
    if let Some(own) = &known.own {
        return own.wanted(webhook);
    }
    match (known.name(), known.event()) {
        (_, Some(event)) => filter::wants(webhook, event),
        (Some(name), None) => webhook.wants_name(name),
        (None, None) if !webhook.active => Err(Unwanted::Inactive),
        (None, None) => Ok(()),
    }
}

fn told(unwanted: Unwanted, webhook: &Webhook, known: &Known) -> Reason {
    match unwanted {
        Unwanted::Inactive => Reason::Inactive,
        Unwanted::Name => {
            let patterns = webhook.events.iter();
            let texts = patterns.map(|pattern| pattern.text().to_owned()).collect();
            let of_own = known.own.as_ref().map(|own| &own.event.name);
            if of_own.is_some_and(|name| webhook.events.iter().any(|p| p.matches(name))) {
                Reason::OwnName(texts)
            } else {
                Reason::Name(texts)
            }
        }
        Unwanted::Tenant => {
            let of_event = known.judged().and_then(|event| event.tenant.as_deref());
            let of_webhook = webhook.tenants.iter().flatten();
            Reason::Tenant {
                of_event: of_event.map(str::to_owned),
                of_webhook: of_webhook.map(ToString::to_string).collect(),
            }
        }
        Unwanted::Rule(index) => {
            let rule = webhook.rules.get(index);
            let found = rule.zip(known.judged());
            Reason::Rule {
                number: index + 1,
                rule: rule.map_or_else(String::new, ToString::to_string),
                found: found
                    .map_or_else(Vec::new, |(rule, event)| filter::found(rule, &event.data)),
            }
        }
    }
}

/// Whether the webhook's state, active by now, holds only for later events.
fn is_newer(row: &WebhookRow, known: &Known) -> bool {
    if let Some(own) = &known.own {
        return row.state == "active" && own.is_before(row.since_ms);
    }
    let generation = known.trace.cursor.map(|(generation, _)| generation);
    row.state == "active" && Some(row.generation) == generation && known.id <= row.after_event_id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Condition, DeliveryId, Event, Generation, Operand, Pattern, Rejected, Rule, Word,
    };
    use crate::store::{EventTrace, RejectedTrace};

    /// Event 7 of tenant `acme`, in the outbox, taken by a daemon that knows the webhook `w`.
    fn taken() -> Known {
        let row = WebhookRow {
            name: "w".into(),
            state: "active".into(),
            since_ms: 1,
            generation: Generation::new(1),
            after_event_id: EventId::new(3),
        };
        Known {
            id: EventId::new(7),
            row: Some(Row::Event(Event {
                id: EventId::new(7),
                name: "a-1".into(),
                data: "{}".into(),
                time_ms: 5,
                tenant: Some("acme".into()),
            })),
            other: false,
            trace: EventTrace {
                cursor: Some((Generation::new(1), EventId::new(9))),
                webhooks: vec![row],
                ..EventTrace::default()
            },
            own: None,
        }
    }

    fn delivery(webhook: &str, id: i64, origin: &str) -> DeliveryTrace {
        DeliveryTrace {
            id: DeliveryId::new(id),
            generation: Generation::new(1),
            event: "a-1".into(),
            webhook: webhook.into(),
            dialect: "bold-cms".into(),
            state: "pending".into(),
            origin: origin.into(),
            attempts: 1,
            due_at_ms: Some(9),
            created_at_ms: Some(5),
            finished_at_ms: None,
            status: None,
            error: None,
            by_order: false,
        }
    }

    fn why(webhook: &Webhook, change: impl FnOnce(&mut Known)) -> Reason {
        let mut known = taken();
        change(&mut known);
        let all = each(std::slice::from_ref(webhook), &known);
        match &all[0].fate {
            Fate::NotSent(reason) => reason.clone(),
            other @ Fate::Delivery { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_keeps_an_event_that_is_wanted_is_told_by_what_the_log_knows() {
        let w = Webhook::sample("w", "http://h/");
        assert_eq!(why(&w, |_| {}), Reason::NoTrace);
        let not_yet = why(&w, |known| {
            known.trace.cursor = Some((Generation::new(1), EventId::new(6)));
        });
        assert_eq!(not_yet, Reason::NotYet(EventId::new(6)));
        let no_log = why(&w, |known| known.trace = EventTrace::default());
        assert_eq!(no_log, Reason::NotYet(EventId::NONE));
        let new = why(&w, |known| known.trace.webhooks.clear());
        assert_eq!(new, Reason::NewWebhook);
        let last = EventId::new(7);
        let since = why(&w, |known| {
            known.trace.webhooks[0].after_event_id = last;
        });
        let active_since = Reason::ActiveSince {
            since_ms: 1,
            after_event_id: Some(last),
        };
        assert_eq!(since, active_since);
        let another_generation = why(&w, |known| {
            known.trace.webhooks[0].after_event_id = last;
            known.trace.webhooks[0].generation = Generation::FIRST;
        });
        assert_eq!(another_generation, Reason::NoTrace);
    }

    #[test]
    fn the_first_rule_that_does_not_hold_is_told_with_what_is_there_as_long_as_the_row_is() {
        let rule = |path: &str, word| {
            Rule::One(Condition {
                path: filter::path(path).unwrap(),
                word,
                operands: [Operand::Text("x".into())].into(),
            })
        };
        let mut w = Webhook::sample("w", "http://h/");
        w.rules = [rule("$.a", Word::Ne), rule("$.b", Word::Eq)].into();
        let with = |data: &'static str| {
            move |known: &mut Known| {
                if let Some(Row::Event(event)) = &mut known.row {
                    event.data = data.into();
                }
            }
        };
        let second = Reason::Rule {
            number: 2,
            rule: "$.b eq \"x\"".into(),
            found: vec![("$.b".into(), vec!["7".into()])],
        };
        assert_eq!(why(&w, with("{\"b\":7}")), second);
        assert_eq!(why(&w, with("{\"b\":\"x\"}")), Reason::NoTrace);
        assert_eq!(why(&w, |known| known.row = None), Reason::NoData);
        w.rules = Box::default();
        assert_eq!(why(&w, |known| known.row = None), Reason::NoTrace);
    }

    #[test]
    fn what_the_configuration_keeps_from_a_webhook_comes_before_what_is_not_taken_yet() {
        let mut w = Webhook::sample("w", "http://h/");
        let unread = |known: &mut Known| known.trace.cursor = None;
        w.tenants = Some(vec!["globex".into()]);
        assert_eq!(
            why(&w, unread),
            Reason::Tenant {
                of_event: Some("acme".into()),
                of_webhook: vec!["globex".into()]
            }
        );
        w.events = vec![Pattern::new("b"), Pattern::new("c-*")];
        assert_eq!(
            why(&w, unread),
            Reason::Name(vec!["b".into(), "c-*".into()])
        );
        w.active = false;
        assert_eq!(why(&w, unread), Reason::Inactive);
        let nameless = |known: &mut Known| known.row = None;
        assert_eq!(why(&w, nameless), Reason::Inactive);
        w.active = true;
        assert_eq!(why(&w, nameless), Reason::NoTrace, "no name to judge by");
    }

    #[test]
    fn a_row_that_was_set_aside_is_the_first_reason() {
        let mut w = Webhook::sample("w", "http://h/");
        w.active = false;
        let reason = || "data is no JSON".to_owned();
        let rejected = Rejected {
            event_id: EventId::new(7),
            event: "a-1".into(),
            reason: reason(),
            time_ms: 5,
            tenant: None,
        };
        let will_be = why(&w, |known| {
            known.row = Some(Row::Rejected(rejected));
            known.trace.cursor = None;
        });
        assert_eq!(will_be, Reason::WillBeSetAside(reason()));
        let was = why(&w, |known| {
            known.trace.rejected = Some(RejectedTrace {
                event: "a-1".into(),
                reason: reason(),
                time_ms: 8,
                generation: Generation::new(1),
            });
        });
        let (reason, time_ms) = (reason(), 8);
        assert_eq!(was, Reason::SetAside { reason, time_ms });
    }

    #[test]
    fn the_newest_delivery_stands_for_all_and_a_webhook_that_left_comes_last() {
        let webhooks = [
            Webhook::sample("w", "http://h/"),
            Webhook::sample("x", "http://h/"),
        ];
        let mut known = taken();
        known.row = None;
        known.trace.deliveries = vec![
            delivery("w", 4, "test"),
            delivery("w", 2, "event"),
            delivery("left", 1, "event"),
        ];
        let all = each(&webhooks, &known);
        let names: Vec<_> = all.iter().map(|w| (&*w.webhook, w.configured)).collect();
        assert_eq!(names, [("w", true), ("x", true), ("left", false)]);
        let Fate::Delivery { trace, sends, .. } = &all[0].fate else {
            panic!("{all:?}");
        };
        assert_eq!((trace.id.get(), *sends), (4, None), "a test is sent once");
        assert_eq!(all[1].fate, Fate::NotSent(Reason::AnothersTest));
        known.trace.deliveries.remove(0);
        let Fate::Delivery { trace, sends, .. } = &each(&webhooks, &known)[0].fate else {
            panic!("the delivery is not told of");
        };
        assert_eq!(trace.id.get(), 2);
        assert!(sends.is_some_and(|sends| sends > 1));
    }
}
