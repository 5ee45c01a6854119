//! A node's connections to the tables: its roster and its log. What of the log says nothing of nodes is left to `silent`.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::costs::Work;
use super::shared::{Pending, Shared, State};
use crate::model::{
    Attempt, Batch, Bodies, DeliveryId, Dialect, Due, EventId, LogId, PayloadId, Trigger, Verdict,
};
use crate::store::parts::{Clamped, InHand, Queues, Records, Shares};
use crate::store::{Error, LogWriter, Lost, Me, NodeId, NodeRow, NodesLook, Roster, SlotRow};

/// One connection.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Shared,
    /// The server's, when it was made.
    timeline: Option<u32>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

fn away() -> Error {
    Error::Unlinked {
        path: PathBuf::new(),
    }
}

impl Connection {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            shared: shared.clone(),
            timeline: None,
        }
    }

    /// One statement. `Err` with whether the server is another one: the next call goes to that.
    fn call<R>(&mut self, call: impl FnOnce(&mut State) -> R) -> Result<R, (Error, bool)> {
        let timeline = &mut self.timeline;
        self.shared.with(|state| {
            if state.is_away() {
                return Err((away(), false));
            }
            let is_another = timeline.is_some_and(|of| of != state.timeline);
            *timeline = Some(state.timeline);
            if is_another {
                return Err((away(), true));
            }
            Ok(call(state))
        })
    }

    fn done<R>(&mut self, done: impl FnOnce(&mut State) -> R) -> Result<R, Error> {
        self.call(done).map_err(|(error, _)| error)
    }
}

impl Roster for Connection {
    fn beat(&mut self, me: &NodeId) -> Result<Option<NodesLook>, Error> {
        self.done(|state| {
            let tables = &mut state.tables;
            let beaten = tables.nodes.get_mut(&**me).map(|(_, beat)| *beat += 1);
            beaten?;
            let nodes = tables.nodes.iter();
            let node = |(id, (name, beat)): (&String, &(String, i64))| NodeRow {
                id: id.as_str().into(),
                name: name.clone(),
                version: String::new(),
                beat: *beat,
                config: None,
            };
            let slots = tables.owners.iter();
            let slot = |(slot, owner): (&i32, &Option<NodeId>)| SlotRow {
                slot: *slot,
                owner: owner.clone(),
                webhooks: i64::from((1..=state.webhooks).contains(slot)),
            };
            Some(NodesLook {
                nodes: nodes.map(node).collect(),
                slots: slots.map(slot).collect(),
                stamp: String::new(),
                timeline: state.timeline.to_string(),
                server_ms: None,
                agreed: Some(tables.agreed.to_string()),
            })
        })
    }

    fn register(&mut self, name: &str) -> Result<NodeId, Error> {
        self.done(|state| state.register(name))
    }

    fn tell(&mut self, _me: &NodeId, _config: &str) -> Result<(), Error> {
        self.done(|_| ())
    }

    fn bury(&mut self, dead: &NodeId, beat: i64) -> Result<bool, Error> {
        let now_ms = self.shared.now_ms();
        self.done(|state| {
            let tables = &mut state.tables;
            let is_there = tables.nodes.get(&**dead).is_some_and(|(_, b)| *b == beat);
            if is_there {
                tables.nodes.remove(&**dead);
                tables.free(dead);
                state.count("takeovers");
                state.note(|| format!("{now_ms}: {dead} is buried"));
            }
            is_there
        })
    }

    fn take(&mut self, me: &NodeId, slots: &[i32]) -> Result<Vec<i32>, Error> {
        let now_ms = self.shared.now_ms();
        self.done(|state| {
            let State { tables, .. } = state;
            let nodes = &tables.nodes;
            for owner in tables.owners.values_mut() {
                owner.take_if(|owner| !nodes.contains_key(&**owner));
            }
            let mut taken = Vec::new();
            for slot in slots.iter().filter(|_| nodes.contains_key(&**me)) {
                if let Some(owner @ None) = tables.owners.get_mut(slot) {
                    *owner = Some(me.clone());
                    taken.push(*slot);
                }
            }
            state.note(|| format!("{now_ms}: {me} takes {taken:?}"));
            taken
        })
    }

