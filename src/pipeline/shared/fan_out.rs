//! Fan-out: which webhooks want an event, and the bodies that they get.
//!
//! Which they are is [`Webhook::wants`]; here that rule is asked for many webhooks at once, with one
//! body for each dialect. Pure but for a cache of event names: an application has few names and perhaps ten thousand
//! webhooks, so a name is matched against all the patterns once and not for every event.
//! Nothing here is stored or sent.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::dialect;
use crate::model::{Event, FanOut, Webhook};

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
}

/// The indices of the webhooks that want a name.
#[derive(Default)]
struct Names {
    /// The name asked for last, which the outbox shares among a run of events.
    last: Option<(Arc<str>, Arc<[usize]>)>,
    known: HashMap<Arc<str>, Arc<[usize]>>,
}

impl Routes {
    /// Takes the webhooks of a configuration, and the tenant id that `openboxes-lift` sends for events
    /// that name none.
    #[must_use]
    pub(crate) fn new(webhooks: Vec<Arc<Webhook>>, tenant: Option<Arc<str>>) -> Self {
        Self {
            webhooks,
            tenant,
            names: Mutex::default(),
        }
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
        // Few want an event that many patterns match, where each has its tenant.
        let room = matching.len().min(ROOM);
        let mut fanned = FanOut {
            event_id: event.id,
            event: event.name.clone(),
            bodies: Vec::with_capacity(room.min(1)),
            webhooks: Vec::with_capacity(room),
        };
        for webhook in self.wanting(&matching, event) {
            let known = fanned
                .bodies
                .iter()
                .position(|(d, _)| *d == webhook.dialect);
            let body = known.unwrap_or_else(|| {
                let bytes = dialect::body(webhook.dialect, event, self.tenant.as_deref());
                fanned.bodies.push((webhook.dialect, bytes));
                fanned.bodies.len() - 1
            });
            fanned.webhooks.push((webhook.name.clone(), body));
        }
        (!fanned.webhooks.is_empty()).then_some(fanned)
    }

    /// How many webhooks want the event.
    #[must_use]
    pub(crate) fn count(&self, event: &Event) -> usize {
        self.wanting(&self.matching(&event.name), event).count()
    }

    /// Those among the webhooks that want the event's name which want the event.
    fn wanting<'a>(
        &'a self,
        matching: &'a [usize],
        event: &'a Event,
    ) -> impl Iterator<Item = &'a Arc<Webhook>> {
        let webhooks = matching.iter().map(|&index| &self.webhooks[index]);
        webhooks.filter(|webhook| webhook.wants_tenant(event.tenant.as_deref()).is_ok())
    }

    /// The indices of the webhooks that want that name.
    fn matching(&self, name: &Arc<str>) -> Arc<[usize]> {
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
                let matching: Arc<[usize]> = wanting.map(|(index, _)| index).collect();
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
    use crate::model::{Dialect, EventId};

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
}
