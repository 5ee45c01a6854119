//! Endpoints that never answer cost the others nothing: latency of a healthy one beside twenty.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Receiver, SOON, World, hook, insert, nap, now, percentile};

const SILENT: usize = 20;
const EVENTS: i64 = 300;

/// 50 events a second.
const GAP: Duration = Duration::from_millis(20);

/// Generous for a machine that is very busy with other tests: alone it is a few milliseconds. Who had to wait
/// for a place of the silent ones would wait for one of their time-outs, of 3 s each, and mostly for many.
const P50_MS: f64 = 400.0;
const P99_MS: f64 = 2_500.0;

/// Connections that a silent endpoint holds: more than come in the 3 s of a time-out.
const HELD: usize = 200;

/// An endpoint that takes connections and never says a word. One thread does: with one for each
/// connection, thousands would slow the machine more than what is measured here.
struct Silent {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        // The thread ends with the tests.
        std::thread::spawn(move || {
            let mut held = VecDeque::new();
            for stream in listener.incoming() {
                held.push_back(stream);
                count.fetch_add(1, Ordering::SeqCst);
                if held.len() > HELD {
                    held.pop_front();
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[test]
fn twenty_silent_endpoints_do_not_slow_a_healthy_one() {
    let hanging = beside_silent_ones("");
    assert!(hanging > SILENT * 64, "the silent ones were really tried");
}

/// Twenty that never answer fill all places there are; the healthy one gets its own nevertheless.
#[test]
fn nor_do_they_where_few_may_be_in_flight() {
    let hanging = beside_silent_ones("[delivery]\nmax_in_flight = 8");
    assert!(hanging > SILENT * 4, "the silent ones were really tried");
}

/// Holds the latency of a healthy endpoint; returns how many requests the silent ones got.
fn beside_silent_ones(more: &str) -> usize {
    let silent: Vec<Silent> = (0..SILENT).map(|_| Silent::start()).collect();
    let healthy = Receiver::ok();
    let mut hooks: Vec<_> = silent
        .iter()
        .enumerate()
        .map(|(at, receiver)| {
            hook(
                &format!("silent-{at}"),
                format!("http://{}/", receiver.address),
            )
        })
        .collect();
    hooks.push(hook("healthy", healthy.url("/")));
    let world = World::new(&[]);
    world.configure_with(more, &hooks);
    let daemon = world.start();
    let outbox = world.outbox();
    let mut committed = BTreeMap::new();
    let start = now();
    for n in 0..EVENTS {
        insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
        committed.insert(n, now());
        let next = start + GAP * u32::try_from(n + 1).unwrap();
        nap(next.saturating_duration_since(now()));
    }
    let requests = healthy.wait(usize::try_from(EVENTS).unwrap(), SOON);
    let mut spans: Vec<Duration> = requests
        .iter()
        .map(|request| {
            request
                .at
                .saturating_duration_since(committed[&request.n()])
        })
        .collect();
    assert_eq!(requests.len(), committed.len(), "each once");
    let (p50, p99) = (percentile(&mut spans, 50), percentile(&mut spans, 99));
    let hanging: usize = silent.iter().map(Silent::count).sum();
    let memory = daemon.memory_kib("VmHWM");
    println!(
        "commit to arrival: p50 {p50:.1} ms, p99 {p99:.1} ms; {hanging} requests to silent ones; peak {memory} KiB"
    );
    assert!(
        p50 < P50_MS && p99 < P99_MS,
        "p50 {p50:.1} ms, p99 {p99:.1} ms"
    );
    hanging
}
