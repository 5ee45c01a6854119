//! The machine's clock steps while the daemon runs, and stands wrong when it starts: by a day, by a
//! year, by decades.
//!
//! A step costs no event and no try. Due times are wall-clock times: a step ahead makes what waits
//! due, once; a step back never makes it wait longer than its schedule. A wrong date alone deletes
//! nothing: retention waits a day after a leap.

use std::time::Duration;

use crate::support::{Answer, Daemon, Receiver, SOON, World, hook, shim};

const DAY_MS: i64 = 86_400_000;

fn step(world: &World, ms: i64) {
    // Renamed, so that the program never reads half a number.
    world.write("step.new", ms.to_string());
    std::fs::rename(world.path("step.new"), world.path("step")).unwrap();
}

fn start(world: &World) -> Daemon {
    start_at(world, 0)
}

/// Starts the daemon on a machine whose clock is wrong by so many milliseconds.
pub(crate) fn start_at(world: &World, ms: i64) -> Daemon {
    step(world, ms);
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

/// Rows that retention could take, with marks that say how old they are.
fn aged(world: &World) {
    let receiver = Receiver::ok();
    world.configure(&[hook("erp", receiver.url("/"))]);
    let daemon = start(world);
    for n in 0..5 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    world.attempts("id", 5, SOON);
    daemon.stop();
    // As if the mark of the start had been made an hour later: it covers all the rows.
    let marked = "UPDATE mark SET event_id = 5, attempt_id = 5, delivery_id = 5, payload_id = 5";
    world.change_log(marked).unwrap();
}

/// A daemon that starts while the clock stands a year ahead, for less than a day: nothing is deleted,
/// neither then nor afterwards, and new events are delivered.
#[test]
fn a_year_ahead_deletes_nothing() {
    let world = World::new(&[]);
    aged(&world);
    let receiver = Receiver::ok();
    world.configure(&[hook("erp", receiver.url("/"))]);
    for (run, ms) in [365 * DAY_MS, 0].into_iter().enumerate() {
        let daemon = start_at(&world, ms);
        world.emit("e", "{}");
        receiver.wait(run + 1, SOON);
        if ms > 0 {
            daemon.wait_journal("no row is deleted for a day");
        }
        world.attempts("id", 6 + run, SOON);
        daemon.stop();
    }
    assert_eq!(world.number("SELECT count(*) FROM log"), 7);
    let rows = "SELECT count(*) FROM outbox";
    let rows: i64 = world
        .outbox()
        .query_row(rows, [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 7);
}

/// Before 1970, in 2039 and at the end of year 9998: events go out, and the log tells its time.
#[test]
fn odd_years_deliver() {
    let receiver = Receiver::ok();
    for (at, year) in [1969_i64, 2039, 9998].into_iter().enumerate() {
        let world = World::new(&[
            hook("cms", receiver.url("/")),
            hook("lift", receiver.url("/")).dialect("openboxes-lift"),
        ]);
        // Days of average years from now: the middle of that year, more or less.
        let days = (year - 2026) * 365 + (year - 2026) / 4;
        let daemon = start_at(&world, days * DAY_MS);
        let outbox = world.outbox();
        outbox
            .execute(
                "INSERT INTO outbox (event, data, time) VALUES ('e', '{}', 0)",
                [],
            )
            .unwrap();
        receiver.wait((at + 1) * 2, SOON);
        let rows = world.attempts("outcome, time", 2, SOON);
        println!("{year}: {rows:?}");
        assert!(rows.iter().all(|row| row[0] == "delivered"), "{rows:?}");
        assert!(
            !daemon.journal().contains("panicked"),
            "{}",
            daemon.journal()
        );
        daemon.stop();
    }
}

/// Durations and time-outs are the monotonic clock's: a step while a request is in flight changes
/// neither.
#[test]
fn a_step_in_flight_changes_no_duration() {
    for step_ms in [DAY_MS, -DAY_MS] {
        let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(1_500)));
        let world = World::new(&[hook("erp", receiver.url("/"))]);
        let daemon = start(&world);
        world.emit("e", "{}");
        receiver.wait(1, SOON);
        step(&world, step_ms);
        let row = &world.attempts("outcome, CAST(duration_ms AS INTEGER)", 1, SOON)[0];
        assert_eq!(row[0], "delivered", "{row:?}");
        let duration_ms: i64 = row[1].parse().unwrap();
        // The answer's 1.5 s and what a busy machine adds: far from a day either way.
        assert!((1_400..20_000).contains(&duration_ms), "{row:?}");
        assert_eq!(receiver.count(), 1);
        daemon.stop();
    }
}
