//! `GET /metrics`: Prometheus's text format, by its conventions (`_total`, base units).
//!
//! The names are stable. Counts are since the daemon's start. What is asked of the files is at most
//! a second old, or ten times as old as the reading takes; a file that can't be read leaves its
//! families without samples.
//!
//! | name | what it says |
//! |---|---|
//! | `webhooksd_build_info` | 1, with the version as a label |
//! | `webhooksd_start_time_seconds` | when the daemon started, UNIX seconds |
//! | `webhooksd_healthy` | 1 while the pipeline makes progress |
//! | `webhooksd_events_taken_total` | events taken from the outbox |
//! | `webhooksd_events_rejected_total` | rows of the outbox set aside |
//! | `webhooksd_filtered_total` | deliveries not made because their webhook's `where` does not want the event's data |
//! | `webhooksd_outbox_lag` | rows of the outbox behind the cursor, not taken yet |
//! | `webhooksd_outbox_bytes` | the outbox's size, by `file`: `db`, `wal` |
//! | `webhooksd_attempts_total` | attempts by `webhook` and `outcome`: `delivered`, `retry`, `failed` |
//! | `webhooksd_attempt_duration_seconds` | histogram of an attempt's duration by `webhook` |
//! | `webhooksd_batches_total` | POSTs of several events by `webhook`, of those that have `batch` |
//! | `webhooksd_in_flight` | requests in flight by `webhook` |
//! | `webhooksd_requests_in_flight` | requests in flight in all |
//! | `webhooksd_queued` | deliveries queued in memory by `webhook` |
//! | `webhooksd_max_per_second` | requests that may begin in a second by `webhook`; no sample where that is any number |
//! | `webhooksd_held_until_seconds` | until when the endpoint asked to wait by Retry-After by `webhook`, UNIX seconds; no sample where it did not |
//! | `webhooksd_pending` | pending deliveries in the log by `webhook` |
//! | `webhooksd_held` | those of them that wait for their turn by `in_order`, counted up to 10,000, by `webhook` |
//! | `webhooksd_holding` | deliveries that were given up and hold their lines by `if_failed`, counted up to 10,000, by `webhook`; no sample where none does |
//! | `webhooksd_holding_since_seconds` | since when the oldest of those does by `webhook`, UNIX seconds; no sample where none does |
//! | `webhooksd_oldest_pending_seconds` | age of the pending delivery that is due first by `webhook` |
//! | `webhooksd_webhook_paused` | 1 while the webhook is paused, by `webhook` |
//! | `webhooksd_unrecorded` | results that wait for the log |
//! | `webhooksd_log_commit_seconds` | summary (sum and count) of transactions of results |
//! | `webhooksd_log_bytes` | the log's size, by `file`: `db`, `wal` |
//! | `webhooksd_log_max_bytes` | what the two together are kept below; no sample where there is no `max_size` |
//! | `webhooksd_log_deleted_early_total` | deliveries, and rows set aside, deleted before their days were over |
//! | `webhooksd_intake_waits_for_room` | 1 while events wait in the outbox for room in a log that is at its `max_size` |
//! | `webhooksd_nodes` | nodes of a log in PostgreSQL, as this one sees them; absent where the log is in a file |
//! | `webhooksd_lanes_owned` | webhooks that this node sends for; absent where the log is in a file |
//! | `webhooksd_log_wal_held_bytes` | the WAL's length while a reader keeps it from starting over, else 0 |
//! | `webhooksd_config_reloads_total` | configurations taken in or refused |
//! | `webhooksd_config_reload_failures_total` | configurations refused |
//! | `webhooksd_config_last_reload_failed` | 1 where the last one was refused |
//! | `webhooksd_faults_total` | attempts that this machine could not make; they cost no try |
//! | `webhooksd_socket_connections` | connections to the socket and the metrics' address |
//! | `webhooksd_socket_evictions_total` | connections let go because others needed their place |
//! | `webhooksd_socket_events_total` | events that came over the socket, refused ones included |

use std::fmt::Display;

use super::Api;
use super::answer::{self, Answer};
use super::families::FAMILIES;
use crate::model::METRICS_EDGES_MS;
use crate::pipeline::{Snapshot, WebhookSnapshot};
use crate::query::{Files, Inside};

impl Api {
    pub(super) async fn metrics(&self) -> Answer {
        let Inside {
            pipeline: snapshot,
            files,
            started_ms,
        } = self.now().await.inside;
        let mut page = Page::default();
        let now_ms = self.dispatch.clock().now_ms();
        daemon(&mut page, started_ms, &snapshot);
        of_webhooks(&mut page, &snapshot);
        of_files(&mut page, &files, now_ms);
        if let Some(lag) = files.lag().or(snapshot.behind) {
            page.one("webhooksd_outbox_lag", lag);
        }
        without_pending(&mut page, &files, &snapshot);
        let (connections, evicted, asked) = self.counts.read();
        page.one("webhooksd_socket_connections", connections);
        page.one("webhooksd_socket_evictions_total", evicted);
        page.one("webhooksd_socket_events_total", asked);
        answer::prometheus(page.text())
    }
}

