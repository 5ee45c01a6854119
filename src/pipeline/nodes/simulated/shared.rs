//! What all nodes have in common: the tables of a server that is away at times and forgets its last commits, and endpoints
//! with a good memory, which say what no run may show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::costs::{Costs, Work};
use crate::model::Clock;
use crate::store::NodeId;

/// Webhooks, each in the slot of its number.
pub(super) const WEBHOOKS: i32 = 6;

/// The one that goes one after the other and never fails: its first requests are in order.
pub(super) const ORDERED: i32 = 1;

/// Slots without a webhook, and those with one.
pub(super) const SLOTS: i32 = 12;

pub(super) const LEASE_MS: i64 = 3_000;

/// A result is in the log that long behind its request, where nothing happened meanwhile.
const RECORDED_MS: i64 = 1_500;

/// Until results are offered again to a server that was away.
const RETRIED_MS: i64 = 2_500;

/// What is pending.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) attempts: u32,
    pub(super) due_at_ms: i64,
}

/// The tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Name and beat.
    pub(super) nodes: BTreeMap<String, (String, i64)>,
    pub(super) owners: BTreeMap<i32, Option<NodeId>>,
    /// By webhook and id.
    pub(super) pending: BTreeMap<(i32, i64), Pending>,
    /// All that was ever admitted, and the newest of it.
    pub(super) admitted: BTreeSet<i64>,
    pub(super) newest: i64,
    /// The timeline that is noted as the one that slots were last agreed on by.
    pub(super) agreed: u32,
}

impl Tables {
    /// What of a webhook is pending.
    pub(super) fn of(&self, webhook: i32) -> impl Iterator<Item = (i64, &Pending)> {
        let rows = self
            .pending
            .range((webhook, i64::MIN)..=(webhook, i64::MAX));
        rows.map(|((_, id), row)| (*id, row))
    }

    pub(super) fn free(&mut self, gone: &str) {
        for owner in self.owners.values_mut() {
            owner.take_if(|owner| **owner == *gone);
        }
    }
}

/// A process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) is_dead: bool,
    /// Stopped, as by SIGSTOP, until then.
    pub(super) stopped_ms: i64,
}

/// A request.
#[derive(Clone, Debug)]
struct Sent {
    process: usize,
    begun_ms: i64,
    /// When the endpoint had answered it with success.
    succeeded_ms: Option<i64>,
}

/// A time in which what was sent may have been forgotten: of one process, or of the server.
struct Excuse {
    process: Option<usize>,
    from_ms: i64,
    to_ms: i64,
}

