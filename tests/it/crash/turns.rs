//! A kill where an order holds no longer: what was held goes, once, and in its order.

use webhooksd::tested::{BEFORE_COMMIT, COMMITTED};

use super::plan::TURNS;
use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook};

fn killed_when(moment: &str) {
    let receiver =
        Receiver::start(|request| Answer::status(if request.n() == 0 { 400 } else { 200 }));
    let hooks = |if_failed: &str| {
        [hook("w", receiver.url("/"))
            .one_attempt()
            .line("in_order = true")
            .line(format!("if_failed = \"{if_failed}\""))]
    };
    let world = World::new(&hooks("hold"));
    let daemon = world.start();
    world.emit("e", "{\"n\":0}");
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'failed'",
        1,
        SOON,
    );
    for n in 1..=3 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    world.wait_number(
        "SELECT count(*) FROM held WHERE held_by_state = 'failed'",
        3,
        SOON,
    );
    daemon.kill();

    world.configure(&hooks("next"));
    let point = format!("{TURNS}: {moment}*1");
    let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", point.as_ref())]);
    eventually("it dies", SOON, || {
        check(daemon.ended().is_some(), || daemon.journal())
    });
    let held = if moment == BEFORE_COMMIT { 3 } else { 2 };
    assert_eq!(world.number("SELECT count(*) FROM held"), held);
    let daemon = world.start();
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        3,
        SOON,
    );
    let came: Vec<_> = receiver
        .received()
        .iter()
        .skip(1)
        .map(crate::support::Received::n)
        .collect();
    assert_eq!(came, [1, 2, 3]);
    daemon.stop();
}

#[test]
fn a_kill_before_what_was_held_is_let_go_loses_none() {
    killed_when(BEFORE_COMMIT);
}

#[test]
fn a_kill_after_what_was_held_is_let_go_doubles_none() {
    killed_when(COMMITTED);
}
