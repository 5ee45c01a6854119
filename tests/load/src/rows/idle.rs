//! A daemon with nothing to do.

use std::time::{Duration, Instant};

use super::{Round, one};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::figure::Figure;

pub(crate) fn idle(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let seconds = bench.count(20, 5);
    let folder = bench.fresh();
    one(bench).write(&folder);
    let (daemon, _) = Daemon::start_ready(round.build, &folder);
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before_us) = (Instant::now(), daemon.cpu_us());
    std::thread::sleep(Duration::from_secs(seconds));
    let used_us = daemon.cpu_us() - before_us;
    let percent = used_us / begun.elapsed().as_micros() as f64 * 100.0;
    let rss_mib = daemon.rss_mib();
    daemon.stop();
    bench.note(format!(
        "{percent:.3} % CPU, {rss_mib:.1} MiB RSS over {seconds} s"
    ));
    vec![
        Figure::new("CPU", percent, "%", 3).at_most(0.1),
        Figure::new("RSS", rss_mib, "MiB", 1).at_most(16.0),
    ]
}
