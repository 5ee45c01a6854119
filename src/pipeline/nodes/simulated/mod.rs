//! Several nodes in simulated time: real members, tenures and dispatches over one simulated server.
//!
//! One seed is one run of a minute or two. Nodes are killed, stand still as by SIGSTOP, leave and come back; the server is
//! away, and a standby takes over that lacks the last commits. At every request: no webhook has requests of two nodes on
//! the wire, what was sent and recorded is not sent again, a webhook with one request at a time gets its events in order.
//! At the end nothing is lost that the server has. What a node that stood still had decided to send before that goes
//! when it goes on, which nobody can help. `WEBHOOKSD_SIM_SEED=N WEBHOOKSD_SIM_SEEDS=1` runs a seed again.
//!
//! Left out: SQL (the contract of the store and `tests/it/postgres` have that), intake (events are there as if another node
//! had taken them in), turns of webhooks with an order, and races of threads.

mod admits;
mod capacity;
mod costs;
mod log;
mod shared;
mod silent;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use super::{Member, Tenure};
use crate::model::{Answer, Clock, Exchange, Fault, Phases, Request, Webhook};
use crate::pipeline::shared::Runtime;
use crate::pipeline::{Dispatch, Pace, PipelineConfig, Retention};
use crate::store::{self, Me};
use crate::transport::Transport;
use log::{Connection, Log, name};
use shared::{LEASE_MS, ORDERED, Process, Shared, WEBHOOKS};

/// 2024-11-14T09:32:17Z.
const START_MS: i64 = 1_731_576_737_000;

/// Seeds of a run that says nothing else.
const SEEDS: u64 = 100;

/// A fault, some events, and what comes of them.
const STEPS: usize = 14;

tokio::task_local! {
    /// Whose loops these are.
    static PROCESS: usize;
}

thread_local! {
    static RUNNING: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Before and after each call that blocks: others go on, and the process may stand still or be dead.
fn pause() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let process = PROCESS.try_with(|process| *process).ok();
    let shared = RUNNING.with_borrow(Clone::clone);
    Box::pin(async move {
        let Some(shared) = shared else { return };
        let ms = shared.with(|state| match state.roll(20) {
            _ if state.is_calm => 0,
            0..=13 => 0,
            14..=18 => state.roll(20),
            _ => state.roll(300),
        });
        if let Ok(ms @ 1..) = u64::try_from(ms) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if let Some(process) = process {
            shared.goes_on(process).await;
        }
    })
}

/// What a node sends by.
struct Endpoints {
    shared: Shared,
    process: usize,
}

impl Transport for Endpoints {
    type Endpoint = i32;

    async fn send(&self, to: &i32, request: &Request) -> Result<Exchange, Fault> {
        let (shared, process) = (&self.shared, self.process);
        let is_late = shared.goes_on(process).await;
        let id = String::from_utf8(request.body.to_vec()).unwrap();
        let id: i64 = id.parse().unwrap();
        let now_ms = shared.now_ms();
        let (succeeds, takes_ms) = shared.with(|state| {
            let succeeds = state.begin(process, id, *to, now_ms, is_late);
            let takes_ms = 5 + state.roll(41) + i64::from(state.roll(50) == 0) * state.roll(900);
            (succeeds, takes_ms)
        });
        tokio::time::sleep(Duration::from_millis(takes_ms.unsigned_abs())).await;
        let (is_dead, now_ms) = (
            shared.with(|state| state.processes[process].is_dead),
            shared.now_ms(),
        );
        if !is_dead {
            shared.with(|state| state.end(process, id, *to, succeeds, now_ms));
        }
        shared.goes_on(process).await;
        Ok(Exchange {
            result: Ok(Answer {
                status: if succeeds { 200 } else { 500 },
                headers: "".into(),
                body: Vec::new(),
                truncated: false,
                turned_away: None,
            }),
            phases: Phases::default(),
            peer: None,
            duration_us: takes_ms * 1_000,
            note: None,
        })
    }
}

/// A running process.
struct Node {
    process: usize,
    dispatch: Arc<Dispatch<Endpoints>>,
    loops: JoinSet<Result<(), store::Error>>,
}

