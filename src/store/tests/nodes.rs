//! Two nodes that write one log in PostgreSQL at once.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{ServerLog, postgres};
use super::*;
use crate::model::{Turn, TurnRule};
use crate::postgres::Link;
use crate::store::postgres::Writer;
use crate::store::writes::{
    Admits as _, Obeys as _, Orders as _, Queues as _, Records as _, Shares as _,
};

const EVENTS: i64 = 60;

/// Longer than a run of the tests waits for anything.
const SOON: Duration = Duration::from_secs(60);

fn keep(log: &mut Writer) {
    let rules: HashMap<_, _> = [("a".into(), TurnRule::default())].into();
    log.keep_order(rules).unwrap();
}

/// As an admission of another node's that is not committed yet: it has seen that somebody is in the line.
const ENTERS: &str = "BEGIN; SELECT FROM webhooksd.line WHERE webhook = 'a' FOR UPDATE;
    INSERT INTO webhooksd.pending (webhook, payload_id, origin, due_at, created_at)
      SELECT 'a', payload_id, 'event', NULL, created_at FROM webhooksd.pending;
    INSERT INTO webhooksd.turn (delivery_id, webhook, value) SELECT max(id), 'a', 0 FROM webhooksd.pending";

/// Who enters a line as the last one leaves it gets the turn.
#[test]
#[expect(clippy::disallowed_methods, reason = "a server answers in real time")]
fn who_enters_a_line_as_the_last_one_leaves_is_not_forgotten() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "one", NOW).unwrap();
    keep(&mut writer);
    let mut first = admission(1..=1, &["a"]);
    first.events[0].turns = vec![(0, Turn::WHOLE)];
    let admitted = writer.admit(&first, &|_| false, &mut |_| true, NOW);
    let (made, _) = admitted.unwrap();
    let other = Link::open(&log.server).unwrap();
    other.batch("enter", ENTERS).unwrap();
    let records = thread::spawn(move || {
        let ends = attempt(&made[0], NOW, Verdict::Delivered);
        writer.record(&[ends]).unwrap();
        writer
    });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let begun = Instant::now();
    let is_waiting = || -> bool { other.rows("look", waits, &[]).unwrap()[0].get(0) };
    while !is_waiting() && !records.is_finished() && begun.elapsed() < SOON {
        thread::sleep(Duration::from_millis(5));
    }
    other.batch("enter", "COMMIT").unwrap();
    let mut writer = records.join().unwrap();
    let due = writer.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(due.len(), 1, "its turn has come");
    assert_eq!(&*writer.take_released().unwrap(), [Arc::from("a")]);
}

/// One takes events in while the other sends them, one after the other.
#[test]
#[expect(clippy::disallowed_methods, reason = "a server answers in real time")]
fn a_turn_is_passed_on_to_what_another_node_takes_in() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut taking = Writer::open(&log.server, "one", NOW).unwrap();
    keep(&mut taking);
    let mut sending = Writer::open(&log.server, "two", NOW).unwrap();
    keep(&mut sending);
    let takes = thread::spawn(move || {
        for id in 1..=EVENTS {
            let mut one = admission(id..=id, &["a"]);
            one.events[0].turns = vec![(0, Turn::WHOLE)];
            taking.admit(&one, &|_| false, &mut |_| false, NOW).unwrap();
        }
    });
    let begun = Instant::now();
    let mut sent = Vec::new();
    while i64::try_from(sent.len()).unwrap() < EVENTS {
        assert!(begun.elapsed() < SOON, "one waits after {}", sent.len());
        let due = sending.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
        assert!(due.len() < 2, "one at a time");
        let attempts: Vec<_> = due
            .iter()
            .map(|due| attempt(due, NOW, Verdict::Delivered))
            .collect();
        sent.extend(due.iter().map(|due| due.event_id.get()));
        if !attempts.is_empty() {
            sending.record(&attempts).unwrap();
        }
    }
    takes.join().unwrap();
    assert!(sent.is_sorted(), "in their order");
}

/// Who is there, what each one has, and whose a webhook is.
#[test]
fn nodes_and_whose_webhooks_are_is_told() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut writer = Writer::open(&log.server, "one", NOW).unwrap();
    let _other = Writer::open(&log.server, "two", NOW).unwrap();
    let known = |name: &str| (Arc::from(name), true);
    writer.register(&[known("a"), known("b")], NOW).unwrap();
    let mut table = roster(&log.server);
    let me = writer.me().unwrap().id();
    let look = table.beat(&me).unwrap().unwrap();
    let used = look.slots.iter().filter(|row| row.webhooks == 1);
    let slot = used.map(|row| row.slot).next().unwrap();
    assert_eq!(table.take(&me, &[0, slot]).unwrap().len(), 2);
    let names: Vec<_> = table.webhooks(&[slot]).unwrap();
    let place = LogPlace::Server(log.server.clone());
    let reader = read_log(&place).unwrap();
    let nodes = reader.nodes().unwrap();
    let told: Vec<_> = nodes
        .iter()
        .map(|node| (&*node.name, node.webhooks, node.leads))
        .collect();
    assert_eq!(told, [("one", 1, true), ("two", 0, false)]);
    assert_eq!(nodes[0].id, me);
    let owners = reader.owners(&["a", "b", "c"].map(str::to_owned)).unwrap();
    assert_eq!(owners, [(names[0].1.to_string(), "one".to_owned())].into());
}
