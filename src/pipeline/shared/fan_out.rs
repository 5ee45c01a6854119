//! Fan-out: which webhooks want an event, and the bodies that they get.
//!
//! Which they are is `filter::wants`; here that rule is asked for many webhooks at once, with one
//! body for each dialect. Pure but for a cache of event names: an application has few names and perhaps ten thousand
//! webhooks, so a name is matched against all the patterns once and not for every event. What the filters of all the
//! webhooks ask of `data` is read from it once, and not at all where no webhook that would get the event has one.
//! Nothing here is stored or sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::dialect;
use crate::filter::{Matcher, Scratch};
use crate::model::{Event, FanOut, Path, Turn, Webhook};

/// How many event names are remembered. Far above what an application has; a hostile stream of
/// ever new names empties the cache and costs a match each, never memory.
const CACHED_NAMES: usize = 4_096;

/// Webhooks of one event that room is made for at once; more of them grow it.
const ROOM: usize = 4;

/// The subscriptions of one configuration.
pub(crate) struct Routes {
    webhooks: Vec<Arc<Webhook>>,
    pub(crate) tenant: Option<Arc<str>>,
    names: Mutex<Names>,
    /// The rules of all webhooks that have some, where one has.
    filters: Option<Filters>,
    /// Deliveries that were not made because of them, since the start.
    filtered: Arc<AtomicU64>,
    /// Whether a webhook gets events of webhooksd itself.
    asks_for_own: bool,
}

/// The rules of many webhooks, by their indices.
struct Filters {
    matcher: Matcher,
    scratch: Mutex<Scratch>,
}

/// The webhooks that want a name.
#[derive(Default)]
struct Names {
    /// The name asked for last, which the outbox shares among a run of events.
    last: Option<(Arc<str>, Arc<Matching>)>,
    known: HashMap<Arc<str>, Arc<Matching>>,
}

/// The indices of the webhooks that want a name, in ascending order: those without a filter, and those with one;
/// and of either those that are sent in the order of a value.
struct Matching {
    plain: Box<[usize]>,
    filtered: Box<[usize]>,
    by_value: Box<[usize]>,
    /// Whether one of those with a filter wants some tenants' events alone.
    by_tenant: bool,
}

/// The webhooks that want an event's name and data, how many others want its name and tenant, and the lines it stands
/// in where that is a value's.
struct Judged<'m> {
    wanting: Cow<'m, [usize]>,
    turned_away: usize,
    turns: Vec<(usize, Turn)>,
}

impl Filters {
    /// The filters of the webhooks that can get something.
    fn new(webhooks: &[Arc<Webhook>]) -> Option<Self> {
        let webhooks = webhooks.iter().enumerate();
        let mut filtered = webhooks
            .clone()
            .filter(|(_, webhook)| webhook.active && !webhook.rules.is_empty())
            .map(|(index, webhook)| (index, &*webhook.rules))
            .peekable();
        let ordered = webhooks.filter(|(_, webhook)| webhook.active);
        let mut by_value = ordered
            .filter_map(|(index, w)| Some((index, path_of(w)?)))
            .peekable();
        if filtered.peek().is_none() && by_value.peek().is_none() {
            return None;
        }
        let mut matcher = Matcher::new(filtered);
        by_value.for_each(|(index, path)| matcher.keep(index, path));
        Some(Self {
            matcher,
            scratch: Mutex::default(),
        })
    }
}

/// Where the value stands in whose order the webhook is sent.
fn path_of(webhook: &Webhook) -> Option<&Path> {
    webhook.order.as_ref()?.by.as_ref()
}

impl Routes {
    /// Takes the webhooks of a configuration, and the tenant id that `openboxes-lift` sends for events
    /// that name none.
    #[must_use]
    pub(crate) fn new(webhooks: Vec<Arc<Webhook>>, tenant: Option<Arc<str>>) -> Self {
        Self {
            filters: Filters::new(&webhooks),
            asks_for_own: webhooks.iter().any(|webhook| webhook.asks_for_own()),
            webhooks,
            tenant,
            names: Mutex::default(),
            filtered: Arc::default(),
        }
    }

