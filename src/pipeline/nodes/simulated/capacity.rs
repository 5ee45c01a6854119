//! How far several nodes go: a backlog without an end over a server whose work costs what was measured (`costs`).
//!
//! What is simulated is the pipeline itself: slots, batches, one intake by whoever leads, lanes, permits, recording, reading
//! back what another node has taken in. A node has one core, and one connection for its log, on which one call is made
//! after the other in the order in which they were asked for. `WEBHOOKSD_SIM_TABLE=1 cargo test --lib nodes_go_as_far
//! -- --nocapture` prints the whole table. Left out: networks, endpoints that fail, and what a cache or a disk makes of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinSet;

use super::costs::{Costs, Used, Work};
use super::log::{Connection, Log, name};
use super::shared::{LEASE_MS, Shared};
use super::{Member, RUNNING, START_MS, Tenure};
use crate::model::webhook::Pattern;
use crate::model::{
    Answer, Clock, Cursor, Event, EventId, Exchange, Fault, Phases, Request, Webhook,
};
use crate::outbox::Row;
use crate::pipeline::shared::Runtime;
use crate::pipeline::{Behind, Dispatch, From, Pace, PipelineConfig, Retention, take_in};
use crate::store::{LEAD, Me};
use crate::transport::Transport;

/// A slot for each; even parts for 1, 2, 4, 8 and 16 nodes, and for groups of ten.
const WEBHOOKS: i32 = 240;

/// Until an endpoint has answered.
const ANSWERED: Duration = Duration::from_millis(5);

/// Rows of a window.
const WINDOW: i64 = 1_024;

/// Until all flows, and how long is measured.
const SPANS: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(500));

/// Per mille of what a server has; what is left is between two calls.
const ENDED: u64 = 950;

/// What a delivery costs its node's core.
#[derive(Clone, Copy, Debug)]
enum Sends {
    /// Connections are kept.
    Plain,
    /// Each is a new connection over TLS, whose session is resumed.
    Anew,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    nodes: usize,
    fan_out: i32,
    /// Of the server.
    cores: usize,
    /// Megabytes a second.
    wal_mb: u64,
    sends: Sends,
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
struct Came {
    of: Trial,
    per_second: u64,
    /// Of the server's cores, of those for looking and reading back, and of its WAL, per mille.
    cores: u64,
    looks: u64,
    wal: u64,
}

impl Trial {
    /// Nanoseconds, by `tests/load/runs/2026-11-30-0239.md` and the rows `tls` and `close` of the manual.
    fn node_ns(self) -> u64 {
        match (self.sends, self.fan_out) {
            (Sends::Plain, 1) => 22_400,
            (Sends::Plain, _) => 18_100,
            (Sends::Anew, _) => 177_000,
        }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trial {
            nodes,
            fan_out,
            cores,
            wal_mb,
            sends,
        } = self.of;
        let ends = if !self.ended() {
            ""
        } else if self.wal >= ENDED {
            "the server's WAL"
        } else {
            "the server's cores"
        };
        write!(
            f,
            "| {sends:?} | 1 to {fan_out} | {cores} | {wal_mb} MB/s | {nodes} | {} /s | {} ‰ ({} ‰) | {} ‰ | {ends} |",
            self.per_second, self.cores, self.looks, self.wal
        )
    }
}

/// A loop of a node.
struct Of {
    /// The connection of its log.
    connection: Arc<Mutex<()>>,
    /// While a call of this loop's is made.
    holds: RefCell<Option<OwnedMutexGuard<()>>>,
}

tokio::task_local! {
    static OF: Of;
}

/// Before a call the node's connection is waited for, behind whoever asked for it before; after it, what was asked of the
/// server.
fn turn() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let owed = RUNNING.with_borrow(|shared| {
        let shared = shared.as_ref().unwrap();
        shared.with(|state| state.costs.as_mut().and_then(Costs::take_owed))
    });
    let (connection, holds) = OF.with(|of| (of.connection.clone(), of.holds.borrow().is_some()));
    Box::pin(async move {
        if !holds {
            let held = connection.lock_owned().await;
            OF.with(|of| of.holds.replace(Some(held)));
            return;
        }
        if let Some(at) = owed {
            tokio::time::sleep_until(at).await;
        }
        drop(OF.with(|of| of.holds.take()));
    })
}

/// What a node sends by.
struct Machine {
    shared: Shared,
    process: usize,
    ns: u64,
}

impl Transport for Machine {
    type Endpoint = i32;

    async fn send(&self, _: &i32, _: &Request) -> Result<Exchange, Fault> {
        let sent = self.shared.with(|state| {
            let costs = state.costs.as_mut().unwrap();
            costs.works(self.process, self.ns)
        });
        tokio::time::sleep_until(sent + ANSWERED).await;
        Ok(Exchange {
            result: Ok(Answer {
                status: 200,
                headers: "".into(),
                body: Vec::new(),
                truncated: false,
                turned_away: None,
            }),
            phases: Phases::default(),
            peer: None,
            duration_us: 5_000,
            note: None,
        })
    }
}