    fn give(&mut self, me: &NodeId, slots: &[i32]) -> Result<(), Error> {
        let now_ms = self.shared.now_ms();
        self.done(|state| {
            for slot in slots {
                if let Some(owner) = state.tables.owners.get_mut(slot) {
                    owner.take_if(|owner| owner == me);
                }
            }
            state.count("slots given");
            state.note(|| format!("{now_ms}: {me} gives {slots:?}"));
        })
    }

    fn leave(&mut self, me: &NodeId) -> Result<(), Error> {
        self.done(|state| {
            state.tables.nodes.remove(&**me);
            state.tables.free(me);
        })
    }

    fn agree(&mut self, timeline: &str) -> Result<(), Error> {
        let timeline = timeline.parse().unwrap();
        self.done(|state| state.tables.agreed = timeline)
    }

    fn webhooks(&mut self, slots: &[i32]) -> Result<Vec<(i32, Arc<str>, bool)>, Error> {
        self.done(|state| {
            let webhooks = 1..=state.webhooks;
            let slots = slots.iter().filter(|slot| webhooks.contains(slot));
            slots.map(|slot| (*slot, name(*slot), true)).collect()
        })
    }
}

/// A webhook's name.
pub(super) fn name(webhook: i32) -> Arc<str> {
    webhook.to_string().into()
}

/// The webhook of a name.
pub(super) fn number(name: &str) -> i32 {
    name.parse().unwrap()
}

/// A node's log.
#[derive(Debug)]
pub(super) struct Log {
    connection: Connection,
    me: Me,
    /// What others have written is looked for from there on.
    given_to: Option<i64>,
    /// The server has forgotten something, or this node was taken for dead: what memory let go of may be pending again.
    forgot: bool,
    lost: Lost,
}

impl Log {
    pub(super) fn new(shared: &Shared, me: Me) -> Self {
        Self {
            connection: Connection::new(shared),
            me,
            given_to: None,
            forgot: false,
            lost: Lost::default(),
        }
    }

    pub(super) fn call<R>(&mut self, call: impl FnOnce(&mut State) -> R) -> Result<R, Error> {
        self.connection.call(call).map_err(|(error, is_another)| {
            self.forgot |= is_another;
            error
        })
    }

    /// The same in a transaction that begins with this node's row; where that is gone, it takes another one.
    pub(super) fn commit<R>(
        &mut self,
        call: impl FnOnce(&mut State, &NodeId) -> R,
    ) -> Result<R, Error> {
        let me = self.me.clone();
        let (value, was_dead) = self.call(|state| {
            let was_dead = !state.tables.nodes.contains_key(&*me.id());
            if was_dead {
                me.become_anew(state.register(&me.name));
            }
            (call(state, &me.id()), was_dead)
        })?;
        self.forgot |= was_dead;
        Ok(value)
    }
}

fn due(id: i64, webhook: &Arc<str>, pending: &Pending) -> Due {
    Due {
        id: DeliveryId::new(id),
        event_id: EventId::new(id),
        event: "e".into(),
        webhook: webhook.clone(),
        dialect: Dialect::BoldCms,
        origin: Trigger::Event,
        attempts: pending.attempts,
        due_at_ms: pending.due_at_ms,
        created_at_ms: id / 1_024,
        payload_id: PayloadId::new(id),
        body: Bytes::from(id.to_string()),
        message: None,
        batch: None,
    }
}

impl LogWriter for Log {
    fn log_id(&self) -> LogId {
        LogId([0; 16])
    }

    fn states(&self) -> Result<Vec<(String, i64)>, Error> {
        Ok(Vec::new())
    }

    fn attempts(&self) -> Result<i64, Error> {
        Ok(0)
    }
}

impl Queues for Log {
    fn due(
        &mut self,
        webhook: &str,
        now_ms: i64,
        max_rows: usize,
        _max_bytes: usize,
        skip: &dyn Fn(DeliveryId) -> bool,
    ) -> Result<Vec<Due>, Error> {
        let (of, webhook) = (number(webhook), webhook.into());
        self.call(|state| {
            let pending = state.tables.of(of);
            let mut dues: Vec<(i64, &Pending)> = pending
                .filter(|(id, row)| row.due_at_ms <= now_ms && !skip(DeliveryId::new(*id)))
                .collect();
            dues.sort_by_key(|(id, row)| (row.due_at_ms, *id));
            dues.truncate(max_rows);
            let dues: Vec<Due> = dues
                .into_iter()
                .map(|(id, row)| due(id, &webhook, row))
                .collect();
            state.charge(Work::Reads(dues.len()));
            dues
        })
    }