impl Node {
    /// Starts as the daemon does; the server is there.
    fn start(shared: &Shared) -> Self {
        let process = shared.with(|state| {
            state.processes.push(Process::default());
            state.processes.len() - 1
        });
        let title = format!("node{process}");
        let id = shared.with(|state| state.register(&title));
        let me = Me::new(id, title.into());
        let endpoints = Endpoints {
            shared: shared.clone(),
            process,
        };
        let dispatch = Dispatch::new(
            Box::new(Log::new(shared, me.clone())),
            endpoints,
            shared.clock.clone(),
            Pace::default(),
            Runtime {
                inline: Some(pause),
                ..Handle::current().into()
            },
        );
        let mut loops = JoinSet::new();
        let member = Member::new(me, LEASE_MS);
        let tenure = Tenure::new(member, Box::new(Connection::new(shared)));
        let begun = begin(dispatch.clone(), tenure, process);
        loops.spawn(PROCESS.scope(process, begun));
        Self {
            process,
            dispatch,
            loops,
        }
    }

    /// No statement, no request of it any more.
    fn kill(mut self, shared: &Shared) {
        self.loops.abort_all();
        shared.with(|state| {
            state.processes[self.process].is_dead = true;
            state.hang_up(self.process);
        });
    }

    /// Stops as the daemon does.
    async fn stop(mut self) {
        self.dispatch.stop();
        self.dispatch.drained().await;
        let recorded = self.dispatch.recorded();
        drop(tokio::time::timeout(Duration::from_secs(5), recorded).await);
        let ended = async { while self.loops.join_next().await.is_some() {} };
        drop(tokio::time::timeout(Duration::from_secs(5), ended).await);
    }
}

/// The daemon's order: who this is, the configuration, and then the loops.
async fn begin(
    dispatch: Arc<Dispatch<Endpoints>>,
    tenure: Tenure,
    process: usize,
) -> Result<(), store::Error> {
    let mut tenure = tenure;
    let patience = Duration::from_millis(200);
    let look = async |tenure: Tenure| {
        let mut tenure = tenure;
        loop {
            let (this, looked) = tenure.step(&dispatch).await;
            tenure = this;
            if looked.is_ok() {
                return tenure;
            }
            tokio::time::sleep(patience).await;
        }
    };
    tenure = look(tenure).await;
    while dispatch.reconfigure(configuration()).await.is_err() {
        tokio::time::sleep(patience).await;
    }
    tenure = look(tenure).await;
    let mut loops = JoinSet::new();
    loops.spawn(PROCESS.scope(process, dispatch.clone().record()));
    loops.spawn(PROCESS.scope(process, dispatch.clone().refill()));
    loops.spawn(PROCESS.scope(process, tenure.keep(dispatch.clone())));
    while let Some(ended) = loops.join_next().await {
        ended.unwrap()?;
    }
    Ok(())
}