    /// Goes on with the count of those before.
    pub(crate) fn count_on(&mut self, before: &Self) {
        self.filtered = before.filtered.clone();
    }

    /// How many deliveries were not made because the filter of a webhook that wants the event's name does not
    /// want its data, since the start.
    #[must_use]
    pub(crate) fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }

    /// Some of these webhooks, for a purpose that changes nothing else.
    #[must_use]
    pub(crate) fn part(&self, is_in: impl Fn(&Webhook) -> bool) -> Self {
        let webhooks = self.webhooks.iter().filter(|webhook| is_in(webhook));
        Self {
            asks_for_own: self.asks_for_own,
            ..Self::new(webhooks.cloned().collect(), self.tenant.clone())
        }
    }

    /// Whether a webhook gets events of webhooksd itself.
    #[must_use]
    pub(crate) fn ask_for_own(&self) -> bool {
        self.asks_for_own
    }

    /// Every webhook, in the order of the file.
    #[must_use]
    pub(crate) fn webhooks(&self) -> &[Arc<Webhook>] {
        &self.webhooks
    }

    /// The webhooks that want the event, with one body for each dialect among them; `None` when
    /// nobody does.
    #[must_use]
    pub(crate) fn fan_out(&self, event: &Event) -> Option<FanOut> {
        let matching = self.matching(&event.name);
        let Judged {
            wanting: matching,
            turned_away,
            turns,
        } = self.unfiltered(&matching, event);
        if turned_away > 0 {
            self.filtered
                .fetch_add(turned_away as u64, Ordering::Relaxed);
        }
        // Few want an event that many patterns match, where each has its tenant.
        let room = matching.len().min(ROOM);
        let mut fanned = FanOut {
            event_id: event.id,
            event: event.name.clone(),
            message: None,
            bodies: Vec::with_capacity(room.min(1)),
            webhooks: Vec::with_capacity(room),
            turns: Vec::new(),
            tenant: event.tenant.clone(),
        };
        for (index, webhook) in self.wanting(&matching, event) {
            let known = fanned
                .bodies
                .iter()
                .position(|(d, _)| *d == webhook.dialect);
            let body = known.unwrap_or_else(|| {
                let bytes = dialect::body(webhook.dialect, event, self.tenant.as_deref());
                fanned.bodies.push((webhook.dialect, bytes));
                fanned.bodies.len() - 1
            });
            if fanned.message.is_none() {
                fanned.message = dialect::message_id(webhook, event).map(Into::into);
            }
            if let Some(order) = &webhook.order {
                let found = || turns.binary_search_by_key(&index, |(of, _)| *of).ok();
                let turn = match order.by {
                    None => Some(Turn::WHOLE),
                    Some(_) => found().map(|at| turns[at].1),
                };
                let place = fanned.webhooks.len();
                fanned.turns.extend(turn.map(|turn| (place, turn)));
            }
            fanned.webhooks.push((webhook.name.clone(), body));
        }
        (!fanned.webhooks.is_empty()).then_some(fanned)
    }

    /// How many webhooks want the event.
    #[must_use]
    pub(crate) fn count(&self, event: &Event) -> usize {
        let matching = self.matching(&event.name);
        self.wanting(&self.unfiltered(&matching, event).wanting, event)
            .count()
    }

    /// Those among the webhooks that want the event's name whose filter, if they have one, wants its data; and how
    /// many others want the event's name and tenant.
    fn unfiltered<'m>(&self, matching: &'m Matching, event: &Event) -> Judged<'m> {
        let mut asking = matching.filtered.iter().chain(&matching.by_value);
        let asks = |index: &usize| {
            let webhook = &self.webhooks[*index];
            webhook.wants_tenant(event.tenant.as_deref()).is_ok()
        };
        let (Some(filters), true) = (&self.filters, asking.any(asks)) else {
            return Judged {
                wanting: Cow::Borrowed(&matching.plain),
                turned_away: 0,
                turns: Vec::new(),
            };
        };
        let mut scratch = filters.scratch.lock();
        let wanting = filters.matcher.judge(&event.data, &mut scratch);
        let named = |index: &&usize| matching.filtered.binary_search(index).is_ok();
        let mut turned_away = 0;
        let all = if matching.filtered.is_empty() {
            Cow::Borrowed(&*matching.plain)
        } else {
            let mut all = matching.plain.to_vec();
            all.extend(wanting.iter().filter(named));
            turned_away = if matching.by_tenant {
                let asked = matching.filtered.iter().filter(|index| asks(index));
                asked.filter(|index| !wanting.contains(index)).count()
            } else {
                matching.filtered.len() + matching.plain.len() - all.len()
            };
            all.sort_unstable();
            Cow::Owned(all)
        };
        let turns = matching.by_value.iter();
        let turns = turns.filter_map(|of| Some((*of, filters.matcher.turn(*of, &scratch)?)));
        Judged {
            wanting: all,
            turned_away,
            turns: turns.collect(),
        }
    }

    /// Those among the webhooks that want the event's name and data which want the event.
    fn wanting<'a>(
        &'a self,
        matching: &'a [usize],
        event: &'a Event,
    ) -> impl Iterator<Item = (usize, &'a Arc<Webhook>)> {
        let webhooks = matching.iter().map(|&index| (index, &self.webhooks[index]));
        webhooks.filter(|(_, webhook)| webhook.wants_tenant(event.tenant.as_deref()).is_ok())
    }

    /// The webhooks that want that name.
    fn matching(&self, name: &Arc<str>) -> Arc<Matching> {
        let mut names = self.names.lock();
        if let Some((last, matching)) = &names.last
            && Arc::ptr_eq(last, name)
        {
            return matching.clone();
        }
        let matching = match names.known.get(name) {
            Some(matching) => matching.clone(),
            None => {
                let wanting = self.webhooks.iter().enumerate();
                let wanting = wanting.filter(|(_, webhook)| webhook.wants_name(name).is_ok());
                let (plain, filtered) =
                    wanting.partition::<Vec<_>, _>(|(_, webhook)| webhook.rules.is_empty());
                let by_value = plain.iter().chain(&filtered);
                let by_value = by_value.filter(|(_, webhook)| path_of(webhook).is_some());
                let mut by_value: Vec<usize> = by_value.map(|(index, _)| *index).collect();
                by_value.sort_unstable();
                let indices =
                    |all: Vec<(usize, _)>| all.into_iter().map(|(index, _)| index).collect();
                let is_of_tenants = |(_, webhook): &(_, &Arc<Webhook>)| webhook.tenants.is_some();
                let matching = Arc::new(Matching {
                    by_tenant: filtered.iter().any(is_of_tenants),
                    plain: indices(plain),
                    filtered: indices(filtered),
                    by_value: by_value.into(),
                });
                if names.known.len() >= CACHED_NAMES {
                    names.known.clear();
                }
                names.known.insert(name.clone(), matching.clone());
                matching
            }
        };
        names.last = Some((name.clone(), matching.clone()));
        matching
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter;
    use crate::model::{Condition, Dialect, EventId, Operand, Pattern, Rule, Word};

    fn webhook(name: &str, tenants: Option<&[&str]>) -> Arc<Webhook> {
        Arc::new(Webhook {
            dialect: Dialect::OpenboxesLift,
            tenants: tenants.map(|all| all.iter().map(|tenant| (*tenant).into()).collect()),
            ..Webhook::sample(name, "https://h/")
        })
    }

    // A run of one name is matched once and its bodies are shared among webhooks: never among events.
    #[test]
    fn in_a_run_of_one_name_every_event_keeps_its_tenant() {
        let all = vec![
            webhook("all", None),
            webhook("globex", Some(&["globex"])),
            webhook("again", None),
        ];
        let routes = Routes::new(all, Some("acme".into()));
        let name: Arc<str> = "e".into();
        let tenants = [None, Some("globex"), Some("initech"), Some("globex"), None];
        for (id, tenant) in (1..).zip(tenants) {
            let event = Event {
                id: EventId::new(id),
                name: name.clone(),
                data: "1".into(),
                time_ms: 0,
                tenant: tenant.map(Into::into),
            };
            let fanned = routes.fan_out(&event).unwrap();
            assert_eq!(fanned.bodies.len(), 1);
            let sent: serde_json::Value = serde_json::from_slice(&fanned.bodies[0].1).unwrap();
            assert_eq!(sent["tenantId"], tenant.unwrap_or("acme"));
            let names: Vec<&str> = fanned.webhooks.iter().map(|(name, _)| &**name).collect();
            let theirs = tenant == Some("globex");
            let expected: &[&str] = if theirs {
                &["all", "globex", "again"]
            } else {
                &["all", "again"]
            };
            assert_eq!(names, expected);
            assert_eq!(routes.count(&event), expected.len());
            for webhook in routes.webhooks() {
                let wants = webhook.wants(&event.name, event.tenant.as_deref());
                assert_eq!(names.contains(&&*webhook.name), wants.is_ok());
            }
        }
    }

    // Whoever is asked, one by one or all at once, of one name or another, the answer is the same.
    #[test]
    fn filters_of_all_webhooks_are_one_with_those_of_each() {
        let rule = |text: &str, word, operand: Operand| {
            let path = filter::path(text).unwrap();
            let operands = [operand].into();
            Rule::One(Condition {
                path,
                word,
                operands,
            })
        };
        let place = |name: &str| rule("$.at", Word::Eq, Operand::Text(name.into()));
        let webhook = |name: &str, events: &str, tenants: Option<&[&str]>, rules: Vec<Rule>| {
            Arc::new(Webhook {
                events: vec![Pattern::new(events)],
                rules: rules.into(),
                ..Webhook::clone(&webhook(name, tenants))
            })
        };
        let elsewhere = rule("$.at", Word::Ne, Operand::Text("a".into()));
        let routes = Routes::new(
            vec![
                webhook("at-a", "*", None, vec![place("a")]),
                webhook("all", "*", None, Vec::new()),
                webhook("at-b", "x.*", None, vec![place("b")]),
                webhook("at-a-of-acme", "*", Some(&["acme"]), vec![place("a")]),
                webhook("elsewhere", "y.*", None, vec![elsewhere]),
                webhook("acme", "x.*", Some(&["acme"]), Vec::new()),
                webhook("at-b-of-acme", "*", Some(&["acme"]), vec![place("b")]),
            ],
            None,
        );
        let mut sent = 0;
        for (id, name) in (1..).zip(["x.1", "y.1", "z", "x.1"]) {
            for data in ["{\"at\":\"a\"}", "{\"at\":\"b\"}", "{}", "[7]"] {
                for tenant in [None, Some("acme"), Some("globex")] {
                    let event = Event {
                        id: EventId::new(id),
                        name: name.into(),
                        data: data.into(),
                        time_ms: 0,
                        tenant: tenant.map(Into::into),
                    };
                    let wanting = routes.webhooks().iter();
                    let wanting = wanting.filter(|webhook| filter::wants(webhook, &event).is_ok());
                    let expected: Vec<_> = wanting.map(|webhook| webhook.name.clone()).collect();
                    let before = routes.filtered();
                    let fanned = routes.fan_out(&event).map(|fanned| fanned.webhooks);
                    let asking = routes.webhooks().iter().filter(|webhook| {
                        let wants = webhook.wants(&event.name, event.tenant.as_deref());
                        wants.is_ok() && filter::wants(webhook, &event).is_err()
                    });
                    let filtered = routes.filtered() - before;
                    assert_eq!(filtered, asking.count() as u64, "{name} {data} {tenant:?}");
                    let names: Vec<_> =
                        fanned.into_iter().flatten().map(|(name, _)| name).collect();
                    assert_eq!(names, expected, "{name} {data} {tenant:?}");
                    assert_eq!(routes.count(&event), expected.len());
                    sent += expected.len();
                }
            }
        }
        assert!(sent > 48, "more than the one that wants all");
    }

    #[test]
    fn data_that_no_filter_asks_about_is_not_read() {
        let plain = Routes::new(vec![webhook("all", None)], None);
        assert!(plain.filters.is_none());
        let names: Arc<str> = "e".into();
        let matching = plain.matching(&names);
        let event = Event {
            id: EventId::new(1),
            name: names,
            data: "1".into(),
            time_ms: 0,
            tenant: None,
        };
        assert!(matches!(
            plain.unfiltered(&matching, &event).wanting,
            Cow::Borrowed(_)
        ));
    }
}
