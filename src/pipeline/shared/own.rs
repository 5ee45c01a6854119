//! Events of webhooksd itself, as the webhooks of one configuration get them: their `data`, and who asks.
//!
//! An event of its own name, tenant and `data` goes through the very rule by which all others do, `where`
//! included. Left out: when one is made, and what becomes of it (`store/own.rs`).

use serde_json::Value;

use super::Routes;
use crate::model::event::MAX_TIME_MS;
use crate::model::{Announce, Event, EventId, Fact, FanOut};

impl Announce for Routes {
    fn announce(&self, fact: &Fact, id: EventId, now_ms: i64) -> Option<FanOut> {
        let event = Event {
            id,
            name: fact.name().into(),
            data: data(fact).into(),
            time_ms: now_ms.clamp(0, MAX_TIME_MS),
            tenant: fact.tenant().map(Into::into),
        };
        self.fan_out(&event)
    }
}

/// The event's `data`: JSON text, keys in the documented order.
fn data(fact: &Fact) -> String {
    match fact {
        Fact::Failed {
            webhook,
            delivery,
            event,
            event_id,
            attempts,
            status,
            error,
            tenant: _,
        } => object(&[
            ("webhook", (**webhook).into()),
            ("delivery", delivery.get().into()),
            ("event", (**event).into()),
            ("event_id", event_id.get().into()),
            ("attempts", (*attempts).into()),
            ("status", (*status).into()),
            ("error", error.as_deref().into()),
        ]),
        Fact::Paused(halt) | Fact::Resumed(halt) => object(&[
            ("webhook", (*halt.webhook).into()),
            ("reason", halt.reason.as_deref().into()),
            ("since", halt.since_ms.into()),
        ]),
        Fact::Rejected {
            event,
            event_id,
            reason,
            tenant: _,
        } => object(&[
            ("event", event.as_str().into()),
            ("event_id", event_id.get().into()),
            ("reason", reason.as_str().into()),
        ]),
    }
}

