//! Kills around facts: each is told once, and one that did not come to be is not.

use std::ffi::OsStr;

use super::{
    FAILED, OWN, PAUSED, REJECTED, RESUMED, TOLD, asking, failing, reject, told, told_are, world,
};
use crate::support::{Answer, Daemon, Receiver, SOON, World, check, eventually, hook, stays};

fn dies(daemon: &mut Daemon) {
    eventually("it dies", SOON, || {
        check(daemon.ended().is_some(), || daemon.journal())
    });
}

/// Dies at that point at what `act` does, and starts again.
fn killed(world: &World, point: &str, act: &dyn Fn()) -> Daemon {
    let point = format!("{point}*1");
    let mut daemon = world.spawn_in(&[("WEBHOOKSD_CRASH", OsStr::new(&point))]);
    eventually("it runs or died", SOON, || {
        let up = daemon.journal().contains("ready") || daemon.ended().is_some();
        check(up, || daemon.journal())
    });
    act();
    dies(&mut daemon);
    drop(daemon);
    world.start()
}

#[test]
fn kills_around_a_fact_tell_it_once() {
    let points = [
        ("record attempts", FAILED),
        ("admit events", REJECTED),
        ("tell of pauses", PAUSED),
        ("ask for own events", PAUSED),
    ];
    for (step, name) in points {
        for moment in ["before the commit", "committed"] {
            let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
            let world = world(&[asking("ops", &ops), failing("depot", &dead)]);
            if step != "ask for own events" {
                world.start().stop();
            }
            let act = || match name {
                FAILED => drop(world.emit("e", "{}")),
                REJECTED => reject(&world),
                _ if step == "tell of pauses" => {
                    world
                        .change_log("INSERT INTO pause (webhook) VALUES ('depot')")
                        .unwrap();
                }
                _ => {}
            };
            let daemon = killed(&world, &format!("{step}: {moment}"), &act);
            if step == "ask for own events" {
                world.command(&["pause", "depot"]).expect(0);
            }
            told_are(&ops, &[name]);
            stays("told once", TOLD, || {
                check(world.number(OWN) == 1, || {
                    format!("{step}: {moment}: {:?}", told(&ops))
                })
            });
            daemon.stop();
        }
    }
}

#[test]
fn kills_around_an_order_tell_what_the_log_says() {
    for (step, moment) in [
        ("pause a webhook", "before the commit"),
        ("pause a webhook", "committed"),
        ("resume webhooks", "before the commit"),
        ("resume webhooks", "committed"),
    ] {
        let ops = Receiver::ok();
        let world = world(&[
            asking("ops", &ops),
            hook("depot", ops.url("/")).events("none"),
        ]);
        let daemon = world.start();
        let order = if step == "pause a webhook" {
            "pause"
        } else {
            "resume"
        };
        if order == "resume" {
            world.command(&["pause", "depot"]).expect(0);
            told_are(&ops, &[PAUSED]);
        }
        daemon.stop();
        let daemon = killed(&world, &format!("{step}: {moment}"), &|| {
            // Who asked gets no answer.
            drop(world.command(&[order, "depot"]));
        });
        let is_done = moment == "committed";
        let is_paused = world.number("SELECT count(*) FROM pause") == 1;
        assert_eq!(is_paused, is_done == (order == "pause"), "{step}: {moment}");
        let before = usize::from(order == "pause");
        let expected = [PAUSED, RESUMED];
        let expected = &expected[..2 - before - usize::from(!is_done)];
        told_are(&ops, expected);
        stays("told once", TOLD, || {
            let is_right = usize::try_from(world.number(OWN)) == Ok(expected.len());
            check(is_right, || format!("{step}: {moment}: {:?}", told(&ops)))
        });
        daemon.stop();
    }
}
