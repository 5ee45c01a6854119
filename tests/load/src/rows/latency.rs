//! From the return of the application's COMMIT to the arrival of the request.
//!
//! One thread commits single rows in WAL mode; the receiver notes the time. Both clocks are the
//! machine's monotonic one. The connection is kept, as it is by two of the three dialects.

use super::{Round, timed};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::measure::{Latency, Pace};

/// The application with synchronous=NORMAL, then with FULL, beside one daemon.
fn round(bench: &mut Bench, round: &Round<'_>, pace: Pace) -> (Latency, Latency) {
    let folder = bench.fresh();
    timed(bench).write(&folder);
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    bench.latency(&daemon, Pace { seconds: 1, ..pace });
    let both = ["NORMAL", "FULL"].map(|synchronous| {
        let pace = Pace {
            synchronous,
            ..pace
        };
        let latency = bench.latency(&daemon, pace);
        bench.note(format!(
            "{}/s, synchronous={synchronous}: {latency}",
            pace.per_second
        ));
        latency
    });
    daemon.stop();
    both.into()
}

const FULL: &str = "synchronous=FULL";

pub(crate) fn trickle(bench: &mut Bench, turn: &Round<'_>) -> Vec<Figure> {
    let seconds = bench.count(6, 4);
    let (normal, full) = round(bench, turn, Pace::new(50, seconds));
    vec![
        normal.p50("").at_most(0.8),
        normal.p99("").at_most(3.0),
        normal.cpu(""),
        full.p50(FULL),
        full.p99(FULL),
    ]
}

pub(crate) fn stream(bench: &mut Bench, turn: &Round<'_>) -> Vec<Figure> {
    let seconds = bench.count(4, 3);
    let (normal, full) = round(bench, turn, Pace::new(5_000, seconds));
    vec![
        normal.p50(""),
        normal.p99("").at_most(25.0),
        normal.cpu(""),
        full.p50(FULL),
        full.p99(FULL),
    ]
}
