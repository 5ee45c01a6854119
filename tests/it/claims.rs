//! One daemon for one outbox while both run: its lock removed, its path a link that is set to another,
//! its path a slip of the keys, its table made in steps.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, Receiver, SOON, World, check, eventually, hook, insert, now};

/// A world with a socket whose outbox is that file.
fn world_of(receiver: &Receiver, outbox: &Path) -> World {
    let world = World::bare(&[hook("w", receiver.url("/"))]);
    world.configure_with(crate::socket::SECTION, &[hook("w", receiver.url("/"))]);
    name_outbox(&world, "outbox.db", outbox.to_str().unwrap());
    world
}

fn name_outbox(world: &World, old: &str, new: &str) {
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace(old, new));
}

/// Waits until the daemon complains of that, or of nothing.
#[track_caller]
fn complains(world: &World, words: &str) {
    eventually("the complaint", SOON, || {
        let status = world.command(&["status", "--json"]).expect(0).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        let told = status["daemon"]["complaints"].to_string();
        let holds = if words.is_empty() {
            told == "[]"
        } else {
            told.contains(words)
        };
        check(holds, || told.clone())
    });
}

/// Holds that a daemon of that world is refused for the other one.
#[track_caller]
fn is_refused(world: &World, other: &Daemon) {
    world.command(&["check"]).expect(2);
    let mut second = world.spawn(&[]);
    assert_eq!(second.wait(SOON), Some(2), "{}", second.journal());
    let words = format!("followed by process {}", other.pid());
    assert!(second.journal().contains(&words), "{}", second.journal());
}

#[test]
fn a_lock_that_goes_with_the_outbox_or_alone_is_taken_anew() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let second = world_of(&receiver, &world.path("outbox.db"));
    let lock = world.path("outbox.db.webhooksd.lock");
    let daemon = world.start();
    for with_outbox in [false, true] {
        std::fs::remove_file(&lock).unwrap();
        if with_outbox {
            world.remove_outbox();
            world.make_outbox("WAL");
        }
        eventually("the lock is there again", SOON, || {
            check(lock.exists(), || "none".to_owned())
        });
        is_refused(&second, &daemon);
    }
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
    assert!(!lock.exists());
    second.start().stop();
}

#[test]
fn an_outbox_that_another_daemon_follows_is_left_to_it_until_that_ends() {
    let receiver = Receiver::ok();
    let others = Receiver::ok();
    let apps = World::new(&[hook("a", others.url("/"))]);
    let (first, link) = (apps.path("first.db"), apps.path("link.db"));
    std::fs::copy(apps.path("outbox.db"), &first).unwrap();
    std::os::unix::fs::symlink(&first, &link).unwrap();
    let world = world_of(&receiver, &link);
    let other = apps.start();
    let daemon = world.start();
    std::os::unix::fs::symlink(apps.path("outbox.db"), apps.path("new.db")).unwrap();
    std::fs::rename(apps.path("new.db"), &link).unwrap();
    complains(&world, &format!("followed by process {}", other.pid()));
    daemon.wait_journal("is followed by process");
    apps.emit("e", "{}");
    others.wait(1, SOON);
    assert_eq!(receiver.count(), 0);
    other.stop();
    receiver.wait(1, SOON);
    complains(&world, "");
    daemon.stop();
}

#[test]
fn a_slip_in_the_path_of_an_outbox_that_was_followed_makes_no_new_one() {
    let receiver = Receiver::ok();
    let world = crate::socket::world(&receiver.url("/"));
    let daemon = world.start();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    name_outbox(&world, "outbox.db", "outbx.db");
    let words = world.command(&["check"]).expect(0).stderr;
    assert!(words.contains("log has taken events of one"), "{words}");
    assert!(words.contains("that of the running daemon"), "{words}");
    daemon.stop();
    let daemon = world.start();
    complains(&world, "waiting for the outbox");
    world.command(&["emit", "e", "{}"]).expect(1);
    assert!(!world.path("outbx.db").exists());
    daemon.stop();
    name_outbox(&world, "outbx.db", "outbox.db");
    let daemon = world.start();
    world.emit("e", "{}");
    receiver.wait(2, SOON);
    daemon.stop();
}

