//! How the status looks to people: a line about the daemon, and a few lines for each webhook.
//!
//! What is said of a webhook is a row of pieces that are set into lines as the width allows, so a
//! narrow terminal gets more lines; only a piece that is wider than a whole line is cut.

use std::io;

use super::super::screen::{Look, Screen};
use super::super::when::asked_to_wait;
use super::super::{spark, text, when};
use super::found::{Daemon, Node, Status};
use crate::model::clock::utc;
use crate::model::{Pause, bytes};
use crate::query;
use crate::store::{HeldOf, Lately, WebhookHealth};

/// Where there is no terminal, lines are set as for one of this width.
const PAGE: usize = 120;

/// Between two pieces.
const GAP: &str = "   ";

/// Before every line of a webhook but its first.
const INDENT: &str = "  ";

pub(super) fn show(screen: &mut Screen, status: &Status) -> io::Result<()> {
    let what_follows = match status.log_problem {
        None => "; what follows is from the log",
        Some(_) => "",
    };
    daemon(screen, &status.daemon, what_follows)?;
    for node in &status.nodes {
        screen.line(of_node(node))?;
    }
    if status.log_problem.is_some() {
        return Ok(());
    }
    if let Some(max_bytes) = status.max_bytes {
        screen.line(log(status, max_bytes))?;
    }
    let in_flight = status.in_flight();
    for health in &status.webhooks {
        screen.line("")?;
        let in_flight = in_flight
            .as_ref()
            .map(|counts| counts.get(health.name.as_str()).copied().unwrap_or(0));
        let rate = status.max_per_second(&health.name);
        webhook(screen, health, (in_flight, rate), status.now_ms)?;
    }
    if status.webhooks.is_empty() {
        screen.line("no webhooks")?;
    }
    Ok(())
}

fn daemon(screen: &mut Screen, daemon: &Daemon, what_follows: &str) -> io::Result<()> {
    match daemon {
        Daemon::Answered(answered) => {
            let line = running(screen, answered);
            screen.line(line)?;
            if !answered.daemon.started_at.is_empty() {
                let since = text::line(&answered.daemon.started_at);
                screen.line(format!("{INDENT}it runs since {since}"))?;
            }
            for complaint in &answered.health.complaints {
                let line = screen.paint(text::line(complaint), Look::Bad);
                screen.line(format!("{INDENT}{line}"))?;
            }
            for warning in &answered.health.warnings {
                let line = screen.paint(text::line(warning), Look::Warning);
                screen.line(format!("{INDENT}{line}"))?;
            }
            if answered.daemon.last_reload_failed {
                let line = screen.paint(
                    "the last reload was refused: an earlier configuration is in force",
                    Look::Warning,
                );
                screen.line(format!("{INDENT}{line}"))?;
            }
            Ok(())
        }
        Daemon::Unasked { pid: Some(pid) } => screen.line(format!(
            "daemon: running (process {pid}), but there is no [socket] to ask it over{what_follows}"
        )),
        Daemon::Unasked { pid: None } => screen.line(format!(
            "daemon: not known, for there is no [socket] to ask it over{what_follows}"
        )),
        Daemon::Mute { pid, why } => {
            let state = screen.paint("DOES NOT ANSWER", Look::Bad);
            let process = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            screen.line(format!("daemon: {state}{process}{what_follows}"))?;
            screen.line(format!("{INDENT}{}", text::line(why)))
        }
        Daemon::Silent(why) => {
            let state = screen.paint("not running", Look::Bad);
            screen.line(format!("daemon: {state}{what_follows}"))?;
            screen.line(format!("{INDENT}{}", text::line(why)))
        }
    }
}

/// One of several, or one alone.
fn of_node(node: &Node) -> String {
    let webhooks = text::counted(node.webhooks, "webhook");
    let mut line = format!("{INDENT}node {}: {webhooks}", text::line(&node.name));
    if node.leads {
        line.push_str(", takes events in");
    }
    if node.me {
        line.push_str(", this one");
    }
    if node.config_differs == Some(true) {
        line.push_str(", another webhooks.toml");
    }
    if let Some(ms) = node.last_beat_ms.filter(|ms| *ms >= 1_000) {
        line.push_str(&format!(", no sign of life for {} s", ms / 1_000));
    }
    line
}

/// What the log has of the size that it may have, and how far it goes back.
fn log(status: &Status, max_bytes: u64) -> String {
    let bytes = status.log_bytes + status.wal_bytes;
    let mut line = format!(
        "log: {} of max_size {}",
        bytes::read(bytes),
        bytes::read(max_bytes)
    );
    if let Some(oldest_ms) = status.oldest_ms {
        let from_now = when::from_now(oldest_ms, status.now_ms);
        line.push_str(&format!(", its oldest finished work from {from_now}"));
    }
    line
}

