//! The oracle: what endpoints saw and what the log says, against what was promised.
//!
//! It knows the promises by itself and asks no rule of the product: the vendors' schedules are
//! written down here a second time. The first promise that is broken ends the run. Deliveries are
//! followed by their ids of the log, outbox rows by a number of the simulation's own in their data,
//! for ids come back when an outbox is restored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::endpoints::Behavior;
use super::hooks;
use super::hooks::Sending;
use super::own::Own;
use super::rng::Rng;
use super::rows::OutboxRow;
use super::together::{Batches, Meant};
use super::trace::Trace;
use super::vendors::{delay_ms, sends};
use super::world::paced::Hold;
use super::world::pausing::Standing;
use crate::model::clock::millis;
use crate::model::{Bodies, Clock, Dialect, Trigger, Webhook};
use crate::pipeline::send::UNRECORDED;
use crate::store::person::{Debt, Person};

/// Requests in flight that every webhook may have, whatever the global limit.
pub(super) const FLOOR: usize = 4;

/// Reads of a log that fails, within 5 s: ten polls and as many wake-ups from elsewhere.
const TRIES: usize = 50;

/// One request, as its endpoint saw it.
#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) number: u32,
    /// How many there may be in all, by its webhook of the moment.
    pub(super) sends: u32,
    pub(super) process: u32,
    /// When it ended: monotonic time, and forward steps of the wall clock until then.
    pub(super) ended: Option<(i64, i64)>,
    /// The same by the wall clock.
    pub(super) ended_wall_ms: i64,
    pub(super) status: Option<u16>,
    /// What that meant for this event, of a request of several.
    pub(super) meant: Meant,
    pub(super) recorded: bool,
}

/// A delivery, as its endpoint saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) webhook: String,
    pub(super) body: Option<Bytes>,
    pub(super) tries: Vec<Try>,
    pub(super) in_flight: bool,
    /// Whether it stands for the request, which counts once however many go in it.
    counted: bool,
    /// What the log must say of it; nothing before the log has it.
    pub(super) state: &'static str,
}

impl Sent {
    /// When the first result of this life ended that is not in the log.
    pub(super) fn waits_since(&self, process: u32) -> Option<i64> {
        let open = |t: &&Try| t.process == process && !t.recorded && t.ended.is_some();
        let first = self.tries.iter().find(open);
        first.and_then(|t| t.ended).map(|(ended_ms, _)| ended_ms)
    }

    /// Whether a request of this life is under way, or ended and is not in the log yet.
    pub(super) fn in_hand(&self, process: u32) -> bool {
        self.in_flight
            || self
                .tries
                .iter()
                .any(|t| t.process == process && !t.recorded)
    }
}

