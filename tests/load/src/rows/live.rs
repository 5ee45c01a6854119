//! What a hundred open pages of the log cost: the rate, the daemon's CPU, a healthy webhook's delay, and memory, beside
//! the same daemon with nobody watching and beside one without a page.
//!
//! Each is a daemon of its own in a new folder, with a backlog that is committed while it waits, and then single commits.
//! The watchers are a process of their own whose CPU is told apart; on two cores it is a part of what the rate loses.

use std::net::TcpListener;

use super::{Round, Webhook, timed};
use crate::bench::Bench;
use crate::config::Page;
use crate::daemon::Daemon;
use crate::figure::Figure;
use crate::log::Log;
use crate::measure::{Latency, Pace, logged};
use crate::outbox;
use crate::process::now_ns;
use crate::watchers::Watchers;

/// Open pages of the log.
const WATCHERS: usize = 100;

const TOKEN: &str = "a-token-of-the-bench-0123456789";

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    NoPage,
    Nobody,
    Watchers,
}

struct Leg {
    per_second: f64,
    cpu_us: f64,
    latency: Latency,
    rss_mib: f64,
}

pub(crate) fn live(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let mut turns = [Who::Nobody, Who::Watchers, Who::NoPage];
    if !round.number.is_multiple_of(2) {
        turns.swap(0, 1);
    }
    let mut legs = turns.map(|who| (who, leg(bench, round, who)));
    legs.sort_by_key(|(who, _)| *who as u8);
    let [(_, bare), (_, alone), (_, watched)] = legs;
    vec![
        Figure::new(
            "of the rate with nobody watching",
            watched.per_second / alone.per_second,
            "",
            3,
        )
        .at_least(0.99),
        Figure::new(
            "of the daemon's CPU with nobody watching",
            watched.cpu_us / alone.cpu_us,
            "",
            3,
        ),
        Figure::new("deliveries", watched.per_second, "/s", 0),
        Figure::new("CPU per delivery", watched.cpu_us, "µs", 1),
        alone.latency.p99("nobody"),
        watched.latency.p99("100 pages"),
        Figure::new(
            "p99, of that with nobody watching",
            watched.latency.p99_ms / alone.latency.p99_ms,
            "",
            2,
        ),
        Figure::new(
            "RSS beside a daemon without a page",
            watched.rss_mib - bare.rss_mib,
            "MiB",
            1,
        )
        .at_most(4.0),
        Figure::new("RSS", watched.rss_mib, "MiB", 1),
    ]
}

fn leg(bench: &mut Bench, round: &Round<'_>, who: Who) -> Leg {
    let events = bench.count(100_000, 20_000);
    let mut config = timed(bench);
    config
        .webhooks
        .push(Webhook::new("main", bench.url("ok"), "bulk"));
    let address = free_address();
    config.page = (who != Who::NoPage).then(|| Page {
        listen: address.clone(),
        token: TOKEN,
    });
    let folder = bench.fresh();
    config.write(&folder);
    let (mut daemon, _) = Daemon::start_ready(round.build, &folder);
    let mut watchers = (who == Who::Watchers).then(|| Watchers::start(&address, TOKEN, WATCHERS));
    let pace = Pace::new(50, bench.count(6, 3));
    bench.latency(&daemon, Pace { seconds: 1, ..pace });

    let before = Log::open(&folder).expect("the log").last_attempt();
    let watched_us = watchers.as_ref().map_or(0.0, Watchers::cpu_us);
    let connection = outbox::open(round.build, &folder, "NORMAL");
    let cpu_us = daemon.cpu_us();
    outbox::fill(&connection, "bulk", events);
    drop(connection);
    let begun_ns = now_ns();
    let ended_ns = logged(&mut daemon, begun_ns, before, events);
    let cpu_us = (daemon.cpu_us() - cpu_us) / events as f64;
    let per_second = events as f64 * 1e9 / (ended_ns - begun_ns) as f64;
    let watched_us = watchers.as_ref().map_or(0.0, Watchers::cpu_us) - watched_us;

    let latency = bench.latency(&daemon, pace);
    let rss_mib = daemon.rss_mib();
    let read = watchers.as_mut().map_or(0, Watchers::bytes);
    let beside = match who {
        Who::NoPage => "no page".to_owned(),
        Who::Nobody => "nobody watching".to_owned(),
        Who::Watchers => {
            assert!(read > 0, "the watchers have read nothing");
            format!(
                "{WATCHERS} watching, {:.1} µs CPU of theirs for each delivery, {} kB read in all",
                watched_us / events as f64,
                read / 1_000
            )
        }
    };
    bench.note(format!(
        "{beside}: {per_second:.0}/s, {cpu_us:.1} µs CPU each, {rss_mib:.1} MiB; at 50/s {latency}"
    ));
    drop(watchers);
    daemon.stop();
    std::fs::remove_dir_all(folder).unwrap();
    Leg {
        per_second,
        cpu_us,
        latency,
        rss_mib,
    }
}

/// An address of loopback that nobody has at the moment.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
