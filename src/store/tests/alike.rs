//! Two engines told the same: whatever the pipeline asks of a log in SQLite and of one in PostgreSQL, in whatever order,
//! both answer alike.
//!
//! One seed is one run of calls that are drawn by chance. Ids are an engine's own, so what one engine calls a delivery is
//! what the other calls it too, by the order in which they are told of. Left out: what people write by hand, retention,
//! and what goes wrong.

mod chance;
mod sent;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use super::engine::Engine;
use super::server::{ServerLog, postgres};
use super::*;
use crate::model::{
    Batch, BatchRule, Bodies, Deferred, DeliveryId, Fate, PayloadId, Posted, Turn, TurnRule,
};
use chance::Rng;

/// Runs of a run of the tests that says nothing else, and calls of each.
const SEEDS: u64 = 12;
const CALLS: usize = 120;

/// Of these the first has one line, the second one a value, and the third puts events off.
const WEBHOOKS: [&str; 4] = ["a", "b", "c", "d"];

/// When a run begins: behind every clock, for what is sent again is due by the engine's own.
const BEGIN: i64 = 4_000_000_000_000;

/// A delivery as both call it.
type Pair = [Due; 2];

/// Both logs, and what a process knows of them.
struct Both {
    engines: [Box<dyn Engine>; 2],
    logs: [Box<dyn LogWriter>; 2],
    rng: Rng,
    now_ms: i64,
    events: i64,
    /// What the second engine calls what the first calls so.
    names: BTreeMap<DeliveryId, DeliveryId>,
    /// What is in memory.
    hand: BTreeMap<DeliveryId, Pair>,
    /// What was, some time.
    spent: Vec<Pair>,
    owed: Vec<[Deferred; 2]>,
}

/// A delivery but for what an engine calls it.
fn plain(due: &Due) -> Due {
    Due {
        id: DeliveryId::NONE,
        payload_id: PayloadId::NONE,
        batch: None,
        due_at_ms: due.due_at_ms.max(BEGIN),
        created_at_ms: due.created_at_ms.max(BEGIN),
        ..due.clone()
    }
}

impl Both {
    fn new(seed: u64, server: ServerLog) -> Self {
        let engines: [Box<dyn Engine>; 2] = [Box::new(Log::new()), Box::new(server)];
        let logs = [engines[0].open(), engines[1].open()];
        let mut both = Self {
            engines,
            logs,
            rng: Rng(seed),
            now_ms: BEGIN,
            events: 0,
            names: BTreeMap::new(),
            hand: BTreeMap::new(),
            spent: Vec::new(),
            owed: Vec::new(),
        };
        let names = WEBHOOKS.map(|name| (name.into(), true));
        both.each(|log, _| log.register(&names, BEGIN).unwrap());
        both.rule();
        both
    }

    /// The same of both.
    fn each<T>(&mut self, mut ask: impl FnMut(&mut dyn LogWriter, usize) -> T) -> [T; 2] {
        let [first, second] = &mut self.logs;
        [ask(&mut **first, 0), ask(&mut **second, 1)]
    }

    /// The same of both, who answer alike.
    #[track_caller]
    fn alike<T: PartialEq + std::fmt::Debug>(
        &mut self,
        ask: impl FnMut(&mut dyn LogWriter, usize) -> T,
    ) -> T {
        let [first, second] = self.each(ask);
        assert_eq!(first, second);
        first
    }

    #[track_caller]
    fn name(&mut self, first: DeliveryId, second: DeliveryId) {
        let known = *self.names.entry(first).or_insert(second);
        assert_eq!(known, second, "of {first}");
    }

    /// Both told of the same deliveries, which memory has from now on.
    #[track_caller]
    fn takes(&mut self, [first, second]: [Vec<Due>; 2], is_taken: impl Fn(&Due) -> bool) {
        let shown = |dues: &[Due]| dues.iter().map(plain).collect::<Vec<_>>();
        assert_eq!(shown(&first), shown(&second));
        for (first, second) in first.into_iter().zip(second) {
            self.name(first.id, second.id);
            let batch = |due: &Due| {
                due.batch
                    .as_ref()
                    .map(|b| (b.name.clone(), b.members.len()))
            };
            assert_eq!(batch(&first), batch(&second));
            if is_taken(&first) {
                self.hand.insert(first.id, [first, second]);
            }
        }
    }

    /// In memory, by what that engine calls it.
    fn in_hand(&self) -> [HashSet<DeliveryId>; 2] {
        [0, 1].map(|at| self.hand.values().map(|pair| pair[at].id).collect())
    }

    fn rule(&mut self) {
        let mut rules: HashMap<Arc<str>, TurnRule> = HashMap::new();
        let together = BatchRule {
            max_events: 1 + self.rng.below(4),
            max_bytes: 60 + self.rng.below(100),
            wait: Duration::ZERO,
        };
        let rule = TurnRule {
            holds: self.rng.is(5),
            together: self.rng.is(5).then_some(together),
        };
        rules.insert("a".into(), rule);
        let rule = TurnRule {
            holds: self.rng.is(5),
            together: None,
        };
        rules.insert("b".into(), rule);
        self.each(|log, _| log.keep_order(rules.clone()).unwrap());
        self.let_go();
    }

