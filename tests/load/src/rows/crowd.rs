//! What endpoints that never answer do to one that does.
//!
//! Silent endpoints are spread over several addresses of loopback, so that the ports of one are not
//! what is measured. The healthy webhook's requests are timed as in the latency rows.

use std::time::Duration;

use super::{Round, Webhook, timed};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::measure::Pace;
use crate::outbox;
use crate::receiver::ADDRESSES;

/// How long the crowd may take to fill its places.
const FILLING: Duration = Duration::from_secs(20);

/// A hundred webhooks want every event that the healthy one wants, with the default limits.
pub(crate) fn silent(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let pace = Pace::new(50, bench.count(6, 4));
    let mut config = timed(bench);
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    bench.latency(&daemon, Pace { seconds: 1, ..pace });
    let alone = bench.latency(&daemon, pace);
    bench.note(format!("alone: {alone}"));
    daemon.stop();

    for number in 0..100 {
        let url = bench.url_on(number % ADDRESSES, "silent");
        let webhook = Webhook::new(&format!("silent-{number}"), url, "tick");
        config.webhooks.push(webhook);
    }
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    // Three seconds fill the places that there are; from then on they turn over.
    bench.latency(&daemon, Pace { seconds: 4, ..pace });
    let hang = bench.receiver.count().silent;
    let beside = bench.latency(&daemon, pace);
    let rss_mib = daemon.rss_mib();
    bench.note(format!(
        "beside 100 silent, {hang} requests hanging, {rss_mib:.0} MiB: {beside}"
    ));
    drop(daemon);
    let of_alone = beside.p99_ms / alone.p99_ms;
    vec![
        Figure::new("p99 beside them, of that alone", of_alone, "", 2).at_most(2.0),
        beside.p50("beside them"),
        beside.p99("beside them"),
        Figure::new("RSS", rss_mib, "MiB", 1),
    ]
}

/// Ten silent webhooks with a thousand requests each, the limit in flight raised for them.
pub(crate) fn hanging(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
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
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    let before = bench.latency(&daemon, Pace::new(50, 3));
    bench.note(format!("before: {before}"));
    let outbox = outbox::open(round.build, &folder, "NORMAL");
    outbox::fill(&outbox, "hang", per_webhook * 5);
    let wanted = per_webhook * 10;
    let filled = bench.receiver.wait_silent(wanted * 98 / 100, FILLING);
    bench.note(format!(
        "{filled} hanging at first, {:.0} MiB",
        daemon.rss_mib()
    ));
    let cpu_us = daemon.cpu_us();
    let latency = bench.latency(&daemon, Pace::new(50, seconds));
    let hang = bench.receiver.count().silent;
    let cpu = (daemon.cpu_us() - cpu_us) / 1e4 / seconds as f64;
    let peak_mib = daemon.peak_mib();
    bench.note(format!(
        "{hang} hanging at the end, peak {peak_mib:.0} MiB, {cpu:.0} % CPU: {latency}"
    ));
    drop(daemon);
    let part = filled as f64 / wanted as f64;
    vec![
        Figure::new("hanging, of those that may", part, "", 2).at_least(0.9),
        Figure::new("peak RSS", peak_mib, "MiB", 1).at_most(300.0),
        latency.p50("healthy"),
        latency.p99("healthy").at_most(25.0),
        Figure::new("CPU", cpu, "%", 1),
    ]
}
