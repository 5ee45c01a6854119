//! Where two things that a webhook may ask for meet: each test is a row of the table of pairs in
//! tests/README.md. That neither breaks what the other promises, in any order and through crashes, is the
//! simulation's; here it is seen by a receiver and by a person.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::socket::SECTION;
use crate::support::{Answer, Daemon, Hook, Received, Receiver, SOON, World, hook, insert, stays};

fn lift(receiver: &Receiver) -> Hook {
    hook("depot", receiver.url("/"))
        .dialect("openboxes-lift")
        .line("max_in_flight = 1")
}

fn batched(receiver: &Receiver) -> Hook {
    lift(receiver).line("batch = { max_events = 10 }")
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(SECTION, hooks);
    world
}

fn emit(world: &World, numbers: impl IntoIterator<Item = i64>) {
    let mut outbox = world.outbox();
    let t = outbox.transaction().unwrap();
    for n in numbers {
        insert(&t, "stockMovement.created", &format!("{{\"n\":{n}}}"));
    }
    t.commit().unwrap();
}

fn ns(request: &Received) -> Vec<i64> {
    let n = |element: &Value| element["data"]["n"].as_i64().unwrap();
    match request.json() {
        Value::Array(all) => all.iter().map(n).collect(),
        one => vec![n(&one)],
    }
}

fn came(receiver: &Receiver) -> Vec<i64> {
    receiver.received().iter().flat_map(ns).collect()
}

fn delivered(world: &World, count: i64) {
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, count, SOON);
}

fn pause(world: &World, verb: &str) {
    world.command(&[verb, "depot"]).expect(0);
}

#[test]
fn batch_and_where() {
    let receiver = Receiver::ok();
    let rule = "where = [ { path = \"$.n\", gt = 10 } ]";
    let world = world(&[batched(&receiver).line(rule)]);
    emit(&world, 1..=30);
    let _daemon = world.start();
    delivered(&world, 20);
    assert_eq!(came(&receiver), (11..=30).collect::<Vec<_>>());
    assert!(receiver.count() < 20);
}

#[test]
fn batch_and_max_per_second() {
    let receiver = Receiver::ok();
    let world = world(&[batched(&receiver).line("max_per_second = 5")]);
    emit(&world, 1..=50);
    let _daemon = world.start();
    delivered(&world, 50);
    let received = receiver.received();
    assert_eq!(came(&receiver), (1..=50).collect::<Vec<_>>());
    // The pace is of POSTs, not of events.
    assert!(received.len() < 15, "{} POSTs", received.len());
    for pair in received.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart > Duration::from_millis(150), "{apart:?}");
    }
}

/// A receiver that is busy once, and then takes all.
fn busy_once(seconds: u32) -> Receiver {
    let count = AtomicUsize::new(0);
    Receiver::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::with_body(503, &format!("Retry-After: {seconds}\r\n"), b""),
        _ => Answer::status(200),
    })
}

#[test]
fn batch_and_retry_after() {
    let receiver = busy_once(3_600);
    let world = world(&[batched(&receiver)]);
    emit(&world, 1..=5);
    let _daemon = world.start();
    receiver.wait(1, SOON);
    let sql = "SELECT count(*) FROM delivery WHERE attempts = 1 AND due_at > created_at + 3500000";
    let first = i64::try_from(ns(&receiver.received()[0]).len()).unwrap();
    world.wait_number(sql, first, SOON);
    emit(&world, 6..=8);
    stays(
        "the webhook is left alone",
        Duration::from_millis(700),
        || crate::support::check(receiver.count() == 1, || receiver.count().to_string()),
    );
    let due = "SELECT count(DISTINCT due_at) FROM delivery WHERE attempts = 1";
    assert_eq!(world.number(due), 1, "the whole batch waits for one time");
}

#[test]
fn batch_and_pause() {
    let receiver = Receiver::ok();
    let world = world(&[batched(&receiver)]);
    let _daemon = world.start();
    pause(&world, "pause");
    emit(&world, 1..=25);
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    world.wait_number(pending, 25, SOON);
    assert_eq!(receiver.count(), 0);
    pause(&world, "resume");
    delivered(&world, 25);
    assert_eq!(
        came(&receiver),
        (1..=25).collect::<Vec<_>>(),
        "the oldest first"
    );
    assert!(receiver.count() <= 4, "{} POSTs", receiver.count());
}