fn configuration(fan_out: i32) -> PipelineConfig<i32> {
    let webhook = |n: i32| {
        let webhook = Webhook {
            events: vec![Pattern::new(&format!("e{}", (n - 1) / fan_out))],
            ..Webhook::sample(&name(n), "http://127.0.0.1:9/hook")
        };
        (Arc::new(webhook), n)
    };
    PipelineConfig {
        webhooks: (1..=WEBHOOKS).map(webhook).collect(),
        tenant: None,
        max_in_flight: 4_096,
        max_data_bytes: 1 << 20,
        retention: Retention::default(),
    }
}

/// A node's loops, once it knows who it is.
async fn node(shared: Shared, process: usize, trial: Trial) {
    let title = format!("node{process}");
    let id = shared.with(|state| state.register(&title));
    let me = Me::new(id, title.into());
    let machine = Machine {
        shared: shared.clone(),
        process,
        ns: trial.node_ns(),
    };
    let dispatch = Dispatch::new(
        Box::new(Log::new(&shared, me.clone())),
        machine,
        shared.clock.clone(),
        Pace::default(),
        Runtime {
            inline: Some(turn),
            ..Handle::current().into()
        },
    );
    let tenure = Tenure::new(
        Member::new(me, LEASE_MS),
        Box::new(Connection::new(&shared)),
    );
    let connection = Arc::new(Mutex::new(()));
    let of = || Of {
        connection: connection.clone(),
        holds: RefCell::default(),
    };
    let begun = async {
        let (tenure, looked) = tenure.step(&dispatch).await;
        looked.unwrap();
        let configuration = configuration(trial.fan_out);
        dispatch.reconfigure(configuration).await.unwrap();
        let (tenure, looked) = tenure.step(&dispatch).await;
        looked.unwrap();
        tenure
    };
    let tenure = OF.scope(of(), begun).await;
    let mut loops = JoinSet::new();
    loops.spawn(OF.scope(of(), dispatch.clone().record()));
    loops.spawn(OF.scope(of(), dispatch.clone().refill()));
    loops.spawn(OF.scope(of(), tenure.keep(dispatch.clone())));
    let takes = take_events(shared, dispatch, trial.fan_out);
    loops.spawn(OF.scope(of(), takes));
    while let Some(ended) = loops.join_next().await {
        ended.unwrap().unwrap();
    }
}

