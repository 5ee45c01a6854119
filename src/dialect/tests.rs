//! Whole requests, byte for byte, as the vendors' documents show them, and the places where those
//! documents contradict themselves or leave a choice. The rules of one file are tested beside it.
//!
//! A golden value in here changes only when a vendor's document does: receivers have seen these
//! bytes.

use proptest::prelude::*;

use super::*;
use crate::model::event::{MAX_ID, MAX_TIME_MS};
use crate::model::{Dialect, Event, EventId, Secret, Webhook};

pub(super) fn event(id: i64, name: &str, time_ms: i64, data: &str) -> Event {
    Event {
        id: EventId::new(id),
        name: name.into(),
        data: data.into(),
        time_ms,
        tenant: None,
    }
}

pub(super) fn webhook() -> Webhook {
    Webhook::sample("ping", "http://ping.requestcatcher.com/story-submit")
}

fn text(dialect: Dialect, event: &Event, tenant: Option<&str>) -> String {
    String::from_utf8(body(dialect, event, tenant).to_vec()).unwrap()
}

/// Data that a parser would not give back as it was.
const ODD: &str =
    " {\"z\" : 1.0e+05,\n\t\"a\":-0,\"a\":2,\"\\u00e9\":\"\\/\u{e9}\u{2028}\",\"n\":[ ] } ";

