//! Nodes in simulated time: they are stopped, killed, slow to hear from the log and late to look, and their looks
//! come between each other's statements in every order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::store::NodesLook;
use crate::store::SlotRow;

mod behind;
mod told;

const LEASE_MS: i64 = 3_000;

/// From a node's death until every slot in use is somebody's: six looks, the one before, and what a look takes.
const TAKEN_OVER_MS: i64 = 4_000;

/// From this seed on a process knows of the one before that it has ended.
const KNOWING: u64 = 1_000_000;

/// What each took by what it saw of the others may be more than its part: until that is even again, and somebody's.
const SETTLED_MS: i64 = 4 * LEASE_MS / 6;

/// `SplitMix64`.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

/// The tables.
#[derive(Debug, Default)]
struct Table {
    nodes: BTreeMap<String, (String, i64)>,
    owners: BTreeMap<i32, Option<NodeId>>,
    configs: BTreeMap<String, String>,
    used: i32,
    ids: i64,
    /// The server's timeline, and the one that is noted.
    timeline: String,
    agreed: String,
}

/// A node: its member while it is not looking, and what it goes by.
struct Node {
    name: String,
    member: Option<Member>,
    standing: Standing,
    next_ms: i64,
    /// Stopped, as by SIGSTOP, until then.
    stopped_ms: i64,
    is_dead: bool,
}

struct World {
    now_ms: Cell<i64>,
    dice: RefCell<Dice>,
    table: RefCell<Table>,
    nodes: Vec<RefCell<Node>>,
    /// No faults and no delays any more.
    is_calm: Cell<bool>,
    /// A process that starts knows of the one before that it has ended.
    knows: Cell<bool>,
    /// Since when a slot in use has nobody who may begin.
    orphaned_ms: RefCell<BTreeMap<i32, i64>>,
}

/// A node's connection, to the world of this thread: what is behind it is in the midst of its own calls.
#[derive(Clone, Copy, Debug)]
struct Connection;

impl Connection {
    /// A statement is on its way for some time, in which the others go on; the node itself may be stopped meanwhile.
    fn on_the_way(&self) {
        let world = world();
        if world.is_calm.get() {
            return;
        }
        let what = world.dice.borrow_mut().roll(60);
        let wait_ms = match what {
            0 => 200 + world.dice.borrow_mut().roll(4_000),
            1..=5 => world.dice.borrow_mut().roll(400),
            _ => return,
        };
        world.run_until(world.now_ms.get() + wait_ms);
    }

    fn call<R>(&self, call: impl FnOnce(&mut Table) -> R) -> R {
        self.on_the_way();
        let done = call(&mut world().table.borrow_mut());
        self.on_the_way();
        done
    }
}

impl Roster for Connection {
    fn beat(&mut self, me: &NodeId) -> Result<Option<NodesLook>, Error> {
        let beaten = self.call(|table| table.nodes.get_mut(&**me).map(|(_, beat)| *beat += 1));
        if beaten.is_none() {
            return Ok(None);
        }
        let nodes = self.call(|table| {
            let nodes = table.nodes.iter();
            let row = |(id, (name, beat)): (&String, &(String, i64))| NodeRow {
                id: id.as_str().into(),
                name: name.clone(),
                version: String::new(),
                config: table.configs.get(id).cloned(),
                beat: *beat,
            };
            nodes.map(row).collect()
        });
        let slots = self.call(|table| {
            let used = table.used;
            let rows = table.owners.iter().map(|(slot, owner)| SlotRow {
                slot: *slot,
                owner: owner.clone(),
                webhooks: i64::from(*slot > 0 && *slot <= used),
            });
            rows.collect()
        });
        Ok(Some(NodesLook {
            nodes,
            slots,
            stamp: String::new(),
            timeline: world().table.borrow().timeline.clone(),
            agreed: Some(world().table.borrow().agreed.clone()),
            server_ms: None,
        }))
    }

    fn register(&mut self, name: &str) -> Result<NodeId, Error> {
        Ok(self.call(|table| {
            table.ids += 1;
            let id = format!("{name}-{}", table.ids);
            table.nodes.insert(id.clone(), (name.to_owned(), 0));
            id.into()
        }))
    }

    fn tell(&mut self, me: &NodeId, config: &str) -> Result<(), Error> {
        let (me, config) = (me.to_string(), config.to_owned());
        self.call(|table| table.configs.insert(me, config));
        Ok(())
    }

    fn bury(&mut self, dead: &NodeId, beat: i64) -> Result<bool, Error> {
        Ok(self.call(|table| {
            let is_there = table.nodes.get(&**dead).is_some_and(|(_, b)| *b == beat);
            if is_there {
                table.nodes.remove(&**dead);
                table.free(dead);
            }
            is_there
        }))
    }

