//! Ten thousand webhooks, of which one wants the event; and how long a reload of them takes.

use std::time::Duration;

use super::{Config, Line, Webhook};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::{median, ratios, spread};

/// A reload that takes longer than this is broken, not slow.
const RELOAD_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn many(bench: &mut Bench) -> Vec<Line> {
    let (webhooks, events) = (bench.count(10_000, 1_000), bench.count(100_000, 20_000));
    let one = Config::new(vec![Webhook::new("main", bench.url("ok"), "tick")]);
    let mut all = one.clone();
    all.webhooks.extend((1..webhooks).map(|n| {
        Webhook::new(
            &format!("other-{n}"),
            bench.url("ok"),
            &format!("other-{n}-*"),
        )
    }));
    let (mut one_rates, mut all_rates) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        for (config, rates) in [(&one, &mut one_rates), (&all, &mut all_rates)] {
            let delivered = bench.fresh_backlog(config, events, events, "info");
            let count = config.webhooks.len();
            bench.note(format!(
                "{count} webhooks: {:.0}/s, {:.1} µs CPU each, peak {:.0} MiB",
                delivered.per_second, delivered.cpu_us, delivered.peak_mib
            ));
            rates.push(delivered.per_second);
        }
    }
    let folder = bench.fresh();
    all.write(&folder);
    let (mut daemon, ready) = Daemon::start_ready(&bench.binary, &folder);
    bench.note(format!("ready in {ready:.3} s"));
    let mut reloads = Vec::new();
    for _ in 0..5 {
        let behind = daemon.journal_bytes();
        daemon.hang_up();
        reloads
            .push(daemon.wait_line_after(behind, "configuration reloaded", RELOAD_LIMIT) * 1_000.0);
    }
    bench.note(format!(
        "reloads: {reloads:.0?} ms; {:.0} MiB",
        daemon.rss_mib()
    ));
    daemon.stop();
    let ratio = ratios(&all_rates, &one_rates);
    vec![
        Line::new(
            format!("{webhooks} webhooks, of which one matches"),
            "≥ 0.9 of one webhook",
            format!(
                "{}: {} deliveries/s",
                spread(&ratio, 2),
                spread(&all_rates, 0)
            ),
            median(&ratio) >= 0.9,
        ),
        Line::new(
            "their reload",
            "≤ 200 ms",
            format!("{} ms", spread(&reloads, 0)),
            median(&reloads) <= 200.0,
        ),
    ]
}
