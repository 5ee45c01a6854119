//! A million rows that wait behind an endpoint that never answers.
//!
//! The daemon takes them all in (memory), is stopped and started again (time to ready), and serves
//! a healthy webhook beside them (latency).

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Line, Webhook, timed};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::log::Log;
use crate::outbox;
use crate::process::write_back;

/// Far more than taking them in needs.
const LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn dead(bench: &mut Bench) -> Vec<Line> {
    let (rows, seconds) = (bench.count(1_000_000, 100_000), bench.count(8, 4));
    let mut config = timed(bench);
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    bench.latency(&folder, 50, 1, "NORMAL");
    let alone = bench.latency(&folder, 50, seconds, "NORMAL");
    bench.note(format!("healthy alone: {alone}"));
    daemon.stop();
    let before = last_delivery(&folder);

    config
        .webhooks
        .push(Webhook::new("dead", bench.url_on(1, "silent"), "hang"));
    config.write(&folder);
    let filled = outbox::fill(
        &outbox::open(&bench.binary, &folder, "NORMAL"),
        "hang",
        rows,
    );
    bench.note(format!("{rows} rows written in {filled:.1} s"));
    write_back();
    let (mut daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    let begun = Instant::now();
    while last_delivery(&folder) < before + rows as i64 {
        daemon.check_alive();
        assert!(
            begun.elapsed() < LIMIT,
            "the rows were not taken in within {LIMIT:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let taken = begun.elapsed().as_secs_f64();
    let (took_peak, took_rss) = (daemon.peak_mib(), daemon.rss_mib());
    bench.note(format!(
        "taken in within {taken:.1} s ({:.0}/s), peak {took_peak:.0} MiB, then {took_rss:.0} MiB",
        rows as f64 / taken
    ));
    let stopped = daemon.stop();

    let (daemon, ready) = Daemon::start_ready(&bench.binary, &folder);
    bench.note(format!(
        "stopped in {stopped:.1} s, ready again in {ready:.3} s"
    ));
    bench.latency(&folder, 50, 1, "NORMAL");
    let beside = bench.latency(&folder, 50, seconds, "NORMAL");
    let again_peak = daemon.peak_mib();
    bench.note(format!(
        "healthy beside {rows} waiting: {beside}; peak {again_peak:.0} MiB"
    ));
    drop(daemon);

    let peak_mib = took_peak.max(again_peak);
    let what = format!("{rows} rows waiting behind a dead endpoint");
    let unhurt = beside.missing == 0 && beside.p99_ms <= (2.0 * alone.p99_ms).max(3.0);
    vec![
        Line::new(
            &what,
            "≤ 64 MiB RSS",
            format!("peak {took_peak:.0} MiB taking them in, {again_peak:.0} MiB after a restart"),
            peak_mib <= 64.0,
        ),
        Line::new(
            format!("{what}: start"),
            "ready within 1 s",
            format!("{ready:.2} s"),
            ready <= 1.0,
        ),
        Line::new(
            format!("{what}: healthy webhook"),
            "unhurt (p99 within 2× of alone, or 3 ms)",
            format!("{beside}; alone p99 {:.2} ms", alone.p99_ms),
            unhurt,
        ),
    ]
}

/// Ids of deliveries are given one by one, so the newest counts them.
fn last_delivery(folder: &Path) -> i64 {
    Log::open(folder)
        .expect("the log")
        .number("SELECT max(id) FROM delivery")
}