/// The oracle of one run.
pub(super) struct Oracle {
    pub(super) trace: Trace,
    pub(super) broken: Option<String>,
    /// Whose bodies the log keeps.
    pub(super) bodies: Bodies,
    pub(super) rng: Rng,
    pub(super) moods: BTreeMap<String, Behavior>,
    pub(super) person: Option<Person>,
    pub(super) process: u32,
    pub(super) clock: Option<(Clock, Instant)>,
    /// Monotonic milliseconds before this life.
    pub(super) before_ms: i64,
    /// All forward steps of the wall clock.
    pub(super) forward_ms: i64,
    pub(super) sent: BTreeMap<i64, Sent>,
    pub(super) in_flight: BTreeMap<Arc<str>, usize>,
    /// More than the limit only for what was begun under a larger one.
    bounds: BTreeMap<Arc<str>, usize>,
    pub(super) above_floor: usize,
    pub(super) rows: BTreeMap<i64, OutboxRow>,
    /// Ids are given anew, and the cursor has not gone back yet: it may.
    pub(super) put_back: bool,
    /// The clock was set back since the cursor was last set: what is written may look older than that.
    pub(super) turned_back: bool,
    /// The table was emptied, and the cursor has not gone back yet: it must.
    pub(super) emptied: bool,
    /// Ids of taken rows were given again in an outbox that is the same, and the cursor has not gone back
    /// yet: nothing else happens to its rows meanwhile.
    pub(super) given_again: bool,
    /// Columns that were changed in rows since the log last wrote prints of them.
    pub(super) columns: BTreeSet<&'static str>,
    /// Those of them that were never taken.
    pub(super) untaken: BTreeMap<i64, u64>,
    /// Numbers of rows that were admitted, set aside or wanted by nobody.
    pub(super) handled: BTreeSet<u64>,
    /// Where the log's cursor is, by its last commit.
    pub(super) cursor: (i64, i64),
    /// The configuration in force.
    pub(super) routes: Vec<Arc<Webhook>>,
    /// The one that the next exchange brings into force.
    pub(super) coming: Option<Vec<Arc<Webhook>>>,
    /// The deliveries that the log must have as pending, and the sum of their ids.
    pub(super) open: BTreeSet<i64>,
    pub(super) open_sum: i64,
    /// Deliveries that somebody has asked to cancel and got no answer of.
    pub(super) ordered: BTreeSet<i64>,
    /// What events owe to webhooks that don't answer.
    pub(super) owed: BTreeSet<Debt>,
    /// What happened, and how often.
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) last_attempt: i64,
    pub(super) last_delivery: i64,
    pub(super) attempts: u64,
    /// Requests of this life that ended and are not in the log yet.
    pub(super) unrecorded: usize,
    /// When something last happened that delays work for a poll and no longer.
    pub(super) disturbed_ms: i64,
    /// Since when a lane has due rows and room and takes none, and how many it had taken by then.
    pub(super) idle: BTreeMap<String, (i64, u64)>,
    /// Requests begun above the floor, by webhook.
    pub(super) above: BTreeMap<String, u64>,
    /// Who stands in line for a place: how many above the floor it and the others had begun by then.
    pub(super) waiting: BTreeMap<String, (u64, u64)>,
    /// When reads of the log failed lately.
    failed: VecDeque<i64>,
    pub(super) batches: Batches,
    /// When the last request of each webhook began in this life.
    pub(super) begun: BTreeMap<String, Instant>,
    /// The chance that an endpoint asks to wait, in weeks that have it.
    pub(super) waits: Option<Rng>,
    /// What endpoints asked for, as far as the log has it or this life knows it.
    pub(super) holds: Vec<Hold>,
    /// Webhooks that are paused, as far as somebody has to heed it.
    pub(super) held: BTreeMap<String, Standing>,
    /// Until when times in the log may be what a clock that was set made of them, monotonic.
    pub(super) set_until_ms: i64,
    /// Whether webhooks pause themselves in this week.
    pub(super) has_pauses: bool,
    pub(super) own: Own,
    /// The seed that decides who has an order.
    pub(super) orders: u64,
}

