//! The request: every header that goes on the wire, in the order it goes in.
//!
//! The order and the case of the names are those of Bold CMS's sample request. Of that sample,
//! `Connection: close`, `Accept-Encoding` and the bare `Content-Type` are copied by choice; the
//! `User-Agent` is our own, for we impersonate nobody. There is one digest and no header besides:
//! none of the vendors signs a time or defines how keys overlap; who wants that has the headers of Standard
//! Webhooks (`standard.rs`), right behind. No vendor signs a header, so a `traceparent` (`traceparent.rs`) changes no
//! signature. Apache and others tell how long they
//! keep a connection only to a client that asks with `Connection: keep-alive`; so the others, which
//! document no list of headers, have it. Bold CMS documents each one: where its `Connection: close` is
//! switched off, nothing comes in its place. Left out: what the user's own
//! headers may be called (`config` checks them); here they go last, as they stand.

use std::borrow::Cow;

use bytes::Bytes;

use super::sign;
use super::standard::{self, Sending};
use super::traceparent::TRACEPARENT;
use crate::model::{Dialect, Header, Request, Secret, Signed, Webhook, signature_of};

/// The header with a batch's id.
pub(crate) const BATCH: &str = "X-Webhook-Batch";

const USER_AGENT: &str = concat!("webhooksd/", env!("CARGO_PKG_VERSION"));

/// The request that sends `body` to the webhook's endpoint, signed with today's secret.
///
/// The dialect is the delivery's, which may differ from the webhook's of today.
#[must_use]
pub fn request(dialect: Dialect, webhook: &Webhook, body: &Bytes) -> Request {
    request_of(dialect, webhook, body, &Sending::default())
}

/// The same, with what an attempt is besides its body.
#[must_use]
pub(crate) fn request_of(
    dialect: Dialect,
    webhook: &Webhook,
    body: &Bytes,
    sending: &Sending<'_>,
) -> Request {
    let standard = standard::headers(dialect, webhook, body, sending);
    let mut headers = Vec::with_capacity(8 + standard.len() + webhook.headers.len());
    headers.push(own("Host", webhook.url.authority().to_owned()));
    match (webhook.keep_alive, dialect) {
        (false, _) => headers.push(own("Connection", "close")),
        (true, Dialect::BoldCms) => {}
        (true, _) => headers.push(own("Connection", "keep-alive")),
    }
    headers.push(own("Accept-Encoding", "gzip, deflate"));
    headers.push(own("Content-Length", body.len().to_string()));
    headers.push(own("Content-Type", "application/json"));
    headers.push(own("User-Agent", USER_AGENT));
    headers.extend(signature_header(dialect, webhook, body));
    headers.extend(standard);
    headers.extend(
        sending
            .trace
            .map(|trace| own(TRACEPARENT, trace.to_string())),
    );
    headers.extend(sending.batch.map(|id| own(BATCH, id.to_owned())));
    headers.extend(webhook.headers.iter().map(|(name, value)| Header {
        name: Cow::Owned(name.to_string()),
        value: Cow::Owned(value.to_string()),
        redacted: true,
    }));
    Request {
        dialect,
        headers,
        body: body.clone(),
    }
}

/// Without a secret Bold CMS's "header field will appear blank"; the others have none then.
/// Lift's sample verifier compares bare hex, but its documented header has the `sha256=`: that is sent.
fn signature_header(dialect: Dialect, webhook: &Webhook, body: &Bytes) -> Option<Header> {
    match &webhook.secret {
        Some(secret) => {
            let (name, value) = signature(dialect, secret, body)?;
            Some(own(name, value))
        }
        None if dialect == Dialect::BoldCms => Some(own(names(dialect)?.0, "")),
        None => None,
    }
}

/// The header that a vendor signs a body with: its name in the documented case, and its value. `None` for
/// Standard Webhooks, which signs more than the body.
#[must_use]
pub(crate) fn signature(
    dialect: Dialect,
    secret: &Secret,
    body: &Bytes,
) -> Option<(&'static str, String)> {
    let (name, prefix) = names(dialect)?;
    Some((name, sign::signature(prefix, secret, body)))
}

/// What of a request that [`request_of`] made is its own; `None` where it is unsigned.
#[must_use]
pub(crate) fn signed(dialect: Dialect, request: &Request) -> Option<Signed> {
    let names = names(dialect);
    let run = standard::run(names.map(|(name, _)| name), &request.headers);
    run.or_else(|| {
        let (name, prefix) = names?;
        let header = request.headers.iter().find(|header| header.name == name)?;
        signature_of(header.value.strip_prefix(prefix)?).map(Signed::Digest)
    })
}

/// The name of a vendor's signature header, and what stands before the hex.
fn names(dialect: Dialect) -> Option<(&'static str, &'static str)> {
    match dialect {
        Dialect::BoldCms => Some(("X-Qt-Signature", "")),
        Dialect::BoldFactory => Some(("X-Bold-Signature", "")),
        Dialect::OpenboxesLift => Some(("X-Webhook-Signature", "sha256=")),
        Dialect::StandardWebhooks => None,
    }
}