#[test]
fn batch_and_cancel() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let receiver = Receiver::start(move |_| {
        Answer::status(if failing.load(Ordering::SeqCst) {
            500
        } else {
            200
        })
    });
    let world = world(&[batched(&receiver)]);
    emit(&world, 1..=6);
    let daemon = world.start();
    world.wait_number("SELECT count(*) FROM delivery WHERE attempts = 1", 6, SOON);
    world.command(&["cancel", "2"]).expect(0);
    daemon.kill();
    // A minute is over.
    world
        .change_log("UPDATE parked SET due_at = due_at - 60000")
        .unwrap();
    fails.store(false, Ordering::SeqCst);
    let before = receiver.count();
    let _daemon = world.start();
    delivered(&world, 5);
    let after: Vec<i64> = receiver
        .received()
        .split_off(before)
        .iter()
        .flat_map(ns)
        .collect();
    let after: BTreeSet<i64> = after.into_iter().collect();
    assert_eq!(after, BTreeSet::from([1, 3, 4, 5, 6]));
    assert_eq!(world.number("SELECT count(*) FROM batch"), 0);
}

/// A receiver that fails until it is told.
fn failing(until: &Arc<AtomicBool>) -> Receiver {
    let well = until.clone();
    Receiver::start(move |_| {
        Answer::status(if well.load(Ordering::SeqCst) {
            200
        } else {
            500
        })
    })
}

#[test]
fn batch_and_auto_pause() {
    let well = Arc::new(AtomicBool::new(false));
    let receiver = failing(&well);
    let hook = lift(&receiver)
        .line("batch = { max_events = 1000 }")
        .line("auto_pause = \"1s\"");
    let world = world(&[hook]);
    let _daemon = world.start();
    // Forty events in some POSTs are as many failures as there were POSTs.
    emit(&world, 1..=40);
    world.wait_number("SELECT count(*) FROM delivery WHERE attempts = 1", 40, SOON);
    let posts = i64::try_from(receiver.count()).unwrap();
    assert!(posts < 20);
    assert_eq!(world.number("SELECT failures FROM streak"), posts);
    assert_eq!(world.number("SELECT count(*) FROM pause"), 0);
}

#[test]
fn max_per_second_and_pause() {
    let receiver = Receiver::ok();
    let world = world(&[lift(&receiver).line("max_per_second = 10")]);
    let _daemon = world.start();
    pause(&world, "pause");
    emit(&world, 1..=8);
    world.wait_number("SELECT count(*) FROM delivery", 8, SOON);
    pause(&world, "resume");
    delivered(&world, 8);
    assert_eq!(came(&receiver), (1..=8).collect::<Vec<_>>());
    for pair in receiver.received().windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(
            apart > Duration::from_millis(60),
            "no burst at its end: {apart:?}"
        );
    }
}

#[test]
fn retry_after_and_pause() {
    let receiver = busy_once(3_600);
    let world = world(&[lift(&receiver)]);
    let _daemon = world.start();
    emit(&world, [1]);
    world.wait_number("SELECT count(*) FROM delivery WHERE attempts = 1", 1, SOON);
    pause(&world, "pause");
    emit(&world, [2]);
    pause(&world, "resume");
    stays(
        "resume ends the pause alone",
        Duration::from_millis(700),
        || crate::support::check(receiver.count() == 1, || receiver.count().to_string()),
    );
    let told = world.command(&["explain", "2"]).expect(0).stdout;
    assert!(told.contains("Retry-After"), "{told}");
}

#[test]
fn pause_and_cancel() {
    let receiver = Receiver::ok();
    let world = world(&[lift(&receiver)]);
    let _daemon = world.start();
    pause(&world, "pause");
    emit(&world, 1..=3);
    world.wait_number("SELECT count(*) FROM delivery", 3, SOON);
    world.command(&["cancel", "2"]).expect(0);
    pause(&world, "resume");
    delivered(&world, 2);
    assert_eq!(came(&receiver), [1, 3]);
}

#[test]
fn max_per_second_and_cancel() {
    let receiver = Receiver::ok();
    let world = world(&[lift(&receiver).line("max_per_second = 2")]);
    emit(&world, 1..=200);
    let _daemon = world.start();
    receiver.wait(2, SOON);
    world.command(&["cancel", "--webhook", "depot"]).expect(0);
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    world.wait_number(pending, 0, SOON);
    assert!(receiver.count() < 200);
}

#[test]
fn all_of_them_over_a_reload() {
    let receiver = Receiver::ok();
    let all = batched(&receiver)
        .line("max_per_second = 20")
        .line("auto_pause = \"1d\"")
        .line("where = [ { path = \"$.n\", gt = 0 } ]");
    let world = world(&[lift(&receiver)]);
    let daemon: Daemon = world.start();
    emit(&world, 0..=5);
    delivered(&world, 6);
    world.configure_with(SECTION, &[all]);
    daemon.reload();
    emit(&world, -5..=40);
    delivered(&world, 46);
    let arrays = receiver
        .received()
        .iter()
        .filter(|r| r.json().is_array())
        .count();
    assert!(arrays > 0);
    world.configure_with(SECTION, &[lift(&receiver)]);
    daemon.reload();
    emit(&world, [-1]);
    delivered(&world, 47);
    assert!(receiver.received().pop().unwrap().json().is_object());
}
