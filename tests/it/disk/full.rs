//! A disk that is full or fails under the log, under the outbox, under both, and from the start.

use std::time::Duration;

use super::fault::{each_once, emit, intact, long, not_well, set, spawn, start, well};
use crate::socket::client::{curl, lines, post};
use crate::socket::{SECTION, world};
use crate::support::{Answer, Gate, Receiver, SOON, World, check, hook, stays};

/// Larger than what the log's WAL has room for once a few events went through.
const LARGE: usize = 4_000;

/// A receiver that answers once its gate is open, so that attempts are under way when the disk fills.
fn slow() -> (Receiver, Gate) {
    let gate = Gate::default();
    let answers = gate.clone();
    let receiver = Receiver::start(move |_| {
        answers.pass();
        Answer::status(200)
    });
    (receiver, gate)
}

fn metric(world: &World, name: &str) -> i64 {
    let page = curl(world, "/metrics", &[]).expect(200).body;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

/// The log's disk fails with `fault` while requests are in flight and events keep coming.
fn the_log_waits(fault: &str, words: &str) {
    let (receiver, gate) = slow();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    emit(&world, 1..=40, LARGE);
    receiver.wait(1, SOON);
    set(&world, fault);
    gate.open();
    emit(&world, 41..=60, LARGE);
    not_well(&world, words);
    assert!(
        metric(&world, "webhooksd_unrecorded ") > 0,
        "attempts wait for their record"
    );
    // The outbox is on another disk, as it were: it takes events all the while.
    post(&world, "/events", r#"{"event":"e","data":{"n":61}}"#).expect(202);
    let sent = receiver.count();
    stays("nothing is sent again", long(), || {
        check(receiver.count() <= 64, || {
            format!("{} of {sent}", receiver.count())
        })
    });
    let journal = daemon.journal();
    assert!(
        journal.contains("nothing is lost") && journal.contains(words),
        "{journal}"
    );
    assert!(
        journal.lines().count() < 200,
        "the journal is on a disk too: {journal}"
    );
    set(&world, "");
    well(&world);
    each_once(&world, &receiver, 61);
    daemon.wait_journal("the log takes results again");
    daemon.stop();
}

#[test]
fn a_full_disk_under_the_log_delays_and_costs_nothing() {
    the_log_waits("full log.db", "full");
}

#[test]
fn a_failing_disk_under_the_log_delays_and_costs_nothing() {
    the_log_waits("io log.db", "disk I/O error");
}

#[test]
fn a_log_that_cannot_grow_but_whose_wal_can_is_told_and_mended() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    emit(&world, 1..=1, 10);
    receiver.wait(1, SOON);
    set(&world, "full log.db$");
    emit(&world, 2..=100, LARGE);
    not_well(&world, "full");
    // Results are recorded all the same; only the file behind the WAL can't have them yet.
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 100, SOON);
    set(&world, "");
    well(&world);
    each_once(&world, &receiver, 100);
    daemon.stop();
}

#[test]
fn a_disk_that_does_not_synchronise_is_told_and_mended() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    set(&world, "sync log.db");
    emit(&world, 1..=20, 10);
    not_well(&world, "disk I/O error");
    set(&world, "");
    well(&world);
    each_once(&world, &receiver, 20);
    daemon.stop();
}

