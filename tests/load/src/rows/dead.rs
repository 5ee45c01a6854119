//! A million rows that wait behind an endpoint that never answers, or behind a pause, in an
//! order of a million values or in none.
//!
//! The daemon takes them all in (memory), is stopped and started again (time to ready), and serves
//! a healthy webhook beside them (latency). A pause is ended in the end, and they are delivered.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Round, Webhook, timed};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::log::Log;
use crate::measure::Pace;
use crate::outbox;
use crate::process::write_back;

/// Far more than taking them in needs.
const LIMIT: Duration = Duration::from_secs(180);

/// A p99 alone that is lower than this is not what twice of it is asked for: three milliseconds
/// beside the rows are always good.
const LEAST_MS: f64 = 1.5;

/// What the rows wait behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Silence,
    Pause,
    /// The same pause of a webhook with an order, in which each row has a value of its own.
    PauseInOrder,
}

pub(crate) fn dead(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    waiting(bench, round, Behind::Silence)
}

pub(crate) fn paused(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    waiting(bench, round, Behind::Pause)
}

pub(crate) fn values(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    waiting(bench, round, Behind::PauseInOrder)
}

fn waiting(bench: &mut Bench, round: &Round<'_>, behind: Behind) -> Vec<Figure> {
    let rows = bench.count(1_000_000, 100_000);
    let pace = Pace::new(50, bench.count(8, 4));
    let mut config = timed(bench);
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    bench.latency(&daemon, Pace { seconds: 1, ..pace });
    let alone = bench.latency(&daemon, pace);
    bench.note(format!("healthy alone: {alone}"));
    daemon.stop();

    let answer = match behind {
        Behind::Silence => "silent",
        Behind::Pause | Behind::PauseInOrder => "ok",
    };
    let mut dead = Webhook::new("dead", bench.url_on(1, answer), "hang");
    let mut places = 0;
    if behind == Behind::PauseInOrder {
        dead.order = Some("\"$.place\"".to_owned());
        places = rows;
    }
    config.webhooks.push(dead);
    config.write(&folder);
    if behind != Behind::Silence {
        // The log knows the webhook once it was configured.
        Daemon::start_ready(round.build, &folder).0.stop();
        let log = rusqlite::Connection::open(folder.join("log.db")).unwrap();
        log.execute("INSERT INTO pause (webhook) VALUES ('dead')", [])
            .unwrap();
    }
    let outbox = outbox::open(round.build, &folder, "NORMAL");
    let filled = outbox::fill_places(&outbox, "hang", rows, places);
    drop(outbox);
    bench.note(format!("{rows} rows written in {filled:.1} s"));
    write_back();
    let (taking, daemon) = take_in(bench, round, &folder, rows);
    let stopped = daemon.stop();

    let (daemon, ready) = Daemon::start_ready(round.build, &folder);
    bench.note(format!(
        "stopped in {stopped:.1} s, ready again in {ready:.3} s"
    ));
    bench.latency(&daemon, Pace { seconds: 1, ..pace });
    let beside = bench.latency(&daemon, pace);
    let peak_mib = daemon.peak_mib();
    bench.note(format!(
        "healthy beside {rows} waiting: {beside}; peak {peak_mib:.0} MiB"
    ));
    let drained = (behind != Behind::Silence).then(|| drain(&daemon, &folder, rows));
    drop(daemon);
    // The databases of all rounds would be too much for some disks.
    std::fs::remove_dir_all(folder).unwrap();

    let of_alone = beside.p99_ms / alone.p99_ms.max(LEAST_MS);
    let mut figures = Vec::from(taking);
    figures.extend([
        Figure::new("peak RSS after a restart", peak_mib, "MiB", 1).at_most(64.0),
        Figure::new("ready after a start", ready * 1_000.0, "ms", 0).at_most(1_000.0),
        Figure::new("healthy p99, of that alone or 1.5 ms", of_alone, "", 2).at_most(2.0),
        beside.p50("healthy"),
        beside.p99("healthy"),
    ]);
    figures.extend(drained.map(|rate| Figure::new("delivered after the resume", rate, "/s", 0)));
    figures
}

/// Ends the pause, and waits until what waited has been delivered. Returns how many a second were.
fn drain(daemon: &Daemon, folder: &Path, rows: u64) -> f64 {
    let log = rusqlite::Connection::open(folder.join("log.db")).unwrap();
    log.busy_timeout(LIMIT).unwrap();
    let begun = Instant::now();
    log.execute("DELETE FROM pause", []).unwrap();
    let left = "SELECT EXISTS (SELECT 1 FROM parked) OR EXISTS (SELECT 1 FROM queued)";
    while Log::open(folder).expect("the log").number(left) > 0 {
        assert!(
            begun.elapsed() < LIMIT,
            "process {}: what waited was not delivered within {LIMIT:?}",
            daemon.pid()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    rows as f64 / begun.elapsed().as_secs_f64()
}

/// From the start of the daemon until the last row is in the log.
fn take_in(
    bench: &mut Bench,
    round: &Round<'_>,
    folder: &Path,
    rows: u64,
) -> ([Figure; 3], Daemon) {
    let before = last_delivery(folder);
    let (mut daemon, _) = Daemon::start_ready(round.build, folder);
    let begun = Instant::now();
    while last_delivery(folder) < before + rows as i64 {
        daemon.check_alive();
        assert!(
            begun.elapsed() < LIMIT,
            "the rows were not taken in within {LIMIT:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let rate = rows as f64 / begun.elapsed().as_secs_f64();
    let cpu_us = daemon.cpu_us() / rows as f64;
    let (peak_mib, rss_mib) = (daemon.peak_mib(), daemon.rss_mib());
    bench.note(format!(
        "taken in {rate:.0}/s, {cpu_us:.1} µs CPU each, peak {peak_mib:.0} MiB, then {rss_mib:.0} MiB"
    ));
    let figures = [
        Figure::new("peak RSS taking them in", peak_mib, "MiB", 1).at_most(64.0),
        Figure::new("rows taken in", rate, "/s", 0),
        Figure::new("CPU per row taken in", cpu_us, "µs", 1),
    ];
    (figures, daemon)
}

/// Ids of deliveries are given one by one, so the newest counts them.
fn last_delivery(folder: &Path) -> i64 {
    Log::open(folder)
        .expect("the log")
        .number("SELECT max(id) FROM delivery")
}
