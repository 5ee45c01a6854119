//! Outboxes put back from a backup while the daemon runs, and ids that are given out again.
//!
//! The daemon is stopped (SIGSTOP) for the time it takes, so that what it finds afterwards is whatever
//! a test wants it to find. Every event of the outbox as it is in the end must have come.

use std::collections::BTreeSet;

use rusqlite::backup::NO_PROGRESS;
use rusqlite::{Connection, ErrorCode, MAIN_DB};
use rustix::process::Signal;

use super::fault::intact;
use crate::socket::client::post;
use crate::socket::{SECTION, world};
use crate::support::{Daemon, Receiver, SOON, World, check, eventually, hook, insert};

fn emit(world: &World, numbers: std::ops::RangeInclusive<i64>) {
    for n in numbers {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
}

fn numbers(receiver: &Receiver) -> BTreeSet<i64> {
    receiver
        .received()
        .iter()
        .map(|request| request.n())
        .collect()
}

#[track_caller]
fn wait_for(receiver: &Receiver, wanted: std::ops::RangeInclusive<i64>) {
    let wanted: BTreeSet<i64> = wanted.collect();
    eventually("every event that is in the outbox comes", SOON, || {
        let seen = numbers(receiver);
        check(seen.is_superset(&wanted), || format!("{seen:?}"))
    });
}

/// `sqlite3 outbox.db ".restore backup.db"`: SQLite's own backup, into the database that is there;
/// false where somebody was reading just then.
fn restore(world: &World) -> bool {
    let done = world
        .outbox()
        .restore(MAIN_DB, world.path("backup.db"), NO_PROGRESS);
    if let Err(error) = &done {
        let code = error.sqlite_error_code();
        let held = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
        assert!(code.is_some_and(|code| held.contains(&code)), "{error}");
    }
    done.is_ok()
}

/// Restores the backup in place and adds events while the daemon stands still.
fn restore_and_emit(world: &World, daemon: &Daemon, numbers: std::ops::RangeInclusive<i64>) {
    // Where it was stopped in the middle of a read, it holds a lock.
    eventually("the backup is put back", SOON, || {
        daemon.signal(Signal::STOP);
        if restore(world) {
            return Ok(());
        }
        daemon.signal(Signal::CONT);
        Err("locked".to_owned())
    });
    emit(world, numbers);
    daemon.signal(Signal::CONT);
}

/// A backup of 5 events is put back after 10; then so many come, with the ids from 6 on.
fn restored_in_place(mode: &str, added: i64) {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("w", receiver.url("/"))]);
    world.make_outbox(mode);
    emit(&world, 1..=5);
    let backup = format!("VACUUM INTO '{}'", world.path("backup.db").display());
    world.outbox().execute_batch(&backup).unwrap();
    let daemon = world.start();
    emit(&world, 6..=10);
    wait_for(&receiver, 1..=10);
    world.wait_number("SELECT event_id FROM cursor", 10, SOON);
    restore_and_emit(&world, &daemon, 101..=100 + added);
    wait_for(&receiver, 101..=100 + added);
    daemon.wait_journal("the outbox lost rows that were taken");
    // And it goes on from there, each of them once.
    emit(&world, 201..=203);
    wait_for(&receiver, 201..=203);
    let again = receiver
        .received()
        .iter()
        .filter(|request| request.n() > 100)
        .count();
    assert_eq!(i64::try_from(again).unwrap(), added + 3);
    intact(&world);
    daemon.stop();
}

#[test]
fn a_backup_restored_in_place_is_taken_up_whatever_ids_follow() {
    for mode in ["WAL", "DELETE"] {
        for added in [2, 5, 6, 40] {
            println!("{mode}, {added} events after the restore");
            restored_in_place(mode, added);
        }
    }
}

#[test]
fn a_backup_restored_over_an_outbox_whose_taken_rows_were_deleted_is_taken_up() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    emit(&world, 1..=20);
    let daemon = world.start();
    wait_for(&receiver, 1..=20);
    let backup = format!("VACUUM INTO '{}'", world.path("backup.db").display());
    world.outbox().execute_batch(&backup).unwrap();
    emit(&world, 21..=30);
    wait_for(&receiver, 21..=30);
    // The application clears up behind the daemon, the newest that was taken included.
    let outbox = world.outbox();
    outbox
        .execute("DELETE FROM outbox WHERE id > 4", [])
        .unwrap();
    emit(&world, 31..=31);
    wait_for(&receiver, 31..=31);
    assert!(
        !daemon.journal().contains("lost rows"),
        "rows that are gone are no rows lost"
    );
    restore_and_emit(&world, &daemon, 101..=115);
    wait_for(&receiver, 101..=115);
    daemon.stop();
}