#[test]
fn bold_cms_body() {
    let event = event(1024, "story-submit", 1_619_007_030_964, r#"{"a":1}"#);
    assert_eq!(
        text(Dialect::BoldCms, &event, Some("acme")),
        r#"{"v1":{"event":{"id":1024,"name":"story-submit","time":1619007030964},"data":{"a":1}}}"#
    );
}

#[test]
fn bold_factory_body() {
    let data = r#"{"id":"...","reference":"PO-2024-00412","status":"completed","completed_at":"2024-11-14T09:31:55Z"}"#;
    let event = event(7, "production.order.completed", 1_731_576_737_999, data);
    let id = "evt_01jcn08c6f0000000000w38tw8";
    assert_eq!(
        text(Dialect::BoldFactory, &event, Some("acme")),
        format!(
            r#"{{"id":"{id}","event":"production.order.completed","timestamp":"2024-11-14T09:32:17Z","version":"1","data":{data}}}"#
        )
    );
}

#[test]
fn openboxes_lift_body() {
    let data = r#"{"id":"sm-001","identifier":"SM-00142","lineItems":[{"quantityShipped":1000}]}"#;
    let event = event(8, "stockMovement.shipped", 1_743_517_800_000, data);
    let id = "evt-01jqrw4nj000000000013z6fkb";
    assert_eq!(
        text(Dialect::OpenboxesLift, &event, Some("acme")),
        format!(
            r#"{{"id":"{id}","type":"stockMovement.shipped","timestamp":"2025-04-01T14:30:00Z","tenantId":"acme","data":{data}}}"#
        )
    );
}

// Standard Webhooks has no field for a tenant, nor for an id: that is in a header.
#[test]
fn standard_webhooks_body() {
    let data = r#"{"id":"1f81eb52-5198-4599-803e-771906343485","type":"contact"}"#;
    let mut event = event(9, "contact.created", 1_667_505_993_251, data);
    event.tenant = Some("globex".into());
    assert_eq!(
        text(Dialect::StandardWebhooks, &event, Some("acme")),
        format!(r#"{{"type":"contact.created","timestamp":"2022-11-03T20:06:33Z","data":{data}}}"#)
    );
}

#[test]
fn the_tenant_is_the_events_own_else_the_one_given_and_always_a_string() {
    let mut event = event(8, "e", 0, "1");
    let tenant = |event: &Event, given| {
        let body = text(Dialect::OpenboxesLift, event, given);
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["tenantId"].clone()
    };
    assert_eq!(tenant(&event, None), "");
    assert_eq!(tenant(&event, Some("acme")), "acme");
    event.tenant = Some("own".into());
    assert_eq!(tenant(&event, None), "own");
    assert_eq!(tenant(&event, Some("acme")), "own");
}

// The ids by Python's hashlib and struct, from the layout in `id.rs`.
#[test]
fn openboxes_lift_bodies_of_two_tenants() {
    let mut event = event(8, "stockMovement.shipped", 1_743_517_800_000, "{}");
    for (tenant, id) in [
        (None, "evt-01jqrw4nj000000000011mntf9"),
        (Some("acme"), "evt-01jqrw4nj0000000000120j9ac"),
        (Some("globex \"\u{e9}\""), "evt-01jqrw4nj000000000010qf004"),
    ] {
        event.tenant = tenant.map(Into::into);
        let sent = serde_json::to_string(tenant.unwrap_or("acme")).unwrap();
        assert_eq!(
            text(Dialect::OpenboxesLift, &event, Some("acme")),
            format!(
                r#"{{"id":"{id}","type":"stockMovement.shipped","timestamp":"2025-04-01T14:30:00Z","tenantId":{sent},"data":{{}}}}"#
            )
        );
    }
}

#[test]
fn data_goes_out_as_the_very_text() {
    let digits = format!("{{\"n\":{}}}", "1234567890".repeat(1_000));
    for data in [ODD, &digits, "null", "\"\"", "1E400", "[]"] {
        let event = event(1, "e", 0, data);
        for (dialect, tail) in [
            (Dialect::BoldCms, "}}"),
            (Dialect::BoldFactory, "}"),
            (Dialect::OpenboxesLift, "}"),
            (Dialect::StandardWebhooks, "}"),
        ] {
            let body = text(dialect, &event, Some("t"));
            let end = format!("\"data\":{data}{tail}");
            assert!(body.ends_with(&end), "{body}");
        }
    }
}

// The signature is over the raw bytes of the body, spacing included, and its key is the secret's own
// bytes. Values by: printf '%s' BODY | openssl dgst -sha256 -hmac SECRET
#[test]
fn the_signature_is_over_the_bytes_sent() {
    let webhook = Webhook {
        secret: Some(Secret::new("whsec_c2VjcmV0 \u{e9}".as_bytes())),
        ..webhook()
    };
    let event = event(1024, "story-submit", 1_619_007_030_964, ODD);
    let body = body(Dialect::BoldCms, &event, None);
    let request = request(Dialect::BoldCms, &webhook, &body);
    assert_eq!(request.body, body);
    let signature = request.headers.last().unwrap();
    assert_eq!(
        signature.value,
        "7883d0c13fe7b4190e9a6ae24f138cea5e1a7440abca5dacfa29375780ec9123"
    );
}

// One event has one id, whoever it goes to and however often, and no two have the same.
#[test]
fn an_id_is_the_events_and_not_the_deliverys() {
    let one = event(5, "a", 1, "{}");
    for dialect in Dialect::ALL {
        assert_eq!(body(dialect, &one, None), body(dialect, &one.clone(), None));
        let other = event(6, "a", 1, "{}");
        let ids = [&one, &other].map(|e| event_id_text(dialect, e));
        assert_ne!(ids[0], ids[1]);
    }
    // The two string ids differ in their documented prefix only.
    let [factory, lift] =
        [Dialect::BoldFactory, Dialect::OpenboxesLift].map(|d| event_id_text(d, &one));
    assert_eq!(factory.replace('_', "-"), lift);
}

// Bold CMS's id is a JSON number: every reader must keep it exact.
#[test]
fn the_largest_number_is_exact_in_a_double() {
    let event = event(MAX_ID, "e", MAX_TIME_MS, "0");
    let body = text(Dialect::BoldCms, &event, None);
    let start = r#"{"v1":{"event":{"id":9007199254740991,"name":"e","time":253402300799999}"#;
    assert!(body.starts_with(start), "{body}");
    #[expect(clippy::cast_precision_loss, reason = "this is what is tested")]
    let lost = (MAX_ID - 1) as f64 == MAX_ID as f64;
    assert!(!lost);
}

// Of the three vendors none signs a time or an id or lets two keys overlap: one digest, and no header besides.
#[test]
fn one_signature_and_nothing_undocumented() {
    let webhook = Webhook {
        secret: Some(Secret::new(*b"k")),
        ..webhook()
    };
    for dialect in Dialect::ALL {
        let event = event(1, "e", 0, "{}");
        let request = request(dialect, &webhook, &body(dialect, &event, Some("t")));
        let names: Vec<&str> = request.headers.iter().map(|h| &*h.name).collect();
        let signed = match dialect {
            Dialect::BoldCms => "X-Qt-Signature",
            Dialect::BoldFactory => "X-Bold-Signature",
            Dialect::OpenboxesLift => "X-Webhook-Signature",
            Dialect::StandardWebhooks => "webhook-id webhook-timestamp webhook-signature",
        };
        let documented = "Host Connection Accept-Encoding Content-Length Content-Type User-Agent";
        assert_eq!(names.join(" "), format!("{documented} {signed}"));
    }
}

proptest! {
    #[test]
    fn a_body_is_json_that_says_what_the_row_says(
        id in 1..=MAX_ID, time_ms in 0..=MAX_TIME_MS, name in "[A-Za-z0-9_.:/-]{1,255}",
        tenant in any::<String>(), data in any::<i64>()
    ) {
        let event = event(id, &name, time_ms, &format!("[{data}]"));
        let read = |dialect| -> serde_json::Value {
            serde_json::from_slice(&body(dialect, &event, Some(&tenant))).unwrap()
        };
        let cms = read(Dialect::BoldCms);
        prop_assert_eq!(&cms["v1"]["event"]["id"], id);
        prop_assert_eq!(&cms["v1"]["event"]["time"], time_ms);
        prop_assert_eq!(&cms["v1"]["event"]["name"], &*name);
        prop_assert_eq!(&cms["v1"]["data"][0], data);
        let factory = read(Dialect::BoldFactory);
        prop_assert_eq!(&factory["event"], &*name);
        prop_assert_eq!(&factory["data"][0], data);
        let lift = read(Dialect::OpenboxesLift);
        prop_assert_eq!(&lift["type"], &*name);
        prop_assert_eq!(&lift["tenantId"], &*tenant);
        prop_assert_eq!(&lift["data"][0], data);
        let standard = read(Dialect::StandardWebhooks);
        prop_assert_eq!(&standard["type"], &*name);
        prop_assert_eq!(&standard["data"][0], data);
        prop_assert_eq!(standard.as_object().unwrap().len(), 3);
    }
}
