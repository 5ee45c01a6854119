//! One event: what the log has of it, over all webhooks.

use maud::{Markup, html};

use super::super::look::OneEvent;
use super::{Here, at, class_of, framed, others};

pub(in crate::page) fn event(seen: &OneEvent) -> Markup {
    let name = seen.deliveries.first().map(|d| d.event.as_str());
    let rejected = seen.trace.rejected.as_ref();
    let name = name.or(rejected.map(|rejected| rejected.event.as_str()));
    let title = format!("Event {} {}", seen.id, others(name.unwrap_or_default()));
    let all = seen.trace.deliveries.len() + seen.trace.earlier.len();
    let content = html! {
        @if let Some(rejected) = rejected {
            p class="note bad" {
                "Its row was set aside " (at(Some(rejected.time_ms))) ": " (others(&rejected.reason))
            }
        }
        p { a href={ "/log?q=id:" (seen.id) } { "Its attempts" } ", each with its result. "
            "Why a webhook is not among these " code { "webhooksd explain " (seen.id) } " says." }
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
            p class="quiet" { "and " (all - seen.deliveries.len()) " older deliveries" }
        }
        @if !seen.trace.earlier.is_empty() {
            p class="note" { "Some of these are of another event that had the same id before the outbox was put back or "
                "its counter set back." }
        }
    };
    framed(title.trim_end(), Here::Elsewhere, &content)
}
