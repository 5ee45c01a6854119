//! A member: when a node takes slots, lets go of them, and declares another one dead.
//!
//! It looks six times in the time of a lease, and each look counts its own beat up. A node whose beat stood still over
//! six looks is dead, and its slots are free; a look that was late itself says nothing about others, so the count begins
//! anew. What it owns is what the last look says, and attempts may begin for six tenths of a lease from when that was
//! asked for: by the time that another node can have taken over, nothing begins any more. Where a standby has taken over,
//! nothing begins for as long either, for it may lack the last that was agreed on. Whoever starts behind that knows of it by
//! the log, which has the timeline noted that its slots were last agreed on by: who leads notes another one once that time
//! is over. Slots are shared out evenly, those in use apart from the rest; whoever has too many lets go of those that
//! nothing of is in its hands. Left out: who calls it, and what is done with what it owns.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::pipeline::send::Node;
use crate::store::{Error, LEAD, Me, NodeId, NodeRow, NodesLook, Roster, SlotRow};

/// Looks in the time of a lease; a beat that stood still over so many is a dead node's.
pub(crate) const LOOKS: u32 = 6;

/// What a look has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The slots that are this node's.
    pub(crate) owned: BTreeSet<i32>,
    /// Of them, those that it is to let go of once nothing of them is in its hands.
    pub(crate) draining: BTreeSet<i32>,
    /// Those that became its own by this look.
    pub(crate) gained: BTreeSet<i32>,
    /// Attempts may begin until then, by the clock that the look was made with.
    pub(crate) until_ms: i64,
    /// Whether it had been declared dead, and is there anew.
    pub(crate) was_dead: bool,
    /// The nodes that it declared dead.
    pub(crate) buried: Vec<String>,
    /// Whether the run before this one was among them, known to have ended.
    pub(crate) succeeds: bool,
    /// Everybody who is there.
    pub(crate) nodes: Vec<Node>,
    /// Another one where a webhook came, went or became another slot's.
    pub(crate) stamp: String,
    /// What the server's clock said meanwhile, UNIX milliseconds.
    pub(crate) server_ms: Option<i64>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Member {
    me: Me,
    lease_ms: i64,
    /// Of this machine, and known to have ended: nobody waits for its beat to stand still.
    ended: Option<NodeId>,
    /// Under which row it looked last.
    looked_as: Option<NodeId>,
    /// Each other node's beat, and over how many looks it stood still.
    seen: HashMap<NodeId, (i64, u32)>,
    /// Those that lived beside another one of their name: both beats went on between the same two looks of this node. The
    /// row of a process that has ended stands still before the next one of its name can be seen to go on.
    doubles: HashSet<NodeId>,
    owned: BTreeSet<i32>,
    draining: BTreeSet<i32>,
    /// When the last look was asked for.
    looked_ms: Option<i64>,
    /// The server's, at the last look that was answered.
    timeline: Option<String>,
    /// Whether the log has that one noted. Where nothing was looked at, it is taken for so.
    is_agreed: bool,
    /// No attempt begins before that: another server has taken over.
    held_ms: i64,
}

impl Member {
    pub(crate) fn new(me: Me, lease_ms: i64) -> Self {
        Self {
            me,
            lease_ms,
            ended: None,
            looked_as: None,
            seen: HashMap::new(),
            doubles: HashSet::new(),
            owned: BTreeSet::new(),
            draining: BTreeSet::new(),
            looked_ms: None,
            timeline: None,
            is_agreed: true,
            held_ms: i64::MIN,
        }
    }

    /// The row of a process that is known to have ended is not waited for.
    pub(crate) fn after(mut self, ended: Option<NodeId>) -> Self {
        self.ended = ended;
        self
    }

    /// By which the log knows this node at the moment.
    pub(crate) fn id(&self) -> NodeId {
        self.me.id()
    }

    /// Between two looks, milliseconds.
    pub(crate) fn period_ms(&self) -> i64 {
        self.lease_ms / i64::from(LOOKS)
    }

