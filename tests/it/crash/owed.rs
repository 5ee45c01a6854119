//! What is put off when a kill comes: deliveries to endpoints that don't answer are written after
//! those of the others, and a kill between the two loses none and makes none twice.

use webhooksd::tested::{BEFORE_COMMIT, COMMITTED};

use super::plan::OWED;
use crate::support::{Receiver, SOON, World, bound_port, check, eventually, hook};

/// Enough that it is worth a transaction of their own.
const SILENT: usize = 20;

/// Events after which the silent ones are known to be, and one more.
const EVENTS: i64 = 5;

fn killed_when(moment: &str) {
    let receiver = Receiver::ok();
    let (_closed, port) = bound_port();
    let mut hooks = vec![hook("healthy", receiver.url("/"))];
    for n in 0..SILENT {
        hooks.push(hook(
            &format!("silent-{n}"),
            format!("http://127.0.0.1:{port}/"),
        ));
    }
    let world = World::new(&hooks);
    let point = format!("{OWED}: {moment}*1");
    let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", point.as_ref())]);
    daemon.wait_journal("ready");
    for event in 1..EVENTS {
        world.emit("e", "{}");
        let attempts = event * i64::try_from(SILENT + 1).unwrap();
        world.wait_number("SELECT count(*) FROM attempt", attempts, SOON);
    }
    world.emit("e", "{}");
    eventually("it dies", SOON, || {
        check(daemon.ended().is_some(), || daemon.journal())
    });
    let of_last = format!("SELECT count(*) FROM delivery WHERE event_id = {EVENTS}");
    let before = if moment == BEFORE_COMMIT {
        1
    } else {
        SILENT + 1
    };
    assert_eq!(world.number(&of_last), i64::try_from(before).unwrap());

    let daemon = world.start();
    let all = EVENTS * i64::try_from(SILENT + 1).unwrap();
    world.wait_number("SELECT count(*) FROM delivery", all, SOON);
    let distinct = "SELECT count(DISTINCT webhook || ' ' || event_id) FROM delivery";
    assert_eq!(world.number(distinct), all);
    assert_eq!(world.number("SELECT count(*) FROM owed"), 0);
    let tried = format!("{of_last} AND attempts > 0");
    world.wait_number(&tried, i64::try_from(SILENT + 1).unwrap(), SOON);
    assert!(receiver.count() >= usize::try_from(EVENTS).unwrap());
    daemon.stop();
}

#[test]
fn a_kill_before_what_is_owed_is_made_loses_none() {
    killed_when(BEFORE_COMMIT);
}

#[test]
fn a_kill_after_what_is_owed_is_made_doubles_none() {
    killed_when(COMMITTED);
}