fn daemon(page: &mut Page, started_ms: i64, snapshot: &Snapshot) {
    let version = env!("CARGO_PKG_VERSION");
    page.sample("webhooksd_build_info", "", &[("version", version)], 1);
    page.one(
        "webhooksd_start_time_seconds",
        Thousandths(i128::from(started_ms)),
    );
    page.one(
        "webhooksd_healthy",
        u8::from(snapshot.complaints.is_empty()),
    );
    page.one("webhooksd_events_taken_total", snapshot.taken);
    page.one("webhooksd_events_rejected_total", snapshot.rejected);
    page.one("webhooksd_filtered_total", snapshot.filtered);
    page.one("webhooksd_requests_in_flight", snapshot.in_flight);
    page.one("webhooksd_unrecorded", snapshot.unrecorded);
    let commits = "webhooksd_log_commit_seconds";
    page.sample(commits, "_sum", &[], Millionths(snapshot.commit_us));
    page.sample(commits, "_count", &[], snapshot.commits);
    if let Some(max_bytes) = snapshot.log_max_bytes {
        page.one("webhooksd_log_max_bytes", max_bytes);
    }
    page.one("webhooksd_log_deleted_early_total", snapshot.deleted_early);
    page.one(
        "webhooksd_intake_waits_for_room",
        u8::from(snapshot.waits_for_room_since_ms.is_some()),
    );
    page.one("webhooksd_log_wal_held_bytes", snapshot.wal_held_bytes);
    if !snapshot.nodes.is_empty() {
        page.one("webhooksd_nodes", snapshot.nodes.len());
        let mine = snapshot.nodes.iter().find(|node| node.me);
        page.one(
            "webhooksd_lanes_owned",
            mine.map_or(0, |node| node.webhooks),
        );
    }
    page.one("webhooksd_config_reloads_total", snapshot.reloads);
    page.one(
        "webhooksd_config_reload_failures_total",
        snapshot.reload_failures,
    );
    let failed = u8::from(snapshot.last_reload_failed);
    page.one("webhooksd_config_last_reload_failed", failed);
    page.one("webhooksd_faults_total", snapshot.faults);
}

fn of_webhooks(page: &mut Page, snapshot: &Snapshot) {
    for webhook in &snapshot.webhooks {
        let label = ("webhook", &*webhook.name);
        for (outcome, count) in [
            ("delivered", webhook.delivered),
            ("retry", webhook.retried),
            ("failed", webhook.failed),
        ] {
            let labels = [label, ("outcome", outcome)];
            page.sample("webhooksd_attempts_total", "", &labels, count);
        }
        durations(page, webhook);
        if let Some(batches) = webhook.batches {
            page.sample("webhooksd_batches_total", "", &[label], batches);
        }
        page.sample("webhooksd_in_flight", "", &[label], webhook.in_flight);
        page.sample("webhooksd_queued", "", &[label], webhook.queued);
        if let Some(rate) = webhook.max_per_second {
            page.sample("webhooksd_max_per_second", "", &[label], rate);
        }
        if let Some(until_ms) = webhook.held_until_ms {
            let until = Thousandths(i128::from(until_ms));
            page.sample("webhooksd_held_until_seconds", "", &[label], until);
        }
        let paused = u8::from(webhook.pause.is_some());
        page.sample("webhooksd_webhook_paused", "", &[label], paused);
    }
}

fn durations(page: &mut Page, webhook: &WebhookSnapshot) {
    let name = "webhooksd_attempt_duration_seconds";
    let label = ("webhook", &*webhook.name);
    let mut below = 0;
    for (edge_ms, count) in METRICS_EDGES_MS.iter().zip(&webhook.durations) {
        below += count;
        let edge = Thousandths(i128::from(*edge_ms)).to_string();
        page.sample(name, "_bucket", &[label, ("le", &edge)], below);
    }
    // The sum of the buckets, not of the outcomes: they are counted one after the other.
    let all: u64 = webhook.durations.iter().sum();
    page.sample(name, "_bucket", &[label, ("le", "+Inf")], all);
    page.sample(name, "_sum", &[label], Millionths(webhook.duration_us));
    page.sample(name, "_count", &[label], all);
}

/// A webhook of which nothing is pending has a sample all the same, for alerts to compare with.
fn without_pending(page: &mut Page, files: &Files, snapshot: &Snapshot) {
    let Some(pending) = &files.pending else {
        return;
    };
    for webhook in &snapshot.webhooks {
        if !pending.iter().any(|p| *p.webhook == *webhook.name) {
            let label = [("webhook", &*webhook.name)];
            page.sample("webhooksd_pending", "", &label, 0);
        }
    }
}