#[test]
fn a_table_that_is_made_in_steps_is_waited_for() {
    let receiver = Receiver::ok();
    let world = crate::socket::world(&receiver.url("/"));
    world.remove_outbox();
    let app = Connection::open(world.path("outbox.db")).unwrap();
    app.execute_batch("CREATE TABLE mine (a)").unwrap();
    let daemon = world.start();
    complains(&world, "no table");
    for (sql, words) in [
        ("CREATE VIEW outbox AS SELECT 1 AS id", "view"),
        (
            "DROP VIEW outbox; CREATE TABLE outbox (id INTEGER PRIMARY KEY, event, data, time)",
            "AUTOINCREMENT",
        ),
        (
            "DROP TABLE outbox; CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event)",
            "no column",
        ),
    ] {
        app.execute_batch(sql).unwrap();
        complains(&world, words);
    }
    let sql = "ALTER TABLE outbox ADD COLUMN data; ALTER TABLE outbox ADD COLUMN time INTEGER";
    app.execute_batch(sql).unwrap();
    let now_ms = crate::support::now_ms();
    let row = "INSERT INTO outbox (event, data, time) VALUES ('e', '1', ?1)";
    app.execute(row, [now_ms]).unwrap();
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_transaction_that_a_crash_left_half_done_is_no_error_of_check() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("w", receiver.url("/"))]);
    world.make_outbox("DELETE");
    // A copy of database and journal in the middle of a transaction is what a crash leaves.
    let app = world.outbox();
    app.execute_batch("PRAGMA cache_size = 1; BEGIN").unwrap();
    for _ in 0..200 {
        insert(&app, "e", &format!("\"{}\"", "a".repeat(3_000)));
    }
    let crashed = World::bare(&[hook("w", receiver.url("/"))]);
    for name in ["outbox.db", "outbox.db-journal"] {
        std::fs::copy(world.path(name), crashed.path(name)).unwrap();
    }
    let words = crashed.command(&["check"]).expect(0).stderr;
    assert!(words.contains("half done"), "{words}");
    let daemon = crashed.start();
    crashed.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_daemon_that_stands_still_is_said_to_be_there() {
    let (world, daemon) = crate::socket::started("http://127.0.0.1:9/");
    daemon.signal(Signal::STOP);
    let began = now();
    let told = world.command(&["status"]).expect(0).stdout;
    let took = began.elapsed();
    let line = format!("daemon: DOES NOT ANSWER, process {}", daemon.pid());
    assert!(told.starts_with(&line), "{told}");
    assert!(told.contains("says nothing for 2 s"), "{told}");
    // Two seconds, and what the machine is busy with besides.
    assert!(took < Duration::from_secs(6), "{took:?}");
    world.command(&["status", "--check"]).expect(1);
    daemon.signal(Signal::CONT);
    let told = eventually("it answers again", SOON, || {
        let told = world.command(&["status"]).expect(0).stdout;
        check(told.starts_with("daemon: well"), || told.clone()).map(|()| told)
    });
    assert!(!told.contains("ANSWER"), "{told}");
    daemon.stop();
}

#[test]
fn a_daemon_behind_another_socket_is_named_by_its_process() {
    let (world, daemon) = crate::socket::started("http://127.0.0.1:9/");
    let process = format!("process {} has the log", daemon.pid());
    name_outbox(&world, "s.sock", "other.sock");
    for command in ["reload", "status"] {
        let said = world.command(&[command]);
        let words = format!("{}{}", said.stdout, said.stderr);
        assert!(words.contains(&process), "{command}: {words}");
    }
    name_outbox(&world, "[socket]\npath = \"other.sock\"\n", "");
    let words = world.command(&["check"]).expect(0).stderr;
    assert!(words.contains("[socket] path is another one"), "{words}");
    daemon.stop();
}
