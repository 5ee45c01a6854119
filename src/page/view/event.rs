//! One event: what the log has of it, over all webhooks.

use maud::{Markup, html};

use super::super::form;
use super::super::look::{OneEvent, Told};
use super::{Here, at, class_of, framed, others};
use crate::model::told::counted_of;
use crate::query::Tone;

pub(in crate::page) fn event(seen: &OneEvent) -> Markup {
    let rejected = seen.trace.rejected.as_ref();
    let name = seen.name.as_deref().unwrap_or_default();
    let title = format!("Event {} {}", seen.id, others(name));
    let all = seen.trace.deliveries.len() + seen.trace.earlier.len();
    let content = html! {
        @if let Some(rejected) = rejected {
            p class="note bad" {
                "Its row was set aside " (at(Some(rejected.time_ms))) ": " (others(&rejected.reason))
            }
        }
        p { a href={ "/log?q=id:" (seen.id) } { "Its attempts" } ", each with its result." }
        @if seen.acts { p { a href={ "/replay?event=" (seen.id) } { "Replay from this event on" } " (asks first)" } }
        @if seen.has_many {
            p {
                "It has more deliveries than stand on a page: these are its last. Those of one webhook: "
                a href={ "/log?q=" (form::encoded(&format!("id:{} webhook:NAME", seen.id))) } {
                    code { "id:" (seen.id) " webhook:NAME" }
                }
                "; what became of it for each says " code { "webhooksd explain " (seen.id) } "."
            }
        }
        (told(seen))
        h2 { "Deliveries" }
        @if seen.deliveries.is_empty() {
            p { "It has no delivery." }
        } @else {
            table {
                thead { tr {
                    th scope="col" { "Webhook" } th scope="col" class="num" { "Delivery" } th scope="col" { "State" }
                    th scope="col" class="num" { "Attempts" } th scope="col" { "Made for" }
                    th scope="col" { "Due" } th scope="col" { "Ended" } th scope="col" { "Last result" }
                } }
                tbody { @for one in &seen.deliveries { tr {
                    th scope="row" data-label="Webhook" { (others(&one.webhook)) }
                    td data-label="Delivery" class="num" { a href={ "/deliveries/" (one.id) } { (one.id) } }
                    td data-label="State" class=(class_of(&one.state)) { (one.state) @if one.by_order { " by order" } }
                    td data-label="Attempts" class="num" { (one.attempts) }
                    td data-label="Made for" { (others(&one.origin)) }
                    td data-label="Due" class="time" { (at(one.due_at_ms)) }
                    td data-label="Ended" class="time" { (at(one.finished_at_ms)) }
                    td data-label="Last result" {
                        @if let Some(status) = one.status { (status) " " }
                        @if let Some(error) = &one.error { (others(error)) }
                    }
                } } }
            }
        }
        @if all > seen.deliveries.len() {
            p class="quiet" { "and " (counted_of(all - seen.deliveries.len(), "older one")) }
        }
        @if !seen.trace.earlier.is_empty() {
            p class="note" { "Some of these are of another event that had the same id before the outbox was put back or "
                "its counter set back." }
        }
    };
    framed(title.trim_end(), Here::Elsewhere, &content)
}

/// What became of it for each webhook, and why.
fn told(seen: &OneEvent) -> Markup {
    html! {
        @if !seen.told.is_empty() || !seen.others.is_empty() {
            h2 { "What became of it" }
            @if seen.told.is_empty() { p { "It was for no webhook." } } @else { (table(&seen.told)) }
            @if !seen.others.is_empty() {
                details {
                    summary { "Webhooks that it was not for: " (seen.others.len()) }
                    (table(&seen.others))
                }
            }
            @if seen.more > 0 { p class="quiet" { "and " (counted_of(seen.more, "webhook")) " more" } }
        }
    }
}

fn table(told: &[Told]) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Webhook" } th scope="col" { "What became of it" } } }
            tbody { @for one in told { tr {
                th scope="row" data-label="Webhook" {
                    a href={ "/webhooks/" (form::encoded(&one.webhook)) } { (others(&one.webhook)) }
                }
                td data-label="What" class=(class_of_tone(one.tone)) {
                    @match one.delivery {
                        Some(id) => a href={ "/deliveries/" (id) } { (others(&one.words)) },
                        None => (others(&one.words)),
                    }
                }
            } } }
        }
    }
}

fn class_of_tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warning => "warn",
        Tone::Bad => "bad",
        Tone::Dim => "quiet",
    }
}
