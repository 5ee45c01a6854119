//! The three headers of Standard Webhooks 1.0.0: the message's id, when it is sent, and a signature over both
//! and the body; of the dialect of that name, and beside another's own.
//!
//! The id is the event's as `bold-factory` writes it, the same in each retry, redelivery and replay; of a batch
//! it is the batch's, since one POST is one message. An id holds no full stop, so what is signed can be read in
//! one way only. Left out: the scheme `v1a`, for which a receiver would have to be given a public key.

use std::borrow::Cow;

use bytes::Bytes;

use super::base64;
use super::id::{event_id_text, id_by_body};
use super::sign::mac;
use super::traceparent::TRACEPARENT;
use crate::model::{Dialect, Event, EventId, Header, Secret, Signed, Traceparent, Webhook};

/// The headers' names, in the order and the case of the specification.
pub(crate) const STANDARD_HEADERS: [&str; 3] =
    ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// What an attempt is besides its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sending<'a> {
    /// The batch's id.
    pub(crate) batch: Option<&'a str>,
    /// The message's id, as far as it is not in the body.
    pub(crate) message: Option<&'a str>,
    /// The outbox id of the event.
    pub(crate) event_id: EventId,
    /// When it begins, UNIX milliseconds.
    pub(crate) now_ms: i64,
    /// The trace that it tells of.
    pub(crate) trace: Option<&'a Traceparent>,
}

/// The id that the event has as a message, where a delivery for this webhook can't take it out of its body.
#[must_use]
pub(crate) fn message_id(webhook: &Webhook, event: &Event) -> Option<String> {
    let wants = match webhook.dialect {
        Dialect::StandardWebhooks => true,
        Dialect::BoldCms => webhook.standard.is_some(),
        Dialect::BoldFactory | Dialect::OpenboxesLift => false,
    };
    wants.then(|| event_id_text(Dialect::StandardWebhooks, event))
}

/// Whether a message's id is kept with a body of that dialect: the others have it in them.
#[must_use]
pub(crate) fn keeps_message_id(dialect: Dialect) -> bool {
    match dialect {
        Dialect::StandardWebhooks | Dialect::BoldCms => true,
        Dialect::BoldFactory | Dialect::OpenboxesLift => false,
    }
}

/// The headers, none where the webhook has not asked for them. The dialect is the delivery's.
pub(super) fn headers(
    dialect: Dialect,
    webhook: &Webhook,
    body: &Bytes,
    sending: &Sending<'_>,
) -> Vec<Header> {
    let is_beside = webhook.dialect != Dialect::StandardWebhooks && webhook.standard.is_some();
    if dialect != Dialect::StandardWebhooks && !is_beside {
        return Vec::new();
    }
    let id = match (sending.batch, sending.message) {
        (Some(id), _) | (None, Some(id)) => Cow::Borrowed(id),
        (None, None) => Cow::Owned(id_by_body(dialect, body, sending.event_id)),
    };
    let seconds = sending.now_ms.max(0) / 1_000;
    let timestamp = itoa::Buffer::new().format(seconds).to_owned();
    let mut signatures = String::new();
    for secret in secrets(webhook) {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        push_signature(&mut signatures, secret, [&id, &timestamp], body);
    }
    let is_signed = !signatures.is_empty();
    let values = [id.into_owned(), timestamp, signatures];
    let all = STANDARD_HEADERS.into_iter().zip(values);
    let header = |(name, value): (&'static str, String)| Header {
        name: Cow::Borrowed(name),
        value: Cow::Owned(value),
        redacted: false,
    };
    all.take(if is_signed { 3 } else { 2 })
        .map(header)
        .collect()
}

/// What it signs with. A delivery that was made when the webhook spoke this dialect is signed with what the
/// webhook has today.
fn secrets(webhook: &Webhook) -> impl Iterator<Item = &Secret> {
    let standard = webhook.standard.as_deref();
    let current = standard.map_or(webhook.secret.as_ref(), |both| Some(&both.current));
    current
        .into_iter()
        .chain(standard.and_then(|both| both.previous.as_ref()))
}

/// `v1,` and the signature of that secret, as a receiver computes it anew.
#[must_use]
pub(crate) fn standard_signature(
    secret: &Secret,
    id: &str,
    timestamp: &str,
    body: &Bytes,
) -> String {
    let mut out = String::new();
    push_signature(&mut out, secret, [id, timestamp], body);
    out
}

fn push_signature(out: &mut String, secret: &Secret, [id, timestamp]: [&str; 2], body: &Bytes) {
    // A vendor's secret may begin like this and be no base64; the configuration refuses it for this dialect.
    let key = base64::key(secret.bytes()).map_or(Cow::Borrowed(secret.bytes()), |key| key.bytes);
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    out.push_str("v1,");
    base64::push(out, &mac(&key, &parts));
}