/// A map of `serde_json` would bring its own order.
fn object(members: &[(&str, Value)]) -> String {
    let mut out = String::from("{");
    for (place, (key, value)) in members.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        out.push_str(&format!("{comma}\"{key}\":{value}"));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{DeliveryId, Dialect, Halt, Pattern, Webhook};

    const NOW: i64 = 1_731_576_737_123;

    fn failed(tenant: Option<&str>) -> Fact {
        Fact::Failed {
            webhook: "depot".into(),
            delivery: DeliveryId::new(12),
            event: "story-submit".into(),
            event_id: EventId::new(7),
            attempts: 4,
            status: Some(500),
            error: Some("status 500: \"no\"\n".into()),
            tenant: tenant.map(Into::into),
        }
    }

    fn halt(reason: Option<&str>) -> Halt {
        Halt {
            webhook: "depot".into(),
            since_ms: NOW - 1,
            reason: reason.map(str::to_owned),
        }
    }

    fn hook(name: &str, patterns: &[&str], dialect: Dialect) -> Webhook {
        Webhook {
            events: patterns.iter().map(|text| Pattern::new(text)).collect(),
            dialect,
            ..Webhook::sample(name, "https://h/")
        }
    }

    fn routes(hooks: Vec<Webhook>) -> Routes {
        let hooks = hooks.into_iter().map(Arc::new).collect();
        Routes::new(hooks, Some("configured".into()))
    }

    /// The id of a first event of that moment.
    fn id() -> EventId {
        crate::model::own::next_id(EventId::NONE, NOW)
    }

    #[test]
    fn golden_bytes_in_each_dialect() {
        let all = Dialect::ALL.map(|dialect| hook(dialect.name(), &["webhooksd.*"], dialect));
        let routes = routes(all.to_vec());
        let bodies = |fact: &Fact| -> Vec<String> {
            let fanned = routes.announce(fact, id(), NOW).unwrap();
            assert_eq!(fanned.webhooks.len(), 4);
            assert_eq!(fanned.message.as_deref().map(str::len), Some(30));
            let bodies = fanned.bodies.iter();
            bodies
                .map(|(_, body)| String::from_utf8(body.to_vec()).unwrap())
                .collect()
        };
        let data = r#"{"webhook":"depot","delivery":12,"event":"story-submit","event_id":7,"attempts":4,"status":500,"error":"status 500: \"no\"\n"}"#;
        let [cms, factory, lift, standard] =
            <[String; 4]>::try_from(bodies(&failed(Some("acme")))).unwrap();
        assert_eq!(
            cms,
            format!(
                r#"{{"v1":{{"event":{{"id":6235176364493497,"name":"webhooksd.delivery.failed","time":1731576737123}},"data":{data}}}}}"#
            )
        );
        let ids = |body: &str| body.split('"').nth(3).unwrap().to_owned();
        assert!(ids(&factory).starts_with("evt_") && ids(&lift).starts_with("evt-"));
        assert_eq!(
            factory,
            format!(
                r#"{{"id":"{}","event":"webhooksd.delivery.failed","timestamp":"2024-11-14T09:32:17Z","version":"1","data":{data}}}"#,
                ids(&factory)
            )
        );
        assert_eq!(
            lift,
            format!(
                r#"{{"id":"{}","type":"webhooksd.delivery.failed","timestamp":"2024-11-14T09:32:17Z","tenantId":"acme","data":{data}}}"#,
                ids(&lift)
            )
        );
        assert_eq!(
            standard,
            format!(
                r#"{{"type":"webhooksd.delivery.failed","timestamp":"2024-11-14T09:32:17Z","data":{data}}}"#
            )
        );
        let pause = bodies(&Fact::Paused(halt(None)));
        assert!(pause[2].contains(r#""tenantId":"configured""#), "{pause:?}");
        let data = r#""data":{"webhook":"depot","reason":null,"since":1731576737122}"#;
        assert!(pause.iter().all(|body| body.contains(data)), "{pause:?}");
        let resumed = bodies(&Fact::Resumed(halt(Some("why \u{1f}"))));
        assert!(resumed[0].contains(r#""name":"webhooksd.webhook.resumed""#));
        assert!(
            resumed[0].contains(r#""reason":"why \u001f""#),
            "{resumed:?}"
        );
        let rejected = bodies(&Fact::Rejected {
            event: "st\"ry".into(),
            event_id: EventId::new(9),
            reason: "event is no name".into(),
            tenant: None,
        });
        let data = r#""data":{"event":"st\"ry","event_id":9,"reason":"event is no name"}"#;
        assert!(
            rejected.iter().all(|body| body.contains(data)),
            "{rejected:?}"
        );
    }

    #[test]
    fn who_gets_one_is_decided_as_for_all_events() {
        let lift = Dialect::OpenboxesLift;
        let mut acme = hook("acme", &["webhooksd.delivery.*"], lift);
        acme.tenants = Some(vec!["acme".into()]);
        let mut inactive = hook("inactive", &["webhooksd.*"], lift);
        inactive.active = false;
        let of_app = hook("app", &["*"], lift);
        let all = vec![
            acme,
            inactive,
            of_app,
            hook("all", &["a", "webhooksd.*"], lift),
        ];
        let routes = routes(all);
        let names = |fact: &Fact| -> Vec<String> {
            let fanned = routes.announce(fact, id(), NOW);
            let webhooks = fanned.map_or(Vec::new(), |fanned| fanned.webhooks);
            webhooks
                .into_iter()
                .map(|(name, _)| name.to_string())
                .collect()
        };
        assert_eq!(names(&failed(Some("acme"))), ["acme", "all"]);
        assert_eq!(names(&failed(None)), ["all"]);
        assert_eq!(names(&Fact::Paused(halt(None))), ["all"]);
        let nobody = Routes::new(vec![Arc::new(hook("app", &["*"], lift))], None);
        assert!(nobody.announce(&failed(None), id(), NOW).is_none());
    }
}
