//! HTML of what was read. Each file is one view; here is what they share.
//!
//! A template escapes what it is given. What others wrote is told by `others` besides, which shows controls and what
//! turns text around. No style stands in an element: the browser is told to take none.

mod compare;
mod delivery;
mod done;
mod event;
mod exchange;
mod log;
mod many;
mod new;
mod nodes;
mod overview;
mod webhook;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use compare::compared;
pub(super) use delivery::{delivery, file};
pub(super) use done::{done, done_before, done_with, not_done};
pub(super) use event::event;
pub(super) use log::{log, row};
pub(super) use many::{many, replay, replay_from, worked_off};
pub(super) use new::{matched, new_webhook};
pub(super) use overview::overview;
pub(super) use webhook::webhook;

use super::form;
use super::once::FIELD;
use crate::model::clock::utc;
use crate::model::shown;

/// Which page one is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Here {
    Overview,
    Log,
    Elsewhere,
}

/// A page with its frame.
fn framed(title: &str, here: Here, content: &Markup) -> Markup {
    framed_with(&html! {}, title, here, content)
}

/// The same, with something more in its head.
fn framed_with(head: &Markup, title: &str, here: Here, content: &Markup) -> Markup {
    let link = |to: &str, name: &str, is_here: bool| {
        html! { a href=(to) aria-current=[is_here.then_some("page")] { (name) } }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – webhooksd" }
                link rel="stylesheet" href="/page.css";
                link rel="icon" href="data:,";
                (head)
                script src="/page.js" defer {}
            }
            body {
                a class="skip" href="#content" { "To the content" }
                header {
                    strong { "webhooksd" }
                    nav aria-label="Pages" {
                        (link("/", "Overview", here == Here::Overview))
                        (link("/log", "Log", here == Here::Log))
                    }
                }
                main id="content" { h1 { (title) } (content) }
                footer { "Times are UTC. webhooksd " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// A page that needs nothing else: its style is in it, and a browser that opens it loads and runs nothing.
fn alone(title: &str, content: &Markup) -> Markup {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – webhooksd" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main { h1 { (title) } (content) }
                footer { "Times are UTC. webhooksd " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// A page with one sentence.
pub(super) fn sentence(status: u16, words: &str) -> Markup {
    let title = match status {
        400 => "Not understood",
        404 => "Not found",
        503 => "The log can't be read",
        500 => "A fault",
        _ => "Not answered",
    };
    let words = others(words);
    framed(
        title,
        Here::Elsewhere,
        &html! { p class="note bad" role="alert" { (words) } },
    )
}

/// A page for who comes from another page to what costs more than a look: one step further it is asked for from here.
pub(super) fn led_here(words: &str, path: &str, query: &str) -> Markup {
    let content = html! {
        p class="note bad" role="alert" { (others(words)) }
        p { "A link from elsewhere leads here. If it is yours, " a href={ (path) "?" (query) } { "go on" } "." }
    };
    framed("Not answered", Here::Elsewhere, &content)
}

/// A page for who is not let in; where the token is one that people keep, with a field for it, and then on to the address
/// that was asked for.
pub(super) fn shut(words: &str, onwards: Option<&String>) -> Markup {
    let content = html! {
        p class="note bad" role="alert" { (words) }
        @if let Some((path, query)) = onwards.map(|to| to.as_str().split_once('?').unwrap_or((to.as_str(), ""))) {
            form action=(path) method="get" {
                @for (name, value) in query.split('&').filter_map(|field| field.split_once('=')) {
                    input type="hidden" name=(form::decoded(name)) value=(form::decoded(value));
                }
                label { "Token" input type="password" name="token" autocomplete="off" required; }
                button { "Enter" }
            }
        }
    };
    framed("Not let in", Here::Elsewhere, &content)
}

/// The page that a browser sees once, when it has been let in, and goes on from.
pub(super) fn welcome(onwards: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content={ "0; url=" (onwards) };
                title { "webhooksd" }
                link rel="stylesheet" href="/page.css";
                link rel="icon" href="data:,";
            }
            body { main { p { a href=(onwards) { "Go on to the page" } } } }
        }
    }
}

/// The field by which a form that acts does so once.
fn once(mark: &str) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(mark); }
}

/// What a configuration warns of, each with its line.
fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            details class="note warn" {
                summary { "The configuration's warnings" }
                @for warning in warnings { pre tabindex="0" { (shown::block(warning, "")) } }
            }
        }
    }
}

/// Text that others wrote, on one line.
fn others(text: &str) -> String {
    shown::line(text)
}

/// A point in time; nothing where there is none.
fn at(ms: Option<i64>) -> Markup {
    html! {
        @match ms {
            Some(ms) => { time datetime=(utc(ms)) { (plain_time(&utc(ms))) } }
            None => { span class="quiet" { "–" } }
        }
    }
}

/// `2026-03-01 12:00:00.000` of ISO 8601.
fn plain_time(iso: &str) -> String {
    iso.replace('T', " ").replace('Z', "")
}

/// The class of a word for how something ended.
fn class_of(outcome: &str) -> &'static str {
    match outcome {
        "delivered" => "good",
        "retry" | "pending" => "warn",
        _ => "bad",
    }
}

/// Milliseconds for people: `0.4 ms`, `12 ms`, `3001 ms`.
fn took(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
