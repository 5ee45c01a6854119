//! Databases that were damaged: refused by name with a way out, never made anew, never altered; and
//! what the outbox still has is delivered once a person has decided.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;

use super::fault::{emit, intact, not_well, well};
use crate::socket::world;
use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook};

const DELIVERED: &str = "SELECT count(*) FROM delivery WHERE state = 'delivered'";

/// A way to damage a file of the world, by its name.
type Damage = fn(&World, &str);

fn overwrite(world: &World, name: &str, from: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.path(name))
        .unwrap();
    file.write_all_at(bytes, from).unwrap();
}

fn header(world: &World, name: &str) {
    overwrite(world, name, 0, &[0xff; 100]);
}

fn pages(world: &World, name: &str) {
    let length = std::fs::metadata(world.path(name)).unwrap().len();
    let rest = usize::try_from(length).unwrap() - 8_192;
    overwrite(world, name, 8_192, &vec![0xa5; rest]);
}

fn truncated(world: &World, name: &str) {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(world.path(name))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn emptied(world: &World, name: &str) {
    world.write(name, "");
}

fn text(world: &World, name: &str) {
    world.write(name, "Dear diary, this is no database at all. ".repeat(300));
}

fn of_another_program(world: &World, name: &str) {
    std::fs::remove_file(world.path(name)).unwrap();
    let other = Connection::open(world.path(name)).unwrap();
    other
        .execute_batch("PRAGMA application_id = 7; CREATE TABLE mine (a)")
        .unwrap();
}

/// Holds that `run` ends with exit code 2 and names the file, and returns its words.
#[track_caller]
fn refused(world: &World, name: &str) -> String {
    let mut daemon = world.spawn(&[]);
    let code = daemon.wait(SOON);
    let words = daemon.journal();
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains(name), "{words}");
    words
}

/// A world in which 50 events were delivered, stopped.
fn delivered() -> (World, Receiver) {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let daemon = world.start();
    emit(&world, 1..=50, 2_000);
    world.wait_number(DELIVERED, 50, SOON);
    daemon.stop();
    (world, receiver)
}

#[test]
fn a_damaged_log_is_refused_with_a_way_out_and_left_as_it_is() {
    let kinds: [(&str, Damage, &str); 6] = [
        ("header", header, ".dump"),
        ("pages", pages, "webhooksd-databases(7)"),
        ("truncated", truncated, ".dump"),
        ("emptied", emptied, ".dump"),
        ("text", text, ".dump"),
        (
            "of another program",
            of_another_program,
            "a file of its own",
        ),
    ];
    for (kind, damage, way_out) in kinds {
        let (world, receiver) = delivered();
        // Nothing may be left in the -wal that stands before what is damaged.
        if kind == "pages" {
            let log = Connection::open(world.path("log.db")).unwrap();
            let whole = "PRAGMA wal_checkpoint(TRUNCATE)";
            log.query_row(whole, [], |_| Ok(())).unwrap();
        }
        damage(&world, "log.db");
        let before = std::fs::read(world.path("log.db")).unwrap();
        let words = refused(&world, "log.db");
        assert!(words.contains(way_out), "{kind}: {words}");
        assert!(refused(&world, "log.db").contains(way_out), "{kind}: again");
        let after = std::fs::read(world.path("log.db")).unwrap();
        assert!(before == after, "{kind}: the file was altered");
        assert_eq!(receiver.count(), 50, "{kind}");
        // The way out: begin a new log where the person says.
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(world.path(format!("log.db{suffix}"))));
        }
        world.command(&["start-from", "41"]).expect(0);
        let daemon = world.start();
        world.wait_number(DELIVERED, 10, SOON);
        assert_eq!(receiver.count(), 60, "{kind}");
        intact(&world);
        daemon.stop();
    }
}

#[test]
fn a_log_whose_file_is_gone_and_whose_wal_is_not_is_refused() {
    let (world, _receiver) = delivered();
    let daemon = world.start();
    emit(&world, 51..=60, 10);
    world.wait_number(DELIVERED, 60, SOON);
    daemon.kill();
    let wal = std::fs::metadata(world.path("log.db-wal")).unwrap().len();
    assert!(wal > 0);
    std::fs::rename(world.path("log.db"), world.path("away.db")).unwrap();
    let words = refused(&world, "log.db");
    assert!(words.contains("its -wal is there"), "{words}");
    assert_eq!(
        std::fs::metadata(world.path("log.db-wal")).unwrap().len(),
        wal
    );
    assert!(!world.path("log.db").exists());
    std::fs::rename(world.path("away.db"), world.path("log.db")).unwrap();
    let daemon = world.start();
    assert_eq!(world.number(DELIVERED), 60, "nothing of it was lost");
    daemon.stop();
}