fn running(screen: &Screen, answered: &query::Status) -> String {
    let state = if answered.health.healthy {
        screen.paint("well", Look::Good)
    } else {
        screen.paint("NOT WELL", Look::Bad)
    };
    let mut line = format!(
        "daemon: {state}, process {}, version {}, {} in flight",
        answered.daemon.pid,
        text::line(&answered.daemon.version),
        counted(answered.in_flight),
    );
    if let Some(lag) = answered.outbox.lag.filter(|lag| *lag > 0) {
        let events = text::counted(lag, "event");
        line.push_str(&format!(", {events} of the outbox not taken yet"));
    }
    line
}

fn webhook(
    screen: &mut Screen,
    health: &WebhookHealth,
    of_daemon: (Option<usize>, Option<f64>),
    now_ms: i64,
) -> io::Result<()> {
    let name = screen.paint(&health.name, Look::Bold);
    let state = match (&*health.state, health.is_failing()) {
        (_, true) => screen.paint("FAILING", Look::Bad),
        ("active", _) if health.pause.is_some() => screen.paint("paused", Look::Warning),
        ("active", _) => screen.paint("active", Look::Good),
        (query::NEW, _) => screen.paint("new: the daemon does not know it yet", Look::Dim),
        (other, _) => screen.paint(other, Look::Dim),
    };
    screen.line(format!("{name}{GAP}{state}"))?;
    if health.state == query::NEW {
        return Ok(());
    }
    let width = screen.width().unwrap_or(PAGE);
    for line in set(&pieces(health, of_daemon, now_ms), width) {
        screen.line(line)?;
    }
    let top = health.hours.iter().map(|hour| hour.attempts).max();
    let top = top.filter(|top| *top > 0);
    let Some(top) = top else { return Ok(()) };
    let bars = spark::line(health.hours.iter().map(|hour| hour.attempts), top);
    screen.line(format!(
        "{INDENT}24 h    {bars}  at most {} in an hour",
        text::grouped(top)
    ))?;
    let failures: i64 = health.hours.iter().map(|hour| hour.failures).sum();
    if failures > 0 {
        let bars = spark::line(health.hours.iter().map(|hour| hour.failures), top);
        let bars = screen.paint(bars, Look::Bad);
        screen.line(format!(
            "{INDENT}failed  {bars}  {} in all",
            text::grouped(failures)
        ))?;
    }
    Ok(())
}

/// A count of things in memory, of which there are fewer than that.
fn counted(count: usize) -> String {
    text::grouped(i64::try_from(count).unwrap_or(i64::MAX))
}

/// What is said of a pause.
fn paused(pause: &Pause, now_ms: i64) -> String {
    let mut words = format!("paused since {}", when::from_now(pause.since_ms, now_ms));
    if let Some(until_ms) = pause.until_ms {
        words.push_str(&format!(", until {}", utc(until_ms)));
    }
    if let Some(next_ms) = pause.next_try_ms {
        words.push_str(&format!(", next try {}", when::from_now(next_ms, now_ms)));
    }
    if let Some(reason) = &pause.reason {
        words.push_str(&format!(": {}", text::line(reason)));
    }
    words
}

/// What is said of an order.
fn held_back(held: &HeldOf, now_ms: i64) -> String {
    let count = text::grouped(held.count.count);
    let more = if held.count.more { " or more" } else { "" };
    let mut words = format!("{count}{more} held by their order");
    if let Some(holding) = &held.holding {
        let id = holding.oldest;
        let others = match (holding.count.count - 1, holding.count.more) {
            (_, true) => " and many more".to_owned(),
            (0, false) => String::new(),
            (more, false) => format!(" and {} more", text::grouped(more)),
        };
        let since = when::from_now(holding.since_ms, now_ms);
        words.push_str(&format!(
            ", by delivery {id}{others}, given up {since}: `webhooksd redeliver {id}` or `webhooksd cancel {id}`"
        ));
    }
    words
}

/// What is said of a webhook, in order.
fn pieces(
    health: &WebhookHealth,
    (in_flight, rate): (Option<usize>, Option<f64>),
    now_ms: i64,
) -> Vec<String> {
    let more = if health.pending.more { "+" } else { "" };
    let in_flight = in_flight.map_or_else(|| "-".to_owned(), counted);
    let mut pieces = Vec::from_iter(health.pause.as_ref().map(|pause| paused(pause, now_ms)));
    pieces.extend([
        format!("pending {}{more}", text::grouped(health.pending.count)),
        format!("in flight {in_flight}"),
    ]);
    if let Some(rate) = rate {
        pieces.push(format!("at most {rate} a second"));
    }
    if let Some(until_ms) = health.held_until_ms {
        pieces.push(asked_to_wait(until_ms, now_ms));
    }
    if let Some(held) = &health.held {
        pieces.push(held_back(held, now_ms));
    }
    let hour = &health.hour;
    match success_rate(hour) {
        None => pieces.push("no attempts in the last hour".to_owned()),
        Some(_) => pieces.push(format!(
            "last hour: {}, {} delivered",
            text::counted(hour.attempts, "attempt"),
            percent(hour)
        )),
    }
    if let (Some(p50), Some(p99)) = (health.day.p50_ms, health.day.p99_ms) {
        pieces.push(format!("p50 {p50} ms, p99 {p99} ms in 24 h"));
    }
    if health.given_up > 0 {
        let given_up = text::deliveries(health.given_up);
        pieces.push(format!("{given_up} given up in the last hour"));
    }
    let last =
        |ms: Option<i64>| ms.map_or_else(|| "never".to_owned(), |ms| when::from_now(ms, now_ms));
    pieces.push(format!("last success {}", last(health.last_success_ms)));
    let mut failure = format!("last failure {}", last(health.last_failure_ms));
    if let Some(error) = health
        .last_error
        .as_ref()
        .filter(|_| health.last_failure_ms.is_some())
    {
        failure.push_str(&format!(": {}", text::line(error)));
    }
    pieces.push(failure);
    pieces
}