    fn take(&mut self, me: &NodeId, slots: &[i32]) -> Result<Vec<i32>, Error> {
        self.call(|table| {
            let there: Vec<String> = table.nodes.keys().cloned().collect();
            let is_gone = |owner: &mut NodeId| !there.iter().any(|id| **id == **owner);
            for owner in table.owners.values_mut() {
                owner.take_if(is_gone);
            }
        });
        Ok(self.call(|table| {
            let mut taken = Vec::new();
            if !table.nodes.contains_key(&**me) {
                return taken;
            }
            for slot in slots {
                if let Some(owner @ None) = table.owners.get_mut(slot) {
                    *owner = Some(me.clone());
                    taken.push(*slot);
                }
            }
            taken
        }))
    }

    fn give(&mut self, me: &NodeId, slots: &[i32]) -> Result<(), Error> {
        self.call(|table| {
            for slot in slots {
                if let Some(owner) = table.owners.get_mut(slot) {
                    owner.take_if(|owner| owner == me);
                }
            }
        });
        Ok(())
    }

    fn leave(&mut self, me: &NodeId) -> Result<(), Error> {
        self.call(|table| {
            table.nodes.remove(&**me);
            table.free(me);
        });
        Ok(())
    }

    fn agree(&mut self, timeline: &str) -> Result<(), Error> {
        let timeline = timeline.to_owned();
        self.call(|table| table.agreed = timeline);
        Ok(())
    }

    fn webhooks(&mut self, _slots: &[i32]) -> Result<Vec<(i32, Arc<str>, bool)>, Error> {
        Ok(Vec::new())
    }
}

impl Table {
    fn free(&mut self, gone: &NodeId) {
        for owner in self.owners.values_mut() {
            owner.take_if(|owner| owner == gone);
        }
    }
}

impl World {
    fn new(seed: u64, nodes: usize, used: i32) -> Rc<Self> {
        let owners = (0..=16).map(|slot| (slot, None)).collect();
        let world = Rc::new(Self {
            now_ms: Cell::new(0),
            dice: RefCell::new(Dice(seed)),
            table: RefCell::new(Table {
                owners,
                used,
                ..Table::default()
            }),
            nodes: (0..nodes).map(|at| RefCell::new(Node::new(at))).collect(),
            is_calm: Cell::new(true),
            knows: Cell::new(false),
            orphaned_ms: RefCell::default(),
        });
        RUNNING.with(|running| *running.borrow_mut() = Some(world.clone()));
        for of in 0..nodes {
            world.start(of);
        }
        world.is_calm.set(false);
        world
    }

    /// A process starts.
    fn start(&self, of: usize) {
        let name = self.nodes[of].borrow().name.clone();
        let id = Connection.register(&name).unwrap();
        let mut node = self.nodes[of].borrow_mut();
        let me = Me::new(id, name.into());
        let before = node.member.take().filter(|_| self.knows.get());
        let member = Member::new(me, LEASE_MS).after(before.map(|member| member.id()));
        (node.member, node.is_dead) = (Some(member), false);
        (node.standing, node.next_ms) = (Standing::default(), self.now_ms.get());
        node.stopped_ms = 0;
    }
}

/// Kept apart from [`World`]: it is the scheduler.
impl World {
    /// Lets everybody who is not in the middle of a look go on until then.
    fn run_until(&self, until_ms: i64) {
        // What is borrowed is a node in the middle of a look.
        loop {
            let next = self.nodes.iter().enumerate().filter_map(|(of, node)| {
                let node = node.try_borrow().ok()?;
                let can = node.member.is_some() && !node.is_dead;
                can.then(|| (node.next_ms.max(node.stopped_ms), of))
            });
            let Some((at_ms, of)) = next.min().filter(|(at_ms, _)| *at_ms <= until_ms) else {
                self.now_ms.set(self.now_ms.get().max(until_ms));
                self.judge();
                return;
            };
            self.now_ms.set(self.now_ms.get().max(at_ms));
            self.judge();
            self.look(of);
            self.judge();
        }
    }

    /// One look of a node, with whatever comes between its statements.
    fn look(&self, of: usize) {
        let mut member = self.nodes[of].borrow_mut().member.take().unwrap();
        let begun_ms = self.now_ms.get();
        let standing = member.look(&mut Connection, &|| self.now_ms.get(), &|_| {
            self.dice.borrow_mut().roll(3) > 0
        });
        let mut node = self.nodes[of].borrow_mut();
        if node.is_dead {
            return;
        }
        let late_ms = if self.is_calm.get() {
            0
        } else {
            self.dice.borrow_mut().roll(120)
        };
        node.next_ms = begun_ms + member.period_ms() + late_ms;
        (node.member, node.standing) = (Some(member), standing.unwrap());
    }