fn of_files(page: &mut Page, files: &Files, now_ms: i64) {
    for pending in files.pending.iter().flatten() {
        let label = [("webhook", &*pending.webhook)];
        page.sample("webhooksd_pending", "", &label, pending.count);
        page.sample("webhooksd_held", "", &label, pending.held);
        if let Some(since_ms) = pending.since_ms {
            let age = Thousandths(i128::from((now_ms - since_ms).max(0)));
            page.sample("webhooksd_oldest_pending_seconds", "", &label, age);
        }
    }
    for (webhook, holding) in &files.holding {
        let label = [("webhook", &**webhook)];
        page.sample("webhooksd_holding", "", &label, holding.count.count);
        let since = Thousandths(i128::from(holding.since_ms));
        page.sample("webhooksd_holding_since_seconds", "", &label, since);
    }
    let mut sizes = |name, db, wal| {
        page.sample(name, "", &[("file", "db")], db);
        page.sample(name, "", &[("file", "wal")], wal);
    };
    sizes("webhooksd_log_bytes", files.log_bytes, files.wal_bytes);
    let (db, wal) = (files.outbox_bytes, files.outbox_wal_bytes);
    sizes("webhooksd_outbox_bytes", db, wal);
}

/// Milliseconds, written as seconds.
struct Thousandths(i128);

/// Microseconds, written as seconds.
struct Millionths(u64);

impl Display for Thousandths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        let text = format!("{whole}.{rest:03}");
        let text = text.trim_end_matches('0');
        f.write_str(text.strip_suffix('.').unwrap_or(text))
    }
}

impl Display for Millionths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The samples of each family, for a family's samples stand together.
#[derive(Default)]
struct Page {
    samples: std::collections::HashMap<&'static str, String>,
}

impl Page {
    fn one(&mut self, family: &'static str, value: impl Display) {
        self.sample(family, "", &[], value);
    }

    /// Values of labels are names of webhooks and words of this file: none needs an escape.
    fn sample(
        &mut self,
        family: &'static str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        let text = self.samples.entry(family).or_default();
        text.push_str(family);
        text.push_str(suffix);
        for (index, (name, label)) in labels.iter().enumerate() {
            let before = if index == 0 { "{" } else { "," };
            text.push_str(&format!("{before}{name}=\"{label}\""));
        }
        let after = if labels.is_empty() { " " } else { "} " };
        text.push_str(&format!("{after}{value}\n"));
    }

    fn text(mut self) -> String {
        let mut page = String::new();
        for (name, kind, help) in FAMILIES {
            page.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            page.push_str(&self.samples.remove(name).unwrap_or_default());
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn every_family_is_in_the_table_and_the_other_way_round() {
        let source = include_str!("metrics.rs");
        let table = source.lines().filter_map(|line| {
            let name = line.strip_prefix("//! | `")?;
            name.split('`').next()
        });
        let known: Vec<&str> = FAMILIES.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(table.collect::<Vec<_>>(), known);
    }

    #[test]
    fn every_sample_belongs_to_a_family() {
        let webhook = WebhookSnapshot {
            name: Arc::from("w"),
            active: true,
            in_flight: 1,
            queued: 2,
            max_per_second: Some(0.5),
            held_until_ms: Some(2_250),
            delivered: 3,
            retried: 4,
            failed: 5,
            batches: None,
            duration_us: 1_500_000,
            durations: (0..13).collect(),
            pause: None,
        };
        let mut page = Page::default();
        let snapshot = Snapshot {
            taken: 1,
            rejected: 2,
            filtered: 11,
            faults: 3,
            commits: 4,
            commit_us: 1_234_567,
            in_flight: 6,
            unrecorded: 7,
            reloads: 8,
            reload_failures: 9,
            remarks: Default::default(),
            last_reload_failed: true,
            log_max_bytes: Some(64_000_000),
            deleted_early: 10,
            waits_for_room_since_ms: Some(1),
            webhooks: vec![webhook],
            ..Snapshot::default()
        };
        daemon(&mut page, 1_500, &snapshot);
        of_webhooks(&mut page, &snapshot);
        of_files(&mut page, &Files::default(), 0);
        for name in page.samples.keys() {
            assert!(FAMILIES.iter().any(|family| family.0 == *name), "{name}");
        }
        let text = page.text();
        for line in [
            "webhooksd_start_time_seconds 1.5",
            "webhooksd_webhook_paused{webhook=\"w\"} 0",
            "webhooksd_log_commit_seconds_sum 1.234567",
            "webhooksd_log_max_bytes 64000000",
            "webhooksd_log_deleted_early_total 10",
            "webhooksd_intake_waits_for_room 1",
            "webhooksd_filtered_total 11",
            "webhooksd_max_per_second{webhook=\"w\"} 0.5",
            "webhooksd_held_until_seconds{webhook=\"w\"} 2.25",
            "webhooksd_attempts_total{webhook=\"w\",outcome=\"retry\"} 4",
            "webhooksd_attempt_duration_seconds_bucket{webhook=\"w\",le=\"0.002\"} 1",
            "webhooksd_attempt_duration_seconds_bucket{webhook=\"w\",le=\"+Inf\"} 78",
            "webhooksd_attempt_duration_seconds_bucket{webhook=\"w\",le=\"6\"} 66",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
