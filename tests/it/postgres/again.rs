//! A node that was killed and is started again on its machine: it need not wait until it is taken for dead.

use rustix::process::Signal;

use super::logging;
use crate::socket::SECTION;
use crate::support::{Database, Receiver, SOON, World, check, eventually, hook};

/// Longer than anything here is waited for.
const LEASE: &str = "[node]\nlease = \"1m\"\n";

/// Of a node that has to wait for it.
const SHORT: &str = "[node]\nlease = \"1s\"\n";

const AT_ONCE: &str = "the run before this one ended without leaving";
const BY_LEASE: &str = "a node gave no sign of life";

fn world(database: &Database, lease: &str, receiver: &Receiver) -> World {
    let more = format!("{lease}{SECTION}\n");
    logging(database, &more, &[hook("one", receiver.url("/"))])
}

#[test]
fn what_was_killed_sends_again_at_once() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = world(&database, LEASE, &receiver);
    for round in 1..=3 {
        let daemon = world.start();
        database.emit("e", "{}");
        receiver.wait(round, SOON);
        if round > 1 {
            daemon.wait_journal(AT_ONCE);
        }
        eventually("it is in the log", SOON, || {
            let rows = database.sql("SELECT count(*) FROM webhooksd.log");
            check(rows == round.to_string(), || rows)
        });
        daemon.kill();
    }
    let daemon = world.start();
    daemon.stop();
    assert!(
        !world.path("s.sock.node").exists(),
        "a clean stop leaves nothing"
    );
}

#[test]
fn another_machines_or_boots_row_is_waited_for() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = world(&database, SHORT, &receiver);
    world.start().kill();
    let file = world.path("s.sock.node");
    let text = std::fs::read_to_string(&file).unwrap();
    let (boot, rest) = text.split_once(' ').unwrap();
    let other: String = boot.chars().rev().collect();
    std::fs::write(&file, format!("{other} {rest}")).unwrap();
    let daemon = world.start();
    daemon.wait_journal(BY_LEASE);
    assert!(!daemon.journal().contains(AT_ONCE));
    daemon.stop();
}

#[test]
fn a_node_that_only_stands_still_is_nobodys_to_bury() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = world(&database, LEASE, &receiver);
    let one = world.start_with(&["--node", "same"]);
    let copied = std::fs::read(world.path("s.sock.node")).unwrap();
    world.write("two.sock.node", copied);
    one.signal(Signal::STOP);
    // The same name, the same machine, and a file that names the other one's row.
    let socket = world.path("two.sock");
    let socket = socket.to_str().unwrap();
    let two = world.start_with(&["--node", "same", "--socket", socket]);
    let nodes = database.sql("SELECT count(*) FROM webhooksd.node");
    assert_eq!(nodes, "2", "{}", two.journal());
    assert!(!two.journal().contains(AT_ONCE));
    one.signal(Signal::CONT);
    two.stop();
    one.stop();
}

#[test]
fn one_that_was_taken_for_dead_is_known_by_its_new_row() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = world(&database, SHORT, &receiver);
    let one = world.start();
    let socket = world.path("two.sock");
    let two = world.start_with(&["--node", "two", "--socket", socket.to_str().unwrap()]);
    one.signal(Signal::STOP);
    two.wait_journal(BY_LEASE);
    one.signal(Signal::CONT);
    one.wait_journal("this node was taken for dead");
    two.stop();
    // Its file names the row that the log has.
    eventually("it is alone and named", SOON, || {
        let id = database.sql("SELECT id FROM webhooksd.node");
        let file = std::fs::read_to_string(world.path("s.sock.node")).unwrap();
        check(file.ends_with(&format!("\n{id}\n")), || {
            format!("{id} {file}")
        })
    });
    one.kill();
    let one = world.start();
    one.wait_journal(AT_ONCE);
    one.stop();
}
