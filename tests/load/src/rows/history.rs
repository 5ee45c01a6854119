//! A log with a past: 30 days of events to three webhooks, or a million attempts that are to go.
//!
//! The past is multiplied from one real delivery by SQL, once for each build, which keeps it in all
//! rounds. Ten events a second for 30 days are 78 million attempts and 45 GB; five million spread over the
//! same days are what a machine has room for, and `--history` sets how many. Of those that are to go ten
//! share a body. Throughput is compared with an empty log's, in turn.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Config, Round, Webhook, one};
use crate::bench::Bench;
use crate::build::Build;
use crate::daemon::Daemon;
use crate::figure::{Figure, median, spread};
use crate::log::{Growth, Log, grow};
use crate::measure::{Delivered, Load, Pace};
use crate::process::write_back;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Reads each part of the view.
const HEALTH: &str = "SELECT sum(pending) + sum(attempts_hour) + sum(attempts_day) + count(p99_ms) + count(last_error) FROM health";
const OF_EMPTY: &str = "of the rate with an empty log";

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn load(bench: &Bench) -> Load {
    Load::new(one(bench), bench.count(50_000, 20_000))
}

/// A folder whose log has such a past.
fn grown(bench: &mut Bench, build: &Build, config: Config, growth: &Growth) -> PathBuf {
    let folder = bench.fresh();
    config.write(&folder);
    let (_, daemon) = bench.backlog(build, &folder, &Load::new(config, 1), "info");
    daemon.stop();
    let begun = Instant::now();
    grow(&folder, growth, now_ms());
    write_back();
    let bytes = std::fs::metadata(folder.join("log.db")).unwrap().len();
    let (seconds, mib) = (begun.elapsed().as_secs_f64(), bytes >> 20);
    bench.note(format!(
        "{} attempts made in {seconds:.0} s: log.db has {mib} MiB",
        growth.attempts
    ));
    folder
}

pub(crate) fn kept(bench: &mut Bench, build: &Build) -> PathBuf {
    let growth = Growth {
        attempts: bench.options.history,
        fan_out: 3,
        ages_ms: (30 * DAY_MS - HOUR_MS, HOUR_MS),
        expired: false,
    };
    let config = one(bench);
    grown(bench, build, config, &growth)
}

/// A backlog with an empty log, then one with the past; the daemon of that still runs.
fn both(bench: &mut Bench, round: &Round<'_>, what: &str) -> ([Figure; 3], Daemon) {
    let load = load(bench);
    let (empty, _) = bench.fresh_backlog(round.build, &load, "info");
    bench.note(format!("empty log: {empty}"));
    let (full, daemon) = bench.backlog(round.build, round.past(), &load, "info");
    bench.note(format!("{what}: {full}"));
    (figures(&empty, &full), daemon)
}

fn figures(empty: &Delivered, full: &Delivered) -> [Figure; 3] {
    let of_empty = full.per_second / empty.per_second;
    [
        Figure::new(OF_EMPTY, of_empty, "", 2).at_least(0.8),
        full.rate(""),
        full.cpu(""),
    ]
}

pub(crate) fn history(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let what = format!("{} attempts in the log", bench.options.history);
    let ([of_empty, rate, cpu], daemon) = both(bench, round, &what);
    daemon.stop();
    let (daemon, ready) = Daemon::start_ready(round.build, round.past());
    bench.note(format!("ready in {ready:.3} s"));
    let ready = Figure::new("ready after a start", ready * 1_000.0, "ms", 0).at_most(100.0);
    let mut figures = vec![
        of_empty.at_least(0.9),
        rate,
        cpu,
        ready,
        health(bench, round),
    ];
    let half_ago = (bench.options.history / 6).to_string();
    figures.extend(
        [&["logs"][..], &["status"], &["explain", &half_ago]]
            .into_iter()
            .filter_map(|arguments| command(bench, round, arguments)),
    );
    daemon.stop();
    figures
}

/// Times the view `health`, as a person reads it.
fn health(bench: &mut Bench, round: &Round<'_>) -> Figure {
    let log = Log::open(round.past()).expect("the log");
    let times: Vec<f64> = (0..5)
        .map(|_| {
            let begun = Instant::now();
            assert!(log.number(HEALTH) > 0);
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    bench.note(format!("SELECT * FROM health: {} ms", spread(&times, 1)));
    Figure::new("SELECT * FROM health", median(&times), "ms", 1).at_most(100.0)
}

/// Times a command, where the binary has it.
fn command(bench: &mut Bench, round: &Round<'_>, line: &[&str]) -> Option<Figure> {
    let (name, arguments) = line.split_first().expect("a command");
    let run = |arguments: &[&str]| {
        let mut command = round.build.command();
        command.arg(name).args(arguments).current_dir(round.past());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !run(&["--help"]) {
        bench.note(format!("this binary has no command {name}"));
        return None;
    }
    let (mut times, mut worked) = (Vec::new(), true);
    for _ in 0..5 {
        let begun = Instant::now();
        worked &= run(arguments);
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    bench.note(format!("webhooksd {name}: {} ms", spread(&times, 1)));
    let figure = Figure::new(format!("webhooksd {name}"), median(&times), "ms", 1);
    Some(figure.at_most(100.0).fault_unless(worked, "IT FAILED"))
}

fn expired_attempts(bench: &Bench) -> i64 {
    i64::try_from(bench.count(1_000_000, 200_000)).unwrap()
}

/// Beside the webhook of the backlogs one whose arrivals are noted: a webhook that came later would
/// not get what was written before.
pub(crate) fn expired(bench: &mut Bench, build: &Build) -> PathBuf {
    let growth = Growth {
        attempts: expired_attempts(bench),
        fan_out: 10,
        ages_ms: (50 * DAY_MS, 31 * DAY_MS),
        expired: true,
    };
    let mut config = one(bench);
    let timed = Webhook::new("healthy", bench.timed_url(), "single");
    config.webhooks.push(timed);
    grown(bench, build, config, &growth)
}

pub(crate) fn sweep(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let (attempts, seconds) = (expired_attempts(bench), bench.count(4, 3));
    let (figures, daemon) = both(bench, round, "while rows are swept");
    daemon.stop();
    let (daemon, _) = Daemon::start_ready(round.build, round.past());
    let before = remaining(round.past(), attempts);
    let pace = Pace {
        event: "single",
        ..Pace::new(200, seconds)
    };
    let latency = bench.latency(&daemon, pace);
    let after = remaining(round.past(), attempts);
    // Killed, it would send again in the next round what it has not logged.
    daemon.stop();
    bench.note(format!(
        "200 events/s while rows are swept ({before} to {after} left): {latency}"
    ));
    let swept = (before - after) as f64 / seconds as f64;
    let mut figures = Vec::from(figures);
    figures.extend([
        latency.p50("200 events/s"),
        latency
            .p99("200 events/s")
            .at_most(25.0)
            .fault_unless(before > after, "NOTHING WAS SWEPT"),
        Figure::new("rows swept meanwhile", swept, "/s", 0),
    ]);
    figures
}

/// Rows of the past that the sweep has not reached: it goes by id, attempts first, then deliveries.
/// The first row of each is of today, for all others were copied from it.
fn remaining(folder: &Path, attempts: i64) -> i64 {
    let log = Log::open(folder).expect("the log");
    ["attempt", "delivery"]
        .map(|table| {
            attempts + 1 - log.number(&format!("SELECT min(id) FROM {table} WHERE id > 1"))
        })
        .map(|left| left.max(0))
        .iter()
        .sum()
}