#[test]
fn a_log_that_is_moved_away_while_running_is_told_until_it_is_back() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = world.start();
    emit(&world, 1..=1, 10);
    world.wait_number(DELIVERED, 1, SOON);
    std::fs::rename(world.path("log.db"), world.path("away.db")).unwrap();
    emit(&world, 2..=2, 10);
    receiver.wait(2, SOON);
    eventually("health tells of it", SOON, || {
        let health = crate::socket::client::curl(&world, "/health", &[]);
        check(health.body.contains("moved or removed"), || health.body)
    });
    daemon.wait_journal("put the very file back");
    std::fs::rename(world.path("away.db"), world.path("log.db")).unwrap();
    well(&world);
    super::fault::each_once(&world, &receiver, 2);
    daemon.stop();
}

#[test]
fn a_database_of_another_program_keeps_its_wal_too() {
    let world = World::new(&[hook("w", "http://127.0.0.1:9/")]);
    let other = Connection::open(world.path("other.db")).unwrap();
    other
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE mine (a); INSERT INTO mine VALUES (1)",
        )
        .unwrap();
    for suffix in ["", "-wal"] {
        let from = world.path(format!("other.db{suffix}"));
        std::fs::copy(from, world.path(format!("log.db{suffix}"))).unwrap();
    }
    let bytes = |name: &str| std::fs::read(world.path(name)).unwrap();
    let words = refused(&world, "log.db");
    assert!(words.contains("a file of its own"), "{words}");
    assert!(bytes("log.db") == bytes("other.db"), "the file was altered");
    assert!(
        bytes("log.db-wal") == bytes("other.db-wal"),
        "the WAL was altered"
    );
}

#[test]
fn a_damaged_outbox_is_refused_with_a_way_out_and_left_as_it_is() {
    let kinds: [(&str, Damage, &str); 3] = [
        ("header", header, ".dump of sqlite3"),
        ("truncated", truncated, "webhooksd-databases(7)"),
        ("text", text, ".dump"),
    ];
    for (kind, damage, way_out) in kinds {
        let (world, receiver) = delivered();
        remove_companions(&world);
        damage(&world, "outbox.db");
        let before = std::fs::read(world.path("outbox.db")).unwrap();
        let words = refused(&world, "outbox.db");
        assert!(words.contains(way_out), "{kind}: {words}");
        let after = std::fs::read(world.path("outbox.db")).unwrap();
        assert!(before == after, "{kind}: the file was altered");
        assert_eq!(receiver.count(), 50, "{kind}");
    }
}

/// What the log of a lost outbox took, nobody can tell here: an empty one in its place would hide it.
#[test]
fn where_the_log_can_not_be_read_no_outbox_is_made() {
    let world = World::bare(&[hook("w", "http://127.0.0.1:9/")]);
    world.write("log.db", "no database at all".repeat(500).as_bytes());
    refused(&world, "log.db");
    let emitted = world.command(&["emit", "e"]);
    assert_ne!(emitted.code, Some(0), "{}", emitted.stderr);
    assert!(!world.path("outbox.db").exists());
}

/// A database that lost its table is as one whose application has not made it yet: nothing says which.
#[test]
fn an_outbox_that_lost_its_table_is_waited_for_and_left_as_it_is() {
    let kinds: [(&str, Damage); 2] = [
        ("emptied", emptied),
        ("of another program", of_another_program),
    ];
    for (kind, damage) in kinds {
        let (world, receiver) = delivered();
        let whole = world.path("whole.db");
        let copy = format!("VACUUM INTO '{}'", whole.display());
        world.outbox().execute_batch(&copy).unwrap();
        remove_companions(&world);
        damage(&world, "outbox.db");
        let before = std::fs::read(world.path("outbox.db")).unwrap();
        let daemon = world.start();
        daemon.wait_journal("events up to 50 were taken");
        daemon.wait_journal("schema outbox");
        let after = std::fs::read(world.path("outbox.db")).unwrap();
        assert!(before == after, "{kind}: the file was altered");
        // Put back by another name and a rename, it is followed where it was left.
        remove_companions(&world);
        std::fs::rename(whole, world.path("outbox.db")).unwrap();
        daemon.wait_journal("following it");
        emit(&world, 51..=51, 10);
        receiver.wait(51, SOON);
        assert_eq!(receiver.count(), 51, "{kind}");
        daemon.stop();
    }
}

fn remove_companions(world: &World) {
    for companion in ["outbox.db-wal", "outbox.db-shm"] {
        drop(std::fs::remove_file(world.path(companion)));
    }
}

