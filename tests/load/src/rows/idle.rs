//! A daemon with nothing to do.

use std::time::{Duration, Instant};

use super::{Config, Line, Webhook};
use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::process::threads_cpu_ns;

pub(crate) fn idle(bench: &mut Bench) -> Vec<Line> {
    let seconds = bench.count(20, 5);
    let config = Config::new(vec![Webhook::new("main", bench.url("ok"), "tick")]);
    let folder = bench.fresh();
    config.write(&folder);
    let (daemon, _) = Daemon::start_ready(&bench.binary, &folder);
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before_ns) = (Instant::now(), threads_cpu_ns(daemon.pid()));
    std::thread::sleep(Duration::from_secs(seconds));
    let used_ns = threads_cpu_ns(daemon.pid()).saturating_sub(before_ns) as f64;
    let percent = used_ns / begun.elapsed().as_nanos() as f64 * 100.0;
    let rss_mib = daemon.rss_mib();
    daemon.stop();
    let figure = format!("{percent:.3} % CPU, {rss_mib:.1} MiB RSS over {seconds} s");
    bench.note(&figure);
    vec![Line::new(
        "idle",
        "≤ 0.1 % CPU, ≤ 16 MiB RSS",
        figure,
        percent <= 0.1 && rss_mib <= 16.0,
    )]
}