    /// Of each slot one node at most may begin attempts at any moment.
    fn judge(&self) {
        let (now_ms, used) = (self.now_ms.get(), self.table.borrow().used);
        let mut orphaned = self.orphaned_ms.borrow_mut();
        for slot in 0..=16 {
            let may = self.nodes.iter().filter_map(|node| {
                let node = node.try_borrow().ok()?;
                let standing = &node.standing;
                let may = !node.is_dead
                    && now_ms >= node.stopped_ms
                    && now_ms < standing.until_ms
                    && standing.owned.contains(&slot)
                    && !standing.draining.contains(&slot);
                may.then(|| node.name.clone())
            });
            let may: Vec<String> = may.collect();
            assert!(may.len() <= 1, "slot {slot} at {now_ms} ms: {may:?}");
            if may.is_empty() && slot <= used {
                orphaned.entry(slot).or_insert(now_ms);
            } else {
                orphaned.remove(&slot);
            }
        }
    }

    /// Something happens to somebody.
    fn fault(&self) {
        let of = usize::try_from(
            self.dice
                .borrow_mut()
                .roll(i64::try_from(self.nodes.len()).unwrap()),
        );
        let of = of.unwrap();
        if self.nodes[of].borrow().is_dead {
            return self.start(of);
        }
        let what = self.dice.borrow_mut().roll(4);
        let mut node = self.nodes[of].borrow_mut();
        match what {
            0 => node.is_dead = true,
            1 => {
                let for_ms = 300 + self.dice.borrow_mut().roll(6_000);
                node.stopped_ms = self.now_ms.get() + for_ms;
            }
            2 => {
                let mut member = node.member.take().unwrap();
                (node.is_dead, node.standing) = (true, Standing::default());
                drop(node);
                member.leave(&mut Connection).unwrap();
            }
            _ => {}
        }
    }
}

impl Node {
    fn new(at: usize) -> Self {
        Self {
            name: format!("n{at}"),
            member: None,
            standing: Standing::default(),
            next_ms: 0,
            stopped_ms: 0,
            is_dead: true,
        }
    }
}

/// The world of this thread.
fn world() -> Rc<World> {
    RUNNING.with(|running| running.borrow().clone()).unwrap()
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

fn simulate(seed: u64) {
    let mut dice = Dice(seed ^ 0xabcd);
    let nodes = usize::try_from(2 + dice.roll(4)).unwrap();
    let world = World::new(seed, nodes, i32::try_from(dice.roll(12)).unwrap());
    world.knows.set(seed >= KNOWING);
    for _ in 0..12 {
        world.run_until(world.now_ms.get() + dice.roll(5_000));
        world.fault();
    }
    // Nothing happens any more: whoever lives has all of it soon, in even parts.
    world.is_calm.set(true);
    if world.nodes.iter().all(|node| node.borrow().is_dead) {
        world.start(0);
    }
    let stopped = world
        .nodes
        .iter()
        .map(|node| node.borrow().stopped_ms)
        .max();
    let calm_ms = world.now_ms.get().max(stopped.unwrap_or(0));
    world.run_until(calm_ms + TAKEN_OVER_MS + SETTLED_MS);
    assert!(
        world.orphaned_ms.borrow().is_empty(),
        "seed {seed}: {:?}",
        world.orphaned_ms
    );
    world.run_until(world.now_ms.get() + 12 * LEASE_MS / 6 * 6);
    let living = world.nodes.iter().filter(|node| !node.borrow().is_dead);
    let parts: Vec<usize> = living
        .map(|node| node.borrow().standing.owned.len())
        .collect();
    let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
    assert!(most - least <= 3, "seed {seed}: {parts:?}");
    assert_eq!(parts.iter().sum::<usize>(), 17, "seed {seed}");
    RUNNING.with(|running| *running.borrow_mut() = None);
}

#[test]
fn no_slot_is_two_nodes_and_none_is_nobodys_for_long() {
    let first = std::env::var("WEBHOOKSD_SIM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let count = std::env::var("WEBHOOKSD_SIM_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    let first = first.unwrap_or(0);
    for seed in first..first + count.unwrap_or(1_000) {
        simulate(seed);
    }
}

#[test]
fn a_dead_nodes_slots_are_taken_over_in_time() {
    for seed in 0..50 {
        let world = World::new(seed, 3, 9);
        world.is_calm.set(true);
        world.run_until(20_000 + Dice(seed).roll(LEASE_MS / 6));
        assert!(world.orphaned_ms.borrow().is_empty());
        let died_ms = world.now_ms.get();
        world.nodes[usize::try_from(seed % 3).unwrap()]
            .borrow_mut()
            .is_dead = true;
        world.run_until(died_ms + TAKEN_OVER_MS);
        assert!(world.orphaned_ms.borrow().is_empty(), "seed {seed}");
        RUNNING.with(|running| *running.borrow_mut() = None);
    }
}

#[test]
fn a_node_alone_has_all_at_once_and_shares_with_the_next() {
    let world = World::new(1, 1, 3);
    world.is_calm.set(true);
    world.run_until(0);
    assert_eq!(world.nodes[0].borrow().standing.owned.len(), 17);
    RUNNING.with(|running| *running.borrow_mut() = None);
}
