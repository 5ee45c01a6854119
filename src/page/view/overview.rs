//! The first page: the daemon, the log's size, and a row for each webhook.

use maud::{Markup, html};

use super::super::form;
use super::super::look::{Growth, Overview, Owners};
use super::{Here, at, framed, nodes, others, plain_time};
use crate::model::clock::utc;
use crate::model::shown;
use crate::model::told::counted;
use crate::query::{NEW, Process, Status};
use crate::store::{Closely, HourCounts, WebhookHealth};

/// A bar for an hour is so wide and at most so high, in pixels.
const BAR: (usize, usize) = (4, 24);

pub(in crate::page) fn overview(seen: &Overview) -> Markup {
    let content = html! {
        @match &seen.daemon {
            Some(answered) => (daemon(answered.as_deref())),
            None => p class="note" {
                "This is a copy, as it was at its newest attempt, " (plain_time(&utc(seen.now_ms))) "."
            },
        }
        @if let Some(lag) = seen.lag {
            p { (counted(lag, "event")) " of the outbox " (if lag == 1 { "was" } else { "were" }) " not taken in yet." }
        }
        (super::warnings(&seen.warnings))
        (log_size(seen))
        (nodes::nodes(&seen.nodes))
        h2 { "Webhooks" }
        @if seen.count == 0 {
            p { "There are no webhooks yet." }
        } @else if seen.webhooks.is_empty() {
            p { "There are " (seen.count) " and no more: this page begins behind them." }
        } @else {
            (webhooks(&seen.webhooks, seen.owners.as_ref()))
        }
        (further(seen))
        @if seen.has_file { p { a href="/new" { "A new webhook" } ": its part of the file, checked, and what it would have got" } }
        @if seen.acts {
            form method="post" action="/reload" { button { "Take the configuration in again" } }
        }
    };
    framed("Overview", Here::Overview, &content)
}

/// Where the others are.
fn further(seen: &Overview) -> Markup {
    let next = seen.from.saturating_add(seen.webhooks.len());
    html! {
        p {
            @if seen.from > 0 { a href="/" { "The first ones" } " " }
            @if next < seen.count {
                a rel="next" href={ "/?from=" (next) } { "The other " (seen.count - next) }
            }
        }
    }
}

/// A table with a row for each.
pub(super) fn webhooks(webhooks: &[Closely], owners: Option<&Owners>) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Webhook" } th scope="col" { "State" }
                th scope="col" class="num" { "Pending" }
                th scope="col" { "Last success" } th scope="col" { "Last failure" }
                th scope="col" class="num" { "Last hour" } th scope="col" class="num" { "p50, p99 of a day" }
                th scope="col" { "Last 24 hours" } th scope="col" { "Last 30 days" }
            } }
            tbody { @for webhook in webhooks { (row(webhook, owners)) } }
        }
    }
}

fn daemon(answered: Result<&Status, &String>) -> Markup {
    let list = |class: &str, words: &[String]| {
        html! {
            @if !words.is_empty() {
                div class={ "note " (class) } { ul { @for word in words { li { (others(word)) } } } }
            }
        }
    };
    match answered {
        Err(why) => html! {
            p class="note warn" { "The daemon does not answer: " (others(why)) ". This is what the log has." }
        },
        Ok(status) => html! {
            p {
                @if status.health.healthy { strong class="good" { "The daemon is well." } }
                @else { strong class="bad" { "The daemon is not well." } }
                " Version " (others(&status.daemon.version)) ", process " (status.daemon.pid)
                ", since " (plain_time(&others(&status.daemon.started_at)))
                "; " (status.in_flight) " in flight"
                @if let Some(lag) = status.outbox.lag { ", " (counted(lag, "event")) " behind the outbox" }
                "."
            }
            (list("bad", &status.health.complaints))
            (list("warn", &status.health.warnings))
            @if status.daemon.last_reload_failed { (refused(&status.daemon)) }
        },
    }
}

