//! A webhook that is to be: the form, the part of the file that it makes, what the check says, and what it would get.

use maud::{Markup, html};

use super::super::stanza::{New, Tried};
use super::{Here, framed, others};
use crate::model::{Dialect, Word, shown};
use crate::query::Group;

pub(in crate::page) fn new_webhook(seen: &New) -> Markup {
    let content = html! {
        (form(seen))
        @if let Some(stanza) = &seen.stanza { (answered(seen, stanza)) }
        h2 { "Event types in the outbox" }
        @if seen.types.is_empty() {
            p { "There are none yet." }
        } @else {
            p class="quiet" { "Of the newest thousand events." }
            @for one in &seen.types {
                details {
                    summary { code { (others(&one.name)) } " (" (one.count) ")" }
                    p { "Event " a href={ "/events/" (one.id) } { (one.id) } ", the newest:" }
                    pre tabindex="0" { (shown::block(&one.sample, "")) }
                }
            }
        }
    };
    framed("New webhook", Here::Elsewhere, &content)
}

fn form(seen: &New) -> Markup {
    let field = |name: &'static str, label: &str, hint: &str| {
        html! {
            label { (label) input name=(name) value=(others(&seen.typed[name])) placeholder=(hint) autocomplete="off" spellcheck="false"; }
        }
    };
    let choice = |name: &'static str, label: &str, all: &[&str]| {
        html! {
            label { (label) select name=(name) {
                @for one in all { option selected[*one == seen.typed[name]] { (one) } }
            } }
        }
    };
    let dialects = Dialect::ALL.map(Dialect::name);
    let words = Word::ALL.map(Word::name);
    html! {
        p { "The file is yours: this makes the part of it for a webhook, checks it, and judges past events by it." }
        form action="/new" method="get" class="rows" {
            (field("name", "Name", "search-index"))
            (field("url", "URL", "https://search.example.com/hooks"))
            (field("events", "Events, names or patterns", "story-*, asset-approve"))
            (choice("dialect", "Dialect", &dialects))
            (field("secret_file", "File with the secret (blank: unsigned)", "search-index.key"))
            fieldset {
                legend { "Only events whose data is so (blank: all)" }
                (field("path", "Path", "$.origin.id"))
                (choice("word", "is", &words))
                (field("value", "Value", "loc-001"))
            }
            button { "Show it" }
        }
    }
}

fn answered(seen: &New, stanza: &str) -> Markup {
    html! {
        h2 { "For webhooks.toml" }
        pre tabindex="0" { (shown::block(stanza, "")) }
        @if !seen.errors.is_empty() {
            div class="note bad" role="alert" {
                @for error in &seen.errors { pre tabindex="0" { (shown::block(error, "")) } }
            }
        } @else if seen.others == 0 {
            p class="note good" role="status" {
                "The check has no errors. Put it at the end of the file, and then " code { "webhooksd reload" } "."
            }
        }
        p class="quiet" {
            "It was judged by its text, and by the rest of the file. Not looked at were the files with secrets, databases and ports: "
            code { "webhooksd check" } " does."
        }
        @if seen.others > 0 {
            p class="note bad" { "The file itself has errors (" (seen.others) "): " code { "webhooksd check" } " says them." }
        }
        @for warning in &seen.warnings { div class="note warn" { pre tabindex="0" { (shown::block(warning, "")) } } }
        @if let Some(tried) = &seen.tried { h2 { "Of past events" } (matches(tried)) }
    }
}

/// What a webhook of the file would get.
pub(in crate::page) fn matched(name: &str, tried: &Tried) -> Markup {
    let content = html! {
        p { "By the file as it is on disk, as " code { "webhooksd match" } " judges." }
        (matches(tried))
        p { a href={ "/webhooks/" (super::super::form::encoded(name)) } { "Back to " (others(name)) } }
    };
    framed(
        &format!("What {} would get", others(name)),
        Here::Elsewhere,
        &content,
    )
}

fn matches(tried: &Tried) -> Markup {
    let trial = match &tried.trial {
        Ok(trial) => trial,
        Err(why) => return html! { p class="note bad" role="alert" { (others(why)) } },
    };
    let row = |what: &str, group: &Group| {
        html! { tr {
            th scope="row" data-label="Events that" { (what) }
            td data-label="How many" class="num" { (group.count) }
            td data-label="The newest" {
                @for id in group.newest.iter().rev() { a href={ "/events/" (id) } { (id) } " " }
            }
        } }
    };
    html! {
        p { "Of the last " (trial.events) " events it would get " strong { (trial.matched.count) } "." }
        table {
            thead { tr { th scope="col" { "Events that" } th scope="col" class="num" { "How many" } th scope="col" { "The newest" } } }
            tbody {
                (row("match", &trial.matched))
                @if !tried.rules.is_empty() { (row("its where turns away", &trial.turned_away)) }
                @for (number, (rule, group)) in tried.rules.iter().zip(&trial.by_rule).enumerate() {
                    (row(&format!("do not pass rule {}, {}", number + 1, others(rule)), group))
                }
                @if let Some(difference) = trial.difference.as_ref().filter(|_| trial.has_log) {
                    (row("match, and were not sent", &difference.would_add))
                    (row("were sent, and do not match", &difference.would_drop))
                }
            }
        }
    }
}
