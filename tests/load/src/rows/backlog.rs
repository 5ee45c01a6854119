//! A backlog as fast as it goes: kept connections, new ones, TLS, ten webhooks.
//!
//! The bare loop and the daemon take turns. The daemon's time runs from the start of its process
//! until its last attempt is in the log, and its journal is written as it is shipped.

use super::{Config, Line, Webhook};
use crate::bare::{self, Bare};
use crate::bench::{Bench, Delivered};
use crate::figure::{median, ratios, spread};

/// A backlog lasts a second, and so does what disturbs it on a virtual machine: two rounds more than
/// asked for make the median a steady one.
const MORE_ROUNDS: usize = 2;

struct Rounds {
    bare: Vec<Bare>,
    daemon: Vec<Delivered>,
}

impl Rounds {
    fn ratio(&self) -> Vec<f64> {
        let daemon: Vec<f64> = self.daemon.iter().map(|round| round.per_second).collect();
        let bare: Vec<f64> = self.bare.iter().map(|round| round.per_second).collect();
        ratios(&daemon, &bare)
    }

    fn cpu_us(&self) -> Vec<f64> {
        self.daemon.iter().map(|round| round.cpu_us).collect()
    }

    fn line(&self, what: &str, least: f64) -> Line {
        let ratio = self.ratio();
        let rate: Vec<f64> = self.daemon.iter().map(|round| round.per_second).collect();
        let figure = format!(
            "{} of the bare loop: {} deliveries/s, {} µs CPU each",
            spread(&ratio, 2),
            spread(&rate, 0),
            spread(&self.cpu_us(), 1)
        );
        Line::new(
            what,
            &format!("≥ {least:.2} of the bare loop"),
            figure,
            median(&ratio) >= least,
        )
    }
}

struct Load<'a> {
    url: &'a str,
    close: bool,
    config: &'a Config,
    events: u64,
    deliveries: u64,
}

fn rounds(bench: &mut Bench, load: &Load<'_>) -> Rounds {
    let mut rounds = Rounds {
        bare: Vec::new(),
        daemon: Vec::new(),
    };
    for _ in 0..bench.options.rounds + MORE_ROUNDS {
        let certificate = bench.files.certificate.clone();
        let before_us = bench.receiver.cpu_us();
        let bare = bare::measure(load.url, load.deliveries, load.close, &certificate);
        let receiver_us = (bench.receiver.cpu_us() - before_us) / load.deliveries as f64;
        bench.note(format!(
            "bare loop: {:.0}/s, {:.1} µs CPU each; the receiver {receiver_us:.1} µs",
            bare.per_second, bare.cpu_us
        ));
        let daemon = bench.fresh_backlog(load.config, load.events, load.deliveries, "info");
        bench.note(said(&daemon));
        rounds.bare.push(bare);
        rounds.daemon.push(daemon);
    }
    rounds
}

fn said(daemon: &Delivered) -> String {
    format!(
        "daemon: {:.0}/s, {:.1} µs CPU each, peak {:.0} MiB",
        daemon.per_second, daemon.cpu_us, daemon.peak_mib
    )
}

pub(crate) fn keep_alive(bench: &mut Bench) -> Vec<Line> {
    let (url, events) = (bench.url("ok"), bench.count(100_000, 20_000));
    let config = Config::new(vec![Webhook::new("main", &url, "tick")]);
    let load = Load {
        url: &url,
        close: false,
        config: &config,
        events,
        deliveries: events,
    };
    let rounds = rounds(bench, &load);
    let mut quiet = Vec::new();
    for _ in 0..bench.options.rounds {
        let daemon = bench.fresh_backlog(&config, events, events, "warn");
        bench.note(format!("--level warn: {}", said(&daemon)));
        quiet.push(daemon);
    }
    let cpu_us = rounds.cpu_us();
    let quiet_rate: Vec<f64> = quiet.iter().map(|round| round.per_second).collect();
    let quiet_cpu: Vec<f64> = quiet.iter().map(|round| round.cpu_us).collect();
    vec![
        rounds.line(
            &format!("backlog of {events} rows, one webhook, keep-alive, all logged"),
            0.60,
        ),
        Line::new(
            "its CPU per delivery",
            "≤ 45 µs",
            format!("{} µs", spread(&cpu_us, 1)),
            median(&cpu_us) <= 45.0,
        ),
        Line::aside(
            "the same with --level warn",
            format!(
                "{} deliveries/s, {} µs CPU each",
                spread(&quiet_rate, 0),
                spread(&quiet_cpu, 1)
            ),
        ),
    ]
}

pub(crate) fn close(bench: &mut Bench) -> Vec<Line> {
    let (url, events) = (bench.url("ok"), bench.count(100_000, 20_000));
    let mut webhook = Webhook::new("main", &url, "tick");
    webhook.keep_alive = false;
    let config = Config::new(vec![webhook]);
    let load = Load {
        url: &url,
        close: true,
        config: &config,
        events,
        deliveries: events,
    };
    vec![rounds(bench, &load).line(&format!("{events} rows, Connection: close"), 0.85)]
}

pub(crate) fn tls(bench: &mut Bench) -> Vec<Line> {
    let (url, events) = (bench.tls_url("ok"), bench.count(100_000, 20_000));
    let mut webhook = Webhook::new("main", &url, "tick");
    webhook.ca_file = Some(bench.files.certificate.clone());
    let config = Config::new(vec![webhook]);
    let load = Load {
        url: &url,
        close: false,
        config: &config,
        events,
        deliveries: events,
    };
    vec![rounds(bench, &load).line(&format!("{events} rows, TLS, keep-alive"), 0.60)]
}

pub(crate) fn fan_out(bench: &mut Bench) -> Vec<Line> {
    let (url, events) = (bench.url("ok"), bench.count(10_000, 2_000));
    let webhooks = (0..10).map(|n| Webhook::new(&format!("main-{n}"), &url, "tick"));
    let config = Config::new(webhooks.collect());
    let load = Load {
        url: &url,
        close: false,
        config: &config,
        events,
        deliveries: events * 10,
    };
    vec![rounds(bench, &load).line(
        &format!("{events} events to 10 webhooks each, in deliveries"),
        0.60,
    )]
}