/// Why the file was not taken in, each error beside its line.
fn refused(daemon: &Process) -> Markup {
    html! {
        div class="note bad" role="alert" {
            p {
                "The last reload was refused"
                @if let Some(at) = &daemon.last_reload_failed_at { ", " (plain_time(&others(at))) }
                ": the configuration before it is in force."
            }
            @for error in &daemon.last_reload_errors { pre tabindex="0" { (shown::block(error, "")) } }
            @if daemon.last_reload_errors.is_empty() { p { code { "webhooksd check" } " says why." } }
        }
    }
}

fn log_size(seen: &Overview) -> Markup {
    let (log, wal) = seen.bytes;
    html! {
        p class="quiet" {
            "Log " code { (others(&seen.log)) } ": " (size(log)) @if wal > 0 { ", and " (size(wal)) " of its WAL" }
            @if let Some(oldest) = seen.oldest_ms { "; it goes back to " (at(Some(oldest))) }
            ". " (growth(seen))
        }
    }
}

/// How long the log will last.
fn growth(seen: &Overview) -> String {
    let Growth {
        bytes_a_day,
        keep_days,
        max_bytes,
        free,
    } = seen.growth;
    let mut told = String::new();
    if let Some(bytes) = bytes_a_day {
        told.push_str(&format!(
            "At the pace of the last day it takes some {} a day",
            size(bytes)
        ));
        let left = free.filter(|_| keep_days == Some(0) && max_bytes.is_none());
        match (
            max_bytes,
            keep_days,
            left.and_then(|free| free.checked_div(bytes)),
        ) {
            (Some(most), _, _) => told.push_str(&format!(", and is kept below {}", size(most))),
            (None, Some(0) | None, None) => {}
            (None, Some(0) | None, Some(days)) => {
                told.push_str(&format!(", and the disk is full in some {days} days"));
            }
            (None, Some(days), _) => {
                let whole = bytes.saturating_mul(days.into());
                told.push_str(&format!(
                    ", and comes to some {} in its {days} days",
                    size(whole)
                ));
            }
        }
        told.push_str(". ");
    }
    if let Some(free) = free {
        told.push_str(&format!("The disk has {} left.", size(free)));
    }
    told
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

fn row(seen: &Closely, owners: Option<&Owners>) -> Markup {
    let webhook = &seen.health;
    let (state, class) = state(webhook);
    let hour = &webhook.hour;
    let day = &webhook.day;
    html! {
        tr {
            th scope="row" data-label="Webhook" {
                a href={ "/webhooks/" (form::encoded(&webhook.name)) } { (others(&webhook.name)) }
                (nodes::owner(owners, &webhook.name))
            }
            td data-label="State" class=(class) { (state) }
            td data-label="Pending" class="num" {
                (webhook.pending.count) @if webhook.pending.more { "+" }
                @if seen.oldest_pending_ms.is_some() { br; span class="quiet" { "since " (at(seen.oldest_pending_ms)) } }
            }
            td data-label="Last success" class="time" { (at(webhook.last_success_ms)) }
            td data-label="Last failure" {
                (at(webhook.last_failure_ms))
                @if let Some(error) = &webhook.last_error { br; span class="quiet" { (others(error)) } }
            }
            td data-label="Last hour" class="num" {
                @if hour.attempts == 0 { span class="quiet" { "–" } }
                @else {
                    (rate(hour.attempts, hour.failures)) br;
                    span class="quiet" { (hour.attempts - hour.failures) " of " (hour.attempts) }
                }
            }
            td data-label="p50, p99" class="num" {
                @match (day.p50_ms, day.p99_ms) {
                    (Some(p50), Some(p99)) => { (p50) " ms, " (p99) " ms" }
                    _ => span class="quiet" { "–" },
                }
            }
            td data-label="24 hours" { (bars(&webhook.hours, "the last 24 hours")) }
            td data-label="30 days" { (bars(&seen.days, "the last 30 days")) }
        }
    }
}

/// The success of attempts in hundredths, never rounded up to all of them.
fn rate(attempts: i64, failures: i64) -> String {
    let good = (attempts - failures).saturating_mul(1_000) / attempts.max(1);
    format!("{}.{} %", good / 10, good % 10)
}

/// What a webhook's state is, in words, and their class.
fn state(webhook: &WebhookHealth) -> (String, &'static str) {
    if let Some(pause) = &webhook.pause {
        let until = pause.until_ms.map_or_else(
            || ", until it is resumed".to_owned(),
            |until| format!(" until {}", plain_time(&utc(until))),
        );
        let reason = pause.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {}", others(reason)));
        return (format!("paused{until}{reason}"), "warn");
    }
    if webhook.is_failing() {
        return ("failing".to_owned(), "bad");
    }
    if webhook.state != "active" {
        let word = if webhook.state == NEW {
            "new: the daemon does not know it yet"
        } else {
            &webhook.state
        };
        return (word.to_owned(), "quiet");
    }
    if let Some(until) = webhook.held_until_ms {
        let until = plain_time(&utc(until));
        return (format!("asked to wait until {until}"), "warn");
    }
    if webhook.held.is_some() {
        return ("an order holds deliveries".to_owned(), "warn");
    }
    ("well".to_owned(), "good")
}

/// A bar for each hour or day, the failures at its foot.
fn bars(hours: &[HourCounts], when: &str) -> Markup {
    let (wide, high) = BAR;
    let top = hours
        .iter()
        .map(|hour| hour.attempts)
        .max()
        .unwrap_or(0)
        .max(1);
    let sum = |count: fn(&HourCounts) -> i64| hours.iter().map(count).sum::<i64>();
    let (attempts, failures) = (sum(|h| h.attempts), sum(|h| h.failures));
    let label = format!(
        "{when}: {}, {failures} of them no success",
        counted(attempts, "attempt")
    );
    let scaled = |count: i64| -> usize {
        // Anything at all is seen.
        let most = i64::try_from(high).unwrap_or(1);
        let pixels = (count.saturating_mul(most) / top).clamp(i64::from(count > 0), most);
        usize::try_from(pixels).unwrap_or(0)
    };
    let path = |count: fn(&HourCounts) -> i64| {
        let counts = hours.iter().map(count).enumerate();
        let bars = counts
            .filter(|(_, count)| *count > 0)
            .map(|(place, count)| {
                let (from, up, over) = (place * wide, scaled(count), wide - 1);
                format!("M{from} {high}v-{up}h{over}v{up}z")
            });
        bars.collect::<String>()
    };
    html! {
        svg role="img" aria-label=(label) width=(hours.len() * wide) height=(high)
            viewBox={ "0 0 " (hours.len() * wide) " " (high) } preserveAspectRatio="none" {
            path class="bar" d=(path(|hour| hour.attempts)) {}
            path class="bar-bad" d=(path(|hour| hour.failures)) {}
            rect class="ground" x="0" y=(high - 1) width=(hours.len() * wide) height="1" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_whole_only_where_nothing_failed() {
        assert_eq!(rate(3, 0), "100.0 %");
        assert_eq!(rate(100_000, 1), "99.9 %");
        assert_eq!(rate(3, 3), "0.0 %");
    }

    #[test]
    fn a_single_failure_is_seen() {
        let mut all = [HourCounts::default(); 24];
        all[3] = HourCounts {
            attempts: 10_000,
            failures: 1,
        };
        let svg = bars(&all, "a day").into_string();
        assert!(
            svg.contains(r#"class="bar-bad" d="M12 24v-1h3v1z""#),
            "{svg}"
        );
        assert!(svg.contains("10,000 attempts, 1 of them"), "{svg}");
    }
}
