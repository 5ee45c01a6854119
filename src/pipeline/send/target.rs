//! Where a webhook's requests go by one configuration, and what all of them have in common.
//!
//! The lines that the log keeps of a request's headers are told apart once for each dialect, for all that
//! differs between two requests of a webhook is the body's length and the signature, with the headers of Standard
//! Webhooks behind it.

use std::sync::{Arc, OnceLock};

use crate::dialect;
use crate::model::{Dialect, Request, SentHeaders, Url, Webhook};

/// Where a webhook's requests go by today's configuration.
pub(super) struct Target<E> {
    pub(super) webhook: Arc<Webhook>,
    pub(super) url: Arc<Url>,
    pub(super) endpoint: E,
    /// Per dialect; `None` where they can't be shared.
    lines: [OnceLock<Option<Arc<str>>>; Dialect::ALL.len()],
}

impl<E> Target<E> {
    pub(super) fn new(webhook: Arc<Webhook>, endpoint: E) -> Self {
        let url = Arc::new(webhook.url.clone());
        Self {
            webhook,
            url,
            endpoint,
            lines: Default::default(),
        }
    }

    /// The headers of a request that `dialect` made for this webhook, for the log.
    pub(super) fn sent(&self, dialect: Dialect, request: &Request) -> SentHeaders {
        let signature = dialect::signed(dialect, request);
        let Some(known) = self.lines.get(dialect as usize) else {
            return SentHeaders::Whole(request.header_lines());
        };
        let lines = known.get_or_init(|| {
            match SentHeaders::of(request.header_lines(), signature.as_ref()) {
                // A header of the user's may be called like a signature.
                SentHeaders::Shared {
                    lines,
                    signature: found,
                    ..
                } if found == signature => Some(lines),
                _ => None,
            }
        });
        let sent = match lines {
            Some(lines) => SentHeaders::Shared {
                lines: lines.clone(),
                length: request.body.len(),
                signature,
            },
            None => SentHeaders::Whole(request.header_lines()),
        };
        debug_assert_eq!(sent.text(), request.header_lines());
        sent
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::Sending;
    use crate::model::{Secret, Traceparent};

    /// Whatever the webhook, the dialect and the body: what the log keeps is what was sent.
    #[test]
    fn the_log_keeps_the_headers_that_were_sent() {
        let digits = "0123456789abcdef".repeat(4);
        let odd_names = ["X-Team", &*digits, "{signature}", "{length}", "traceparent"];
        let trace = Traceparent::new(7, 9);
        let value = trace.to_string();
        for secret in [None, Some(Secret::new(*b"key"))] {
            for name in odd_names {
                let mut webhook = Webhook::sample("w", "http://127.0.0.1:9/hook");
                webhook.secret = secret.clone();
                webhook.headers = vec![(name.into(), "value".into())];
                let mut traced = webhook.clone();
                traced.traceparent = true;
                let target = Target::new(Arc::new(webhook), ());
                let traced = Target::new(Arc::new(traced), ());
                for body in ["{}", "{\"a\":1}", ""] {
                    for dialect in Dialect::ALL {
                        let body = Bytes::from_static(body.as_bytes());
                        for target in [&target, &traced] {
                            let sending = Sending {
                                trace: target.webhook.traceparent.then_some(&trace),
                                ..Sending::default()
                            };
                            let webhook = &target.webhook;
                            let request = dialect::request_of(dialect, webhook, &body, &sending);
                            let sent = target.sent(dialect, &request);
                            assert_eq!(sent.text(), request.header_lines());
                            assert_eq!(sent.text().contains(&*value), webhook.traceparent);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn two_requests_share_their_lines() {
        for (dialect, secret, is_traced) in [
            (Dialect::BoldCms, true, false),
            (Dialect::BoldCms, true, true),
            (Dialect::BoldCms, false, true),
            (Dialect::BoldFactory, false, true),
        ] {
            let mut webhook = Webhook::sample("w", "http://127.0.0.1:9/hook");
            webhook.secret = secret.then(|| Secret::new(*b"key"));
            let target = Target::new(Arc::new(webhook), ());
            let lines = |body: &'static str, span: u64| {
                let body = Bytes::from_static(body.as_bytes());
                let trace = Traceparent::new(u128::from(span) << 64, span);
                let sending = Sending {
                    trace: is_traced.then_some(&trace),
                    ..Sending::default()
                };
                let request = dialect::request_of(dialect, &target.webhook, &body, &sending);
                match target.sent(dialect, &request) {
                    SentHeaders::Shared { lines, .. } => lines,
                    SentHeaders::Whole(block) => panic!("{block}"),
                }
            };
            assert!(
                Arc::ptr_eq(&lines("{}", 1), &lines("[1]", 2)),
                "{dialect:?}"
            );
        }
    }
}
