//! The log held by another writer, and by a reader that never ends; the outbox held by its owner.

use std::time::Duration;

use rusqlite::Connection;

use super::fault::{each_once, emit, intact, long, not_well, well};
use crate::socket::client::{Connection as Client, curl, post};
use crate::socket::world;
use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook, now, stays};

const DELIVERED: &str = "SELECT count(*) FROM delivery WHERE state = 'delivered'";

fn bytes_of(world: &World, name: &str) -> u64 {
    std::fs::metadata(world.path(name)).map_or(0, |file| file.len())
}

/// How many threads the daemon has.
fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .count()
}

#[test]
fn a_log_that_another_program_holds_delays_and_costs_nothing() {
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(400)));
    let world = world(&receiver.url("/"));
    let daemon = world.start();
    emit(&world, 1..=100, 1_000);
    receiver.wait(1, SOON);
    let locker = Connection::open(world.path("log.db")).unwrap();
    locker.busy_timeout(SOON).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    emit(&world, 101..=2_000, 1_000);
    // Events come by the socket all the while.
    post(&world, "/events", r#"{"event":"e","data":{"n":2001}}"#).expect(202);
    not_well(&world, "locked");
    let (begun, memory) = (threads(daemon.pid()), daemon.memory_kib("VmRSS"));
    stays(
        "what was admitted goes on, nothing else is sent",
        long(),
        || check(receiver.count() <= 100, || receiver.count().to_string()),
    );
    assert!(
        threads(daemon.pid()) <= begun + 4,
        "{begun} threads have become {}",
        threads(daemon.pid())
    );
    let grown = daemon.memory_kib("VmRSS").saturating_sub(memory);
    assert!(grown < 32 << 10, "{grown} KiB more");
    locker.execute_batch("ROLLBACK").unwrap();
    drop(locker);
    well(&world);
    each_once(&world, &receiver, 2_001);
    daemon.stop();
}

#[test]
fn results_that_wait_for_a_held_log_are_bounded_in_bytes() {
    // 64 KiB are kept of an answer: 64 MiB hold a thousand of them.
    const EVENTS: i64 = 1_500;
    let answer = Answer::with_body(200, "", &[b'x'; 64 << 10]);
    let receiver = Receiver::start(move |_| answer.clone());
    let world = World::new(&[]);
    let configure = |url: String| {
        let hook = hook("w", url).dialect("openboxes-lift");
        world.configure_with(crate::socket::SECTION, &[hook.line("max_in_flight = 2")]);
    };
    // All of them are in the log and due at the second start, whose log is held at once.
    configure("http://127.0.0.1:9/".to_owned());
    let daemon = world.start();
    emit(&world, 1..=EVENTS, 10);
    world.wait_number("SELECT count(*) FROM attempt", EVENTS, SOON);
    daemon.stop();
    world.change_log("UPDATE parked SET due_at = 0").unwrap();
    configure(receiver.url("/"));
    let daemon = world.start();
    let locker = Connection::open(world.path("log.db")).unwrap();
    locker.busy_timeout(SOON).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = receiver.count();
    not_well(&world, "locked");
    let most = before + 1_100;
    stays(
        "no more is sent than can be remembered",
        Duration::from_secs(2),
        || check(receiver.count() <= most, || receiver.count().to_string()),
    );
    println!(
        "{before} were sent before the log was held, {} then",
        receiver.count() - before
    );
    locker.execute_batch("ROLLBACK").unwrap();
    drop(locker);
    world.wait_number(DELIVERED, EVENTS, Duration::from_secs(60));
    assert_eq!(i64::try_from(receiver.count()).unwrap(), EVENTS);
    daemon.stop();
}

