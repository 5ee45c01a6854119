//! What is to be done with many deliveries, before it is done, and what came of it; and replays.

use maud::{Markup, PreEscaped, html};

use super::super::act::{Done, Replay as Asked};
use super::super::form;
use super::super::many::{Deed, Gathered, Wanted, Worked, too_many};
use super::{Here, framed, framed_with, once, others, plain_time};
use crate::model::clock::utc;
use crate::model::{shown, told};
use crate::store::Replay;

/// Ids that are listed.
const LISTED: usize = 100;

fn verb(deed: Deed) -> &'static str {
    match deed {
        Deed::Redeliver => "Send again",
        Deed::Cancel => "Cancel",
    }
}

fn deliveries(count: usize) -> String {
    told::deliveries(i64::try_from(count).unwrap_or(i64::MAX))
}

/// What would be done.
pub(in crate::page) fn many(deed: Deed, found: &Gathered) -> Markup {
    let count = found.ids.len();
    let content = html! {
        @if let Some(words) = &found.wanted.search {
            p {
                @if words.trim().is_empty() { "All that " a href="/log" { "the log" } " has" }
                @else { "What " a href={ "/log?q=" (form::encoded(words)) } { code { (others(words)) } } " finds" }
                @if found.is_bounded { ", as far back as was looked" } "."
            }
        }
        @if let Some(webhook) = found.wanted.webhook.as_ref().filter(|_| deed == Deed::Cancel) {
            p { "All that is pending for " a href={ "/webhooks/" (form::encoded(webhook)) } { (others(webhook)) } "." }
        }
        @for (count, why) in &found.left_out {
            p class="quiet" { (deliveries(*count)) " " (why) " and " (if *count == 1 { "is" } else { "are" }) " left out." }
        }
        @if found.too_many {
            div class="note bad" role="alert" { pre { (shown::block(&too_many(found), "")) } }
        } @else if count == 0 {
            p { (if named_nothing(&found.wanted) { "Nothing was ticked." } else { "There is none." }) }
        } @else {
            p { strong { (deliveries(count)) } ":" }
            ul class="key" { @for id in found.ids.iter().take(LISTED) {
                li { a href={ "/deliveries/" (id) } { (id) } }
            } @if count > LISTED { li { "and " (count - LISTED) " more" } } }
            p { "The same as" }
            pre tabindex="0" { (shown::block(&found.command, "")) }
            @if let Some(sql) = &found.sql { p { "or, in the log," } pre tabindex="0" { (shown::block(sql, "")) } }
            (button(deed, found))
        }
        p { a href="/log" { "Back to the log" } }
    };
    framed(&format!("{}?", verb(deed)), Here::Elsewhere, &content)
}

/// Whether the form of the log came without a tick.
fn named_nothing(wanted: &Wanted) -> bool {
    wanted.ids.is_empty() && wanted.search.is_none() && wanted.webhook.is_none()
}

fn button(deed: Deed, found: &Gathered) -> Markup {
    let wanted = &found.wanted;
    let count = found.ids.len();
    html! {
        form method="post" action={ "/" (deed.word()) } {
            @if let Some(words) = &wanted.search { input type="hidden" name="q" value=(words); }
            @if let Some(before) = wanted.before { input type="hidden" name="before" value=(before); }
            @if let Some(webhook) = &wanted.webhook { input type="hidden" name="webhook" value=(webhook); }
            @if wanted.search.is_none() && wanted.webhook.is_none() {
                @for id in &found.ids { input type="hidden" name="id" value=(id); }
            }
            input type="hidden" name="count" value=(count);
            (once(&found.once))
            button { (verb(deed)) " " (deliveries(count)) }
        }
    }
}

/// What was done.
pub(in crate::page) fn worked_off(deed: Deed, worked: &Worked) -> Markup {
    let done = match deed {
        Deed::Redeliver => "sent again",
        Deed::Cancel => "cancelled",
    };
    let well = worked.refused_count == 0;
    let content = html! {
        p class={ "note " (if well { "good" } else { "bad" }) } role="status" {
            (deliveries(worked.done)) " " (done)
            @if !well { ", " (deliveries(worked.refused_count)) " refused" }
            @if worked.left > 0 { ", and " (worked.left) " not tried" }
            "."
        }
        @if !worked.refused.is_empty() {
            ul { @for (id, why) in &worked.refused {
                li { a href={ "/deliveries/" (id) } { "Delivery " (id) } ": " (others(why)) }
            } }
        }
        p { a href="/" { "Overview" } ", " a href="/log" { "Log" } }
    };
    framed(
        match (well, worked.done) {
            (true, _) => "Done",
            (false, 0) => "Not done",
            (false, _) => "Done in part",
        },
        Here::Elsewhere,
        &content,
    )
}

/// What a replay would be.
pub(in crate::page) fn replay_from(
    asked: &Asked,
    written_ms: i64,
    counted: &Done,
    mark: &str,
) -> Markup {
    let matched = counted.matched.unwrap_or(0);
    let to = asked.webhook.as_deref();
    let mut command = format!("webhooksd replay --from-id {}", asked.from);
    if let Some(webhook) = to {
        command.push_str(&format!(" --webhook {webhook}"));
    }
    let content = html! {
        p {
            "The events from " a href={ "/events/" (asked.from) } { (asked.from) } " on, whose time is "
            (plain_time(&utc(written_ms))) ", "
            @match to { Some(webhook) => { "to " (others(webhook)) }, None => "to all webhooks that want them" }
            ", by today's configuration and with the ids that they had: "
            strong { (told::deliveries(matched)) } " would be made."
        }
        @if counted.pruned > 0 {
            p class="note" { "About " (told::counted(counted.pruned, "event")) " of those left the outbox." }
        }
        p { "The same as" }
        pre tabindex="0" { (shown::block(&command, "")) }
        @if matched > 0 {
            form method="post" action="/replay" {
                input type="hidden" name="from" value=(asked.from);
                input type="hidden" name="count" value=(matched);
                @if let Some(webhook) = to { input type="hidden" name="webhook" value=(webhook); }
                (once(mark))
                button { "Send them again" }
            }
        }
    };
    framed("Replay?", Here::Elsewhere, &content)
}

/// How far a replay is; the page looks again by itself until it has ended.
pub(in crate::page) fn replay(replay: &Replay) -> Markup {
    let again = PreEscaped("<meta http-equiv=\"refresh\" content=\"2\">".to_owned());
    let head = if replay.finished {
        html! {}
    } else {
        again
    };
    let content = html! {
        p role="status" {
            (replay.done) " of " (told::deliveries(replay.matched)) " made"
            @if replay.finished { ": it has ended." } @else { "; the daemon goes on, also after a restart." }
        }
        @if !replay.finished {
            progress value=(replay.done) max=(replay.matched.max(1)) { (replay.done) " of " (replay.matched) }
        }
        dl {
            @if replay.since_ms > 0 { dt { "Events since" } dd { (plain_time(&utc(replay.since_ms))) } }
            @else { dt { "Events" } dd { "from a row on, up to " (replay.last_id) } }
            @if let Some(until) = replay.until_ms { dt { "until" } dd { (plain_time(&utc(until))) } }
            dt { "To" } dd { @match &replay.webhook {
                Some(webhook) => (others(webhook)), None => "all webhooks that want them",
            } }
            @if let Some(event) = &replay.event { dt { "Events" } dd { (others(event)) } }
        }
        p { a href="/log" { "Log" } }
    };
    framed_with(
        &head,
        &format!("Replay {}", replay.id),
        Here::Elsewhere,
        &content,
    )
}
