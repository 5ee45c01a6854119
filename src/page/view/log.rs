//! A page of the log: the search, its attempts, and how far it looked.

use maud::{Markup, html};

use super::super::form;
use super::super::look::Found;
use super::{Here, class_of, framed, others, plain_time, took};
use crate::model::AttemptId;
use crate::model::clock::utc;
use crate::model::told::counted_of;
use crate::query::KEYS;
use crate::store::LogRow;

pub(in crate::page) fn log(found: &Found) -> Markup {
    let content = html! {
        (search(found))
        @if let Some(wrong) = &found.wrong {
            p class="note bad" role="alert" { (others(wrong)) }
        } @else {
            @if found.rows.is_empty() {
                p data-empty="" { "No attempt is so" @if found.stopped_at_ms.is_some() { ", as far as was looked" } "." }
            }
            @if !found.rows.is_empty() || found.live.is_some() {
                @if found.acts {
                    form action="/redeliver" method="get" class="rows" {
                        (table(found))
                        button { "Send the ticked again" } " "
                        button formaction="/cancel" { "Cancel the ticked" }
                    }
                    @let query = form::encoded(&found.searched);
                    p {
                        "All that this search finds: " a href={ "/redeliver?q=" (query) } { "send again" } ", "
                        a href={ "/cancel?q=" (query) } { "cancel" } ". Each asks first."
                    }
                } @else { (table(found)) }
            }
            (further(found))
        }
    };
    framed("Log", Here::Log, &content)
}

fn search(found: &Found) -> Markup {
    html! {
        form action="/log" method="get" role="search" {
            label { "Search" input type="search" name="q" maxlength="1000" autocomplete="off" spellcheck="false"
                value=(others(&found.searched)) placeholder="webhook:erp status:5xx since:2h"; }
            button { "Search" }
        }
        details {
            summary { "Words of a search" }
            ul { @for (_, example) in KEYS { li { code { (example) } } } }
            p { "All words must hold. The address of a search can be kept. " code { "webhooksd logs --search" }
                " takes the same words." }
        }
    }
}

fn table(found: &Found) -> Markup {
    let ticks = found.acts;
    let live = found
        .live
        .map(|_| format!("/live?q={}", form::encoded(&found.searched)));
    html! {
        table data-live=[live] data-after=[found.live] {
            thead { tr {
                @if ticks { th scope="col" { "Tick" } }
                th scope="col" { "Time" } th scope="col" { "Webhook" } th scope="col" { "Event" }
                th scope="col" class="num" { "Event id" } th scope="col" class="num" { "Delivery" }
                th scope="col" class="num" { "Try" } th scope="col" class="num" { "Took" } th scope="col" { "Result" }
            } }
            tbody { @for one in &found.rows { (row(one, ticks)) } }
        }
    }
}

/// An attempt's row; with a box to tick, where the page acts.
pub(in crate::page) fn row(row: &LogRow, ticks: bool) -> Markup {
    let found = |word: &str, value: &str| {
        html! { a href={ "/log?q=" (form::encoded(&format!("{word}:{value}"))) } { (others(value)) } }
    };
    html! {
        tr {
            @if ticks { td data-label="Tick" {
                input type="checkbox" name="id" value=(row.delivery_id) aria-label={ "Delivery " (row.delivery_id) };
            } }
            td data-label="Time" class="time" { time datetime=(row.time) { (plain_time(&row.time)) } }
            td data-label="Webhook" { (found("webhook", &row.webhook)) }
            td data-label="Event" {
                @match &row.event { Some(event) => (found("event", event)), None => span class="quiet" { "gone" } }
            }
            td data-label="Event id" class="num" {
                @match row.event_id {
                    Some(id) => a href={ "/events/" (id) } { (id) },
                    None => span class="quiet" { "–" },
                }
            }
            td data-label="Delivery" class="num" { a href={ "/deliveries/" (row.delivery_id) } { (row.delivery_id) } }
            td data-label="Try" class="num" { (row.attempt) }
            td data-label="Took" class="num" { (took(row.duration_ms)) }
            td data-label="Result" class=(class_of(&row.outcome)) { (result(row)) }
        }
    }
}

/// `delivered 200`, `retry: answered 500`.
pub(super) fn result(row: &LogRow) -> String {
    let outcome = &row.outcome;
    match (&row.error, row.status) {
        (Some(error), _) => format!("{outcome}: {}", others(error)),
        (None, Some(status)) => format!("{outcome} {status}"),
        (None, None) => outcome.clone(),
    }
}

fn further(found: &Found) -> Markup {
    let address = |before: Option<AttemptId>| {
        let query = form::encoded(&found.searched);
        before.map_or_else(
            || format!("/log?q={query}"),
            |before| format!("/log?q={query}&before={before}"),
        )
    };
    html! {
        @if let Some(ms) = found.stopped_at_ms {
            p class="note" {
                "Looked back to " (plain_time(&utc(ms))) " and no further, so that no page takes long."
            }
        }
        @if found.unread > 0 {
            p class="note" {
                (counted_of(found.unread, "attempt"))
                " could not be judged by data: the log does not keep "
                (if found.unread == 1 { "its body." } else { "their bodies." })
            }
        }
        p {
            @if found.is_later { a href=(address(None)) { "Newest" } " " }
            @if let Some(older) = found.older {
                a rel="next" href=(address(Some(older))) {
                    @if found.stopped_at_ms.is_some() { "Look further back" } @else { "Older" }
                }
            }
        }
    }
}