/// The outbox takes nothing: who posts is told so, nothing is answered 202 that is not there.
fn the_socket_refuses(fault: &str, words: &str) {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    post(&world, "/events", r#"{"event":"e","data":{"n":1}}"#).expect(202);
    receiver.wait(1, SOON);
    set(&world, fault);
    let large = format!(
        r#"{{"event":"e","data":{{"n":2,"x":"{}"}}}}"#,
        "x".repeat(100_000)
    );
    world.write("large", &large);
    let large = format!("@{}", world.path("large").display());
    let refused = curl(&world, "/events", &["--data-binary", &large]).expect(503);
    assert!(refused.error().contains(words), "{refused:?}");
    assert!(refused.head.contains("retry-after:"), "{refused:?}");
    let answers = lines(
        &world,
        &format!(
            "{}\n",
            std::fs::read_to_string(world.path("large")).unwrap()
        ),
    );
    assert!(
        answers[0].starts_with(r#"{"error":"#) && answers[0].contains(words),
        "{answers:?}"
    );
    // What is delivered goes on, and so do those who ask.
    curl(&world, "/health", &[]).expect(200);
    set(&world, "");
    let taken = curl(&world, "/events", &["--data-binary", &large]).expect(202);
    assert_eq!(taken.json()["ids"].as_array().unwrap().len(), 1);
    each_once(&world, &receiver, 2);
    daemon.stop();
}

#[test]
fn a_full_disk_under_the_outbox_refuses_by_name_and_works_again() {
    the_socket_refuses("full outbox.db", "full");
}

#[test]
fn a_failing_disk_under_the_outbox_refuses_by_name_and_works_again() {
    the_socket_refuses("io outbox.db", "disk I/O error");
}

#[test]
fn an_outbox_that_does_not_synchronise_answers_no_202() {
    the_socket_refuses("sync outbox.db", "disk I/O error");
}

#[test]
fn a_full_disk_under_both_is_over_by_itself() {
    let (receiver, gate) = slow();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    emit(&world, 1..=30, LARGE);
    receiver.wait(1, SOON);
    set(&world, "full log.db\nfull outbox.db");
    gate.open();
    let event = r#"{"event":"e","data":{"n":31}}"#;
    let large = event.replace("31", &format!("31,\"x\":\"{}\"", "x".repeat(90_000)));
    post(&world, "/events", &large).expect(503);
    not_well(&world, "full");
    set(&world, "");
    well(&world);
    post(&world, "/events", &large).expect(202);
    each_once(&world, &receiver, 31);
    daemon.stop();
}

#[test]
fn a_stop_on_a_full_disk_ends_in_time_says_what_is_not_written_and_loses_nothing() {
    let (receiver, gate) = slow();
    let world = world(&receiver.url("/"));
    let mut daemon = start(&world);
    emit(&world, 1..=30, LARGE);
    receiver.wait(1, SOON);
    set(&world, "full log.db");
    gate.open();
    daemon.wait_journal("the log does not take results");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(1));
    let words = daemon.journal();
    assert!(
        words.contains("the log did not take the last results"),
        "{words}"
    );
    let daemon = start(&world);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 30, SOON);
    assert_eq!(
        world.number("SELECT max(attempts) FROM delivery"),
        1,
        "none paid with a try"
    );
    intact(&world);
    daemon.stop();
}

#[test]
fn a_start_on_a_full_disk_waits_says_so_and_begins_once_there_is_room() {
    let receiver = Receiver::ok();
    for fresh in [true, false] {
        let world = World::new(&[]);
        world.configure_with(SECTION, &[hook("w", receiver.url("/"))]);
        if !fresh {
            start(&world).stop();
        }
        set(&world, "full log.db");
        let mut daemon = spawn(&world);
        daemon.wait_journal("the start waits");
        daemon.wait_journal("free some space");
        // Through more than one of its tries.
        stays(
            "the start goes on waiting",
            Duration::from_millis(1_500),
            || check(daemon.ended().is_none(), || daemon.journal()),
        );
        set(&world, "");
        daemon.wait_journal("ready");
        world.emit("e", "{}");
        let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        world.wait_number(delivered, 1, SOON);
        daemon.stop();
    }
}

#[test]
fn a_start_that_waits_ends_at_a_signal() {
    let world = world("http://127.0.0.1:9/");
    set(&world, "full log.db");
    let mut daemon = spawn(&world);
    daemon.wait_journal("the start waits");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn a_sweep_that_meets_a_full_disk_is_made_again() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = start(&world);
    emit(&world, 1..=1_000, 500);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 1_000, SOON);
    daemon.stop();
    // All of it happened 40 days ago.
    let past = 40 * 86_400_000_i64;
    for sql in [
        "DELETE FROM mark",
        "UPDATE attempt SET time = time - ?1",
        "UPDATE ended SET created_at = created_at - ?1, finished_at = finished_at - ?1",
    ] {
        world
            .change_log(&sql.replace("?1", &past.to_string()))
            .unwrap();
    }
    // With one for every day since then, as of a daemon that ran all the time.
    let marks = "WITH RECURSIVE day (time) AS (
          SELECT max(time) + 1 FROM attempt UNION ALL
          SELECT time + 86400000 FROM day WHERE time < (SELECT max(time) FROM attempt) + 39 * 86400000)
        INSERT INTO mark (time, generation, event_id, attempt_id, delivery_id, payload_id, rejected_id, redelivery_id)
        SELECT time, 0, 0, (SELECT max(id) FROM attempt), (SELECT max(id) FROM delivery),
               (SELECT max(id) FROM payload), 0, 0 FROM day";
    world.change_log(marks).unwrap();
    // The start has room for what it writes, the sweep has not.
    set(&world, "full log.db-wal 400000");
    let daemon = spawn(&world);
    daemon.wait_journal("delete expired rows");
    assert!(
        world.number("SELECT count(*) FROM delivery") > 0,
        "it is through already"
    );
    set(&world, "");
    let rows = "SELECT (SELECT count(*) FROM attempt) + (SELECT count(*) FROM delivery)";
    world.wait_number(rows, 0, Duration::from_secs(60));
    emit(&world, 1_001..=1_010, 10);
    world.wait_number(delivered, 10, SOON);
    intact(&world);
    daemon.stop();
}
