//! The ledger: what the log said after each kill, which later logs may only add to, and the
//! reckoning at the end between outbox, log and receivers.

use std::collections::{BTreeMap, BTreeSet};

use super::load::Written;
use super::scene::WANTED;
use crate::support::{Received, Receiver, World};

/// What of an attempt's time may be the machine's and not the daemon's.
const SLACK_MS: i64 = 100;

/// No request is in flight for longer than its time-outs together.
const IN_FLIGHT_MS: i64 = 12_000;

#[derive(Clone, Debug)]
struct Delivery {
    webhook: String,
    event_id: i64,
    origin: String,
    state: String,
    /// Of attempts in the log.
    attempts: i64,
    /// Its rows may be deleted.
    aged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    delivery: i64,
    began_ms: i64,
    ended_ms: i64,
    outcome: String,
    /// Whether there was an answer.
    answered: bool,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// When a daemon was seen dead, UNIX milliseconds.
    kills: Vec<i64>,
    /// Number and name of each event, by id.
    events: BTreeMap<i64, (i64, String)>,
    deliveries: BTreeMap<i64, Delivery>,
    attempts: BTreeMap<i64, Attempt>,
    /// When the log of a dead daemon first had a webhook's event as delivered.
    delivered: BTreeMap<(String, i64), i64>,
    /// Attempts up to this id may be deleted.
    aged_attempt: i64,
    cursor: i64,
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// A batch that came again had the bytes that it had before.
fn same_batches(webhook: &str, requests: &[Received]) {
    let mut batches: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for request in requests {
        let Some(id) = request.header("X-Webhook-Batch") else {
            continue;
        };
        let first = batches.entry(id).or_insert(&request.body);
        assert_eq!(*first, &*request.body, "{webhook}: {id} changed its bytes");
    }
}

/// One request for each event that a request brought.
fn events_of(request: &Received) -> Vec<Received> {
    let serde_json::Value::Array(events) = request.json() else {
        return vec![request.clone()];
    };
    let alone = |event: &serde_json::Value| Received {
        body: event.to_string().into_bytes(),
        ..request.clone()
    };
    events.iter().map(alone).collect()
}

impl Ledger {
    pub(super) fn kills(&self) -> usize {
        self.kills.len()
    }

    pub(super) fn killed(&mut self, at_ms: i64) {
        self.kills.push(at_ms);
    }

    /// What is known now is about to be older than its retention.
    pub(super) fn age(&mut self) {
        let ended = self
            .deliveries
            .values_mut()
            .filter(|d| d.state != "pending");
        ended.for_each(|delivery| delivery.aged = true);
        self.aged_attempt = self.attempts.keys().next_back().copied().unwrap_or(0);
    }

    /// Reads what a dead daemon left, and holds it against what was there before.
    pub(super) fn observe(&mut self, world: &World) {
        if !world.path("outbox.db").exists() {
            return;
        }
        self.observe_outbox(world);
        let log = world.path("log.db");
        if !log.exists()
            || world.number("SELECT count(*) FROM sqlite_schema WHERE name = 'cursor'") == 0
        {
            return;
        }
        assert_eq!(world.log("PRAGMA integrity_check"), [["ok"]]);
        let cursor = world.number("SELECT event_id FROM cursor");
        assert!(
            cursor >= self.cursor,
            "the cursor went from {} to {cursor}",
            self.cursor
        );
        self.cursor = cursor;
        self.observe_attempts(world);
        self.observe_deliveries(world);
        self.check_fan_out();
    }