/// What of the WAL is not as it was written is as if it had not been: an older state, from which the
/// events are taken again.
#[test]
fn a_damaged_wal_of_the_log_costs_no_event() {
    for middle in [false, true] {
        let receiver = Receiver::ok();
        let world = World::new(&[hook("w", receiver.url("/"))]);
        let daemon = world.start();
        emit(&world, 1..=20, 10);
        world.wait_number(DELIVERED, 20, SOON);
        emit(&world, 21..=60, 10);
        world.wait_number(DELIVERED, 60, SOON);
        daemon.kill();
        let length = std::fs::metadata(world.path("log.db-wal")).unwrap().len();
        let from = if middle { length / 2 } else { 0 };
        overwrite(&world, "log.db-wal", from, &[0x5a; 5_000]);
        let daemon = world.start();
        emit(&world, 61..=61, 10);
        let all: BTreeSet<i64> = (1..=61).collect();
        eventually("every event is in the log as delivered", SOON, || {
            let sql = "SELECT DISTINCT event_id FROM delivery WHERE state = 'delivered'";
            let seen: BTreeSet<i64> = world
                .log(sql)
                .iter()
                .map(|row| row[0].parse().unwrap())
                .collect();
            check(seen == all, || format!("{seen:?}"))
        });
        let seen: BTreeSet<i64> = receiver
            .received()
            .iter()
            .map(|request| request.n())
            .collect();
        assert_eq!(seen, all);
        println!(
            "a damaged WAL, in the middle {middle}: {} sent again",
            receiver.count() - 61
        );
        intact(&world);
        daemon.stop();
    }
}

#[test]
fn an_outbox_damaged_while_running_is_told_and_followed_again_once_it_is_mended() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = world.start();
    emit(&world, 1..=5, 10);
    receiver.wait(5, SOON);
    let outbox = world.outbox();
    let copied = || -> i64 {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        outbox.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    eventually("it is stopped where it reads nothing", SOON, || {
        daemon.signal(Signal::STOP);
        let busy = copied();
        if busy != 0 {
            daemon.signal(Signal::CONT);
        }
        check(busy == 0, || busy.to_string())
    });
    emit(&world, 6..=200, 3_000);
    assert_eq!(copied(), 0, "the WAL is not in the file");
    drop(outbox);
    let whole = std::fs::read(world.path("outbox.db")).unwrap();
    let half = u64::try_from(whole.len() / 2 / 4_096 * 4_096).unwrap();
    overwrite(&world, "outbox.db", half, &vec![0xa5; whole.len() / 4]);
    daemon.signal(Signal::CONT);
    not_well(&world, "malformed");
    let journal = daemon.journal();
    assert!(
        journal.contains("the outbox can't be read") && journal.contains(".dump"),
        "{journal}"
    );
    overwrite(&world, "outbox.db", 0, &whole);
    well(&world);
    world.wait_number(DELIVERED, 200, SOON);
    assert_eq!(receiver.count(), 200);
    daemon.stop();
}

#[test]
fn a_log_damaged_while_running_ends_the_daemon_and_loses_nothing_that_the_outbox_has() {
    let status = Arc::new(AtomicU16::new(503));
    let says = status.clone();
    let receiver = Receiver::start(move |_| Answer::status(says.load(Ordering::SeqCst)));
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let mut daemon = world.start();
    // More than SQLite keeps in memory, so that the bodies are read from the file again.
    emit(&world, 1..=300, 100_000);
    world.wait_number("SELECT count(*) FROM attempt", 300, SOON);
    let reader = Connection::open(world.path("log.db")).unwrap();
    // And nothing of it in the WAL, which would be read instead.
    eventually("all is in the file", SOON, || {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = reader
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| error.to_string())?;
        check(busy == 0, || "somebody uses the WAL".to_owned())
    });
    drop(reader);
    pages(&world, "log.db");
    status.store(200, Ordering::SeqCst);
    assert_eq!(
        daemon.wait(Duration::from_secs(40)),
        Some(2),
        "a person has to decide"
    );
    let words = daemon.journal();
    assert!(
        words.contains("malformed") && words.contains(".dump"),
        "{words}"
    );
    refused(&world, "log.db");
    for suffix in ["", "-wal", "-shm"] {
        let from = world.path(format!("log.db{suffix}"));
        std::fs::rename(from, world.path(format!("damaged.db{suffix}"))).unwrap();
    }
    world.command(&["start-from", "beginning"]).expect(0);
    let daemon = world.start();
    world.wait_number(DELIVERED, 300, SOON);
    daemon.stop();
}