#[test]
fn a_reader_that_never_ends_is_told_and_the_wal_shrinks_after_it() {
    let world = World::new(&[]);
    // What fails is due again in a minute, so nothing is committed meanwhile.
    let dead = hook("w", "http://127.0.0.1:9/").dialect("openboxes-lift");
    world.configure_with(crate::socket::SECTION, &[dead]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", 1, SOON);
    let reader = Connection::open(world.path("log.db")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM delivery")
        .unwrap();
    for first in (0..300).step_by(20) {
        emit(&world, first..=first + 19, 600_000);
    }
    world.wait_number("SELECT count(*) FROM attempt", 301, Duration::from_secs(60));
    daemon.wait_journal("keeps a transaction open in the log");
    let held = eventually("the metrics tell how much is held", SOON, || {
        let page = curl(&world, "/metrics", &[]).expect(200).body;
        let name = "webhooksd_log_wal_held_bytes ";
        let held = page.lines().find_map(|line| line.strip_prefix(name));
        let held: u64 = held.unwrap().parse().unwrap();
        check(held >= 128 << 20, || held.to_string()).map(|()| held)
    });
    println!("a reader holds a WAL of {} MiB", held >> 20);
    eventually("the status warns", SOON, || {
        let status = world.command(&["status"]).expect(0).stdout;
        let warns = status.contains("well") && status.contains("MiB long and can't start over");
        check(warns, || status)
    });
    let json = world.command(&["status", "--json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(
        json["log"]["wal_bytes"].as_u64().unwrap() >= 128 << 20,
        "{json}"
    );
    assert_eq!(
        json["daemon"]["warnings"].as_array().unwrap().len(),
        1,
        "{json}"
    );
    curl(&world, "/health", &[]).expect(200);
    reader.execute_batch("COMMIT").unwrap();
    eventually("the WAL shrinks though nothing happens", SOON, || {
        let bytes = bytes_of(&world, "log.db-wal");
        check(bytes <= 64 << 20, || bytes.to_string())
    });
    daemon.wait_journal("starts over again");
    intact(&world);
    daemon.stop();
}

/// The application holds its outbox: the socket answers within a bound, nobody piles up, and what
/// comes after is seen at once.
fn the_outbox_is_held(mode: &str, begin: &str) {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    world.remove_outbox();
    world.make_outbox(mode);
    let daemon = world.start();
    emit(&world, 1..=3, 10);
    receiver.wait(3, SOON);
    post(&world, "/events", r#"{"event":"e","data":{"n":4}}"#).expect(202);
    receiver.wait(4, SOON);
    let begun = threads(daemon.pid());
    let owner = world.outbox();
    eventually("the owner gets its lock", SOON, || {
        owner.execute_batch(begin).map_err(|e| e.to_string())
    });
    owner
        .execute_batch("INSERT INTO outbox (event, data) VALUES ('e', '{\"n\":5}')")
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            let mut client = Client::new(&world);
            scope.spawn(move || {
                let started = now();
                let (status, words) = client
                    .post("application/json", br#"{"event":"e","data":{"n":99}}"#)
                    .unwrap();
                assert_eq!(status, 503, "{words}");
                assert!(
                    started.elapsed() < Duration::from_secs(15),
                    "{:?}",
                    started.elapsed()
                );
            });
        }
        stays(
            "no thread is made for each that waits",
            Duration::from_secs(1),
            || {
                let now = threads(daemon.pid());
                check(now <= begun + 4, || format!("{begun} have become {now}"))
            },
        );
    });
    if mode == "DELETE" {
        not_well(&world, "locked");
    }
    stays(
        "it waits",
        long().saturating_sub(Duration::from_secs(5)),
        || check(receiver.count() == 4, || receiver.count().to_string()),
    );
    assert!(daemon.memory_kib("VmRSS") < 256 << 10);
    owner.execute_batch("COMMIT").unwrap();
    let committed = now();
    let fifth = receiver.wait(5, SOON)[4]
        .at
        .saturating_duration_since(committed);
    println!("{mode}: seen {fifth:?} after the commit");
    assert!(fifth < Duration::from_secs(5), "{fifth:?}");
    post(&world, "/events", r#"{"event":"e","data":{"n":6}}"#).expect(202);
    each_once(&world, &receiver, 6);
    well(&world);
    daemon.stop();
}

#[test]
fn an_outbox_in_wal_mode_that_its_owner_holds() {
    the_outbox_is_held("WAL", "BEGIN IMMEDIATE");
}

#[test]
fn an_outbox_in_rollback_mode_that_its_owner_holds() {
    the_outbox_is_held("DELETE", "BEGIN EXCLUSIVE");
}