/// The share of attempts that were delivered; `None` without attempts.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share of counts, which are far below 2^53"
)]
pub(super) fn success_rate(hour: &Lately) -> Option<f64> {
    let delivered = hour.attempts - hour.failures;
    (hour.attempts > 0).then(|| delivered as f64 / hour.attempts as f64)
}

/// The same in percent with one digit, rounded down: 100 % means all of them.
fn percent(hour: &Lately) -> String {
    let delivered = (hour.attempts - hour.failures).max(0);
    let per_mille = delivered.saturating_mul(1_000) / hour.attempts.max(1);
    match per_mille % 10 {
        0 => format!("{} %", per_mille / 10),
        tenth => format!("{}.{tenth} %", per_mille / 10),
    }
}

/// Sets the pieces into lines of that width; a piece that is wider alone goes on in lines of its own, and
/// only a word that is wider is cut.
fn set(pieces: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // What is a few lines long ends with its last.
    let mut is_over = false;
    for piece in pieces {
        if text::columns(piece) + INDENT.len() > width {
            broken(piece, width, &mut lines);
            is_over = true;
            continue;
        }
        let goes_on = !std::mem::take(&mut is_over);
        let room =
            |line: &&mut String| text::columns(line) + GAP.len() + text::columns(piece) <= width;
        match lines.last_mut().filter(|_| goes_on).filter(room) {
            Some(line) => line.push_str(&format!("{GAP}{piece}")),
            None => lines.push(format!("{INDENT}{piece}")),
        }
    }
    lines
}

fn broken(piece: &str, width: usize, lines: &mut Vec<String>) {
    let mut line = INDENT.to_owned();
    let mut is_empty = true;
    for word in piece.split(' ') {
        if !is_empty && text::columns(&line) + 1 + text::columns(word) > width {
            lines.push(std::mem::replace(&mut line, format!("{INDENT}{INDENT}")));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&text::cut(word, width.saturating_sub(text::columns(&line))));
        is_empty = false;
    }
    lines.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeliveryId;
    use crate::store::{Count, Holding};

    #[test]
    fn pieces_are_set_into_lines_that_fit() {
        let pieces = ["pending 0", "in flight 12", "x".repeat(40).as_str()].map(str::to_owned);
        assert_eq!(
            set(&pieces, 30),
            [
                "  pending 0   in flight 12",
                &format!("  {}…", "x".repeat(27))
            ]
        );
        assert_eq!(set(&pieces, 100).len(), 1);
        let long = [
            "pending 0",
            "paused since 2 h ago: every attempt failed",
            "in flight 1",
        ];
        assert_eq!(
            set(&long.map(str::to_owned), 24),
            [
                "  pending 0",
                "  paused since 2 h ago:",
                "    every attempt failed",
                "  in flight 1"
            ]
        );
        assert_eq!(
            set(&long.map(str::to_owned), 40).len(),
            4,
            "nothing goes on behind a reason"
        );
    }

    #[test]
    fn what_was_not_counted_to_its_end_is_more() {
        let count = |count, more| Count { count, more };
        let mut held = HeldOf {
            count: count(10_000, true),
            holding: None,
        };
        assert_eq!(held_back(&held, 0), "10,000 or more held by their order");
        held.count = count(3, false);
        held.holding = Some(Holding {
            count: count(2, false),
            oldest: DeliveryId::new(7),
            since_ms: 0,
        });
        let told = held_back(&held, 0);
        assert!(
            told.starts_with("3 held by their order, by delivery 7 and 1 more, given up "),
            "{told}"
        );
        assert!(
            told.ends_with(": `webhooksd redeliver 7` or `webhooksd cancel 7`"),
            "{told}"
        );
    }

    #[test]
    fn all_is_said_only_of_all() {
        let hour = |attempts, failures| Lately {
            attempts,
            failures,
            ..Lately::default()
        };
        assert_eq!(percent(&hour(100_000, 0)), "100 %");
        assert_eq!(percent(&hour(100_000, 1)), "99.9 %");
        assert_eq!(percent(&hour(3, 3)), "0 %");
        assert_eq!(success_rate(&hour(0, 0)), None);
    }
}
