//! The rows of the table, in its order.
//!
//! Each is one function of its own that starts what it needs and leaves nothing running. Small
//! pieces that several rows use are here.

mod backlog;
mod crowd;
mod dead;
mod emit;
mod history;
mod idle;
mod latency;
mod many;

use crate::bench::{Bench, Latency};
use crate::config::{Config, Webhook};
use crate::report::Line;

/// A row of the table, or a few that are measured together.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Bench) -> Vec<Line>,
}

const fn row(name: &'static str, about: &'static str, run: fn(&mut Bench) -> Vec<Line>) -> Row {
    Row { name, about, run }
}

pub(crate) const ALL: &[Row] = &[
    row(
        "backlog",
        "backlog of 100,000 rows, one webhook, keep-alive, all logged",
        backlog::keep_alive,
    ),
    row("close", "the same with Connection: close", backlog::close),
    row("tls", "the same over TLS, keep-alive", backlog::tls),
    row("fan-out", "one event to 10 webhooks", backlog::fan_out),
    row(
        "trickle",
        "COMMIT returns to request arrives, 50 events/s",
        latency::trickle,
    ),
    row("stream", "the same at 5,000 events/s", latency::stream),
    row(
        "silent",
        "healthy webhook beside 100 that never answer, 50 events/s",
        crowd::silent,
    ),
    row("hanging", "10,000 requests hanging", crowd::hanging),
    row("idle", "idle", idle::idle),
    row(
        "dead",
        "1,000,000 rows waiting behind a dead endpoint",
        dead::dead,
    ),
    row("history", "5,000,000 attempts in the log", history::history),
    row(
        "sweep",
        "1,000,000 expired attempts being swept",
        history::sweep,
    ),
    row("many", "10,000 webhooks, of which one matches", many::many),
    row("emit", "emit - of 1,000,000 events", emit::emit),
];

/// One healthy webhook for the event "tick", with the arrival of each noted.
fn timed(bench: &Bench) -> Config {
    Config::new(vec![Webhook::new("healthy", bench.url("timed"), "tick")])
}

/// The round with the middle p99.
fn middle(rounds: &[Latency]) -> Latency {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
    sorted[(sorted.len() - 1) / 2]
}
