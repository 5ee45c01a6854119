//! Events of webhooksd itself as the log makes them: one for each fact, and nothing where nobody asks.

use super::*;
use crate::model::{Announce, Fact, Pause};

const HOUR: i64 = 3_600_000;

/// Has all of them go to one webhook, with a body that says what it was asked for.
struct All;

impl Announce for All {
    fn announce(&self, fact: &Fact, id: EventId, _now_ms: i64) -> Option<FanOut> {
        Some(FanOut {
            event_id: id,
            event: fact.name().into(),
            message: None,
            bodies: vec![(Dialect::BoldCms, format!("\"{fact:?}\"").into())],
            webhooks: vec![("ops".into(), 0)],
            turns: Vec::new(),
            tenant: None,
        })
    }
}

fn asking(log: &Log) -> Store {
    let mut store = log.open();
    let names = ["a", "ops"].map(|name| (name.into(), true));
    store.register(&names, NOW).unwrap();
    store.ask_for_own(true).unwrap();
    store.announce_by(Some(Arc::new(All)));
    store
}

/// Names and bodies of what was made, in the order of the ids.
fn made(log: &Log) -> Vec<(String, String)> {
    let connection = connect::reader(&log.path).unwrap();
    let sql = "SELECT event, body FROM payload WHERE event LIKE 'webhooksd.%' ORDER BY event_id";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn names(log: &Log) -> Vec<String> {
    made(log).into_iter().map(|(name, _)| name).collect()
}

/// Events of a tenant for the webhook `a`, and a row that was set aside.
fn of_acme(ids: std::ops::RangeInclusive<i64>) -> Admission {
    let mut batch = admission(ids, &["a"]);
    for event in &mut batch.events {
        event.bodies.truncate(1);
        event.tenant = Some("acme".into());
    }
    batch
}

#[test]
fn a_failure_is_told_in_its_own_transaction_and_none_of_those_that_tell() {
    let log = Log::new();
    let mut store = asking(&log);
    let dues = store.admit_all(&of_acme(1..=3), NOW).unwrap();
    let failed = attempt(&dues[0], NOW, Verdict::Failed);
    let again = attempt(&dues[1], NOW, Verdict::RetryAt(NOW + 9));
    let done = attempt(&dues[2], NOW, Verdict::Delivered);
    store.record(&[failed.clone(), again, done]).unwrap();
    let all = made(&log);
    assert_eq!(all.len(), 1);
    assert!(all[0].1.contains("tenant: Some(\"acme\")"), "{all:?}");
    assert!(all[0].1.contains("error: Some(\"refused\")"), "{all:?}");
    assert_eq!(store.take_announced(), ["ops".into()]);
    assert!(store.take_announced().is_empty());
    // It was given up already: no fact.
    store.record(&[failed]).unwrap();
    let own = store
        .due("ops", NOW + HOUR, 9, 1 << 20, &|_| false)
        .unwrap();
    assert_eq!(own.len(), 1);
    assert!(own[0].event_id.get() > 1 << 52 && own[0].due_at_ms == NOW + 12);
    store
        .record(&[attempt(&own[0], NOW, Verdict::Failed)])
        .unwrap();
    assert_eq!(names(&log).len(), 1);
}

#[test]
fn what_can_not_be_read_is_told_where_it_is_known_what_it_was() {
    let log = Log::new();
    let mut store = asking(&log);
    store.admit_all(&of_acme(1..=2), NOW).unwrap();
    log.execute("DELETE FROM payload WHERE event_id = 1; UPDATE payload SET dialect = 'none'")
        .unwrap();
    drop(store);
    let mut store = asking(&log);
    assert!(
        store
            .due("a", NOW, 9, 1 << 20, &|_| false)
            .unwrap()
            .is_empty()
    );
    let all = made(&log);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all[0].1.contains("EventId(2)") && all[0].1.contains("acme"),
        "{all:?}"
    );
}