/// As `windows` follows an outbox that is never empty, where this node leads.
async fn take_events(
    shared: Shared,
    dispatch: Arc<Dispatch<Machine>>,
    fan_out: i32,
) -> Result<(), crate::store::Error> {
    let data: Box<str> = format!("\"{}\"", "x".repeat(1_022)).into();
    let names: Vec<Arc<str>> = (0..WEBHOOKS / fan_out)
        .map(|of| format!("e{of}").into())
        .collect();
    let (mut next, mut cursor) = (1, Cursor::default());
    loop {
        if !(dispatch.share().leads() && shared.with(|state| state.flows)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let row = |id: i64| {
            Row::Event(Event {
                id: EventId::new(id),
                name: names[usize::try_from(id).unwrap() % names.len()].clone(),
                data: data.clone(),
                time_ms: START_MS,
                tenant: None,
            })
        };
        let rows: Vec<Row> = (next..next + WINDOW).map(row).collect();
        next += WINDOW;
        // By a connection of its own.
        let read = shared.with(|state| {
            state.charge(Work::Follows(rows.len()));
            state.costs.as_mut().and_then(Costs::take_owed)
        });
        tokio::time::sleep_until(read.unwrap()).await;
        let mut left = &rows[..];
        while !left.is_empty() {
            turn().await;
            let taken = take_in(&dispatch, left, &cursor, &From::Ids(&[]));
            turn().await;
            let Ok(taken) = taken else {
                panic!("the server is never away");
            };
            (left, cursor) = (&left[taken.rows..], taken.cursor);
            let mut behind = Behind::new(&dispatch, &taken.touched);
            while behind.is_waited_for() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Whether each node has its part.
fn is_shared_out(shared: &Shared, nodes: usize) -> bool {
    shared.with(|state| {
        let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
        let owners = state.tables.owners.iter();
        for owner in owners.filter(|(slot, _)| **slot != LEAD).map(|(_, of)| of) {
            *parts.entry(owner.as_deref().unwrap_or("")).or_default() += 1;
        }
        let least = parts.values().min().copied().unwrap_or_default();
        parts.len() == nodes && parts.values().all(|part| part - least <= 1)
    })
}

async fn measured(trial: Trial) -> Came {
    let shared = Shared::new(1, Clock::follow_tokio(START_MS));
    let begun = shared.clock.instant();
    shared.with(|state| {
        state.webhooks = WEBHOOKS;
        state.tables.owners = (0..=WEBHOOKS).map(|slot| (slot, None)).collect();
        state.costs = Some(Costs::new(begun, trial.cores, trial.wal_mb));
    });
    RUNNING.set(Some(shared.clone()));
    let mut nodes = JoinSet::new();
    for process in 0..trial.nodes {
        nodes.spawn(node(shared.clone(), process, trial));
    }
    let mut looks = 0;
    while !is_shared_out(&shared, trial.nodes) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        looks += 1;
        assert!(looks < 200, "the nodes do not share");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    shared.with(|state| state.flows = true);
    let used = || shared.with(|state| state.costs.as_ref().unwrap().used);
    tokio::time::sleep(SPANS.0).await;
    let before = used();
    tokio::time::sleep(SPANS.1).await;
    let after = used();
    nodes.abort_all();
    while nodes.join_next().await.is_some() {}
    RUNNING.set(None);
    Came::of(trial, before, after)
}

impl Came {
    /// Whether the server gives no more.
    fn ended(&self) -> bool {
        self.cores >= ENDED || self.wal >= ENDED
    }

    fn of(of: Trial, before: Used, after: Used) -> Self {
        let ms = u64::try_from(SPANS.1.as_millis()).unwrap();
        let cores = of.cores as u64 * ms * 1_000_000;
        let wal = of.wal_mb * ms * 1_000;
        Self {
            of,
            per_second: (after.recorded - before.recorded) * 1_000 / ms,
            cores: (after.server_ns - before.server_ns) * 1_000 / cores,
            looks: (after.looks_ns - before.looks_ns) * 1_000 / cores,
            wal: (after.wal - before.wal) * 1_000 / wal,
        }
    }
}

fn come(trial: Trial) -> Came {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(measured(trial))
}

/// By 1, 2, 4, … nodes, printed.
#[expect(clippy::print_stdout, reason = "they are read by who asks for them")]
fn series(trial: Trial, most: usize) -> Vec<Came> {
    let counts = [1, 2, 4, 8, 16];
    let counts = counts.into_iter().take_while(|nodes| *nodes <= most);
    let all: Vec<Came> = counts.map(|nodes| come(Trial { nodes, ..trial })).collect();
    for came in &all {
        println!("{came}");
    }
    all
}

/// Where a node's own work is what ends first, more nodes are as much more until the server ends, and behind that none makes
/// it slower.
fn grows_with_nodes(fan_out: i32) {
    let trial = Trial {
        nodes: 0,
        fan_out,
        cores: 2,
        wal_mb: 100,
        sends: Sends::Anew,
    };
    let all = series(trial, 16);
    let one = all[0].per_second;
    let is_linear = |came: &&Came| came.per_second >= one * came.of.nodes as u64 * 9 / 10;
    let (linear, less): (Vec<&Came>, Vec<&Came>) = all.iter().partition(is_linear);
    assert!(linear.len() >= 3 && !less.is_empty(), "{linear:?}");
    for came in less {
        assert!(came.ended(), "{came}");
    }
    none_is_slower(&all);
}

/// Than with fewer nodes, but for what smaller transactions of more nodes cost the server: with twice as many as it can
/// follow that is a twelfth.
fn none_is_slower(all: &[Came]) {
    let mut best = 0;
    for came in all {
        assert!(came.per_second >= best * 9 / 10, "{came}");
        best = best.max(came.per_second);
    }
}

#[test]
fn nodes_go_as_far_as_the_server_with_an_event_for_one() {
    grows_with_nodes(1);
}

#[test]
fn nodes_go_as_far_as_the_server_with_an_event_for_ten() {
    grows_with_nodes(10);
}

/// Where connections are kept, what ends first is the connection of the one node that takes events in.
#[test]
fn no_node_more_makes_it_slower() {
    let whole = std::env::var_os("WEBHOOKSD_SIM_TABLE").is_some();
    let (servers, most): (&[(usize, u64)], _) = if whole {
        (&[(2, 100), (4, 100), (8, 100), (8, 50)], 8)
    } else {
        (&[(2, 100)], 4)
    };
    for sends in [Sends::Plain, Sends::Anew] {
        if !whole && matches!(sends, Sends::Anew) {
            continue;
        }
        for fan_out in [1, 10] {
            for (cores, wal_mb) in servers.iter().copied() {
                let trial = Trial {
                    nodes: 0,
                    fan_out,
                    cores,
                    wal_mb,
                    sends,
                };
                none_is_slower(&series(trial, most));
            }
        }
    }
}
