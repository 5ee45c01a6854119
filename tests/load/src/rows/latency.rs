//! From the return of the application's COMMIT to the arrival of the request.
//!
//! One thread commits single rows in WAL mode; the receiver notes the time. Both clocks are the
//! machine's monotonic one. The connection is kept, as it is by two of the three dialects.

use super::{Line, middle, timed};
use crate::bench::{Bench, Latency};
use crate::daemon::Daemon;

/// Rounds with NORMAL and FULL in turn; the daemon runs through all of them.
fn rounds(bench: &mut Bench, per_second: u64, seconds: u64) -> (Latency, Latency) {
    let folder = bench.fresh();
    timed(bench).write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    bench.latency(&folder, per_second, 1, "NORMAL");
    let (mut normal, mut full) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        for (synchronous, rounds) in [("NORMAL", &mut normal), ("FULL", &mut full)] {
            let latency = bench.latency(&folder, per_second, seconds, synchronous);
            bench.note(format!(
                "{per_second}/s, synchronous={synchronous}: {latency}"
            ));
            rounds.push(latency);
        }
    }
    daemon.stop();
    (middle(&normal), middle(&full))
}

fn lines(per_second: u64, normal: Latency, full: Latency, reach: &str, hit: bool) -> Vec<Line> {
    vec![
        Line::new(
            format!("COMMIT to arrival, {per_second} events/s"),
            reach,
            normal.to_string(),
            hit && normal.missing == 0,
        ),
        Line::aside(
            "the same, the application with synchronous=FULL",
            full.to_string(),
        ),
    ]
}

pub(crate) fn trickle(bench: &mut Bench) -> Vec<Line> {
    let seconds = bench.count(6, 4);
    let (normal, full) = rounds(bench, 50, seconds);
    let hit = normal.p50_ms <= 0.8 && normal.p99_ms <= 3.0;
    lines(50, normal, full, "p50 ≤ 0.8 ms, p99 ≤ 3 ms", hit)
}

pub(crate) fn stream(bench: &mut Bench) -> Vec<Line> {
    let seconds = bench.count(4, 3);
    let (normal, full) = rounds(bench, 5_000, seconds);
    lines(5_000, normal, full, "p99 ≤ 25 ms", normal.p99_ms <= 25.0)
}
