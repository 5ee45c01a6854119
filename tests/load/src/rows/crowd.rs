//! What endpoints that never answer do to one that does.
//!
//! Silent endpoints are spread over several addresses of loopback, so that the ports of one are not
//! what is measured. The healthy webhook's requests are timed as in the latency rows.

use std::time::Duration;

use super::{Line, Webhook, middle, timed};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::outbox;
use crate::receiver::ADDRESSES;

/// How long the crowd may take to fill its places.
const FILLING: Duration = Duration::from_secs(20);

/// A hundred webhooks want every event that the healthy one wants, with the default limits.
pub(crate) fn silent(bench: &mut Bench) -> Vec<Line> {
    let seconds = bench.count(6, 4);
    let alone = timed(bench);
    let mut beside = alone.clone();
    for number in 0..100 {
        let url = bench.url_on(number % ADDRESSES, "silent");
        beside
            .webhooks
            .push(Webhook::new(&format!("silent-{number}"), url, "tick"));
    }
    let (mut alone_rounds, mut beside_rounds) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let folder = bench.fresh();
        alone.write(&folder);
        let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
        bench.latency(&folder, 50, 1, "NORMAL");
        let latency = bench.latency(&folder, 50, seconds, "NORMAL");
        bench.note(format!("alone: {latency}"));
        alone_rounds.push(latency);
        daemon.stop();

        let folder = bench.fresh();
        beside.write(&folder);
        let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
        // Three seconds fill the places that there are; from then on they turn over.
        bench.latency(&folder, 50, 4, "NORMAL");
        let hang = bench.receiver.count().silent;
        let latency = bench.latency(&folder, 50, seconds, "NORMAL");
        let rss_mib = daemon.rss_mib();
        bench.note(format!(
            "beside 100 silent, {hang} requests hanging, {rss_mib:.0} MiB: {latency}"
        ));
        beside_rounds.push(latency);
        drop(daemon);
    }
    let (alone, beside) = (middle(&alone_rounds), middle(&beside_rounds));
    let hit = beside.p99_ms <= 2.0 * alone.p99_ms && beside.missing == 0;
    let figure = format!(
        "{:.1} times; beside: {beside}; alone: p99 {:.2} ms",
        beside.p99_ms / alone.p99_ms,
        alone.p99_ms
    );
    vec![Line::new(
        "healthy webhook beside 100 that never answer, 50 events/s",
        "p99 within 2× of alone",
        figure,
        hit,
    )]
}

/// Ten silent webhooks with a thousand requests each, the limit in flight raised for them.
pub(crate) fn hanging(bench: &mut Bench) -> Vec<Line> {
    let (per_webhook, seconds) = (bench.count(1_000, 200), bench.count(8, 4));
    let mut config = timed(bench);
    config.max_in_flight = 16_384;
    for number in 0..10 {
        let mut webhook = Webhook::new(
            &format!("silent-{number}"),
            bench.url_on(number + 1, "silent"),
            "hang",
        );
        webhook.max_in_flight = per_webhook as usize;
        config.webhooks.push(webhook);
    }
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    let before = bench.latency(&folder, 50, 3, "NORMAL");
    bench.note(format!("before: {before}"));
    let outbox = outbox::open(&bench.binary, &folder, "NORMAL");
    outbox::fill(&outbox, "hang", per_webhook * 5);
    let wanted = per_webhook * 10;
    let filled = bench.receiver.wait_silent(wanted * 98 / 100, FILLING);
    bench.note(format!(
        "{filled} hanging at first, {:.0} MiB",
        daemon.rss_mib()
    ));
    let cpu_us = daemon.cpu_us();
    let latency = bench.latency(&folder, 50, seconds, "NORMAL");
    let hang = bench.receiver.count().silent;
    let cpu = (daemon.cpu_us() - cpu_us) / 1e4 / seconds as f64;
    let peak_mib = daemon.peak_mib();
    bench.note(format!(
        "{hang} hanging at the end, peak {peak_mib:.0} MiB, {cpu:.0} % CPU: {latency}"
    ));
    drop(daemon);
    let hit = peak_mib <= 300.0
        && latency.p99_ms <= 25.0
        && latency.missing == 0
        && filled >= wanted * 9 / 10;
    let figure = format!("{filled} hanging: peak {peak_mib:.0} MiB; healthy {latency}");
    vec![Line::new(
        format!("{wanted} requests hanging"),
        "≤ 300 MiB RSS, healthy p99 ≤ 25 ms",
        figure,
        hit,
    )]
}
