//! What was different between a delivery and the last success of its webhook.

use maud::{Markup, html};

use super::super::diff::{Side, difference};
use super::super::look::Compared;
use super::exchange::{beginning, indented};
use super::log::result;
use super::{Here, framed, others, plain_time};
use crate::model::{shown, told};
use crate::store::{LogRow, LogText};

/// So many bytes of a body are compared.
const COMPARED_BYTES: usize = 64 << 10;

pub(in crate::page) fn compared(seen: &Compared) -> Markup {
    let (row, text) = &seen.this;
    let content = html! {
        @match &seen.success {
            None => p {
                "No other success of " (others(&row.webhook)) " was found"
                @if seen.is_bounded { ", as far back as was looked" } "."
            },
            Some((success, success_text)) => {
                p { "Lines with " code { "-" } " are the success's alone, those with " code { "+" } " this delivery's." }
                dl {
                    dt { "Last success" } dd { (named(success)) }
                    dt { "This one" } dd { (named(row)) }
                }
                (part("Address", &success.url, &row.url))
                (part("Request's headers", &success_text.request_headers, &text.request_headers))
                (bodies("Request's body", success_text.request_body.as_ref(), text.request_body.as_ref()))
                (answers(success_text, text))
            }
        }
        p { a href={ "/deliveries/" (row.delivery_id) } { "Back to delivery " (row.delivery_id) } }
    };
    let title = format!("Delivery {} beside the last success", row.delivery_id);
    framed(&title, Here::Elsewhere, &content)
}

fn named(row: &LogRow) -> Markup {
    html! {
        a href={ "/deliveries/" (row.delivery_id) } { "Delivery " (row.delivery_id) }
        ", " time datetime=(row.time) { (plain_time(&row.time)) } ": " (result(row))
    }
}

fn answers(success: &LogText, this: &LogText) -> Markup {
    let (a, b) = (&success.response_headers, &this.response_headers);
    html! {
        @match (a, b) {
            (Some(a), Some(b)) => {
                (part("Answer's headers", a, b))
                (bodies("Answer's body", success.response_body.as_ref(), this.response_body.as_ref()))
            }
            (_, None) => { h2 { "Answer" } p { "This time there was none." } }
            (None, Some(_)) => {}
        }
    }
}

fn bodies(title: &str, a: Option<&String>, b: Option<&String>) -> Markup {
    let text = |body: &str| {
        let part = beginning(body, COMPARED_BYTES);
        indented(part).unwrap_or_else(|| part.to_owned())
    };
    match (a, b) {
        (Some(a), Some(b)) => part(title, &text(a), &text(b)),
        _ => html! { h2 { (title) } p class="quiet" { "One of the two was not kept." } },
    }
}

fn part(title: &str, a: &str, b: &str) -> Markup {
    let [a, b] = [a, b].map(|text| shown::block(text, ""));
    let found = difference(&a, &b);
    html! {
        h2 { (title) }
        @if found.is_none() {
            p class="quiet" { "The same." }
        } @else {
            pre tabindex="0" {
                @for (side, line) in &found.lines {
                    @match side {
                        Side::Both => span class="quiet" { "  " (line) "\n" },
                        Side::First => span class="bad" { "- " (line) "\n" },
                        Side::Second => span class="good" { "+ " (line) "\n" },
                    }
                }
            }
            @if found.more > 0 { p class="quiet" {
            (told::counted_of(found.more, "line")) (if found.more == 1 { " more was" } else { " more were" }) " not compared."
        } }
        }
    }
}