fn own(name: &'static str, value: impl Into<Cow<'static, str>>) -> Header {
    Header {
        name: Cow::Borrowed(name),
        value: value.into(),
        redacted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tests::webhook;
    use crate::model::{Secret, Traceparent, Url};

    const BODY: &str =
        r#"{"v1":{"event":{"id":1024,"name":"story-submit","time":1619007030964},"data":{"a":1}}}"#;
    const HEX: &str = "a3509d31da3c10bd9896bb583dad73d4ca33ef3063eae3b85a71e3452c53f934";

    fn lines(dialect: Dialect, webhook: &Webhook) -> String {
        let request = request(dialect, webhook, &Bytes::from_static(BODY.as_bytes()));
        assert_eq!(request.body, BODY);
        let line = |h: &Header| format!("{}: {}\n", h.name, h.value);
        request.headers.iter().map(line).collect()
    }

    fn signed() -> Webhook {
        Webhook {
            secret: Some(Secret::new(*b"top secret key")),
            ..webhook()
        }
    }

    const COMMON: &str = concat!(
        "Accept-Encoding: gzip, deflate\n",
        "Content-Length: 86\n",
        "Content-Type: application/json\n",
        "User-Agent: webhooksd/",
        env!("CARGO_PKG_VERSION"),
        "\n"
    );

    #[test]
    fn bold_cms_in_the_order_of_its_sample() {
        let mut webhook = signed();
        let host = "Host: ping.requestcatcher.com\n";
        let all = format!("{host}Connection: close\n{COMMON}X-Qt-Signature: {HEX}\n");
        assert_eq!(lines(Dialect::BoldCms, &webhook), all);
        webhook.secret = None;
        let blank = format!("{host}Connection: close\n{COMMON}X-Qt-Signature: \n");
        assert_eq!(lines(Dialect::BoldCms, &webhook), blank);
        webhook.keep_alive = true;
        let reused = format!("{host}{COMMON}X-Qt-Signature: \n");
        assert_eq!(lines(Dialect::BoldCms, &webhook), reused);
    }

    #[test]
    fn the_others_have_a_signature_or_no_header() {
        let mut webhook = signed();
        webhook.keep_alive = true;
        webhook.url = Url::parse("https://h.example:8443/a?b").unwrap();
        let host = "Host: h.example:8443\n";
        for (dialect, line) in [
            (Dialect::BoldFactory, format!("X-Bold-Signature: {HEX}\n")),
            (
                Dialect::OpenboxesLift,
                format!("X-Webhook-Signature: sha256={HEX}\n"),
            ),
        ] {
            webhook.secret = signed().secret;
            let asking = format!("{host}Connection: keep-alive\n{COMMON}");
            assert_eq!(lines(dialect, &webhook), format!("{asking}{line}"));
            webhook.secret = None;
            assert_eq!(lines(dialect, &webhook), asking);
            webhook.keep_alive = false;
            let closed = format!("{host}Connection: close\n{COMMON}");
            assert_eq!(lines(dialect, &webhook), closed);
            webhook.keep_alive = true;
        }
    }

    #[test]
    fn the_users_headers_go_last_as_they_stand_and_redacted() {
        let mut webhook = signed();
        webhook.headers = vec![
            ("x-tEAM".into(), " web ".into()),
            ("X-Token".into(), "marker".into()),
        ];
        for dialect in Dialect::ALL {
            let request = request(dialect, &webhook, &Bytes::from_static(b"{}"));
            let (dialects, users) = request.headers.split_at(request.headers.len() - 2);
            assert!(dialects.iter().all(|h| !h.redacted));
            assert!(users.iter().all(|h| h.redacted));
            assert_eq!((&*users[0].name, &*users[0].value), ("x-tEAM", " web "));
            let log = request.header_lines();
            assert!(log.ends_with("x-tEAM: [redacted]\nX-Token: [redacted]"));
            assert!(!log.contains("marker") && !log.contains("top secret key"));
        }
    }

    /// Only one line more, and no vendor's signature is another for it.
    #[test]
    fn with_a_trace_each_dialect_has_a_line_behind_what_signs() {
        let mut webhook = signed();
        webhook.keep_alive = true;
        webhook.headers = vec![("X-Team".into(), "web".into())];
        let trace = Traceparent::new(
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            0xf0_67aa_0ba9_02b7,
        );
        let line = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n";
        let host = "Host: ping.requestcatcher.com\n";
        let alive = "Connection: keep-alive\n";
        let standard = concat!(
            "webhook-id: evt_1\nwebhook-timestamp: 1674087231\n",
            "webhook-signature: v1,H/RJXaxy0oaAGRBMCGSG1DVRh/rFKw+D5Y6suERvtV0=\n"
        );
        for (dialect, before, signed) in [
            (Dialect::BoldCms, "", format!("X-Qt-Signature: {HEX}\n")),
            (
                Dialect::BoldFactory,
                alive,
                format!("X-Bold-Signature: {HEX}\n"),
            ),
            (
                Dialect::OpenboxesLift,
                alive,
                format!("X-Webhook-Signature: sha256={HEX}\n"),
            ),
            (Dialect::StandardWebhooks, alive, standard.to_owned()),
        ] {
            webhook.dialect = dialect;
            let sending = Sending {
                message: Some("evt_1"),
                now_ms: 1_674_087_231_999,
                trace: Some(&trace),
                ..Sending::default()
            };
            let body = Bytes::from_static(BODY.as_bytes());
            let sent = request_of(dialect, &webhook, &body, &sending).header_lines();
            let all = format!("{host}{before}{COMMON}{signed}{line}X-Team: [redacted]");
            assert_eq!(sent, all);
        }
    }

    #[test]
    fn dialects_names_are_not_allocated() {
        let request = request(Dialect::BoldCms, &signed(), &Bytes::new());
        let borrowed = |h: &Header| matches!(h.name, Cow::Borrowed(_));
        assert!(request.headers.iter().all(borrowed));
    }
}
