//! A row below the newest id that is set aside when a kill comes: it is told once, however often.

use webhooksd::tested::{BEFORE_COMMIT, COMMITTED};

use super::plan::ASIDE;
use crate::support::{Receiver, SOON, World, check, eventually, hook};

fn killed_when(moment: &str) {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    for _ in 0..3 {
        world.emit("e", "{}");
    }
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        3,
        SOON,
    );
    daemon.stop();
    world
        .outbox()
        .execute_batch(
            "DROP TRIGGER outbox_id; DELETE FROM outbox WHERE id = 2;
             INSERT INTO outbox (id, event, data) VALUES (2, 'late', '{}')",
        )
        .unwrap();
    world
        .change_log("DELETE FROM payload WHERE event_id = 2")
        .unwrap();
    let point = format!("{ASIDE}: {moment}*1");
    let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", point.as_ref())]);
    eventually("it dies", SOON, || {
        check(daemon.ended().is_some(), || daemon.journal())
    });
    let aside = "SELECT count(*) FROM rejected";
    assert_eq!(world.number(aside), i64::from(moment == COMMITTED));

    let daemon = world.start();
    world.wait_number(aside, 1, SOON);
    daemon.stop();
    assert_eq!(world.number(aside), 1);
    assert_eq!(receiver.count(), 3);
}

#[test]
fn a_kill_before_a_row_is_set_aside_forgets_none() {
    killed_when(BEFORE_COMMIT);
}

#[test]
fn a_kill_after_a_row_is_set_aside_tells_it_once() {
    killed_when(COMMITTED);
}
