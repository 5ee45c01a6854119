//! What became of an event for one webhook, in words: the same wherever it is shown.
//!
//! Names, errors and values stand in them as others wrote them; who shows them sees to that.

use super::beside::Beside;
use super::reason::{Fate, OfWebhook, Reason, Wait};
use crate::model::clock::utc;
use crate::model::{DeliveryId, EventId, Pause, told};
use crate::store::{Count, DeliveryTrace, Holder};

/// How it is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It arrived.
    Good,
    /// It may arrive still.
    Warning,
    /// It did not.
    Bad,
    /// It was none of the webhook's.
    Dim,
}

/// The words, as they were written by others in part, and how they look.
pub(crate) fn words(webhook: &OfWebhook, beside: Option<&Beside>, now_ms: i64) -> (String, Tone) {
    let (mut words, mut look) = match &webhook.fate {
        Fate::Delivery {
            trace,
            pause: Some(pause),
            waits,
            ..
        } if !pause.is_over(now_ms) => {
            (paused(pause, trace, waits.as_ref(), now_ms), Tone::Warning)
        }
        Fate::Delivery {
            trace,
            sends,
            waits,
            ..
        } => done(trace, (*sends, waits.as_ref()), now_ms),
        Fate::NotSent(reason) => not_sent(reason),
    };
    if let Some((own, waits)) = beside.and_then(|beside| beside.own.as_ref()) {
        let still = pending(own, (None, waits.as_ref()), now_ms);
        words.push_str(&format!(
            "; delivery {}, made when the event came, is still to be sent: {still}",
            own.id
        ));
        look = Tone::Warning;
    }
    if let Some((id, behind)) = beside.and_then(|beside| beside.holds) {
        words.push_str(&holds(id, behind));
    }
    if !webhook.configured {
        words.push_str(" (the webhook left the configuration)");
    }
    (words, look)
}

/// What a delivery has come to.
fn done(
    delivery: &DeliveryTrace,
    (sends, waits): (Option<u32>, Option<&Wait>),
    now_ms: i64,
) -> (String, Tone) {
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
    match &*delivery.state {
        "delivered" => (
            format!(
                "delivered {}{again}, attempt {attempts}{why}",
                at(delivery.finished_at_ms)
            ),
            Tone::Good,
        ),
        "pending" => (pending(delivery, (sends, waits), now_ms), Tone::Warning),
        "cancelled" => (
            format!(
                "cancelled {}{again}: {}; `webhooksd redeliver {id}` sends it",
                at(delivery.finished_at_ms),
                if delivery.by_order {
                    "by `webhooksd cancel`"
                } else {
                    "the webhook was inactive or had left the configuration"
                }
            ),
            Tone::Bad,
        ),
        _ => (
            format!(
                "failed {}{again}, after {}{why}; `webhooksd redeliver {id}` sends it again",
                at(delivery.finished_at_ms),
                told::counted(i64::from(attempts), "attempt"),
            ),
            Tone::Bad,
        ),
    }
}

fn pending(
    delivery: &DeliveryTrace,
    (sends, waits): (Option<u32>, Option<&Wait>),
    now_ms: i64,
) -> String {
    let next = delivery.attempts + 1;
    let of = sends.map_or_else(String::new, |sends| format!(" of {sends}"));
    let until = match (waits, delivery.due_at_ms) {
        (Some(waits), _) => format!("and {}", waiting(waits, now_ms)),
        (None, Some(due_ms)) if due_ms > now_ms => {
            format!("until {} ({})", utc(due_ms), told::from_now(due_ms, now_ms))
        }
        _ => "and due now".to_owned(),
    };
    let last = match &delivery.error {
        Some(error) => format!("; last: {error}"),
        None => String::new(),
    };
    format!("pending {until}, attempt {next}{of}{last}")
}

fn waiting(waits: &Wait, now_ms: i64) -> String {
    match waits {
        Wait::Hold(until_ms) => told::asked_to_wait(*until_ms, now_ms),
        Wait::Turn(by) => {
            let id = by.id;
            let sends = told::counted(i64::from(by.attempts), "send");
            let of = by.event_id;
            let of = of.map_or_else(String::new, |event| format!(" of event {event}"));
            match by.why {
                Holder::Pending(due_ms) => {
                    let due = match due_ms {
                        Some(due_ms) if due_ms > now_ms => {
                            format!(", due {} ({})", utc(due_ms), told::from_now(due_ms, now_ms))
                        }
                        _ => String::new(),
                    };
                    format!("held by delivery {id}, which is pending after {sends}{of}{due}")
                }
                Holder::Leaves => {
                    format!(
                        "held by delivery {id}, which was cancelled while an attempt{of} is under way"
                    )
                }
                Holder::Failed(since_ms) => format!(
                    "held by delivery {id}, which failed after {sends}{of}, since {}: `webhooksd redeliver {id}` or \
                     `webhooksd cancel {id}` lets it go",
                    utc(since_ms)
                ),
            }
        }
        Wait::Pace { before, rate } => {
            let count = told::grouped(before.count);
            let more = if before.more { " or more" } else { "" };
            format!("waits for its pace: {count}{more} before it, {rate} a second")
        }
    }
}