pub(super) struct State {
    pub(super) tables: Tables,
    /// What a standby has that follows no more, and since when.
    pub(super) standby: Option<(i64, Tables)>,
    pub(super) timeline: u32,
    is_away: bool,
    pub(super) processes: Vec<Process>,
    dice: u64,
    last_id: i64,
    ids: u32,
    sent: BTreeMap<i64, Vec<Sent>>,
    /// Requests on the wire, by webhook and process.
    wire: BTreeMap<(i32, usize), usize>,
    /// The newest that was sent of the ordered webhook.
    newest: i64,
    excuses: Vec<Excuse>,
    /// The last time without the server: since when, and until when results of it may wait.
    without: (i64, i64),
    failed_over_ms: i64,
    pub(super) is_calm: bool,
    /// What statements cost; nothing, where no time is measured.
    pub(super) costs: Option<Costs>,
    /// Whether there is something in the outbox of what is measured.
    pub(super) flows: bool,
    /// How many webhooks there are.
    pub(super) webhooks: i32,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) broken: Vec<String>,
    /// What happened before the first of these.
    trace: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Shared {
    pub(super) fn new(seed: u64, clock: Clock) -> Self {
        let owners = (0..=SLOTS).map(|slot| (slot, None)).collect();
        let state = State {
            tables: Tables {
                owners,
                agreed: 1,
                ..Tables::default()
            },
            standby: None,
            timeline: 1,
            is_away: false,
            processes: Vec::new(),
            dice: seed,
            last_id: 0,
            ids: 0,
            sent: BTreeMap::new(),
            wire: BTreeMap::new(),
            newest: 0,
            excuses: Vec::new(),
            without: (0, 0),
            failed_over_ms: 0,
            is_calm: false,
            costs: None,
            flows: false,
            webhooks: WEBHOOKS,
            counts: BTreeMap::new(),
            broken: Vec::new(),
            trace: Vec::new(),
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn with<R>(&self, call: impl FnOnce(&mut State) -> R) -> R {
        call(&mut self.state.lock())
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Waits while the process stands still; for ever, where it is dead. Whether it stood still.
    pub(super) async fn goes_on(&self, process: usize) -> bool {
        let mut stood = false;
        loop {
            let of = self.with(|state| state.processes[process].clone());
            if of.is_dead {
                std::future::pending::<()>().await;
            }
            let left_ms = of.stopped_ms - self.now_ms();
            let Ok(left_ms @ 1..) = u64::try_from(left_ms) else {
                return stood;
            };
            stood = true;
            tokio::time::sleep(std::time::Duration::from_millis(left_ms)).await;
        }
    }
}

impl State {
    /// `SplitMix64`.
    pub(super) fn roll(&mut self, below: i64) -> i64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % below.max(1).unsigned_abs()).unwrap()
    }

    /// Something that a promise may be broken by.
    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.broken.is_empty() {
            self.trace.push(text());
        }
    }

    /// What is broken, behind what went before.
    pub(super) fn told(&self) -> Option<String> {
        let before = self.trace.len().saturating_sub(60);
        let some = self.broken.iter().take(6);
        let lines = self.trace.iter().skip(before).chain(some);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        (!self.broken.is_empty()).then(|| lines.join("\n"))
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    /// An event for every webhook. Ids come from the clock, so that none is given again.
    pub(super) fn admit(&mut self, now_ms: i64) {
        if self.is_away {
            return;
        }
        for webhook in 1..=WEBHOOKS {
            let id = self.next_id(now_ms);
            self.park(webhook, id, now_ms);
            self.tables.admitted.insert(id);
        }
    }

    pub(super) fn next_id(&mut self, now_ms: i64) -> i64 {
        self.last_id = (self.last_id + 1).max(now_ms * 1_024);
        self.last_id
    }

    /// It is pending, and in nobody's hands.
    pub(super) fn park(&mut self, webhook: i32, id: i64, now_ms: i64) {
        let pending = Pending {
            attempts: 0,
            due_at_ms: now_ms,
        };
        self.tables.pending.insert((webhook, id), pending);
        self.tables.newest = id;
    }

    /// The server does some work, where that costs something.
    pub(super) fn charge(&mut self, work: Work) {
        if let Some(costs) = &mut self.costs {
            costs.charge(work);
        }
    }

    pub(super) fn register(&mut self, name: &str) -> NodeId {
        self.ids += 1;
        let id = format!("{name}-{}", self.ids);
        self.tables.nodes.insert(id.clone(), (name.to_owned(), 0));
        id.into()
    }

    /// Something happens in which what was sent may be forgotten.
    pub(super) fn excuse(&mut self, process: Option<usize>, from_ms: i64, to_ms: i64) {
        let (since_ms, waited_ms) = self.without;
        let from_ms = if from_ms <= waited_ms {
            from_ms.min(since_ms)
        } else {
            from_ms
        };
        self.excuses.push(Excuse {
            process,
            from_ms,
            to_ms,
        });
    }

    /// The server is away, or there again.
    pub(super) fn be_away(&mut self, is_away: bool, now_ms: i64) {
        self.is_away = is_away;
        if is_away {
            // What waited for the server the last time may wait yet.
            let (since_ms, waited_ms) = self.without;
            let is_yet = now_ms <= waited_ms;
            if is_yet && self.failed_over_ms >= since_ms {
                // Whoever had a webhook by the server of before sends for as long as that lasts, and what of it waits for a
                // server may be sent by who has it by this one.
                let lasted_ms = self.failed_over_ms + LEASE_MS * 6 / 10;
                self.excuse(None, since_ms, now_ms.max(lasted_ms));
            }
            self.without = (if is_yet { since_ms } else { now_ms }, i64::MAX);
        } else {
            self.without.1 = now_ms + RETRIED_MS;
        }
    }

    /// The server forgets what it was told since its standby follows it no more.
    pub(super) fn fail_over(&mut self, now_ms: i64) {
        let Some((since_ms, tables)) = self.standby.take() else {
            return;
        };
        self.tables = tables;
        self.timeline += 1;
        self.failed_over_ms = now_ms;
        self.excuse(None, since_ms, now_ms);
        self.count("failovers");
    }

    /// A request begins. `is_late`: its process had decided on it before it stood still. Whether it succeeds.
    pub(super) fn begin(
        &mut self,
        process: usize,
        id: i64,
        webhook: i32,
        now_ms: i64,
        is_late: bool,
    ) -> bool {
        let wire = self.wire.iter();
        let other = wire
            .filter(|((of, by), count)| *of == webhook && *by != process && **count > 0)
            .map(|((_, by), _)| *by)
            .next();
        if let Some(other) = other.filter(|_| !is_late) {
            self.broken.push(format!(
                "{now_ms}: {process} sends {id} for webhook {webhook}, and {other} has something on the wire for it"
            ));
        }
        *self.wire.entry((webhook, process)).or_default() += 1;
        let before = self.sent.get(&id).cloned().unwrap_or_default();
        if before.is_empty() && webhook == ORDERED && self.tables.admitted.contains(&id) {
            if id < self.newest {
                self.broken
                    .push(format!("{now_ms}: {id} is sent behind {}", self.newest));
            }
            self.newest = id;
        }
        for first in &before {
            let Some(succeeded_ms) = first.succeeded_ms else {
                continue;
            };
            self.count("sent twice");
            let is_excused = self.excuses.iter().any(|excuse| {
                excuse.process.is_none_or(|of| of == first.process)
                    && excuse.from_ms <= succeeded_ms + RECORDED_MS
                    && excuse.to_ms >= first.begun_ms
            });
            if !is_late && !is_excused {
                self.broken.push(format!(
                    "{now_ms}: {process} sends {id} of webhook {webhook} again, and nothing happened since {first:?}"
                ));
            }
        }
        self.count("requests");
        self.sent.entry(id).or_default().push(Sent {
            process,
            begun_ms: now_ms,
            succeeded_ms: None,
        });
        webhook == ORDERED || !before.is_empty() || id % 25 != 0
    }

    /// The endpoint has answered.
    pub(super) fn end(
        &mut self,
        process: usize,
        id: i64,
        webhook: i32,
        succeeds: bool,
        now_ms: i64,
    ) {
        if let Some(count) = self.wire.get_mut(&(webhook, process)) {
            *count = count.saturating_sub(1);
        }
        let sent = self.sent.get_mut(&id).into_iter().flatten();
        let mut open = sent.filter(|sent| sent.process == process && sent.succeeded_ms.is_none());
        if let Some(sent) = open.next().filter(|_| succeeds) {
            sent.succeeded_ms = Some(now_ms);
        }
    }

    /// Its connections are closed.
    pub(super) fn hang_up(&mut self, process: usize) {
        self.wire.retain(|(_, by), _| *by != process);
    }

    /// What was admitted, by the tables that are left, and has not succeeded.
    pub(super) fn lacking(&self) -> Vec<i64> {
        let succeeded = |id: &i64| {
            let sent = self.sent.get(id).into_iter().flatten();
            sent.into_iter().any(|sent| sent.succeeded_ms.is_some())
        };
        let admitted = self.tables.admitted.iter().copied();
        admitted.filter(|id| !succeeded(id)).collect()
    }
}