impl Oracle {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            trace: Trace::new(),
            broken: None,
            bodies: Bodies::All,
            rng,
            moods: BTreeMap::new(),
            person: None,
            process: 0,
            clock: None,
            before_ms: 0,
            forward_ms: 0,
            sent: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            bounds: BTreeMap::new(),
            above_floor: 0,
            rows: BTreeMap::new(),
            put_back: false,
            turned_back: false,
            emptied: false,
            given_again: false,
            columns: BTreeSet::new(),
            untaken: BTreeMap::new(),
            handled: BTreeSet::new(),
            cursor: (0, 0),
            routes: Vec::new(),
            coming: None,
            open: BTreeSet::new(),
            open_sum: 0,
            ordered: BTreeSet::new(),
            counts: BTreeMap::new(),
            last_attempt: 0,
            owed: BTreeSet::new(),
            last_delivery: 0,
            attempts: 0,
            unrecorded: 0,
            disturbed_ms: 0,
            idle: BTreeMap::new(),
            above: BTreeMap::new(),
            waiting: BTreeMap::new(),
            failed: VecDeque::new(),
            batches: Batches::default(),
            begun: BTreeMap::new(),
            waits: None,
            holds: Vec::new(),
            held: BTreeMap::new(),
            set_until_ms: 0,
            has_pauses: false,
            own: Own::default(),
            orders: 0,
        }
    }

    /// Monotonic milliseconds since the run began, through all lives.
    pub(super) fn mono_ms(&self) -> i64 {
        let process = self.clock.as_ref();
        self.before_ms + process.map_or(0, |(_, begun)| millis(begun.elapsed()))
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn note(&mut self, step: &str) {
        if self.broken.is_some() {
            return;
        }
        let (ms, process) = (self.mono_ms(), self.process);
        self.trace.add(format!("{ms:>10} #{process} {step}"));
    }

    /// A promise was broken: the run ends soon.
    pub(super) fn broke(&mut self, promise: &str) {
        self.note(&format!("BROKEN: {promise}"));
        if self.broken.is_none() {
            self.broken = Some(promise.to_owned());
        }
    }

    pub(super) fn mood(&self, webhook: &str) -> Behavior {
        self.moods
            .get(webhook)
            .copied()
            .unwrap_or(Behavior::Healthy)
    }

    pub(super) fn person(&self) -> &Person {
        self.person.as_ref().unwrap()
    }

    /// A request begins, or one of several in it; one of them is `counted`.
    pub(super) fn begin(
        &mut self,
        to: &Arc<str>,
        sending: &Sending,
        body: &Bytes,
        act: &str,
        counted: bool,
    ) {
        let (due, id) = (&sending.due, sending.due.id.get());
        if self
            .sent
            .get(&id)
            .is_some_and(|sent| !sent.tries.is_empty())
        {
            self.observe();
        }
        if self.unrecorded >= hooks::within(UNRECORDED) && self.unrecorded_of(to) >= FLOOR {
            let waiting = self.unrecorded;
            self.broke(&format!("{id} is sent while {waiting} results wait"));
        }
        if counted {
            self.begins_apart(to, sending.gap);
            self.begins_unasked(to);
        }
        let number = due.attempts + 1;
        self.note(&format!("send {id} to {to}, number {number}: {act}"));
        if due.origin != Trigger::Test {
            self.may_begin(id, to);
            self.stands_first(to, due, body);
        }
        if *due.webhook != **to {
            self.broke(&format!("delivery {id} of {} went to {to}", due.webhook));
        }
        match self.person().delivery(id) {
            None => self.broke(&format!("delivery {id} is sent and not in the log")),
            Some(row) if row.state != "pending" => {
                self.broke(&format!("delivery {id} is sent and {}", row.state));
            }
            Some(row) if row.attempts != due.attempts => self.broke(&format!(
                "delivery {id} is sent with {} attempts made, and the log says {}",
                due.attempts, row.attempts
            )),
            Some(_) => {}
        }
        let sends = sends(due.dialect, sending.max_attempts);
        if number > sends && due.dialect != Dialect::BoldFactory {
            self.broke(&format!("delivery {id} is sent {number} times of {sends}"));
        }
        if let Err(promise) = self.next_try_is_right(id, due.dialect, body) {
            self.broke(&format!("delivery {id}, number {number}: {promise}"));
        }
        let process = self.process;
        let sent = self.sent.entry(id).or_default();
        sent.webhook = to.to_string();
        sent.body.get_or_insert_with(|| body.clone());
        sent.in_flight = true;
        sent.counted = counted;
        sent.tries.push(Try {
            number,
            sends,
            process,
            ended: None,
            ended_wall_ms: 0,
            status: None,
            meant: Meant::default(),
            recorded: false,
        });
        if counted {
            self.flies(to, sending.max_in_flight);
        }
    }

    /// One request more is in flight, of no more than there may be.
    fn flies(&mut self, to: &Arc<str>, max_in_flight: usize) {
        let flying = self.in_flight.entry(to.clone()).or_default();
        *flying += 1;
        let flying = *flying;
        *self.above.entry(to.to_string()).or_default() += u64::from(flying > FLOOR);
        let bound = self.bounds.get(to).copied().unwrap_or(0);
        let bound = bound.max(max_in_flight);
        if flying > bound {
            self.broke(&format!("{to} has {flying} in flight of {bound}"));
        }
        let above: usize = self
            .in_flight
            .values()
            .map(|n| n.saturating_sub(FLOOR))
            .sum();
        if above > self.above_floor {
            let limit = self.above_floor;
            self.broke(&format!("{above} in flight above the floors of {limit}"));
        }
    }

    fn next_try_is_right(&self, id: i64, dialect: Dialect, body: &Bytes) -> Result<(), String> {
        let Some(sent) = self.sent.get(&id) else {
            return Ok(());
        };
        if sent.in_flight {
            return Err("is in flight already".into());
        }
        if sent.body.as_ref().is_some_and(|first| first != body) {
            return Err("has other bytes than before".into());
        }
        if sent.state != "pending" {
            return Err(format!("is {}", sent.state));
        }
        if sent.in_hand(self.process) {
            return Err("has a result that is not in the log yet".into());
        }
        let Some(last) = sent.tries.iter().rfind(|t| t.recorded) else {
            return Ok(());
        };
        let (ended_ms, forward_ms) = last.ended.unwrap_or_default();
        let gap_ms = self.mono_ms() - ended_ms;
        let stepped_ms = self.forward_ms - forward_ms;
        let least_ms = if last.meant.split {
            0
        } else {
            delay_ms(dialect, last.number)
        };
        if gap_ms + stepped_ms < least_ms {
            return Err(format!("comes {gap_ms} ms after the last, not {least_ms}"));
        }
        Ok(())
    }

    fn land(&mut self, id: i64) {
        let Some(sent) = self.sent.get_mut(&id) else {
            return;
        };
        sent.in_flight = false;
        if sent.counted
            && let Some(flying) = self.in_flight.get_mut(sent.webhook.as_str())
        {
            *flying -= 1;
        }
    }

    /// A request ended.
    pub(super) fn end(&mut self, id: i64, status: Option<u16>, meant: Meant) {
        self.note(&format!("ended {id}: {status:?}"));
        self.attempts += 1;
        self.unrecorded += 1;
        self.land(id);
        let ended = Some((self.mono_ms(), self.forward_ms));
        let wall_ms = self.clock.as_ref().map_or(0, |(clock, _)| clock.now_ms());
        let sent = self
            .sent
            .get_mut(&id)
            .and_then(|sent| sent.tries.last_mut());
        if let Some(last) = sent {
            (last.ended, last.status, last.meant) = (ended, status, meant);
            last.ended_wall_ms = wall_ms;
        }
    }

    /// Results of a webhook in this life that the log does not have.
    fn unrecorded_of(&self, webhook: &str) -> usize {
        let waits = |t: &&Try| t.process == self.process && t.ended.is_some() && !t.recorded;
        let of = |sent: &Sent| sent.tries.iter().filter(waits).count();
        self.sent
            .values()
            .filter(|sent| sent.webhook == webhook)
            .map(of)
            .sum()
    }

    /// Our own machine could not send.
    pub(super) fn not_sent(&mut self, id: i64) {
        self.land(id);
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.tries.pop();
        }
    }

    /// Takes note of the limits of a configuration, and of what is in flight above them.
    pub(super) fn limit(
        &mut self,
        webhooks: &[Arc<Webhook>],
        all: usize,
        active: &BTreeMap<Arc<str>, usize>,
    ) {
        self.bounds = active.clone();
        for webhook in webhooks {
            let bound = self.bounds.entry(webhook.name.clone()).or_default();
            *bound = (*bound).max(webhook.max_in_flight);
        }
        let above: usize = active.values().map(|n| n.saturating_sub(FLOOR)).sum();
        self.above_floor = above.max(all);
    }

    /// The process is gone. `orderly`: nothing may be in hand.
    pub(super) fn died(&mut self, orderly: bool) {
        if self.person.is_some() {
            self.observe();
        }
        let process = self.process;
        let in_hand: Vec<i64> = (self.sent.iter())
            .filter(|(_, sent)| sent.in_hand(process))
            .map(|(id, _)| *id)
            .collect();
        if orderly && !in_hand.is_empty() {
            self.broke(&format!(
                "after an orderly stop {in_hand:?} are not in the log"
            ));
        }
        for sent in self.sent.values_mut() {
            sent.in_flight = false;
        }
        self.in_flight.clear();
        self.ordered.clear();
        self.unrecorded = 0;
        self.idle.clear();
        self.waiting.clear();
        self.begun.clear();
        self.forget_unrecorded_holds();
        self.own_dies();
        self.before_ms = self.mono_ms();
        self.clock = None;
    }

    /// A redelivery has the bytes of what it repeats.
    pub(super) fn same_bytes(&mut self, of: i64, made: i64) {
        let body = self.sent.get(&of).and_then(|sent| sent.body.clone());
        self.sent.entry(made).or_default().body = body;
    }

    /// The log could not be read: who asks again and again at once floods the journal.
    pub(super) fn read_failed(&mut self) {
        let now_ms = self.mono_ms();
        self.failed.push_back(now_ms);
        if self.failed.len() > TRIES {
            let first_ms = self.failed.pop_front().unwrap_or_default();
            if now_ms - first_ms < 5_000 {
                self.broke(&format!("{TRIES} reads of a failing log within 5 s"));
            }
        }
    }
}