fn configuration() -> PipelineConfig<i32> {
    let webhook = |n: i32| {
        let webhook = Webhook {
            max_in_flight: if n == ORDERED { 1 } else { 4 },
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

/// Events come for so long.
async fn events(shared: &Shared, for_ms: i64) {
    let until_ms = shared.now_ms() + for_ms;
    while shared.now_ms() < until_ms {
        let now_ms = shared.now_ms();
        let wait_ms = shared.with(|state| {
            state.admit(now_ms);
            1 + state.roll(250)
        });
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
    }
}

/// Something happens to somebody.
async fn fault(shared: &Shared, nodes: &mut Vec<Node>) {
    let (what, of) = shared.with(|state| (state.roll(9), state.roll(8)));
    let now_ms = shared.now_ms();
    let of = usize::try_from(of).unwrap() % nodes.len().max(1);
    shared.with(|state| {
        let process = nodes.get(of).map(|node| node.process);
        state.note(|| format!("{now_ms}: {what} of {process:?}, of {}", nodes.len()));
    });
    match what {
        _ if nodes.len() < 2 => nodes.push(Node::start(shared)),
        0 if nodes.len() < 5 => nodes.push(Node::start(shared)),
        0 | 1 => {
            let node = nodes.remove(of);
            shared.with(|state| {
                state.excuse(Some(node.process), now_ms, now_ms);
                state.count("kills");
            });
            node.kill(shared);
        }
        2 => nodes.remove(of).stop().await,
        3..=5 => shared.with(|state| {
            let for_ms = 300 + state.roll(6_000);
            let process = nodes[of].process;
            state.processes[process].stopped_ms = now_ms + for_ms;
            state.excuse(Some(process), now_ms, now_ms + for_ms);
            state.count("stops");
        }),
        6 => {
            let for_ms = shared.with(|state| {
                state.be_away(true, now_ms);
                state.count("times without the server");
                100 + state.roll(3_000)
            });
            events(shared, for_ms).await;
            let now_ms = shared.now_ms();
            shared.with(|state| state.be_away(false, now_ms));
        }
        _ => {
            shared.with(|state| state.standby = Some((now_ms, state.tables.clone())));
            let (behind_ms, away_ms) = shared.with(|state| (state.roll(1_500), state.roll(3_000)));
            events(shared, behind_ms).await;
            let now_ms = shared.now_ms();
            shared.with(|state| {
                state.fail_over(now_ms);
                state.be_away(true, now_ms);
            });
            events(shared, away_ms).await;
            let now_ms = shared.now_ms();
            shared.with(|state| state.be_away(false, now_ms));
            // A process that starts just then knows nothing of what was before.
            if shared.with(|state| state.roll(2)) == 0 {
                nodes.push(Node::start(shared));
            }
        }
    }
}

async fn run(shared: Shared) -> Shared {
    let mut nodes = vec![Node::start(&shared), Node::start(&shared)];
    for _ in 0..STEPS {
        let for_ms = shared.with(|state| state.roll(4_000));
        events(&shared, for_ms).await;
        fault(&shared, &mut nodes).await;
    }
    nodes.push(Node::start(&shared));
    let stopped = shared.with(|state| {
        state.is_calm = true;
        state.processes.iter().map(|one| one.stopped_ms).max()
    });
    let left_ms = stopped.unwrap_or(0) - shared.now_ms();
    tokio::time::sleep(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))).await;
    // Whoever is dead is taken over, and what failed once is tried again.
    let calm_ms = 2 * LEASE_MS + 25_000;
    tokio::time::sleep(Duration::from_millis(calm_ms.unsigned_abs())).await;
    shared.with(|state| {
        let lacking = state.lacking();
        let pending = state.tables.pending.len();
        if !lacking.is_empty() || pending > 0 {
            let some: Vec<_> = state.tables.pending.iter().take(3).collect();
            state.broken.push(format!(
                "{} were never sent, {pending} are pending: {some:?}",
                lacking.len()
            ));
        }
    });
    for node in nodes {
        node.kill(&shared);
    }
    shared
}

/// What a seed came to, and what of it should not be.
fn simulate(seed: u64) -> (BTreeMap<&'static str, u64>, Option<String>) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let shared = runtime.block_on(async {
        let shared = Shared::new(seed, Clock::follow_tokio(START_MS));
        RUNNING.set(Some(shared.clone()));
        let shared = run(shared).await;
        RUNNING.set(None);
        shared
    });
    shared.with(|state| (state.counts.clone(), state.told()))
}

/// Each of these happens in so many seeds, or the runs show nothing.
const KINDS: [&str; 8] = [
    "failovers",
    "kills",
    "late results",
    "requests",
    "sent twice",
    "slots given",
    "stops",
    "takeovers",
];

#[test]
fn nodes_lose_nothing_and_none_sends_for_another() {
    let given = |name: &str| {
        let told = std::env::var(name).ok();
        told.and_then(|text| text.parse::<u64>().ok())
    };
    let first = given("WEBHOOKSD_SIM_SEED").unwrap_or(0);
    let seeds = first..first + given("WEBHOOKSD_SIM_SEEDS").unwrap_or(SEEDS);
    let mut sum: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut all = Vec::new();
    for seed in seeds.clone() {
        let (counts, broken) = simulate(seed);
        all.extend(broken.map(|broken| format!("seed {seed}:\n{broken}")));
        for (what, count) in counts {
            *sum.entry(what).or_default() += count;
        }
    }
    all.truncate(3);
    assert!(all.is_empty(), "{}\n{sum:?}", all.join("\n\n"));
    let lacking: Vec<_> = KINDS
        .iter()
        .filter(|kind| !sum.contains_key(*kind))
        .collect();
    assert!(
        seeds.count() < 100 || lacking.is_empty(),
        "{lacking:?} never happened"
    );
}
