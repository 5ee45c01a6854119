//! Several daemons on one PostgreSQL, with real processes: nothing is lost when one is killed, stopped or leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::logging;
use crate::support::{
    Answer, Daemon, Database, Hook, Postgres, Receiver, SOON, World, check, eventually, hook,
    postgres,
};

/// Shorter than the usual, and long enough for a machine that has much else to do.
const LEASE: &str = "[node]\nlease = \"2s\"\n";

const HOOKS: usize = 6;

/// A log of which no node is there yet, and whoever gets what is sent.
struct Log {
    database: Database,
    receiver: Receiver,
    world: World,
}

/// `None` where there is no server.
fn log(server: Option<&Postgres>, receiver: Receiver, more: fn(Hook) -> Hook) -> Option<Log> {
    let database = server?.database();
    let hook = |n| more(hook(&format!("w{n}"), receiver.url(&format!("/{n}"))));
    let hooks: Vec<_> = (0..HOOKS).map(hook).collect();
    Some(Log {
        world: logging(&database, LEASE, &hooks),
        database,
        receiver,
    })
}

/// A node more of the same log.
fn node(world: &World, name: &str) -> Daemon {
    world.start_with(&["--node", name])
}

/// Waits until so many nodes have the webhooks among them, in even parts; whoever leads has that besides.
pub(super) fn shared_out(database: &Database, nodes: usize, hooks: usize) {
    let sql = "SELECT count(w.name) FROM webhooksd.node n
        JOIN webhooksd.slot s ON s.owner = n.id LEFT JOIN webhooksd.webhook w ON w.slot = s.slot GROUP BY n.id";
    eventually("the webhooks are shared out", SOON, || {
        let told = database.sql(sql);
        let parts: Vec<usize> = told.lines().map(|part| part.parse().unwrap()).collect();
        let even = parts.iter().max() <= parts.iter().min().map(|least| least + 2).as_ref();
        let whole = parts.len() == nodes && parts.iter().sum::<usize>() == hooks;
        check(whole && even, || told)
    });
}

fn emit(database: &Database, numbers: std::ops::Range<i64>) {
    let rows: Vec<_> = numbers.map(|n| format!("('e', '{{\"n\":{n}}}')")).collect();
    database.sql(&format!(
        "INSERT INTO outbox (event, data) VALUES {}",
        rows.join(", ")
    ));
}

/// How often each webhook got each event.
fn arrived(receiver: &Receiver) -> BTreeMap<(String, i64), usize> {
    let mut arrived = BTreeMap::new();
    for request in receiver.received() {
        *arrived
            .entry((request.lines()[0].to_owned(), request.n()))
            .or_default() += 1;
    }
    arrived
}

/// Waits until each webhook got so many events, and all of it is in the log.
fn all_came(database: &Database, receiver: &Receiver, events: usize) {
    eventually("all came", SOON, || {
        let count = arrived(receiver).len();
        check(count == events * HOOKS, || count.to_string())
    });
    eventually("all is in the log", SOON, || {
        let states = database.sql("SELECT state, count(*) FROM webhooksd.delivery GROUP BY state");
        check(states == format!("delivered|{}", events * HOOKS), || states)
    });
}

#[test]
fn nodes_come_and_go_and_each_event_arrives_once() {
    let Some(Log {
        database,
        receiver,
        world,
    }) = log(postgres(), Receiver::ok(), |hook| hook)
    else {
        return;
    };
    let one = node(&world, "one");
    shared_out(&database, 1, HOOKS);
    emit(&database, 0..50);
    let two = node(&world, "two");
    emit(&database, 50..100);
    shared_out(&database, 2, HOOKS);
    emit(&database, 100..150);
    let three = node(&world, "three");
    shared_out(&database, 3, HOOKS);
    emit(&database, 150..200);
    // Whoever leads goes too.
    one.stop();
    shared_out(&database, 2, HOOKS);
    emit(&database, 200..250);
    two.stop();
    emit(&database, 250..300);
    all_came(&database, &receiver, 300);
    let twice: Vec<_> = arrived(&receiver)
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .collect();
    assert!(twice.is_empty(), "each once: {twice:?}");
    three.stop();
}

#[test]
fn a_killed_nodes_webhooks_are_taken_over() {
    let Some(Log {
        database,
        receiver,
        world,
    }) = log(postgres(), Receiver::ok(), |hook| hook)
    else {
        return;
    };
    let one = node(&world, "one");
    let two = node(&world, "two");
    shared_out(&database, 2, HOOKS);
    for round in 0..10 {
        emit(&database, round * 30..(round + 1) * 30);
    }
    // The one that leads, in the midst of it.
    one.kill();
    emit(&database, 300..350);
    two.wait_journal("its webhooks are taken over");
    all_came(&database, &receiver, 350);
    two.stop();
}

#[test]
fn a_node_that_stood_still_for_too_long_begins_anew() {
    let Some(Log {
        database,
        receiver,
        world,
    }) = log(postgres(), Receiver::ok(), |hook| hook)
    else {
        return;
    };
    let one = node(&world, "one");
    let two = node(&world, "two");
    shared_out(&database, 2, HOOKS);
    emit(&database, 0..20);
    all_came(&database, &receiver, 20);
    // Nothing is under way, so nothing may come twice.
    one.signal(Signal::STOP);
    emit(&database, 20..40);
    two.wait_journal("its webhooks are taken over");
    all_came(&database, &receiver, 40);
    one.signal(Signal::CONT);
    one.wait_journal("this node was taken for dead");
    shared_out(&database, 2, HOOKS);
    emit(&database, 40..60);
    all_came(&database, &receiver, 60);
    assert!(
        arrived(&receiver).values().all(|count| *count == 1),
        "each once"
    );
    two.stop();
    one.stop();
}

#[test]
fn a_server_that_is_killed_is_waited_for_by_all_nodes() {
    let mut server = Postgres::own(&["fsync=on"]);
    let Some(Log {
        database,
        receiver,
        world,
    }) = log(server.as_ref(), Receiver::ok(), |hook| hook)
    else {
        return;
    };
    let one = node(&world, "one");
    let two = node(&world, "two");
    shared_out(&database, 2, HOOKS);
    emit(&database, 0..40);
    all_came(&database, &receiver, 40);
    server.as_mut().unwrap().kill();
    one.wait_journal("no attempt begins until the log answers");
    two.wait_journal("no attempt begins until the log answers");
    server.as_mut().unwrap().up();
    emit(&database, 40..80);
    eventually("all came", SOON, || {
        let count = arrived(&receiver).len();
        check(count == 80 * HOOKS, || count.to_string())
    });
    two.stop();
    one.stop();
}

#[test]
fn an_order_holds_over_all_nodes_that_come_and_go() {
    let slow = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(40)));
    let Some(Log {
        database,
        receiver,
        world,
    }) = log(postgres(), slow, |hook| hook.line("in_order = true"))
    else {
        return;
    };
    let one = node(&world, "one");
    emit(&database, 0..60);
    let two = node(&world, "two");
    shared_out(&database, 2, HOOKS);
    one.stop();
    let three = node(&world, "three");
    shared_out(&database, 2, HOOKS);
    all_came(&database, &receiver, 60);
    two.stop();
    three.stop();
    let mut last = BTreeMap::new();
    for request in receiver.received() {
        let (webhook, n) = (request.lines()[0].to_owned(), request.n());
        let before = last.insert(webhook, n).map_or(0, |before| before + 1);
        assert_eq!(n, before, "in order, and once");
    }
}
