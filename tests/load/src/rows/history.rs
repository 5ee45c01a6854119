//! A log with a past: five million attempts in it, or a million that are to go.
//!
//! The past is multiplied from one real delivery by SQL. Ten deliveries share a body, so that five
//! million take some 4 GB instead of 9. Throughput is compared with an empty log's, in turn.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Config, Line, Webhook, timed};
use crate::bench::{Bench, Delivered};
use crate::daemon::Daemon;
use crate::figure::{median, ratios, spread};
use crate::log::{Growth, Log, grow};
use crate::process::write_back;

const DAY_MS: i64 = 86_400_000;
const FAN_OUT: i64 = 10;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn config(bench: &Bench) -> Config {
    Config::new(vec![Webhook::new("main", bench.url("ok"), "tick")])
}

/// A folder whose log has such a past.
fn grown(bench: &mut Bench, growth: &Growth) -> PathBuf {
    let folder = bench.fresh();
    config(bench).write(&folder);
    let (_, daemon) = bench.backlog(&folder, 1, 1, "info");
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

fn said(delivered: &Delivered) -> String {
    format!(
        "{:.0}/s, {:.1} µs CPU each",
        delivered.per_second, delivered.cpu_us
    )
}

pub(crate) fn history(bench: &mut Bench) -> Vec<Line> {
    let (attempts, events) = (bench.options.history, bench.count(50_000, 20_000));
    let growth = Growth {
        attempts,
        fan_out: FAN_OUT,
        ages_ms: (20 * DAY_MS, DAY_MS),
        expired: false,
    };
    let folder = grown(bench, &growth);
    let config = config(bench);
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let delivered = bench.fresh_backlog(&config, events, events, "info");
        bench.note(format!("empty log: {}", said(&delivered)));
        empty.push(delivered.per_second);
        let (delivered, daemon) = bench.backlog(&folder, events, events, "info");
        daemon.stop();
        bench.note(format!(
            "{attempts} attempts in the log: {}",
            said(&delivered)
        ));
        full.push(delivered.per_second);
    }
    let ratio = ratios(&full, &empty);
    let (daemon, ready) = Daemon::start_ready(&bench.binary, &folder);
    bench.note(format!("ready in {ready:.3} s"));
    let what = format!("{attempts} attempts in the log");
    let mut lines = vec![Line::new(
        &what,
        "throughput ≥ 0.8 of empty",
        format!("{}: {} deliveries/s", spread(&ratio, 2), spread(&full, 0)),
        median(&ratio) >= 0.8,
    )];
    lines.extend(["logs", "status"].map(|name| command(bench, &folder, name, &what)));
    daemon.stop();
    lines
}

/// Times a command, where the binary has it.
fn command(bench: &mut Bench, folder: &Path, name: &str, what: &str) -> Line {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&bench.binary);
        command.arg(name).args(arguments).current_dir(folder);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let what = format!("{what}: webhooksd {name}");
    if !run(&["--help"]) {
        return Line::aside(what, "this binary has no such command");
    }
    let (mut times, mut worked) = (Vec::new(), true);
    for _ in 0..5 {
        let begun = Instant::now();
        worked &= run(&[]);
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    bench.note(format!(
        "webhooksd {name}: {} ms, exit code 0: {worked}",
        spread(&times, 1)
    ));
    Line::new(
        what,
        "under 100 ms",
        format!("{} ms", spread(&times, 1)),
        worked && median(&times) < 100.0,
    )
}

pub(crate) fn sweep(bench: &mut Bench) -> Vec<Line> {
    let attempts = i64::try_from(bench.count(1_000_000, 200_000)).unwrap();
    let (events, seconds) = (bench.count(50_000, 20_000), bench.count(6, 3));
    let growth = Growth {
        attempts,
        fan_out: FAN_OUT,
        ages_ms: (50 * DAY_MS, 31 * DAY_MS),
        expired: true,
    };
    let folder = grown(bench, &growth);
    let config = config(bench);
    let (mut empty, mut swept) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let delivered = bench.fresh_backlog(&config, events, events, "info");
        bench.note(format!("empty log: {}", said(&delivered)));
        empty.push(delivered.per_second);
        let before = remaining(&folder, attempts);
        let (delivered, daemon) = bench.backlog(&folder, events, events, "info");
        let after = remaining(&folder, attempts);
        daemon.stop();
        bench.note(format!(
            "while rows are swept ({before} to {after} left): {}",
            said(&delivered)
        ));
        swept.push(delivered.per_second);
    }
    timed(bench).write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    let before = remaining(&folder, attempts);
    let latency = bench.latency(&folder, 200, seconds, "NORMAL");
    let after = remaining(&folder, attempts);
    drop(daemon);
    bench.note(format!(
        "200 events/s while rows are swept ({before} to {after} left): {latency}"
    ));
    let ratio = ratios(&swept, &empty);
    let what = format!("{attempts} expired attempts being swept");
    vec![
        Line::new(
            &what,
            "throughput ≥ 0.8 of empty",
            format!("{}: {} deliveries/s", spread(&ratio, 2), spread(&swept, 0)),
            median(&ratio) >= 0.8,
        ),
        Line::new(
            format!("{what}: latency at 200 events/s"),
            "p99 ≤ 25 ms",
            format!("{latency}; {} rows went meanwhile", before - after),
            latency.p99_ms <= 25.0 && latency.missing == 0 && before > after,
        ),
    ]
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
