//! Likeness: whether two nodes have the same configuration, told by a digest that has no secret in it.
//!
//! Of what decides who gets an event and how it is sent, and of how long the log keeps it; the order of webhooks, comments and the
//! form of the file are none of it, nor are a machine's own paths, addresses and limits. Secrets and the values of headers
//! are left out, for the digest stands in the log. It is compared between nodes of one version alone: another one may know
//! other keys.

use std::sync::Arc;

use crate::model::Webhook;
use crate::pipeline::shared::hash;

/// The digest of a configuration: its webhooks, and what else there is in words.
pub(crate) fn digest(webhooks: &[Arc<Webhook>], others: &str) -> Arc<str> {
    let mut told: Vec<String> = webhooks.iter().map(|webhook| in_words(webhook)).collect();
    told.sort_unstable();
    told.push(others.to_owned());
    let whole = told.join("\u{1}");
    let halves = [
        hash(whole.as_bytes()),
        hash(format!("\u{2}{whole}").as_bytes()),
    ];
    format!("{:08x}{:08x}", halves[0], halves[1]).into()
}

/// All that is told of a webhook.
fn in_words(webhook: &Webhook) -> String {
    // A new field is decided on here.
    let Webhook {
        name,
        url,
        events,
        secret,
        standard,
        dialect,
        active,
        tenants,
        rules,
        keep_alive,
        max_in_flight,
        max_per_second,
        ca,
        min_tls,
        client,
        client_files: _,
        proxy,
        traceparent,
        addresses,
        headers,
        batch,
        order,
        max_attempts,
        auto_pause_ms,
    } = webhook;
    let mut words = String::new();
    let mut add = |word: &dyn std::fmt::Debug| {
        words.push_str(&format!("{word:?}\u{0}"));
    };
    add(name);
    add(&url.text());
    add(&events
        .iter()
        .map(|pattern| pattern.text())
        .collect::<Vec<_>>());
    add(&(secret.is_some(), standard.is_some(), client.is_some()));
    add(&(dialect.name(), active, tenants));
    add(&rules.iter().map(ToString::to_string).collect::<Vec<_>>());
    add(&(keep_alive, max_in_flight, max_attempts, auto_pause_ms));
    add(&max_per_second.map(|rate| rate.to_string()));
    add(&ca.as_ref().map(|ca| hash(ca)));
    add(&(min_tls, traceparent, addresses));
    add(&proxy.as_ref().map(|proxy| proxy.place().to_owned()));
    add(&headers.iter().map(|(name, _)| name).collect::<Vec<_>>());
    add(&(batch, order));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pattern, Secret};

    #[test]
    fn what_decides_changes_it_and_neither_secrets_nor_the_order_do() {
        let one = Webhook::sample("one", "https://h.example/in");
        let two = Webhook::sample("two", "https://h.example/in");
        let of = |webhooks: &[&Webhook]| {
            let all: Vec<_> = webhooks
                .iter()
                .map(|webhook| Arc::new((*webhook).clone()))
                .collect();
            digest(&all, "30 days")
        };
        let both = of(&[&one, &two]);
        assert_eq!(both, of(&[&two, &one]));
        let mut signed = [one.clone(), one.clone()];
        signed[0].secret = Some(Secret::new(*b"a"));
        signed[1].secret = Some(Secret::new(*b"b"));
        assert_eq!(of(&[&signed[0]]), of(&[&signed[1]]));
        assert_ne!(
            of(&[&signed[0]]),
            of(&[&one]),
            "whether there is one is seen"
        );
        let mut headed = [one.clone(), one.clone()];
        headed[0].headers = vec![("X-Token".into(), "a".into())];
        headed[1].headers = vec![("X-Token".into(), "b".into())];
        assert_eq!(of(&[&headed[0]]), of(&[&headed[1]]));
        let changes: [fn(&mut Webhook); 7] = [
            |webhook| webhook.active = false,
            |webhook| webhook.events = vec![Pattern::new("a*")],
            |webhook| webhook.max_in_flight = 1,
            |webhook| webhook.tenants = Some(vec!["acme".into()]),
            |webhook| webhook.traceparent = true,
            |webhook| webhook.max_attempts = 3,
            |webhook| webhook.headers = vec![("X-Token".into(), "a".into())],
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut changed = one.clone();
            change(&mut changed);
            assert_ne!(of(&[&changed, &two]), both, "change {n}");
        }
        assert_ne!(of(&[&one]), both);
        let all = [Arc::new(one)];
        assert_ne!(digest(&all, "30 days"), digest(&all, "31 days"));
    }
}
