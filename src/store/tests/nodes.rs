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

/// It has taken the webhook over while nothing was in its line, and another node takes events in.
#[test]
fn a_line_that_fills_behind_a_takeover_goes_on() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut taking = Writer::open(&log.server, "one", NOW).unwrap();
    keep(&mut taking);
    let mut sending = Writer::open(&log.server, "two", NOW).unwrap();
    keep(&mut sending);
    sending.take_over(&["a".into()]).unwrap();
    for id in 1..=3 {
        let mut one = admission(id..=id, &["a"]);
        one.events[0].turns = vec![(0, Turn::WHOLE)];
        taking.admit(&one, &|_| false, &mut |_| false, NOW).unwrap();
    }
    for id in 1..=3 {
        let due = sending.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
        let ids: Vec<_> = due.iter().map(|due| due.event_id.get()).collect();
        assert_eq!(ids, [id]);
        let ends = attempt(&due[0], NOW, Verdict::Delivered);
        sending.record(&[ends]).unwrap();
    }
}

/// By a node that can't know whether the other one has it in hand.
#[test]
fn a_turn_that_another_node_cancels_is_passed_on_at_the_next_look() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let mut asked = Writer::open(&log.server, "one", NOW).unwrap();
    keep(&mut asked);
    let mut sending = Writer::open(&log.server, "two", NOW).unwrap();
    keep(&mut sending);
    for id in 1..=2 {
        let mut one = admission(id..=id, &["a"]);
        one.events[0].turns = vec![(0, Turn::WHOLE)];
        asked.admit(&one, &|_| false, &mut |_| false, NOW).unwrap();
    }
    let first = sending.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert!(!sending.changed().unwrap());
    let cancelled = asked.cancel_by_order(&[first[0].id], NOW, &|_, _| true);
    assert!(cancelled.unwrap()[0].is_ok());
    assert!(sending.changed().unwrap());
    assert_eq!(sending.redelivered_since(0).unwrap().1, ["a"]);
    let next = sending.due("a", NOW, 9, usize::MAX, &|_| false).unwrap();
    assert_eq!(next.len(), 1, "its turn has come");
    assert!(!sending.changed().unwrap());
}

/// Attempts counted in the roll-up's hours.
fn counted(link: &Link) -> i64 {
    let sql = "SELECT coalesce(sum(attempts), 0)::bigint FROM webhooksd.rollup WHERE span = 'hour'";
    link.rows("count", sql, &[]).unwrap()[0].get(0)
}

/// One more attempt of a node's.
fn attempts_one(log: &mut Writer, id: i64) {
    let admitted = log.admit(&admission(id..=id, &["a"]), &|_| false, &mut |_| true, NOW);
    let (made, _) = admitted.unwrap();
    log.record(&[attempt(&made[0], NOW, Verdict::Delivered)])
        .unwrap();
}

#[test]
fn what_a_node_is_about_to_count_is_counted_once_though_another_one_comes() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let other = Link::open(&log.server).unwrap();
    let mut one = Writer::open(&log.server, "one", NOW).unwrap();
    attempts_one(&mut one, 1);
    let mut two = Writer::open(&log.server, "two", NOW + 1).unwrap();
    two.roll_up(NOW + 2).unwrap();
    attempts_one(&mut two, 2);
    two.roll_up(NOW + 3).unwrap();
    assert_eq!(counted(&other), 1, "its own");
    one.roll_up(NOW + 4).unwrap();
    two.roll_up(NOW + 5).unwrap();
    assert_eq!(counted(&other), 2);
    // It has left, and had counted all.
    let gone = one.me().unwrap();
    drop(one);
    roster(&log.server).leave(&gone.id()).unwrap();
    two.roll_up(NOW + 6).unwrap();
    assert_eq!(counted(&other), 2);
}

#[test]
fn what_a_dead_node_has_not_counted_is_counted_once_it_is_known_to_be_dead() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let other = Link::open(&log.server).unwrap();
    let mut dead = Writer::open(&log.server, "one", NOW).unwrap();
    attempts_one(&mut dead, 1);
    let gone = dead.me().unwrap();
    drop(dead);
    let mut next = Writer::open(&log.server, "one", NOW + 1).unwrap();
    attempts_one(&mut next, 2);
    next.roll_up(NOW + 2).unwrap();
    assert_eq!(counted(&other), 1, "its own");
    assert!(roster(&log.server).bury(&gone.id(), 0).unwrap());
    next.roll_up(NOW + 3).unwrap();
    next.roll_up(NOW + 4).unwrap();
    assert_eq!(counted(&other), 2);
}

/// Whoever starts behind a failover knows by it whether the others may go by what was before.
#[test]
fn a_log_has_noted_by_which_timeline_its_nodes_agreed() {
    let Some(on) = postgres() else { return };
    let log = ServerLog::new(on);
    let me = Writer::open(&log.server, "one", NOW).unwrap().me().unwrap();
    let mut table = roster(&log.server);
    let mut agreed = || table.beat(&me.id()).unwrap().unwrap();
    let new = agreed();
    assert_eq!(new.timeline, "00000001");
    assert_eq!(
        new.agreed.as_ref(),
        Some(&new.timeline),
        "as it is made: nobody waits"
    );
    let other = Link::open(&log.server).unwrap();
    let forgets = "COMMENT ON TABLE webhooksd.slot IS NULL";
    other.batch("forget", forgets).unwrap();
    assert_eq!(agreed().agreed, None, "of an earlier version");
    roster(&log.server).agree("0000000A").unwrap();
    let noted = agreed();
    assert_eq!(noted.agreed.as_deref(), Some("0000000A"));
    assert_eq!(noted.timeline, "00000001", "that is the server's own");
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