    /// One look and what follows from it. `now_ms` is a clock that goes on while the machine sleeps; `is_let_go`: whether
    /// nothing of a slot is in this node's hands.
    ///
    /// # Errors
    /// As of the roster: then what was owned is owned no longer than was said.
    pub(crate) fn look(
        &mut self,
        roster: &mut dyn Roster,
        now_ms: &dyn Fn() -> i64,
        is_let_go: &dyn Fn(i32) -> bool,
    ) -> Result<Standing, Error> {
        let begun_ms = now_ms();
        if self
            .looked_as
            .as_ref()
            .is_some_and(|of| *of != self.me.id())
        {
            // Who records found it dead first, and has taken another row: what it owned was others' meanwhile.
            return Ok(self.begin_anew());
        }
        let Some(mut look) = roster.beat(&self.me.id())? else {
            let id = roster.register(&self.me.name)?;
            self.me.become_anew(id);
            return Ok(self.begin_anew());
        };
        self.looked_as = Some(self.me.id());
        self.note_server(&look, begun_ms);
        let is_late = self.is_late(begun_ms, now_ms());
        self.looked_ms = Some(begun_ms);
        let mut buried = self.bury(roster, &mut look, is_late)?;
        let before = buried.len();
        buried.retain(|node| self.ended.as_ref() != Some(&node.id));
        let succeeds = buried.len() < before;
        let before = std::mem::take(&mut self.owned);
        let me = self.me.id();
        let mine = |owner: &Option<NodeId>| owner.as_ref() == Some(&me);
        let all = look.slots.iter();
        self.owned = all
            .filter(|row| mine(&row.owner))
            .map(|row| row.slot)
            .collect();
        self.share_out(roster, &look, is_let_go)?;
        if !self.is_agreed && begun_ms >= self.held_ms && self.owned.contains(&LEAD) {
            // Where it can't be noted, whoever starts here waits for it once more.
            self.is_agreed = roster.agree(&look.timeline).is_ok();
        }
        Ok(Standing {
            gained: self.owned.difference(&before).copied().collect(),
            owned: self.owned.clone(),
            draining: self.draining.clone(),
            until_ms: self.until_ms(begun_ms),
            was_dead: false,
            buried: buried.into_iter().map(|node| node.name).collect(),
            succeeds,
            nodes: self.shown(&look),
            stamp: look.stamp,
            server_ms: look.server_ms,
        })
    }

    fn shown(&self, look: &NodesLook) -> Vec<Node> {
        let me = self.me.id();
        let of = |id: &NodeId| {
            let slots = look.slots.iter();
            let owned = slots.filter(|row| match &row.owner {
                _ if self.owned.contains(&row.slot) => *id == me,
                owner => owner.as_ref() == Some(id),
            });
            owned.map(|row| row.webhooks).sum()
        };
        let lead = look.slots.iter().find(|row| row.slot == LEAD);
        let lead = match lead.and_then(|row| row.owner.clone()) {
            _ if self.owned.contains(&LEAD) => Some(me.clone()),
            owner => owner,
        };
        let leading = look
            .nodes
            .iter()
            .find(|node| Some(&node.id) == lead.as_ref());
        // Another version may know other keys, and one that is just starting has not said it.
        let differs = |node: &NodeRow, lead: &NodeRow| {
            let said = node.config.is_some() && lead.config.is_some();
            said && node.version == lead.version && node.config != lead.config
        };
        let seen = |node: &NodeRow| Node {
            id: node.id.clone(),
            name: node.name.clone(),
            version: node.version.clone(),
            config: node.config.clone(),
            leads: Some(&node.id) == lead.as_ref(),
            differs: leading.is_some_and(|lead| differs(node, lead)),
            webhooks: of(&node.id),
            last_beat_ms: self
                .seen
                .get(&node.id)
                .map_or(0, |(_, looks)| i64::from(*looks) * self.period_ms()),
            me: node.id == me,
            is_double: self.doubles.contains(&node.id),
        };
        look.nodes.iter().map(seen).collect()
    }

    /// Leaves, so that the others need not wait for its beat to stand still.
    ///
    /// # Errors
    /// As of the roster.
    pub(crate) fn leave(&mut self, roster: &mut dyn Roster) -> Result<(), Error> {
        self.owned.clear();
        roster.leave(&self.me.id())
    }

    /// It was taken for dead, and has a row anew: nothing is its own until the next look.
    fn begin_anew(&mut self) -> Standing {
        *self = Self {
            timeline: self.timeline.take(),
            is_agreed: self.is_agreed,
            held_ms: self.held_ms,
            ..Self::new(self.me.clone(), self.lease_ms)
        };
        Standing {
            was_dead: true,
            until_ms: i64::MIN,
            ..Standing::default()
        }
    }

    /// For how long attempts may begin behind a look that was asked for then.
    fn lasts_ms(&self) -> i64 {
        self.lease_ms * 6 / 10
    }

    fn until_ms(&self, begun_ms: i64) -> i64 {
        if begun_ms < self.held_ms {
            i64::MIN
        } else {
            begun_ms + self.lasts_ms()
        }
    }

    /// A standby that takes over may lack the last that was agreed on: another node may have been given, before, what is
    /// this one's here. That one goes by its last look for no longer than this. Who was not there before goes by what the
    /// log has noted; and two standbys of one server may take the same timeline, one after the other.
    fn note_server(&mut self, look: &NodesLook, begun_ms: i64) {
        let before = self.timeline.replace(look.timeline.clone());
        let is_another = before.is_some_and(|before| before != look.timeline);
        let is_agreed = look.agreed.as_ref() == Some(&look.timeline);
        let was_agreed = std::mem::replace(&mut self.is_agreed, is_agreed);
        if is_another || (was_agreed && !is_agreed) {
            self.held_ms = begun_ms + self.lasts_ms();
        }
    }

    /// Whether a look says nothing about others: its answer took longer than a period, or it came long after the last.
    fn is_late(&self, begun_ms: i64, answered_ms: i64) -> bool {
        let period_ms = self.period_ms();
        let since_ms = self.looked_ms.map_or(0, |last_ms| begun_ms - last_ms);
        answered_ms - begun_ms > period_ms || since_ms > period_ms * 2
    }

