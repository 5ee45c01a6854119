//! Ten thousand webhooks, of which one wants the event; and how long a reload of them takes.

use std::time::Duration;

use super::{Round, Webhook, one};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::{Figure, median};
use crate::measure::Load;

/// A reload that takes longer than this is broken, not slow.
const RELOAD_LIMIT: Duration = Duration::from_secs(60);

/// The first ones of a daemon, of which a round has the middle one.
const RELOADS: usize = 5;

pub(crate) fn many(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let (webhooks, events) = (bench.count(10_000, 1_000), bench.count(100_000, 20_000));
    let one = Load::new(one(bench), events);
    let mut all = one.clone();
    all.config.webhooks.extend((1..webhooks).map(|n| {
        Webhook::new(
            &format!("other-{n}"),
            bench.url("ok"),
            &format!("other-{n}-*"),
        )
    }));
    let [alone, beside] = [&one, &all].map(|load| {
        let (delivered, _) = bench.fresh_backlog(round.build, load, "info");
        bench.note(format!(
            "{} webhooks: {delivered}",
            load.config.webhooks.len()
        ));
        delivered
    });
    let folder = bench.fresh();
    all.config.write(&folder);
    let (mut daemon, ready) = Daemon::start_ready(round.build, &folder);
    bench.note(format!("ready in {ready:.3} s"));
    let mut reloads = Vec::new();
    for _ in 0..RELOADS {
        let behind = daemon.journal_bytes();
        daemon.hang_up();
        let seconds = daemon.wait_line_after(behind, "configuration reloaded", RELOAD_LIMIT);
        reloads.push(seconds * 1_000.0);
    }
    let rss_mib = daemon.rss_mib();
    bench.note(format!("reloads: {reloads:.0?} ms; {rss_mib:.0} MiB"));
    daemon.stop();
    let of_one = beside.per_second / alone.per_second;
    vec![
        Figure::new("of the rate of one webhook", of_one, "", 2).at_least(0.9),
        beside.rate(""),
        beside.cpu(""),
        beside.peak(""),
        Figure::new("reload", median(&reloads), "ms", 0).at_most(200.0),
        Figure::new("RSS after reloads", rss_mib, "MiB", 1),
    ]
}
