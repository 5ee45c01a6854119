//! Outbox and log in PostgreSQL: what a delivery costs the server, how fast, how soon, and what the application pays.
//!
//! The server is the bench's own, on the bench's disk, with every setting as it comes. Each part has a database of its
//! own, made from what `webhooksd schema outbox --postgres` prints. Where no PostgreSQL is installed there are no figures.

use std::collections::HashMap;
use std::time::Duration;

use super::{Round, Webhook, one, timed};
use crate::bench::Bench;
use crate::config::{Config, Server};
use crate::daemon::Daemon;
use crate::figure::{Figure, median, percentile};
use crate::http::data;
use crate::outbox::schema_of;
use crate::postgres::{Client, Postgres, quoted};
use crate::process::now_ns;

/// Longer than any backlog takes here.
const LIMIT_NS: u64 = 120_000_000_000;

/// The application's connections.
const CLIENTS: u32 = 16;

/// What the measured build is asked beside a server.
struct Beside<'a> {
    bench: &'a mut Bench,
    round: &'a Round<'a>,
    server: Postgres,
    databases: u32,
}

/// One backlog. What is of a delivery is in microseconds and bytes.
struct Delivered {
    per_second: f64,
    server_us: f64,
    daemon_us: f64,
    wal: f64,
}

impl Delivered {
    fn figures(&self, of: &str) -> [Figure; 4] {
        let figure = |what: &str, value, unit, digits| {
            Figure::new(format!("{of}: {what}"), value, unit, digits)
        };
        [
            figure("deliveries", self.per_second, "/s", 0),
            figure("server's CPU per delivery", self.server_us, "µs", 1),
            figure("daemons' CPU per delivery", self.daemon_us, "µs", 1),
            figure("WAL per delivery", self.wal, "B", 0),
        ]
    }
}

/// How a daemon learns of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bell {
    No,
    /// The table has one, and nobody listens.
    Made,
    Heard,
}

pub(crate) fn postgres(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let Some(server) = Postgres::start(bench.home()) else {
        bench.note("SKIPPED: PostgreSQL is not installed");
        return Vec::new();
    };
    let mut beside = Beside {
        bench,
        round,
        server,
        databases: 0,
    };
    let said = beside.server.client("postgres").query(
        "SELECT version() || '; fsync ' || current_setting('fsync') || ', shared_buffers ' || current_setting('shared_buffers')",
    );
    beside.bench.note(said[0][0].clone());
    let mut figures = Vec::new();
    figures.extend(beside.backlogs());
    figures.extend(beside.latencies());
    figures.extend(beside.idle());
    figures.extend(beside.commits());
    figures
}