    fn observe_outbox(&mut self, world: &World) {
        let outbox = world.outbox();
        let ask = |sql: &str| -> String { outbox.query_row(sql, (), |row| row.get(0)).unwrap() };
        assert_eq!(ask("PRAGMA integrity_check"), "ok");
        let last = self.events.keys().next_back().copied().unwrap_or(0);
        let mut statement = outbox
            .prepare("SELECT id, json_extract(data, '$.n'), event FROM outbox WHERE id > ?1")
            .unwrap();
        let rows = statement
            .query_map([last], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .unwrap();
        self.events.extend(rows.map(Result::unwrap));
    }

    fn observe_attempts(&mut self, world: &World) {
        let rows = world.log(
            "SELECT l.id, l.delivery_id, a.time, a.time + a.duration_us / 1000, l.outcome, l.status
               FROM log l JOIN attempt a ON a.id = l.id ORDER BY l.id",
        );
        let mut seen = BTreeMap::new();
        for row in rows {
            let attempt = Attempt {
                delivery: number(&row[1]),
                began_ms: number(&row[2]),
                ended_ms: number(&row[3]),
                outcome: row[4].clone(),
                answered: row[5] != "NULL",
            };
            seen.insert(number(&row[0]), attempt);
        }
        for (id, known) in &self.attempts {
            match seen.get(id) {
                // Its time was made older.
                Some(attempt) if *id <= self.aged_attempt => {
                    let of = |attempt: &Attempt| (attempt.delivery, attempt.outcome.clone());
                    assert_eq!(of(attempt), of(known), "attempt {id} changed");
                }
                Some(attempt) => assert_eq!(attempt, known, "attempt {id} changed"),
                None => assert!(*id <= self.aged_attempt, "attempt {id} was lost: {known:?}"),
            }
        }
        for (id, attempt) in seen {
            self.attempts.entry(id).or_insert(attempt);
        }
    }

    fn observe_deliveries(&mut self, world: &World) {
        let rows = world.log("SELECT id, webhook, event_id, origin, state, attempts FROM delivery");
        let mut counted: BTreeMap<i64, i64> = BTreeMap::new();
        for attempt in self.attempts.values() {
            *counted.entry(attempt.delivery).or_default() += 1;
        }
        let mut seen = BTreeSet::new();
        for row in rows {
            let (id, state) = (number(&row[0]), row[4].clone());
            seen.insert(id);
            let new = Delivery {
                webhook: row[1].clone(),
                event_id: number(&row[2]),
                origin: row[3].clone(),
                state: state.clone(),
                attempts: number(&row[5]),
                aged: false,
            };
            let made = counted.get(&id).copied().unwrap_or(0);
            assert_eq!(
                made, new.attempts,
                "attempts in the log of delivery {id}: {new:?}"
            );
            if state == "delivered" {
                let key = (new.webhook.clone(), new.event_id);
                let at_ms = self.kills.last().copied().unwrap_or(i64::MAX);
                self.delivered.entry(key).or_insert(at_ms);
            }
            let known = self.deliveries.entry(id).or_insert_with(|| new.clone());
            let ends = known.state == "pending" || known.state == state || state == "delivered";
            assert!(ends, "delivery {id} went from {known:?} to {state}");
            (known.state, known.attempts) = (state, new.attempts);
        }
        for (id, known) in &self.deliveries {
            let there = seen.contains(id) || known.aged;
            assert!(there, "delivery {id} was lost: {known:?}");
        }
    }

    /// Each event up to the cursor has one delivery for each webhook that wants it.
    fn check_fan_out(&self) {
        let mut made: BTreeMap<(&str, i64), u32> = BTreeMap::new();
        for delivery in self.deliveries.values().filter(|d| d.origin == "event") {
            *made
                .entry((&delivery.webhook, delivery.event_id))
                .or_default() += 1;
        }
        for (id, (n, name)) in self.events.range(..=self.cursor) {
            for (webhook, names) in WANTED {
                let wanted = u32::from(names.contains(&name.as_str()));
                let count = made.get(&(webhook, *id)).copied().unwrap_or(0);
                assert_eq!(
                    count, wanted,
                    "deliveries of event {id} ({n}, {name}) for {webhook}"
                );
            }
        }
    }

    /// Everything has ended: nothing is missing, and nothing came that nothing explains.
    pub(super) fn reconcile(
        &self,
        world: &World,
        written: &Written,
        receivers: &BTreeMap<&'static str, Receiver>,
    ) {
        let mut ids: BTreeMap<i64, i64> = BTreeMap::new();
        for (id, (n, _)) in &self.events {
            assert_eq!(ids.insert(*n, *id), None, "{n} is in the outbox twice");
        }
        let answered = written
            .by_socket
            .iter()
            .filter_map(|(n, id)| Some((*n, (*id)?)));
        let committed = written.by_sql.iter().map(|(n, id)| (*n, *id));
        for (n, id) in committed.chain(answered.clone()) {
            assert_eq!(ids.get(&n), Some(&id), "event {n} was written as {id}");
        }
        let unanswered = written.by_socket.values().filter(|id| id.is_none()).count();
        println!(
            "{} events, {} by the socket ({unanswered} unanswered), {} deliveries, {} attempts",
            self.events.len(),
            answered.count(),
            self.deliveries.len(),
            self.attempts.len()
        );
        for (name, receiver) in receivers {
            let received = receiver.received();
            same_batches(name, &received);
            let events: Vec<Received> = received.iter().flat_map(events_of).collect();
            self.reconcile_one(name, &events);
        }
        self.check_sums(world);
    }

    fn check_sums(&self, world: &World) {
        let of = |origin: &str| {
            self.deliveries
                .values()
                .filter(|d| d.origin == origin)
                .count()
        };
        let replayed = world.number("SELECT coalesce(sum(done), 0) FROM replay");
        assert_eq!(
            of("replay"),
            usize::try_from(replayed).unwrap(),
            "replayed deliveries"
        );
        let rolled_up =
            world.number("SELECT sum(attempts) FROM rollup WHERE span = 'hour' AND start > 0");
        assert_eq!(
            self.attempts.len(),
            usize::try_from(rolled_up).unwrap(),
            "attempts rolled up"
        );
        let (again, redelivered) = (of("redelivery"), of("replay"));
        println!("{again} redelivered, {redelivered} replayed");
        assert!(again > 0 && redelivered > 0);
    }

    fn reconcile_one(&self, webhook: &str, requests: &[Received]) {
        let numbers: BTreeMap<i64, i64> =
            self.events.iter().map(|(id, (n, _))| (*id, *n)).collect();
        let mut came: BTreeMap<i64, Vec<&Received>> = BTreeMap::new();
        for request in requests {
            came.entry(request.n()).or_default().push(request);
        }
        let mut logged: BTreeMap<i64, Vec<&Attempt>> = BTreeMap::new();
        for attempt in self.attempts.values() {
            let delivery = &self.deliveries[&attempt.delivery];
            if delivery.webhook == webhook && delivery.origin != "test" {
                logged
                    .entry(numbers[&delivery.event_id])
                    .or_default()
                    .push(attempt);
            }
        }
        let delivered = self
            .deliveries
            .values()
            .filter(|d| d.webhook == webhook && d.state == "delivered");
        for delivery in delivered.filter(|d| d.origin != "test") {
            let n = numbers[&delivery.event_id];
            assert!(
                came.contains_key(&n),
                "{webhook} never got {n}, which the log has as delivered"
            );
        }
        let of_webhook = |d: &&Delivery| d.webhook == webhook && d.origin == "event";
        if WANTED.iter().any(|(name, _)| *name == webhook) {
            for delivery in self.deliveries.values().filter(of_webhook) {
                assert_eq!(delivery.state, "delivered", "{delivery:?}");
            }
        }
        let mut unlogged = 0;
        for (n, requests) in came.iter().filter(|(n, _)| **n >= 0) {
            let same = requests
                .iter()
                .all(|request| request.body == requests[0].body);
            assert!(same, "{webhook}: event {n} changed its bytes");
            let attempts = logged.remove(n).unwrap_or_default();
            let rest = self.unmatched(webhook, *n, requests, &attempts);
            let id = self.events.iter().find(|(_, (of, _))| of == n).unwrap().0;
            self.check_unlogged(webhook, *id, &rest);
            unlogged += rest.len();
        }
        let sent = requests.len();
        println!("{webhook}: {sent} requests, {unlogged} in flight at a kill");
    }

    /// The requests that no attempt in the log is.
    fn unmatched(
        &self,
        webhook: &str,
        n: i64,
        requests: &[&Received],
        attempts: &[&Attempt],
    ) -> Vec<i64> {
        let mut left: Vec<i64> = requests.iter().map(|request| request.at_ms).collect();
        left.sort_unstable();
        let mut take = |attempt: &Attempt, slack_ms| {
            let span = attempt.began_ms - 1..=attempt.ended_ms + slack_ms;
            let place = left.iter().position(|at_ms| span.contains(at_ms));
            place.map(|place| left.remove(place))
        };
        let mut given_up = Vec::new();
        for attempt in attempts {
            if take(attempt, SLACK_MS).is_none() {
                assert_ne!(
                    attempt.outcome, "delivered",
                    "{webhook}: {attempt:?} of event {n} is none of its requests"
                );
                given_up.push(attempt);
            }
        }
        // A receiver on a busy machine reads what was sent by who has given up meanwhile.
        for attempt in given_up.iter().filter(|attempt| !attempt.answered) {
            take(attempt, IN_FLIGHT_MS);
        }
        left
    }

    /// A request that is not in the log was in flight at a kill, and none came once the log of a
    /// dead daemon had the event as delivered (but where it was redelivered).
    fn check_unlogged(&self, webhook: &str, event_id: i64, requests: &[i64]) {
        let again = |d: &&Delivery| d.webhook == webhook && d.event_id == event_id;
        let again = self.deliveries.values().filter(again).count() > 1;
        let delivered = self.delivered.get(&(webhook.to_owned(), event_id));
        for at_ms in requests {
            let killed = self.kills.iter().find(|kill| *kill >= at_ms);
            let near = killed.is_some_and(|kill| kill - at_ms < IN_FLIGHT_MS);
            assert!(
                near,
                "{webhook}: event {event_id} at {at_ms} is not in the log, and no kill is near"
            );
            let late = delivered.is_some_and(|delivered| at_ms > delivered);
            assert!(
                !late || again,
                "{webhook}: event {event_id} was sent again after the log had it as delivered"
            );
        }
    }
}