    fn take_unreadable(&mut self) -> Vec<DeliveryId> {
        Vec::new()
    }

    fn next_due(&mut self, webhook: &str) -> Result<Option<i64>, Error> {
        self.next_due_after(webhook, i64::MIN)
    }

    fn next_due_after(&mut self, webhook: &str, after_ms: i64) -> Result<Option<i64>, Error> {
        let of = number(webhook);
        self.call(|state| {
            let pending = state.tables.of(of).map(|(_, row)| row.due_at_ms);
            pending.filter(|at| *at > after_ms).min()
        })
    }

    fn pending_webhooks(&mut self) -> Result<Vec<String>, Error> {
        self.call(|state| {
            let pending = state.tables.pending.keys();
            let names: BTreeSet<i32> = pending.map(|(webhook, _)| *webhook).collect();
            names
                .into_iter()
                .map(|webhook| webhook.to_string())
                .collect()
        })
    }

    fn lost(&self) -> Lost {
        self.lost.clone()
    }

    fn cancel(&mut self, _: &str, _: usize, _: i64, _: InHand<'_>) -> Result<usize, Error> {
        Ok(0)
    }

    fn clamp_due(
        &mut self,
        _: i64,
        _: &dyn Fn(Dialect, u32) -> i64,
        _: usize,
    ) -> Result<Clamped, Error> {
        Ok(Clamped::default())
    }

    fn held(&self, _: i64) -> Result<HashMap<String, i64>, Error> {
        Ok(HashMap::new())
    }

    fn changed(&mut self) -> Result<bool, Error> {
        self.call(|state| {
            state.charge(Work::Looks);
            false
        })
    }

    fn redelivered_since(&mut self, last_seen: i64) -> Result<(i64, Vec<String>), Error> {
        Ok((last_seen, Vec::new()))
    }
}

impl Records for Log {
    fn record(&mut self, attempts: &[Attempt]) -> Result<(), Error> {
        self.commit(|state, me| {
            state.charge(Work::Records(attempts.len()));
            for attempt in attempts {
                let slot = number(&attempt.due.webhook);
                let row = (slot, attempt.due.id.get());
                let owner = state.tables.owners[&slot].as_ref();
                let is_mine = owner.is_none_or(|owner| *owner == *me);
                match attempt.verdict {
                    Verdict::Delivered => {
                        state.tables.pending.remove(&row);
                    }
                    Verdict::RetryAt(at_ms) if is_mine => {
                        if let Some(row) = state.tables.pending.get_mut(&row) {
                            (row.attempts, row.due_at_ms) = (attempt.number, at_ms);
                        }
                    }
                    Verdict::Failed if is_mine => {
                        state.tables.pending.remove(&row);
                    }
                    Verdict::RetryAt(_) | Verdict::Failed => state.count("late results"),
                }
            }
        })
    }

    fn form(&mut self, _: &Batch) -> Result<(), Error> {
        Ok(())
    }

    fn holder(&self, _: DeliveryId) -> Result<Option<DeliveryId>, Error> {
        Ok(None)
    }

    fn keep_bodies(&mut self, _: Bodies) {}

    fn roll_up(&mut self, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self, _: i64) -> Result<(), Error> {
        self.commit(|_, _| ())
    }
}

impl Shares for Log {
    fn me(&self) -> Option<Me> {
        Some(self.me.clone())
    }

    fn given_by_others(&mut self) -> Result<Vec<Arc<str>>, Error> {
        let (after, all) = (self.given_to.unwrap_or(0), self.forgot);
        let after = if all { i64::MIN } else { after };
        let (given, newest) = self.call(|state| {
            let pending = &state.tables.pending;
            let has = |of: &i32| {
                let mut given = pending.range((*of, after.saturating_add(1))..=(*of, i64::MAX));
                given.next().is_some()
            };
            let given: Vec<i32> = (1..=state.webhooks).filter(has).collect();
            state.charge(Work::Looks);
            (given, state.tables.newest)
        })?;
        let newest = newest.max(self.given_to.unwrap_or(0));
        let is_first = self.given_to.replace(newest).is_none();
        self.forgot = false;
        let given = given.into_iter().filter(|_| !is_first || all);
        Ok(given.map(name).collect())
    }
}