/// `rm outbox.db-wal outbox.db-shm; cp backup.db outbox.db` with a backup in that journal mode: our
/// connections are left with files that have no name, and only a new start gets out of that.
fn put_back_by_rm_and_cp(mode: &str) {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    emit(&world, 1..=5);
    let backup = format!("VACUUM INTO '{}'", world.path("backup.db").display());
    world.outbox().execute_batch(&backup).unwrap();
    let copy = Connection::open(world.path("backup.db")).unwrap();
    copy.pragma_update(None, "journal_mode", mode).unwrap();
    drop(copy);
    let mut daemon = world.start();
    emit(&world, 6..=9);
    // The connection that writes for the socket is open too.
    post(&world, "/events", r#"{"event":"e","data":{"n":10}}"#).expect(202);
    wait_for(&receiver, 1..=10);
    daemon.signal(Signal::STOP);
    for name in ["outbox.db-wal", "outbox.db-shm"] {
        std::fs::remove_file(world.path(name)).unwrap();
    }
    // The same file with other bytes, as cp makes it.
    std::fs::copy(world.path("backup.db"), world.path("outbox.db")).unwrap();
    let outbox = (mode == "WAL").then(|| world.outbox());
    if let Some(outbox) = &outbox {
        insert(outbox, "e", r#"{"n":101}"#);
    }
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.wait(SOON), Some(1), "not 2: systemd starts it again");
    let words = daemon.journal();
    assert!(words.contains("was removed while it was open"), "{words}");
    assert!(words.contains("start the daemon anew"), "{words}");
    let outbox = outbox.unwrap_or_else(|| {
        let outbox = world.outbox();
        insert(&outbox, "e", r#"{"n":101}"#);
        outbox
    });
    let daemon = world.start();
    insert(&outbox, "e", r#"{"n":102}"#);
    wait_for(&receiver, 101..=102);
    post(&world, "/events", r#"{"event":"e","data":{"n":103}}"#).expect(202);
    wait_for(&receiver, 103..=103);
    drop(outbox);
    intact(&world);
    daemon.stop();
}

#[test]
fn an_outbox_put_back_by_rm_and_cp_starts_the_daemon_anew() {
    put_back_by_rm_and_cp("WAL");
    put_back_by_rm_and_cp("DELETE");
}

#[test]
fn the_socket_takes_nothing_into_a_wal_that_was_removed() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let daemon = world.start();
    post(&world, "/events", r#"{"event":"e","data":{"n":1}}"#).expect(202);
    std::fs::remove_file(world.path("outbox.db-wal")).unwrap();
    let refused = post(&world, "/events", r#"{"event":"e","data":{"n":2}}"#).expect(503);
    assert!(refused.error().contains("was removed"), "{refused:?}");
    drop(daemon);
}

#[test]
fn an_outbox_removed_while_running_is_told_and_followed_once_it_is_back() {
    let receiver = Receiver::ok();
    let world = World::bare(&[]);
    world.configure_with(SECTION, &[hook("w", receiver.url("/"))]);
    world.make_outbox("WAL");
    let daemon = world.start();
    emit(&world, 1..=3);
    wait_for(&receiver, 1..=3);
    std::fs::create_dir(world.path("away")).unwrap();
    let names = ["outbox.db", "outbox.db-wal", "outbox.db-shm"];
    let moved = |from: &str, to: &str| {
        for name in names {
            std::fs::rename(world.path(from).join(name), world.path(to).join(name)).unwrap();
        }
    };
    moved("", "away");
    super::fault::not_well(&world, "outbox");
    post(&world, "/events", r#"{"event":"e","data":{"n":4}}"#).expect(503);
    assert!(
        !world.path("outbox.db").exists(),
        "none is made in its place"
    );
    moved("away", "");
    super::fault::well(&world);
    emit(&world, 4..=4);
    wait_for(&receiver, 4..=4);
    daemon.stop();
}