    /// Takes note of the others' beats, and declares dead whose stood still for long enough.
    fn bury(
        &mut self,
        roster: &mut dyn Roster,
        look: &mut NodesLook,
        is_late: bool,
    ) -> Result<Vec<NodeRow>, Error> {
        let me = self.me.id();
        let before = std::mem::take(&mut self.seen);
        self.note_doubles(&before, look);
        let mut buried = Vec::new();
        for node in look.nodes.iter().filter(|node| node.id != me) {
            let stood = match before.get(&node.id) {
                Some((beat, looks)) if *beat == node.beat && !is_late => looks + 1,
                _ => 0,
            };
            // What its last statement does, which may still be on its way, is seen by its beat.
            let has_ended = self.ended.as_ref() == Some(&node.id);
            if (stood >= LOOKS || has_ended) && roster.bury(&node.id, node.beat)? {
                buried.push(node.id.clone());
                continue;
            }
            self.seen.insert(node.id.clone(), (node.beat, stood));
        }
        let is_gone = |id: &NodeId| buried.contains(id);
        for slot in &mut look.slots {
            slot.owner.take_if(|owner| is_gone(owner));
        }
        let (gone, there) = look.nodes.drain(..).partition(|node| is_gone(&node.id));
        look.nodes = there;
        Ok(gone)
    }

    /// Takes note of nodes that have one name, and of which each went on since the last look.
    fn note_doubles(&mut self, before: &HashMap<NodeId, (i64, u32)>, look: &NodesLook) {
        let me = self.me.id();
        let goes_on = |node: &&NodeRow| {
            let beat = before.get(&node.id).map(|(beat, _)| *beat);
            node.id == me || beat.is_some_and(|beat| beat != node.beat)
        };
        let living: Vec<&NodeRow> = look.nodes.iter().filter(goes_on).collect();
        let mut names: HashMap<&str, usize> = HashMap::new();
        for node in &living {
            *names.entry(&node.name).or_default() += 1;
        }
        self.doubles
            .retain(|id| look.nodes.iter().any(|node| node.id == *id));
        let doubles = living
            .iter()
            .filter(|node| names.get(&*node.name) > Some(&1));
        self.doubles.extend(doubles.map(|node| node.id.clone()));
    }

    /// How many of these slots are this node's: an even part, and what is left over is for those who have most already,
    /// so that little moves.
    fn part_of(&self, class: &[&SlotRow], look: &NodesLook) -> usize {
        let me = self.me.id();
        let has = |id: &NodeId| {
            let owned = class.iter().filter(|row| match &row.owner {
                _ if self.owned.contains(&row.slot) => *id == me,
                owner => owner.as_ref() == Some(id),
            });
            owned.count()
        };
        let rank = |id: &NodeId| (std::cmp::Reverse(has(id)), id.clone());
        let mine = rank(&me);
        let before = look
            .nodes
            .iter()
            .filter(|node| rank(&node.id) < mine)
            .count();
        let nodes = look.nodes.len().max(1);
        class.len() / nodes + usize::from(before < class.len() % nodes)
    }

    /// Takes what is free up to this node's part, and lets go of what is above it.
    fn share_out(
        &mut self,
        roster: &mut dyn Roster,
        look: &NodesLook,
        is_let_go: &dyn Fn(i32) -> bool,
    ) -> Result<(), Error> {
        let is_there = |owner: &NodeId| look.nodes.iter().any(|node| node.id == *owner);
        let (mut wanted, mut surplus) = (Vec::new(), Vec::new());
        for used in [true, false] {
            let class: Vec<_> = look
                .slots
                .iter()
                .filter(|row| row.is_used() == used)
                .collect();
            let part = self.part_of(&class, look);
            let mine = class.iter().filter(|row| self.owned.contains(&row.slot));
            let mine: Vec<i32> = mine.map(|row| row.slot).collect();
            let free = class
                .iter()
                .filter(|row| !row.owner.as_ref().is_some_and(is_there));
            let lacking = part.saturating_sub(mine.len());
            wanted.extend(free.take(lacking).map(|row| row.slot));
            // The lead's goes last: whoever has it keeps it.
            let above = mine.len().saturating_sub(part);
            surplus.extend(
                mine.into_iter()
                    .filter(|slot| *slot != LEAD)
                    .rev()
                    .take(above),
            );
        }
        let me = self.me.id();
        if !wanted.is_empty() {
            self.owned.extend(roster.take(&me, &wanted)?);
        }
        let before = std::mem::replace(&mut self.draining, surplus.into_iter().collect());
        // Its lanes are shut since the last look, so that nothing of it begins any more.
        let shut = self.draining.intersection(&before).copied();
        let given: Vec<i32> = shut.filter(|slot| is_let_go(*slot)).collect();
        if !given.is_empty() {
            roster.give(&me, &given)?;
            for slot in given {
                self.owned.remove(&slot);
                self.draining.remove(&slot);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
