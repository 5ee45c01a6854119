//! A backlog as fast as it goes: kept connections, new ones, TLS, ten webhooks.
//!
//! The bare loop goes before the daemon in each round. The daemon's time runs from the start of its
//! process until its last attempt is in the log, and its journal is written as it is shipped.

use super::{Config, Round, Webhook, one};
use crate::bare;
use crate::bench::Bench;
use crate::figure::Figure;
use crate::measure::{Delivered, Load};

const OF_BARE: &str = "of the bare loop's rate";

pub(crate) fn plain(bench: &Bench) -> Load {
    Load::new(one(bench), bench.count(100_000, 20_000))
}

/// A connection for each request: half of the rows takes as long.
pub(crate) fn plain_close(bench: &Bench) -> Load {
    let mut load = closing(plain(bench));
    load.events /= 2;
    load
}

pub(crate) fn secure(bench: &Bench) -> Load {
    let mut load = plain(bench);
    let webhook = &mut load.config.webhooks[0];
    webhook.url = bench.tls_url("ok");
    webhook.ca_file = Some(bench.files.certificate.clone());
    load
}

/// A handshake for each request: a tenth of the rows takes longer.
pub(crate) fn secure_close(bench: &Bench) -> Load {
    let mut load = closing(secure(bench));
    load.events /= 10;
    load
}

fn closing(mut load: Load) -> Load {
    load.config.webhooks[0].keep_alive = false;
    load
}

pub(crate) fn ten(bench: &Bench) -> Load {
    let url = bench.url("ok");
    let webhooks = (0..10).map(|n| Webhook::new(&format!("main-{n}"), &url, "tick"));
    Load {
        config: Config::new(webhooks.collect()),
        events: bench.count(10_000, 2_000),
        fan_out: 10,
        places: 0,
    }
}

/// Requests a second of the bare loop for such a load.
pub(crate) fn bare(bench: &mut Bench, load: fn(&Bench) -> Load) -> f64 {
    let load = load(bench);
    let (webhook, deliveries) = (&load.config.webhooks[0], load.deliveries());
    bench.receiver.reset();
    let before_us = bench.receiver.cpu_us();
    let bare = bare::measure(webhook, deliveries, &bench.files.certificate);
    let seen = received(bench, before_us, deliveries);
    let (rate, cpu_us) = (bare.per_second, bare.cpu_us);
    bench.note(format!(
        "bare loop: {rate:.0}/s, {cpu_us:.1} µs CPU each; {seen}"
    ));
    rate
}

/// The backlog's round: the daemon, and what its log has for a delivery.
fn daemon(bench: &mut Bench, round: &Round<'_>, load: &Load) -> (Delivered, f64) {
    let before_us = bench.receiver.cpu_us();
    let (daemon, logged) = bench.fresh_backlog(round.build, load, "info");
    let seen = received(bench, before_us, load.deliveries());
    bench.note(format!("daemon: {daemon}; {seen}"));
    (daemon, logged)
}

/// What a load was for the receiver.
fn received(bench: &mut Bench, before_us: f64, deliveries: u64) -> String {
    let cpu_us = (bench.receiver.cpu_us() - before_us) / deliveries as f64;
    match bench.receiver.count().resumed {
        0 => format!("the receiver {cpu_us:.1} µs"),
        resumed => format!("the receiver {cpu_us:.1} µs, {resumed} TLS sessions resumed"),
    }
}

/// Its usual figures; the first is the one that a row is held to.
fn figures(round: &Round<'_>, daemon: &Delivered) -> [Figure; 4] {
    [
        round.of_ceiling(daemon.per_second, OF_BARE),
        daemon.rate(""),
        daemon.cpu(""),
        daemon.peak(""),
    ]
}

/// What the disk bears of a delivery, beside its body.
fn bytes(daemon: &Delivered, logged: f64) -> impl Iterator<Item = Figure> {
    let logged = Figure::new("log.db per delivery, without bodies", logged, "B", 0);
    std::iter::once(logged).chain(daemon.written())
}

pub(crate) fn keep_alive(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let load = plain(bench);
    let (daemon, logged) = daemon(bench, round, &load);
    let (quiet, _) = bench.fresh_backlog(round.build, &load, "warn");
    bench.note(format!("--level warn: {quiet}"));
    let [of_bare, rate, cpu, peak] = figures(round, &daemon);
    let mut figures = vec![of_bare.at_least(0.60), rate, cpu.at_most(45.0), peak];
    figures.extend(bytes(&daemon, logged));
    figures.extend([quiet.rate("--level warn"), quiet.cpu("--level warn")]);
    figures
}

pub(crate) fn close(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let load = plain_close(bench);
    let (daemon, _) = daemon(bench, round, &load);
    let [of_bare, rate, cpu, peak] = figures(round, &daemon);
    vec![of_bare.at_least(0.85), rate, cpu, peak]
}

pub(crate) fn tls(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let load = secure(bench);
    let (daemon, _) = daemon(bench, round, &load);
    let [of_bare, rate, cpu, peak] = figures(round, &daemon);
    vec![of_bare.at_least(0.60), rate, cpu, peak]
}

pub(crate) fn tls_close(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let load = secure_close(bench);
    let (daemon, _) = daemon(bench, round, &load);
    figures(round, &daemon).into()
}

pub(crate) fn fan_out(bench: &mut Bench, round: &Round<'_>) -> Vec<Figure> {
    let load = ten(bench);
    let (daemon, logged) = daemon(bench, round, &load);
    let [of_bare, rate, cpu, peak] = figures(round, &daemon);
    let mut figures = vec![of_bare.at_least(0.60), rate, cpu, peak];
    figures.extend(bytes(&daemon, logged));
    figures
}