impl Beside<'_> {
    /// A new database with the outbox's table; its name, and a connection.
    fn database(&mut self, bell: Bell) -> (String, Client) {
        self.databases += 1;
        let name = format!("bench{}", self.databases);
        let create = format!("CREATE DATABASE {name}");
        self.server.client("postgres").query(&create);
        let mut client = self.server.client(&name);
        let mut arguments = vec!["outbox", "--postgres"];
        if bell != Bell::No {
            arguments.push("--doorbell");
        }
        client.query(&schema_of(self.round.build, &arguments));
        (name, client)
    }

    /// Starts a daemon of that name on a database.
    fn start(&mut self, database: &str, bell: Bell, config: &Config, node: &str) -> Daemon {
        let folder = self.bench.fresh();
        let mut config = config.clone();
        config.server = Some(Server {
            url: self.server.url(database),
            doorbell: bell == Bell::Heard,
        });
        config.write(&folder);
        Daemon::start_with(self.round.build, &folder, "info", &["--node", node])
    }

    fn backlogs(&mut self) -> Vec<Figure> {
        let events = self.bench.count(60_000, 10_000);
        let single = one(self.bench);
        let url = self.bench.url("ok");
        let webhooks = |n: u32| (0..n).map(|n| Webhook::new(&format!("main-{n}"), &url, "tick"));
        let ten = Config::new(webhooks(10).collect());
        let one_to_one = self.backlog(&single, events, 1, 0);
        let one_to_ten = self.backlog(&ten, events / 5, 10, 0);
        let by_one = self.backlog(&ten, events / 5, 10, 1);
        let by_two = self.backlog(&ten, events / 5, 10, 2);
        let of_one = by_two.per_second / by_one.per_second;
        let [rate, server, daemon, wal] = one_to_one.figures("1 to 1");
        let mut figures = vec![rate.at_least(12_000.0), server.at_most(25.0), daemon];
        figures.push(wal.at_most(2_600.0));
        let [rate, server, daemon, wal] = one_to_ten.figures("1 to 10");
        figures.extend([rate, server.at_most(18.0), daemon, wal.at_most(1_500.0)]);
        figures.push(Figure::new("two nodes, of the rate of one", of_one, "", 2).at_least(0.95));
        figures
    }

    /// A backlog, from the start of the daemons to the last attempt in the log.
    /// `nodes`: how many, where they stand ready as the events come; 0, where one is started that finds them.
    fn backlog(&mut self, config: &Config, events: u64, fan_out: u64, nodes: u32) -> Delivered {
        let (name, mut client) = self.database(Bell::No);
        let deliveries = events * fan_out;
        let mut daemons = Vec::new();
        let fill = format!(
            "INSERT INTO outbox (event, data) SELECT 'tick', {}::json FROM generate_series(1, {events})",
            quoted(&data("tick"))
        );
        if nodes == 0 {
            // The log is made, which is not measured.
            let mut daemon = self.start(&name, Bell::No, config, "node-0");
            daemon.wait_line("ready: following", Duration::from_secs(60));
            daemon.stop();
            client.query(&fill);
            // A table that was filled long ago.
            client.query("VACUUM ANALYZE outbox");
        } else {
            for node in 0..nodes {
                let mut daemon = self.start(&name, Bell::No, config, &format!("node-{node}"));
                daemon.wait_line("ready: following", Duration::from_secs(60));
                daemons.push(daemon);
            }
            self.shared_out(&mut client, nodes);
        }
        client.query("CHECKPOINT");
        let wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')";
        let (wal_before, server_before) = (client.number(wal), self.server.cpu_us());
        let daemons_before: f64 = daemons.iter().map(Daemon::cpu_us).sum();
        let begun_ns = now_ns();
        if nodes == 0 {
            daemons.push(self.start(&name, Bell::No, config, "node-0"));
        } else {
            client.query(&fill);
        }
        let counted = "SELECT coalesce(sum(attempts), 0) FROM webhooksd.rollup WHERE span = 'hour'";
        let there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'webhooksd' AND tablename = 'rollup'";
        while client.number(there) == 0.0 || client.number(counted) < deliveries as f64 {
            daemons.iter_mut().for_each(Daemon::check_alive);
            assert!(now_ns() - begun_ns < LIMIT_NS, "it takes too long");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The roll-up is written once a second: when the last one arrived is known to the log.
        let last = client.number("SELECT max(time + took) FROM webhooksd.attempt");
        let now = client.number("SELECT extract(epoch FROM clock_timestamp()) * 1000");
        let seconds = (now_ns() - begun_ns) as f64 / 1e9 - (now - last) / 1e3;
        let each = |total: f64| total / deliveries as f64;
        let daemons_after: f64 = daemons.iter().map(Daemon::cpu_us).sum();
        let delivered = Delivered {
            per_second: deliveries as f64 / seconds,
            server_us: each(self.server.cpu_us() - server_before),
            daemon_us: each(daemons_after - daemons_before),
            wal: each(client.number(wal) - wal_before),
        };
        self.bench.note(format!(
            "1 to {fan_out}, {nodes} nodes ready: {:.0}/s, server {:.1} µs, daemons {:.1} µs, WAL {:.0} B",
            delivered.per_second, delivered.server_us, delivered.daemon_us, delivered.wal
        ));
        for daemon in daemons {
            daemon.stop();
        }
        delivered
    }

    /// Waits until each of the nodes has lanes.
    fn shared_out(&mut self, client: &mut Client, nodes: u32) {
        let owners = "SELECT count(DISTINCT s.owner) FROM webhooksd.slot s JOIN webhooksd.webhook w ON w.slot = s.slot";
        let begun_ns = now_ns();
        while client.number(owners) < f64::from(nodes) {
            assert!(now_ns() - begun_ns < LIMIT_NS, "the nodes do not share");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn latencies(&mut self) -> Vec<Figure> {
        let [polled, rung] = [Bell::No, Bell::Heard].map(|bell| {
            let spans = self.latency(bell);
            let (p50, p99) = (percentile(&spans, 50.0), percentile(&spans, 99.0));
            self.bench.note(format!(
                "50/s, doorbell {bell:?}: p50 {p50:.2} ms, p99 {p99:.2} ms"
            ));
            (p50, p99)
        });
        let figure = |what: &str, ms| Figure::new(what, ms, "ms", 2);
        vec![
            figure("50 commits/s: p50", polled.0).at_most(6.0),
            figure("50 commits/s: p99", polled.1),
            figure("50 commits/s, doorbell: p50", rung.0).at_most(1.0),
            figure("50 commits/s, doorbell: p99", rung.1),
        ]
    }

    /// Milliseconds from the answer to COMMIT to the arrival, of single commits at an even pace.
    fn latency(&mut self, bell: Bell) -> Vec<f64> {
        let (name, mut client) = self.database(bell);
        let config = timed(self.bench);
        let mut daemon = self.start(&name, bell, &config, "node-0");
        daemon.wait_line("ready: following", Duration::from_secs(60));
        let insert = format!(
            "INSERT INTO outbox (event, data) VALUES ('tick', {}) RETURNING id",
            quoted(&data("tick"))
        );
        let mut trickle = |seconds: u64| {
            let (begun, period, mut committed) = (now_ns(), 20_000_000, Vec::new());
            for number in 0..seconds * 50 {
                let wait = (begun + number * period).saturating_sub(now_ns());
                std::thread::sleep(Duration::from_nanos(wait));
                let id = client.query(&insert)[0][0].parse::<i64>().expect("an id");
                committed.push((id, now_ns()));
            }
            committed
        };
        // It is relied on once it has rung.
        trickle(2);
        self.bench.receiver.reset();
        let committed = trickle(self.bench.count(6, 3));
        let wanted = committed.len() as u64;
        let ended_ns = now_ns();
        while self.bench.receiver.count().answered < wanted {
            assert!(now_ns() - ended_ns < 5_000_000_000, "some never came");
            std::thread::sleep(Duration::from_millis(5));
        }
        let arrivals: HashMap<i64, u64> = self
            .bench
            .receiver
            .arrivals(&daemon.folder)
            .into_iter()
            .rev()
            .collect();
        daemon.stop();
        let span = |(id, at): &(i64, u64)| arrivals.get(id)?.checked_sub(*at).or(Some(0));
        let spans = committed.iter().filter_map(span);
        spans.map(|ns| ns as f64 / 1e6).collect()
    }

    /// What the server spends on nodes that have nothing to do.
    fn idle(&mut self) -> Vec<Figure> {
        let seconds = self.bench.count(10, 4);
        let (name, _) = self.database(Bell::No);
        let config = one(self.bench);
        let (mut daemons, mut percents) = (Vec::new(), Vec::new());
        for node in 0..2 {
            let mut daemon = self.start(&name, Bell::No, &config, &format!("node-{node}"));
            daemon.wait_line("ready: following", Duration::from_secs(60));
            daemons.push(daemon);
            std::thread::sleep(Duration::from_secs(3));
            let (begun_ns, before_us) = (now_ns(), self.server.cpu_us());
            std::thread::sleep(Duration::from_secs(seconds));
            let span_us = (now_ns() - begun_ns) as f64 / 1e3;
            percents.push((self.server.cpu_us() - before_us) / span_us * 100.0);
        }
        for daemon in daemons {
            daemon.stop();
        }
        let [one, two] = [percents[0], percents[1]];
        self.bench.note(format!(
            "idle: the server {one:.2} % of a core, {two:.2} % with a second node"
        ));
        vec![
            Figure::new("idle: server, of a core", one, "%", 2),
            Figure::new("idle: a node more", two - one, "%", 2).at_most(0.5),
        ]
    }

    /// The application's commits a second beside a daemon, of those without one.
    fn commits(&mut self) -> Vec<Figure> {
        let (turns, seconds) = (self.bench.count(5, 2), self.bench.count(2, 1));
        let kinds = [Bell::No, Bell::Made, Bell::No, Bell::Heard];
        let config = one(self.bench);
        let databases = kinds.map(|bell| self.database(bell));
        let mut daemons = Vec::new();
        for at in [2, 3] {
            let (name, bell) = (databases[at].0.clone(), kinds[at]);
            let mut daemon = self.start(&name, bell, &config, "node-0");
            daemon.wait_line("ready: following", Duration::from_secs(60));
            daemons.push(daemon);
        }
        // What goes to nobody, so that deliveries take nothing of the cores.
        let sql = format!(
            "INSERT INTO outbox (event, data) VALUES ('other', {})",
            quoted(&data("other"))
        );
        let mut rates: [Vec<f64>; 4] = Default::default();
        for _ in 0..turns {
            for (rates, (name, client)) in rates.iter_mut().zip(databases.iter()) {
                let _ = client;
                rates.push(self.server.commits(name, CLIENTS, seconds, &sql));
            }
        }
        for daemon in daemons {
            daemon.stop();
        }
        let ratio = |kind: &[f64]| {
            let pairs = kind.iter().zip(&rates[0]);
            median(&pairs.map(|(rate, bare)| rate / bare).collect::<Vec<_>>())
        };
        let [made, polled, heard] = [1, 2, 3].map(|kind| ratio(&rates[kind]));
        self.bench
            .note(format!("{CLIENTS} clients, commits/s: {rates:.0?}"));
        let figure = |what: &str, ratio| Figure::new(what, ratio, "", 2);
        vec![
            Figure::new("16 clients, no daemon", median(&rates[0]), "/s", 0),
            figure("16 clients, of those: doorbell, nobody listens", made),
            figure("16 clients, of those: a daemon", polled).at_least(0.9),
            figure("16 clients, of those: a daemon, doorbell", heard).at_least(0.9),
        ]
    }
}