/// What is said of a delivery that was given up and holds its line.
fn holds(id: DeliveryId, behind: Count) -> String {
    let count = match (behind.count, behind.more) {
        (0, _) => "its line".to_owned(),
        (count, false) => format!("{} behind it", told::deliveries(count)),
        (count, true) => format!("{} or more behind it", told::deliveries(count)),
    };
    format!(
        "; delivery {id} holds {count}: `webhooksd redeliver {id}` or `webhooksd cancel {id}` lets go"
    )
}

/// What a delivery waits for whose webhook is paused.
fn paused(pause: &Pause, delivery: &DeliveryTrace, waits: Option<&Wait>, now_ms: i64) -> String {
    // The end of the pause alone sends nothing that waits for its turn.
    let turn = waits.filter(|waits| matches!(waits, Wait::Turn(_)));
    let mut until = match (pause.until_ms, turn) {
        (Some(until_ms), _) => format!("until {}", utc(until_ms)),
        (None, Some(_)) => format!("until `webhooksd resume {}`", pause.webhook),
        (None, None) => format!("`webhooksd resume {}` sends it", pause.webhook),
    };
    if let Some(turn) = turn {
        until.push_str(&format!("; beyond that it is {}", waiting(turn, now_ms)));
    }
    let reason = pause.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let next = delivery.attempts + 1;
    format!(
        "pending, attempt {next}: the webhook is paused since {}{reason}, {until}",
        utc(pause.since_ms)
    )
}

fn not_sent(reason: &Reason) -> (String, Tone) {
    let why = match reason {
        Reason::SetAside { reason, time_ms } => {
            let words = format!("not sent: set aside {}: {reason}", utc(*time_ms));
            return (words, Tone::Bad);
        }
        Reason::WillBeSetAside(reason) => {
            return (format!("it will be set aside: {reason}"), Tone::Bad);
        }
        Reason::NotYet(last) => {
            let words = format!("not yet: the daemon has taken the events up to {last}");
            return (words, Tone::Warning);
        }
        Reason::AnothersTest => "it was a test of another webhook".to_owned(),
        Reason::Inactive => "the webhook is inactive".to_owned(),
        Reason::Name(patterns) => {
            format!("no pattern of events matches: {}", patterns.join(", "))
        }
        Reason::OwnName(patterns) => format!(
            "only a pattern that begins with webhooksd. gets webhooksd's own events: {}",
            patterns.join(", ")
        ),
        Reason::Tenant {
            of_event,
            of_webhook,
        } => {
            let of = of_event.as_ref();
            let of = of.map_or_else(|| "of no tenant".to_owned(), |t| format!("of tenant {t}"));
            let mine = of_webhook.join(", ");
            format!("the event is {of}, the webhook is for {mine}")
        }
        Reason::Rule {
            number,
            rule,
            found,
        } => format!("rule {number} of where does not hold, {rule}: {}", there(found)),
        Reason::NoData => {
            "the log has no trace of it, and its row is gone: what its data was, which the webhook's where \
             asks about, is not known"
                .into()
        }
        Reason::NewWebhook => {
            "the webhook is new: it gets the events that come after the daemon took it in".into()
        }
        Reason::ActiveSince {
            since_ms,
            after_event_id,
        } => active_since(*since_ms, *after_event_id),
        Reason::NoBody => {
            "the log keeps no body of it: what its data was, which the webhook's where asks about, is not known".into()
        }
        Reason::NoDelivery => {
            "the log has no delivery of it to this webhook: it has gone before the others, or the webhook was \
             another one by the configuration of that time"
                .into()
        }
        Reason::NoTrace => {
            "the log has no trace of it: it is older than the log keeps, or the webhook was another \
             one by the configuration of that time"
                .into()
        }
    };
    // What retention, or a small log, took may have been sent.
    let verdict = match reason {
        Reason::NoTrace | Reason::NoData | Reason::NoBody | Reason::NoDelivery => "not known",
        _ => "not sent",
    };
    (format!("{verdict}: {why}"), Tone::Dim)
}

/// Since when a webhook is active that missed an event for that.
fn active_since(since_ms: i64, last: Option<EventId>) -> String {
    let then = last.map_or_else(
        || "which is after the event".to_owned(),
        |last| format!("when the events up to {last} were taken"),
    );
    format!("the webhook is active since {}, {then}", utc(since_ms))
}

/// What a rule found at its paths.
fn there(found: &[(String, Vec<String>)]) -> String {
    let at = |(path, values): &(String, Vec<String>)| match &**values {
        [] => format!("nothing is at {path}"),
        values => format!("at {path} is {}", values.join(", ")),
    };
    found.iter().map(at).collect::<Vec<_>>().join("; ")
}
