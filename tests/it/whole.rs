//! The outbox's file is whole where people expect it to be: once the application has closed it, and
//! once webhooksd has stopped.

use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use crate::socket::client::lines;
use crate::socket::started;
use crate::support::{Receiver, SOON, World, check, eventually, hook, insert};

fn world() -> World {
    let world = World::new(&[hook("w", "http://127.0.0.1:9/").events("none")]);
    world
        .outbox()
        .execute_batch("CREATE TABLE story (x)")
        .unwrap();
    world
}

/// Commits so many rows in the application's own table, each with an event.
fn write(app: &Connection, count: usize) {
    for _ in 0..count {
        app.execute_batch("BEGIN; INSERT INTO story VALUES ('x')")
            .unwrap();
        insert(app, "e", "{}");
        app.execute_batch("COMMIT").unwrap();
    }
}

/// How many rows a copy of the file alone has. Another process copies: in this one, which has the
/// database open, that would cost SQLite its locks.
fn copied(world: &World, table: &str) -> i64 {
    let copy = world.path("copy.db");
    let words = [world.path("outbox.db"), copy.clone()];
    assert!(Command::new("cp").args(words).status().unwrap().success());
    let sql = format!("SELECT count(*) FROM {table}");
    let rows = Connection::open(&copy)
        .unwrap()
        .query_row(&sql, (), |row| row.get(0));
    rows.unwrap()
}

fn wal(world: &World) -> PathBuf {
    world.path("outbox.db-wal")
}

#[test]
fn a_stopped_application_s_file_is_whole_beside_the_daemon_and_after_it() {
    let world = world();
    let daemon = world.start();
    let app = world.outbox();
    write(&app, 50);
    drop(app);
    eventually("a copy has every row", SOON, || {
        let rows = copied(&world, "story");
        check(rows == 50, || rows.to_string())
    });
    write(&world.outbox(), 10);
    daemon.stop();
    assert_eq!(copied(&world, "story"), 60);
    assert!(!wal(&world).exists(), "the last connection left its WAL");
}

#[test]
fn an_application_that_stays_finds_its_file_whole_after_a_stop_and_goes_on() {
    let world = world();
    let daemon = world.start();
    let app = world.outbox();
    write(&app, 50);
    daemon.stop();
    assert_eq!(copied(&world, "story"), 50);
    assert!(wal(&world).exists());
    write(&app, 1);
    let rows: i64 = app
        .query_row("SELECT count(*) FROM story", (), |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 51);
}

#[test]
fn what_came_by_the_socket_is_in_the_file_after_a_stop() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    let events = r#"{"event":"e","data":1}"#.to_owned() + "\n";
    assert_eq!(lines(&world, &events.repeat(20)).len(), 20);
    daemon.stop();
    assert_eq!(copied(&world, "outbox"), 20);
}
