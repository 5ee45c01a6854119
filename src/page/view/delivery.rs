//! One delivery: its state, and each attempt with its timing and with what was said.

use maud::{Markup, html};

use super::super::form;
use super::super::look::Delivery;
use super::exchange::{exchange, request_body};
use super::log::result;
use super::{Here, at, class_of, framed, once, others, plain_time, took};
use crate::store::{LogRow, LogText};

/// The parts of an attempt, in their order, each with the class of its colour.
const PHASES: [(&str, &str); 6] = [
    ("name", "p0"),
    ("TCP", "p1"),
    ("proxy", "p5"),
    ("TLS", "p2"),
    ("answer", "p3"),
    ("body", "p4"),
];

/// The bar of an attempt's parts, in pixels.
const BAR: (f64, u32) = (600.0, 14);

pub(in crate::page) fn delivery(seen: &Delivery) -> Markup {
    framed(&title(seen), Here::Elsewhere, &content(seen))
}

/// The same as a file to hand on.
pub(in crate::page) fn file(seen: &Delivery) -> Markup {
    super::alone(&title(seen), &content(seen))
}

fn title(seen: &Delivery) -> String {
    format!("Delivery {}", seen.id)
}

fn content(seen: &Delivery) -> Markup {
    let newest = seen.attempts.first();
    let said = newest.and_then(|(row, text)| Some((row, text.as_ref()?)));
    html! {
        (facts(seen, newest.map(|(row, _)| row)))
        (deeds(seen))
        @if !seen.is_file { (further(seen)) }
        @if let Some((row, text)) = said { (request_body(row, text, seen)) }
        h2 { "Attempts" }
        @if seen.attempts.is_empty() { p { "None was made yet, or their days are over." } }
        @for (row, text) in &seen.attempts { (attempt(row, text.as_ref())) }
    }
}

/// What was said in the attempts alone.
pub(super) fn said(seen: &Delivery) -> Markup {
    html! { @for (row, text) in &seen.attempts { (attempt(row, text.as_ref())) } }
}

/// Where else one may look.
fn further(seen: &Delivery) -> Markup {
    let here = format!("/deliveries/{}", seen.id);
    html! {
        p {
            a href={ (here) "/difference" } { "Compare with the last success" } ", or save it as "
            a href={ (here) "/export.json" } { "JSON" } " or " a href={ (here) "/export.html" } { "HTML" }
            " to hand on, without what may be secret in addresses and headers."
        }
        @if let Some(row) = seen.row.as_ref().filter(|_| seen.acts)
            && let Some(event) = row.event_id
        {
            p { a href={ "/replay?event=" (event) "&webhook=" (form::encoded(&row.webhook)) } {
                "Replay from this event on to " (others(&row.webhook))
            } }
        }
    }
}

fn facts(seen: &Delivery, newest: Option<&LogRow>) -> Markup {
    let row = seen.row.as_ref();
    let webhook = row
        .map(|row| &row.webhook)
        .or(newest.map(|row| &row.webhook));
    let event = row
        .and_then(|row| row.event.as_ref())
        .or(newest.and_then(|row| row.event.as_ref()));
    let event_id = row
        .and_then(|row| row.event_id)
        .or(newest.and_then(|row| row.event_id));
    html! {
        dl {
            @if let Some(webhook) = webhook {
                dt { "Webhook" }
                dd { @if seen.is_file { (others(webhook)) } @else {
                    a href={ "/webhooks/" (form::encoded(webhook)) } { (others(webhook)) }
                } }
            }
            @if let Some(event) = event {
                dt { "Event" }
                dd { (others(event)) @if let Some(id) = event_id {
                    " " @if seen.is_file { (id) } @else { a href={ "/events/" (id) } { (id) } }
                } }
            }
            @if let Some(row) = row {
                dt { "State" } dd class=(class_of(&row.state)) { (row.state) }
                dt { "Made for" } dd { (others(&row.origin)) }
                @if let Some(dialect) = &row.dialect { dt { "Dialect" } dd { (others(dialect)) } }
                dt { "Attempts" } dd { (row.attempts) }
                @if row.due_at_ms.is_some() { dt { "Next one due" } dd { (at(row.due_at_ms)) } }
                @if row.finished_at_ms.is_some() { dt { "Ended" } dd { (at(row.finished_at_ms)) } }
            }
        }
    }
}

fn deeds(seen: &Delivery) -> Markup {
    let state = seen
        .row
        .as_ref()
        .filter(|_| seen.acts)
        .map(|row| &*row.state);
    html! {
        @match state {
            None => {}
            Some("pending") => form method="post" action={ "/deliveries/" (seen.id) "/cancel" } {
                button { "Cancel it" }
            },
            Some(_) => form method="post" action={ "/deliveries/" (seen.id) "/redeliver" } {
                (once(&seen.once))
                button { "Send it again, the same bytes" }
            },
        }
    }
}

fn attempt(row: &LogRow, text: Option<&LogText>) -> Markup {
    html! {
        article {
            h3 { "Attempt " (row.attempt) ", " time datetime=(row.time) { (plain_time(&row.time)) } ": "
                span class=(class_of(&row.outcome)) { (result(row)) } }
            p { "POST " code { (others(&row.url)) } @if let Some(peer) = &row.peer { " at " (others(peer)) }
                @if let Some(class) = &row.class { ", trouble with: " (others(class)) }
                @if let Some(batch) = &row.batch { ", a part of " (others(batch)) } }
            @if let Some(note) = &row.note { p class="note" { (others(note)) } }
            (timing(row))
            @match text {
                Some(text) => (exchange(row, text)),
                None => p class="quiet" { "What was said: " code { "webhooksd logs -v --search id:…" } },
            }
        }
    }
}

fn timing(row: &LogRow) -> Markup {
    let (wide, high) = BAR;
    let known: f64 = row.phases_ms.iter().flatten().sum();
    let whole = row.duration_ms.max(known).max(0.001);
    let mut from = 0.0;
    let parts: Vec<(usize, f64, f64, f64)> = row
        .phases_ms
        .iter()
        .enumerate()
        .filter_map(|(place, ms)| {
            let ms = (*ms)?;
            let part = (place, from, ms / whole * wide, ms);
            from += part.2;
            Some(part)
        })
        .collect();
    let told: Vec<String> = parts
        .iter()
        .map(|(place, _, _, ms)| format!("{} {}", PHASES[*place].0, took(*ms)))
        .collect();
    let label = format!("{} in all: {}", took(row.duration_ms), told.join(", "));
    html! {
        @if parts.is_empty() {
            p { "It took " (took(row.duration_ms)) "." }
        } @else {
            svg role="img" aria-label=(label) viewBox={ "0 0 " (wide) " " (high) } width=(wide) height=(high) {
                rect class="ground" x="0" y="0" width=(wide) height=(high) {}
                @for (place, from, width, _) in &parts {
                    rect class=(PHASES[*place].1) x={ (format!("{from:.1}")) } y="0" width={ (format!("{width:.1}")) } height=(high) {}
                }
            }
            ul class="key" {
                li { strong { (took(row.duration_ms)) } }
                @for (place, _, _, ms) in &parts {
                    li { svg width="10" height="10" aria-hidden="true" { rect class=(PHASES[*place].1) width="10" height="10" {} }
                        (PHASES[*place].0) " " (took(*ms)) }
                }
            }
        }
    }
}
