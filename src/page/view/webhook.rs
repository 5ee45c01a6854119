//! One webhook: how it is doing, and what can be done with it.

use maud::{Markup, html};

use super::super::form;
use super::super::look::OneWebhook;
use super::{Here, framed, others};

pub(in crate::page) fn webhook(seen: &OneWebhook) -> Markup {
    let health = &seen.seen.health;
    let name = &health.name;
    let content = html! {
        (super::overview::webhooks(std::slice::from_ref(&seen.seen), seen.owners.as_ref()))
        @if !seen.facts.is_empty() {
            dl { @for (key, value) in &seen.facts { dt { (key) } dd { (others(value)) } } }
        }
        p { a href={ "/log?q=" (form::encoded(&format!("webhook:{name}"))) } { "Its attempts" } ", "
            a href={ "/log?q=" (form::encoded(&format!("webhook:{name} outcome:failed"))) } { "those that were given up" } "." }
        @if seen.has_file {
            p { a href={ "/webhooks/" (form::encoded(name)) "/match" } { "What it would get of past events, by the file on disk" } }
        }
        @if seen.acts && health.pending.count > 0 {
            p { a href={ "/cancel?webhook=" (form::encoded(name)) } { "Cancel all that is pending" } " (asks first)" }
        }
        @if seen.acts {
            h2 { "To do" }
            form method="post" action={ "/webhooks/" (form::encoded(name)) "/test" } {
                (super::once(&seen.once))
                button { "Send a test event" }
            }
            @if health.pause.is_some() {
                form method="post" action={ "/webhooks/" (form::encoded(name)) "/resume" } { button { "Resume" } }
            } @else {
                form method="post" action={ "/webhooks/" (form::encoded(name)) "/pause" } {
                    label { "Pause for (2h, 3d; blank: until it is resumed)" input name="for" autocomplete="off"; }
                    button { "Pause" }
                }
            }
        }
    };
    framed(
        &format!("Webhook {}", others(name)),
        Here::Elsewhere,
        &content,
    )
}
