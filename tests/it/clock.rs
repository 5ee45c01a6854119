//! The machine's clock steps while the daemon runs: a day ahead, and a day back.
//!
//! A step costs no event and no try. Due times are wall-clock times: a step ahead makes what waits
//! due, once; a step back never makes it wait longer than its schedule.

use std::time::Duration;

use crate::support::{Answer, Daemon, Receiver, SOON, World, hook, shim};

const DAY_MS: i64 = 86_400_000;

fn step(world: &World, ms: i64) {
    // Renamed, so that the program never reads half a number.
    world.write("step.new", ms.to_string());
    std::fs::rename(world.path("step.new"), world.path("step")).unwrap();
}

fn start(world: &World) -> Daemon {
    step(world, 0);
    let (library, file) = (shim("clock"), world.path("step"));
    world.start_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_CLOCK", file.as_os_str()),
    ])
}

/// How long after its first attempt an event comes again, when the clock was stepped between.
fn retried_after_a_step_of(ms: i64) -> Duration {
    let receiver = Receiver::start(|request| {
        let first = request.n() == 1;
        Answer::status(if first { 500 } else { 200 })
    });
    let world = World::new(&[hook("erp", receiver.url("/"))]);
    let daemon = start(&world);
    world.emit("e", r#"{"n":1}"#);
    world.attempts("outcome", 1, SOON);
    step(&world, ms);
    world.emit("e", r#"{"n":2}"#);
    let rows = world.attempts("outcome", 3, Duration::from_secs(30));
    assert_eq!(rows[0][0], "retry");
    daemon.wait_journal("the wall clock was stepped");
    let requests = receiver.received();
    let first: Vec<_> = requests.iter().filter(|request| request.n() == 1).collect();
    daemon.stop();
    first[1].at - first[0].at
}

#[test]
fn a_day_ahead_makes_one_retry_early_and_loses_nothing() {
    assert!(retried_after_a_step_of(DAY_MS) < Duration::from_secs(20));
}

#[test]
fn a_day_back_costs_no_day_and_no_schedule() {
    let apart = retried_after_a_step_of(-DAY_MS);
    let schedule = Duration::from_millis(9_500)..Duration::from_secs(20);
    assert!(schedule.contains(&apart), "{apart:?}");
}
