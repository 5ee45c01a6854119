//! The shape of `status --json`, version 1, as `--help` documents it.

use serde::Serialize;

use super::found::{Daemon, Node, Status};
use crate::model::clock::utc;
use crate::store::WebhookHealth;

#[derive(Serialize)]
pub(super) struct Shape<'a> {
    v: u8,
    time: String,
    daemon: Option<Process<'a>>,
    daemon_problem: Option<&'a str>,
    log: Log,
    log_problem: Option<&'a str>,
    failing: Option<usize>,
    nodes: &'a [Node],
    webhooks: Vec<Webhook<'a>>,
}

#[derive(Serialize)]
struct Log {
    bytes: u64,
    wal_bytes: u64,
    max_bytes: Option<u64>,
    oldest: Option<String>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    version: Option<&'a str>,
    started_at: Option<&'a str>,
    healthy: Option<bool>,
    complaints: &'a [String],
    warnings: &'a [String],
    in_flight: Option<usize>,
    last_reload_failed: Option<bool>,
    outbox_lag: Option<i64>,
    waits_for_room_since: Option<&'a str>,
}

#[derive(Serialize)]
struct Webhook<'a> {
    name: &'a str,
    state: &'a str,
    failing: bool,
    pending: i64,
    pending_more: bool,
    in_flight: Option<usize>,
    max_per_second: Option<f64>,
    held_until: Option<String>,
    held: Option<i64>,
    holding: Option<i64>,
    holding_since: Option<String>,
    last_success: Option<String>,
    last_failure: Option<String>,
    last_error: Option<&'a str>,
    hour: Hour,
    day: Day,
    hours: Vec<Counts>,
    given_up: i64,
    paused_since: Option<String>,
    paused_until: Option<String>,
    paused_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Hour {
    attempts: i64,
    failures: i64,
    success_rate: Option<f64>,
    p50_ms: Option<i64>,
    p99_ms: Option<i64>,
}

#[derive(Serialize)]
struct Day {
    attempts: i64,
    failures: i64,
    p50_ms: Option<i64>,
    p99_ms: Option<i64>,
}

#[derive(Serialize)]
struct Counts {
    attempts: i64,
    failures: i64,
}

pub(super) fn of(status: &Status) -> Shape<'_> {
    let in_flight = status.in_flight();
    let in_flight = |name: &str| Some(in_flight.as_ref()?.get(name).copied().unwrap_or(0));
    let (daemon, daemon_problem) = match &status.daemon {
        Daemon::Answered(answered) => (
            Some(Process {
                pid: answered.daemon.pid,
                version: Some(&answered.daemon.version),
                started_at: Some(&*answered.daemon.started_at).filter(|at| !at.is_empty()),
                healthy: Some(answered.health.healthy),
                complaints: &answered.health.complaints,
                warnings: &answered.health.warnings,
                in_flight: Some(answered.in_flight),
                last_reload_failed: Some(answered.daemon.last_reload_failed),
                outbox_lag: answered.outbox.lag,
                waits_for_room_since: answered.outbox.waits_for_room_since.as_deref(),
            }),
            None,
        ),
        Daemon::Unasked { pid } => (
            pid.map(|pid| Process {
                pid,
                version: None,
                started_at: None,
                healthy: None,
                complaints: &[],
                warnings: &[],
                in_flight: None,
                last_reload_failed: None,
                outbox_lag: None,
                waits_for_room_since: None,
            }),
            Some("the configuration has no [socket] to ask it over"),
        ),
        Daemon::Mute { why, .. } | Daemon::Silent(why) => (None, Some(why.as_str())),
    };
    Shape {
        v: 1,
        time: utc(status.now_ms),
        daemon,
        daemon_problem,
        log: Log {
            bytes: status.log_bytes,
            wal_bytes: status.wal_bytes,
            max_bytes: status.max_bytes,
            oldest: status.oldest_ms.map(utc),
        },
        log_problem: status.log_problem.as_deref(),
        failing: status.log_problem.is_none().then(|| status.failing()),
        nodes: &status.nodes,
        webhooks: status
            .webhooks
            .iter()
            .map(|webhook| {
                let max_per_second = status.max_per_second(&webhook.name);
                of_webhook(webhook, in_flight(&webhook.name), max_per_second)
            })
            .collect(),
    }
}

fn of_webhook(
    webhook: &WebhookHealth,
    in_flight: Option<usize>,
    max_per_second: Option<f64>,
) -> Webhook<'_> {
    let hours = webhook.hours.iter().map(|hour| Counts {
        attempts: hour.attempts,
        failures: hour.failures,
    });
    let pause = webhook.pause.as_ref();
    let held = webhook.held.as_ref();
    let holding = held.and_then(|held| held.holding.as_ref());
    Webhook {
        name: &webhook.name,
        state: &webhook.state,
        failing: webhook.is_failing(),
        pending: webhook.pending.count,
        pending_more: webhook.pending.more,
        in_flight,
        max_per_second,
        held_until: webhook.held_until_ms.map(utc),
        held: held.map(|held| held.count.count),
        holding: held.map(|_| holding.map_or(0, |holding| holding.count.count)),
        holding_since: holding.map(|holding| utc(holding.since_ms)),
        last_success: webhook.last_success_ms.map(utc),
        last_failure: webhook.last_failure_ms.map(utc),
        last_error: webhook.last_error.as_deref(),
        hour: Hour {
            attempts: webhook.hour.attempts,
            failures: webhook.hour.failures,
            success_rate: super::show::success_rate(&webhook.hour),
            p50_ms: webhook.hour.p50_ms,
            p99_ms: webhook.hour.p99_ms,
        },
        day: Day {
            attempts: webhook.day.attempts,
            failures: webhook.day.failures,
            p50_ms: webhook.day.p50_ms,
            p99_ms: webhook.day.p99_ms,
        },
        hours: hours.collect(),
        given_up: webhook.given_up,
        paused_since: pause.map(|pause| utc(pause.since_ms)),
        paused_until: pause.and_then(|pause| pause.until_ms).map(utc),
        paused_reason: pause.and_then(|pause| pause.reason.as_deref()),
    }
}