#[test]
fn a_pause_is_told_once_whoever_sees_it_first() {
    let log = Log::new();
    let mut store = asking(&log);
    let pause = Pause {
        webhook: "a".into(),
        since_ms: NOW,
        until_ms: Some(NOW + HOUR),
        reason: None,
        next_try_ms: None,
    };
    store.pause(&pause).unwrap();
    store.tell_pauses(NOW + 1).unwrap();
    assert_eq!(names(&log), ["webhooksd.webhook.paused"]);
    // By hand, while nobody runs; one that is over by the next start was none.
    drop(store);
    let by_hand = format!(
        "DELETE FROM pause; INSERT INTO pause (webhook, since) VALUES ('ops', {NOW});
         INSERT INTO pause (webhook, since, until) VALUES ('a', {NOW} + 5, {NOW} + 6)"
    );
    log.execute(&by_hand).unwrap();
    let mut store = asking(&log);
    store.end_pauses(NOW + 7).unwrap();
    store.tell_pauses(NOW + 7).unwrap();
    store.set_unsynced(false);
    store.tell_pauses(NOW + 8).unwrap();
    assert!(
        !store.is_unsynced(),
        "nothing is new, and nothing is written"
    );
    let resumed = "webhooksd.webhook.resumed";
    assert_eq!(
        names(&log),
        [
            "webhooksd.webhook.paused",
            resumed,
            "webhooksd.webhook.paused"
        ]
    );
    assert!(store.resume("ops", NOW + 9).unwrap());
    assert_eq!(names(&log).len(), 4);
    // Nobody asks: what is known goes, and ids go on where they were.
    let last: i64 = log.ask("SELECT event_id FROM own");
    store.pause(&pause).unwrap();
    store.announce_by(None);
    store.ask_for_own(false).unwrap();
    assert_eq!(log.ask::<i64>("SELECT count(*) FROM pause_told"), 0);
    store.ask_for_own(true).unwrap();
    store.announce_by(Some(Arc::new(All)));
    store.tell_pauses(NOW + 10).unwrap();
    assert_eq!(names(&log).len(), 5, "it stood there before");
    store.resume("a", 0).unwrap();
    assert!(log.ask::<i64>("SELECT event_id FROM own") > last);
}

#[test]
fn whose_event_it_is_stands_in_the_log_before_anybody_asks_and_after() {
    let log = Log::new();
    let mut store = log.open();
    let names = ["a", "ops"].map(|name| (name.into(), true));
    store.register(&names, NOW).unwrap();
    let dues = store.admit_all(&of_acme(1..=2), NOW).unwrap();
    let failed = |due| attempt(due, NOW, Verdict::Failed);
    store.ask_for_own(true).unwrap();
    store.announce_by(Some(Arc::new(All)));
    store.record(&[failed(&dues[0])]).unwrap();
    // The last who asks leaves, and another comes.
    store.announce_by(None);
    store.ask_for_own(false).unwrap();
    store.ask_for_own(true).unwrap();
    store.announce_by(Some(Arc::new(All)));
    store.record(&[failed(&dues[1])]).unwrap();
    let all = made(&log);
    assert_eq!(all.len(), 2);
    for (_, body) in all {
        assert!(body.contains("tenant: Some(\"acme\")"), "{body}");
    }
}

#[test]
fn a_log_of_the_twelfth_shape_keeps_whose_events_its_bodies_are_of() {
    let log = Log::new();
    let mut store = log.open();
    store.admit_all(&admission(1..=3, &["a"]), NOW).unwrap();
    drop(store);
    log.execute(
        "DROP VIEW log; ALTER TABLE attempt DROP COLUMN proxy_us; DROP TABLE log_id;
         DROP TRIGGER pause_of_one; ALTER TABLE payload DROP COLUMN tenant;
         DROP TABLE payload_message; DROP TABLE patient;
         CREATE TABLE payload_tenant (payload_id INTEGER PRIMARY KEY, tenant TEXT NOT NULL);
         INSERT INTO payload_tenant VALUES (2, 'acme'), (99, 'globex'); DROP TABLE snapshot; PRAGMA user_version = 12",
    )
    .unwrap();
    drop(log.open());
    let tenants = "SELECT group_concat(id || coalesce(tenant, '-')) FROM payload WHERE id < 4";
    assert_eq!(log.ask::<String>(tenants), "1-,2acme,3-");
    let before = "SELECT count(*) FROM sqlite_master WHERE name = 'payload_tenant'";
    assert_eq!(log.ask::<i64>(before), 0);
}