    fn let_go(&mut self) {
        let (hand, now_ms) = (self.in_hand(), self.now_ms);
        self.alike(|log, at| {
            let mut more = 0;
            while log
                .let_lines_go(now_ms, &|_, id| hand[at].contains(&id))
                .unwrap()
            {
                more += 1;
                assert!(more < 1_000);
            }
        });
    }

    fn admit(&mut self) {
        let first = self.events + 1;
        self.events += self.rng.ms(5);
        let mut batch = admission(first..=self.events, &[]);
        for event in &mut batch.events {
            for (place, name) in WEBHOOKS.iter().enumerate() {
                if self.rng.is(7) {
                    let at = event.webhooks.len();
                    let turn = match place {
                        0 => Some(Turn::WHOLE),
                        1 => Some(Turn::of_text(&[
                            b'x' + u8::try_from(self.rng.below(3)).unwrap()
                        ])),
                        _ => None,
                    };
                    event.turns.extend(turn.map(|turn| (at, turn)));
                    event
                        .webhooks
                        .push(((*name).into(), usize::from(self.rng.is(8))));
                }
            }
            // A body is there because somebody wants it.
            let wanted = |at| event.webhooks.iter().any(|(_, of)| *of == at);
            if event.webhooks.is_empty() || !(wanted(0) && wanted(1)) {
                event.webhooks.push(("c".into(), usize::from(!wanted(1))));
            }
        }
        if self.rng.is(1) {
            batch.gaps = vec![EventId::new(first * 1_000)..=EventId::new(first * 1_000 + 3)];
        }
        let put_off = self.rng.is(3);
        let takes = |due: &Due| due.event_id.get() % 3 != 0 || &*due.webhook == "a";
        let now_ms = self.now_ms;
        let [first, second] = self.each(|log, _| {
            let later = |name: &str| put_off && name == "d";
            log.admit(&batch, &later, &mut |due| takes(due), now_ms)
                .unwrap()
        });
        self.takes([first.0, second.0], takes);
        assert_eq!(first.1.len(), second.1.len());
        let owed = first.1.into_iter().zip(second.1);
        self.owed
            .extend(owed.map(|(first, second)| [first, second]));
        if self.rng.is(5) {
            self.pay();
        }
    }

    fn pay(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        let now_ms = self.now_ms;
        let paid = self.each(|log, at| {
            let of: Vec<_> = owed.iter().map(|pair| pair[at].clone()).collect();
            log.materialize(&of, &mut |_| true, now_ms).unwrap()
        });
        self.takes(paid, |_| true);
        self.alike(|log, _| log.owed(9).unwrap().len());
    }

    fn look(&mut self) {
        let webhook = WEBHOOKS[self.rng.below(4)];
        let (rows, bytes) = (1 + self.rng.below(9), 20 + self.rng.below(300));
        let (hand, now_ms) = (self.in_hand(), self.now_ms);
        let found = self.each(|log, at| {
            log.due(webhook, now_ms, rows, bytes, &|id| hand[at].contains(&id))
                .unwrap()
        });
        self.takes(found, |_| true);
    }

    /// Some of what there ever was, as each calls it.
    fn some(&mut self) -> [Vec<DeliveryId>; 2] {
        let mut ids = [Vec::new(), Vec::new()];
        let names: Vec<_> = self.names.iter().map(|(a, b)| (*a, *b)).collect();
        for _ in 0..self.rng.below(4) {
            if !names.is_empty() {
                let (first, second) = names[self.rng.below(names.len())];
                ids[0].push(first);
                ids[1].push(second);
            }
        }
        ids
    }

    fn cancel(&mut self) {
        let (ids, hand, now_ms) = (self.some(), self.in_hand(), self.now_ms);
        let answers = self.each(|log, at| {
            let in_hand = |_: &str, id| hand[at].contains(&id);
            log.cancel_by_order(&ids[at], now_ms, &in_hand).unwrap()
        });
        for (first, second) in answers[0].iter().zip(&answers[1]) {
            match (first, second) {
                (Err(CancelError::Again(first)), Err(CancelError::Again(second))) => {
                    self.name(*first, *second);
                }
                _ => assert_eq!(first, second),
            }
        }
    }

    fn redeliver(&mut self) {
        let ids = self.some();
        let answers = self.each(|log, at| log.redeliver(&ids[at], &|_| true).unwrap());
        for (first, second) in answers[0].clone().into_iter().zip(answers[1].clone()) {
            match (first, second) {
                (Ok((first, of)), Ok((second, also))) => {
                    assert_eq!(of, also);
                    self.name(first, second);
                }
                (first, second) => assert_eq!(first, second),
            }
        }
    }

    /// The process ends, and another one begins.
    fn again(&mut self) {
        self.each(|log, _| log.flush(BEGIN).unwrap());
        self.hand.clear();
        for at in [0, 1] {
            // The one before is gone by then.
            self.logs[at] = Box::new(Log::new().open());
            self.logs[at] = self.engines[at].open();
        }
        self.rule();
        self.pay();
    }

