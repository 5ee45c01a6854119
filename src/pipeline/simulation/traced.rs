//! Weeks in which the requests of some webhooks tell of a trace.
//!
//! Only in weeks from [`FROM`] on: those before are what they were. At the begin of each request the oracle holds that
//! a delivery, of several the lowest, is one trace that nothing else is, and an attempt one span of it, also where a
//! crash has it made again.

use std::collections::BTreeMap;

use super::hooks::Sending;
use super::oracle::Oracle;
use super::rng::Rng;
use crate::model::{Request, Webhook};

/// The first seed whose week has this.
pub(super) const FROM: u64 = 28_500_000_000;

/// What was told so far.
#[derive(Default)]
pub(super) struct Traces {
    of_delivery: BTreeMap<i64, String>,
    delivery_of: BTreeMap<String, i64>,
    of_attempt: BTreeMap<Attempted, String>,
    attempt_of: BTreeMap<String, Attempted>,
}

/// The lowest delivery, its attempts so far, and the batch.
type Attempted = (i64, u32, Option<String>);

/// Has a webhook's requests tell of a trace or not; an edit may change it.
pub(super) fn ask(seed: u64, webhook: &mut Webhook) {
    let name: u64 = webhook.name.bytes().map(u64::from).sum();
    let mut rng = Rng::new(seed, 28_500 + name * 16 + u64::from(webhook.max_attempts));
    webhook.traceparent = seed >= FROM && rng.in_thousand(700);
}

/// Trace and span, by the grammar of version 00.
fn read(value: &str) -> Option<[String; 2]> {
    let parts: Vec<&str> = value.split('-').collect();
    let ["00", trace, span, "01"] = parts[..] else {
        return None;
    };
    let is_id = |text: &str, digits: usize| {
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        text.len() == digits && is_hex && text.bytes().any(|b| b != b'0')
    };
    (is_id(trace, 32) && is_id(span, 16)).then(|| [trace, span].map(str::to_owned))
}

/// Holds that two belong to each other and to nobody else; what they belonged to before where they do not.
fn pair<A: Ord + Clone, B: Ord + Clone>(
    (one, other): (&mut BTreeMap<A, B>, &mut BTreeMap<B, A>),
    (a, b): (&A, &B),
) -> bool {
    let is_known = one.entry(a.clone()).or_insert_with(|| b.clone()) == b;
    is_known && other.entry(b.clone()).or_insert_with(|| a.clone()) == a
}

impl Oracle {
    /// A request begins.
    pub(super) fn is_traced(&mut self, sending: &[Sending], request: &Request) {
        let value = |name: &str| {
            let mut all = request.headers.iter().filter(|header| header.name == name);
            let value = all.next().map(|header| header.value.to_string());
            (value, all.next().is_some())
        };
        let (told, is_twice) = value("traceparent");
        let is_asked = sending.iter().any(|one| one.traceparent);
        if told.is_some() != is_asked || is_twice {
            self.broke(&format!("{told:?} is sent, and asked for: {is_asked}"));
        }
        let lowest = sending.iter().min_by_key(|one| one.due.id);
        let (Some(told), Some(lowest)) = (told, lowest) else {
            return;
        };
        let Some([trace, span]) = read(&told) else {
            return self.broke(&format!("{told} is no traceparent"));
        };
        self.count("traces");
        let (batch, _) = value("X-Webhook-Batch");
        if batch.is_some() {
            self.count("traces of batches");
        }
        if lowest.due.attempts > 0 {
            self.count("retries in a trace");
        }
        let id = lowest.due.id.get();
        let attempted = (id, lowest.due.attempts, batch);
        let traces = &mut self.batches.traces;
        let is_whole = pair(
            (&mut traces.of_delivery, &mut traces.delivery_of),
            (&id, &trace),
        ) && pair(
            (&mut traces.of_attempt, &mut traces.attempt_of),
            (&attempted, &span),
        );
        if !is_whole {
            self.broke(&format!(
                "{told} of {attempted:?} is another's, or was another"
            ));
        }
    }
}
