//! The reasons, in the order in which they are sought: what the log did, then what kept it from it.
//!
//! A delivery that somebody asked for later stands for those before it. Where nothing in today's
//! configuration explains that there is no delivery, that is said, rather than a guess.

use std::collections::HashMap;

use super::super::screen::Look;
use super::super::when;
use super::{Known, Reason};
use crate::config::Config;
use crate::dialect::sends;
use crate::model::clock::utc;
use crate::model::{Dialect, Webhook};
use crate::outbox::Row;
use crate::store::{DeliveryTrace, WebhookRow};

/// Every webhook of the configuration in its order, then those that only the log knows.
pub(super) fn each(config: &Config, known: &Known) -> Vec<(String, Reason)> {
    let mut newest: HashMap<&str, &DeliveryTrace> = HashMap::new();
    for delivery in &known.trace.deliveries {
        newest.entry(&delivery.webhook).or_insert(delivery);
    }
    let mut reasons = Vec::with_capacity(config.webhooks.len());
    for webhook in &config.webhooks {
        let reason = match newest.remove(&*webhook.name) {
            Some(delivery) => done(delivery, Some(webhook), known.now_ms),
            None => not_sent(webhook, known),
        };
        reasons.push((webhook.name.to_string(), reason));
    }
    let mut rest: Vec<_> = newest.into_values().collect();
    rest.sort_by(|a, b| a.webhook.cmp(&b.webhook));
    for delivery in rest {
        let mut reason = done(delivery, None, known.now_ms);
        reason
            .text
            .push_str(" (the webhook left the configuration)");
        reasons.push((delivery.webhook.clone(), reason));
    }
    reasons
}

/// What a delivery has come to.
fn done(delivery: &DeliveryTrace, webhook: Option<&Webhook>, now_ms: i64) -> Reason {
    let at = |ms: Option<i64>| ms.map_or_else(|| "at an unknown time".to_owned(), utc);
    let again = match &*delivery.origin {
        "event" => String::new(),
        origin => format!(" by a {origin}"),
    };
    let why = match (&delivery.error, delivery.status) {
        (Some(error), _) => format!(": {error}"),
        (None, Some(status)) => format!(", status {status}"),
        (None, None) => String::new(),
    };
    let (attempts, id) = (delivery.attempts, delivery.id);
    let (text, look) = match &*delivery.state {
        "delivered" => (
            format!(
                "delivered {}{again}, attempt {attempts}{why}",
                at(delivery.finished_at_ms)
            ),
            Look::Good,
        ),
        "pending" => (pending(delivery, webhook, now_ms), Look::Warning),
        "cancelled" => (
            format!(
                "cancelled {}{again}: the webhook was inactive or had left the configuration; \
                 `webhooksd redeliver {id}` sends it",
                at(delivery.finished_at_ms)
            ),
            Look::Bad,
        ),
        _ => (
            format!(
                "failed {}{again}, after {}{why}; `webhooksd redeliver {id}` sends it again",
                at(delivery.finished_at_ms),
                super::text::counted(i64::from(attempts), "attempt"),
            ),
            Look::Bad,
        ),
    };
    Reason { text, look }
}

fn pending(delivery: &DeliveryTrace, webhook: Option<&Webhook>, now_ms: i64) -> String {
    let next = delivery.attempts + 1;
    let of = Dialect::from_name(&delivery.dialect)
        .zip(webhook)
        // A test has one attempt, whatever the dialect says.
        .filter(|_| delivery.origin != "test")
        .map_or_else(String::new, |(dialect, webhook)| {
            format!(" of {}", sends(dialect, webhook.max_attempts))
        });
    let until = match delivery.due_at_ms {
        Some(due_ms) if due_ms > now_ms => {
            format!("until {} ({})", utc(due_ms), when::from_now(due_ms, now_ms))
        }
        _ => "and due now".to_owned(),
    };
    let last = match &delivery.error {
        Some(error) => format!("; last: {error}"),
        None => String::new(),
    };
    format!("pending {until}, attempt {next}{of}{last}")
}

/// Why there is no delivery.
fn not_sent(webhook: &Webhook, known: &Known) -> Reason {
    let (text, look) = why_not(webhook, known);
    Reason { text, look }
}

fn why_not(webhook: &Webhook, known: &Known) -> (String, Look) {
    let not = |why: String| (format!("not sent: {why}"), Look::Dim);
    if let Some(rejected) = &known.trace.rejected {
        let (reason, at) = (&rejected.reason, utc(rejected.time_ms));
        return (format!("not sent: set aside {at}: {reason}"), Look::Bad);
    }
    let taken = known.trace.cursor.is_some_and(|(_, id)| known.id <= id);
    if let (Some(Row::Unsendable(rejected)), false) = (&known.row, taken) {
        return (
            format!("it will be set aside: {}", rejected.reason),
            Look::Bad,
        );
    }
    let mut deliveries = known.trace.deliveries.iter();
    if known.row.is_none() && deliveries.any(|delivery| delivery.origin == "test") {
        return not("it was a test of another webhook".to_owned());
    }
    if let Some(why) = unwanted(webhook, known) {
        return not(why);
    }
    if !taken {
        let last = known.trace.cursor.map_or(0, |(_, id)| id);
        return (
            format!("not yet: the daemon has taken the events up to {last}"),
            Look::Warning,
        );
    }
    let row = known
        .trace
        .webhooks
        .iter()
        .find(|row| row.name == *webhook.name);
    match row {
        None => not(
            "the webhook is new: it gets the events that come after the daemon took it in".into(),
        ),
        Some(row) if is_newer(row, known) => not(format!(
            "the webhook is active since {}, when the events up to {} were taken",
            utc(row.since_ms),
            row.after_event_id
        )),
        Some(_) => not(
            "the log has no trace of it: it is older than the log keeps, or the webhook was \
             another one by the configuration of that time"
                .into(),
        ),
    }
}

/// What in today's configuration keeps the event from the webhook.
fn unwanted(webhook: &Webhook, known: &Known) -> Option<String> {
    if !webhook.active {
        return Some("the webhook is inactive".to_owned());
    }
    let name = known.name()?;
    if webhook.wants_name(name).is_err() {
        let patterns: Vec<&str> = webhook
            .events
            .iter()
            .map(|pattern| pattern.text())
            .collect();
        return Some(format!(
            "no pattern of events matches: {}",
            patterns.join(", ")
        ));
    }
    let event = known.event()?;
    let tenant = event.tenant.as_deref();
    if webhook.wants_tenant(tenant).is_ok() {
        return None;
    }
    let mine = webhook.tenants.iter().flatten();
    let mine: Vec<&str> = mine.map(|tenant| &**tenant).collect();
    let of = tenant.map_or_else(|| "of no tenant".to_owned(), |t| format!("of tenant {t}"));
    Some(format!(
        "the event is {of}, the webhook is for {}",
        mine.join(", ")
    ))
}

/// Whether the webhook's state, active by now, holds only for later events.
fn is_newer(row: &WebhookRow, known: &Known) -> bool {
    let generation = known.trace.cursor.map(|(generation, _)| generation);
    row.state == "active" && Some(row.generation) == generation && known.id <= row.after_event_id
}