    fn clamp(&mut self) {
        let now_ms = self.now_ms;
        self.alike(|log, _| {
            let mut rows = 0;
            loop {
                let pass = log
                    .clamp_due(now_ms, &|_, n| 20_000 + i64::from(n), 3)
                    .unwrap();
                rows += pass.rows;
                if !pass.more {
                    return rows;
                }
            }
        });
    }

    fn step(&mut self) {
        self.now_ms += self.rng.ms(9_000);
        match self.rng.below(16) {
            0..4 => self.admit(),
            4..7 => self.look(),
            7..10 => self.record(),
            10 => self.post(),
            11 => self.cancel(),
            12 => self.redeliver(),
            13 if self.rng.is(4) => self.clamp(),
            13 if self.rng.is(3) => self.again(),
            13 => {
                self.hand.clear();
                self.each(|log, _| log.lost().tell());
            }
            14 => self.rule(),
            _ => self.look_on(),
        }
        self.judge();
    }

    fn look_on(&mut self) {
        let now_ms = self.now_ms;
        self.alike(|log, _| {
            log.held(now_ms)
                .unwrap()
                .into_iter()
                .collect::<BTreeMap<_, _>>()
        });
        self.alike(|log, _| log.gaps().unwrap());
        let ids: Vec<EventId> = (1..=self.events + 2).map(EventId::new).collect();
        self.alike(|log, _| log.traced(Generation::new(3), &ids).unwrap());
        let bodies = Bodies::ALL[self.rng.below(2)];
        self.each(|log, _| log.keep_bodies(bodies));
        if self.rng.is(1) {
            let (hand, name) = (self.in_hand(), WEBHOOKS[self.rng.below(4)]);
            self.alike(|log, at| {
                let in_hand = |_: &str, id| hand[at].contains(&id);
                log.cancel(name, 3, now_ms, &in_hand).unwrap()
            });
        }
        for (first, second) in self.some_pairs() {
            let holders = self.each(|log, at| log.holder([first, second][at]).unwrap());
            assert_eq!(holders[0].is_some(), holders[1].is_some());
        }
    }

    fn some_pairs(&mut self) -> Vec<(DeliveryId, DeliveryId)> {
        let [first, second] = self.some();
        first.into_iter().zip(second).collect()
    }

    /// Both say the same of all that there is.
    fn judge(&mut self) {
        self.alike(|log, _| log.states().unwrap());
        self.alike(|log, _| log.attempts().unwrap());
        self.alike(|log, _| log.take_released().unwrap());
        let back = self.each(|log, _| log.take_held_back());
        let webhooks = |of: &[(DeliveryId, Arc<str>)]| {
            let mut of: Vec<_> = of.iter().map(|(_, name)| name.clone()).collect();
            of.sort_unstable();
            of
        };
        assert_eq!(webhooks(&back[0]), webhooks(&back[1]));
        for (id, _) in &back[0] {
            self.hand.remove(id);
        }
        self.alike(|log, _| log.take_unreadable().len());
        self.alike(|log, _| log.pending_webhooks().unwrap());
        for name in WEBHOOKS {
            self.alike(|log, _| log.next_due(name).unwrap().map(|at_ms| at_ms.max(BEGIN)));
        }
    }

    /// What those who read are told.
    fn end(&mut self) {
        self.each(|log, _| log.flush(BEGIN).unwrap());
        let reads = [0, 1].map(|at| self.engines[at].reads());
        let health = [0, 1].map(|at| {
            let mut health = reads[at].health(self.now_ms).unwrap();
            let holding = health
                .iter_mut()
                .filter_map(|webhook| webhook.held.as_mut());
            // The only id in it.
            for holding in holding.filter_map(|held| held.holding.as_mut()) {
                holding.oldest = DeliveryId::NONE;
            }
            health
        });
        assert_eq!(health[0], health[1]);
        for (first, second) in &self.names {
            let rows = [reads[0].delivery(*first), reads[1].delivery(*second)];
            let [first, second] = rows.map(|row| {
                row.unwrap().map(|row| {
                    (
                        row.state,
                        row.attempts,
                        row.due_at_ms.map(|at_ms| at_ms.max(BEGIN)),
                        row.finished_at_ms,
                        row.webhook,
                    )
                })
            });
            assert_eq!(first, second);
        }
    }
}

#[test]
fn both_engines_answer_alike() {
    let Some(on) = postgres() else { return };
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let first: u64 = given("WEBHOOKSD_ALIKE_SEED").unwrap_or(1);
    let count: u64 = given("WEBHOOKSD_ALIKE_SEEDS").unwrap_or(SEEDS);
    for seed in first..first + count {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut both = Both::new(seed, ServerLog::new(on));
            for _ in 0..CALLS {
                both.step();
            }
            both.end();
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            let again = format!("WEBHOOKSD_ALIKE_SEED={seed} WEBHOOKSD_ALIKE_SEEDS=1");
            writeln!(std::io::stderr(), "again by {again}").unwrap();
            std::panic::resume_unwind(panic);
        }
    }
}