/// Of a request's headers what differs from one attempt to the next, from the value of the vendor's signature
/// (`vendor`, its name) to that of these and of the `traceparent` behind them; `None` where none of these is in it.
pub(super) fn run(vendor: Option<&str>, headers: &[Header]) -> Option<Signed> {
    let own = || headers.iter().filter(|header| !header.redacted);
    let is_one = |h: &Header| STANDARD_HEADERS.contains(&&*h.name) || h.name == TRACEPARENT;
    own().find(|header| is_one(header))?;
    let is_part = |h: &&Header| Some(&*h.name) == vendor || is_one(h);
    let mut run = String::with_capacity(160);
    for (place, header) in own().filter(is_part).enumerate() {
        if place > 0 {
            run.push('\n');
            run.push_str(&header.name);
            run.push_str(": ");
        }
        run.push_str(&header.value);
    }
    Some(Signed::Run(run.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tests::{event, webhook};
    use crate::dialect::{body, request_of};
    use crate::model::{Request, StandardSecrets};

    const NOW_MS: i64 = 1_674_087_231_999;

    fn secrets_of(current: &str, previous: Option<&str>) -> Option<Box<StandardSecrets>> {
        let secret = |text: &str| Secret::new(text.as_bytes());
        let both = StandardSecrets {
            current: secret(current),
            previous: previous.map(secret),
        };
        Some(both.into())
    }

    fn sent(dialect: Dialect, webhook: &Webhook, event: &Event, batch: Option<&str>) -> Request {
        let message = message_id(webhook, event);
        let sending = Sending {
            batch,
            message: message.as_deref(),
            event_id: event.id,
            now_ms: NOW_MS,
            trace: None,
        };
        request_of(dialect, webhook, &body(dialect, event, Some("t")), &sending)
    }

    fn value<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
        let mut all = request.headers.iter().filter(|h| h.name == name);
        let value = all.next().map(|h| &*h.value);
        assert!(all.next().is_none(), "{name} once");
        value
    }

    // The specification's own vector, of its libraries' tests.
    #[test]
    fn the_published_vector() {
        let secret = Secret::new(*b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = Bytes::from_static(br#"{"test": 2432232314}"#);
        assert_eq!(
            standard_signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", &body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn the_id_is_bold_factorys_beside_every_dialect() {
        let mut event = event(7, "story-submit", 1_619_007_030_964, r#"{"a":1}"#);
        event.tenant = Some("acme".into());
        let id = event_id_text(Dialect::BoldFactory, &event);
        for dialect in Dialect::ALL {
            let mut webhook = webhook();
            webhook.dialect = dialect;
            webhook.standard = secrets_of("a key", None);
            let request = sent(dialect, &webhook, &event, None);
            assert_eq!(value(&request, "webhook-id"), Some(&*id), "{dialect:?}");
            assert_eq!(value(&request, "webhook-timestamp"), Some("1674087231"));
            let signature =
                standard_signature(&Secret::new(*b"a key"), &id, "1674087231", &request.body);
            assert_eq!(value(&request, "webhook-signature"), Some(&*signature));
        }
        // Of a body that was made before they were asked for: by what is in it.
        event.tenant = None;
        let body = body(Dialect::BoldCms, &event, None);
        let id = event_id_text(Dialect::BoldFactory, &event);
        assert_eq!(id_by_body(Dialect::BoldCms, &body, event.id), id);
    }

    #[test]
    fn a_batch_is_one_message() {
        let event = event(7, "e", 1, "{}");
        let mut webhook = webhook();
        webhook.dialect = Dialect::OpenboxesLift;
        webhook.standard = secrets_of("a key", None);
        let request = sent(Dialect::OpenboxesLift, &webhook, &event, Some("batch-1"));
        assert_eq!(value(&request, "webhook-id"), Some("batch-1"));
        assert_eq!(value(&request, "X-Webhook-Batch"), Some("batch-1"));
    }

    #[test]
    fn both_secrets_sign_and_the_todays_first() {
        let event = event(7, "e", 1, "{}");
        let mut webhook = webhook();
        webhook.dialect = Dialect::StandardWebhooks;
        webhook.standard = secrets_of("new", Some("whsec_b2xk"));
        let request = sent(Dialect::StandardWebhooks, &webhook, &event, None);
        let id = value(&request, "webhook-id").unwrap();
        let by = |key: &str| {
            let key = Secret::new(key.as_bytes());
            standard_signature(&key, id, "1674087231", &request.body)
        };
        let both = format!("{} {}", by("new"), by("old"));
        assert_eq!(value(&request, "webhook-signature"), Some(&*both));
    }

    /// A delivery keeps the dialect it was made with, whatever its webhook speaks by now.
    #[test]
    fn a_delivery_outlives_its_webhooks_dialect() {
        let event = event(7, "e", 1, "{}");
        let mut webhook = webhook();
        webhook.secret = Some(Secret::new(*b"key"));
        let request = sent(Dialect::StandardWebhooks, &webhook, &event, None);
        assert!(value(&request, "webhook-signature").is_some());
        webhook.secret = None;
        let request = sent(Dialect::StandardWebhooks, &webhook, &event, None);
        assert_eq!(value(&request, "webhook-signature"), None);
        webhook.dialect = Dialect::StandardWebhooks;
        webhook.standard = secrets_of("key", None);
        let request = sent(Dialect::BoldFactory, &webhook, &event, None);
        assert_eq!(value(&request, "webhook-id"), None);
    }
}
