//! Guards of the outbox's table that are missing or vanish: named, with the SQL that puts them back.

use serde_json::Value;

use crate::support::{Daemon, Receiver, SOON, World, check, eventually, insert};

/// A world with a socket, so that the daemon can be asked.
fn asked(receiver: &Receiver) -> World {
    crate::socket::world(&receiver.url("/"))
}

/// What the running daemon says in that list of its status.
fn told(world: &World, list: &str) -> String {
    let status = world.command(&["status", "--json"]).expect(0).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["daemon"][list].to_string()
}

/// Waits until that list tells of it, and the journal too; the list.
#[track_caller]
fn wait_told(world: &World, daemon: &Daemon, list: &str, words: &str) -> String {
    let seen = eventually(&format!("{words} among the {list}"), SOON, || {
        let seen = told(world, list);
        check(seen.contains(words), || seen.clone()).map(|()| seen)
    });
    daemon.wait_journal(words);
    seen
}

/// Rebuilds the table as migration tools do, by the documented SQL with a change in it.
fn rebuild(world: &World, from: &str, to: &str) {
    let sql = world.command(&["schema", "outbox"]).expect(0).stdout;
    let table = sql.split("CREATE TRIGGER").next().unwrap();
    let table = table.replace(from, to).replace("TABLE outbox", "TABLE new");
    let outbox = world.outbox();
    outbox
        .execute_batch(&format!(
            "BEGIN IMMEDIATE; {table} INSERT INTO new SELECT * FROM outbox; DROP TABLE outbox;
             ALTER TABLE new RENAME TO outbox; COMMIT"
        ))
        .unwrap();
}

#[test]
fn a_lost_trigger_is_told_by_check_start_and_status_with_the_sql_that_puts_it_back() {
    let receiver = Receiver::ok();
    let world = asked(&receiver);
    let outbox = world.outbox();
    assert!(!world.command(&["check"]).expect(0).stderr.contains("lacks"));
    outbox.execute_batch("DROP TRIGGER outbox_id").unwrap();
    let words = world.command(&["check"]).expect(0);
    assert!(words.stdout.contains("1 warning"), "{}", words.stdout);
    assert!(
        words.stderr.contains("trigger \"outbox_id\""),
        "{}",
        words.stderr
    );
    let hint = words
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("   = "));
    let daemon = world.start();
    let warnings = wait_told(&world, &daemon, "warnings", "outbox_id");
    assert!(warnings.contains("CREATE TRIGGER outbox_id"), "{warnings}");
    assert_eq!(told(&world, "complaints"), "[]", "events still flow");
    insert(&outbox, "e", "{\"n\":1}");
    receiver.wait(1, SOON);
    outbox.execute_batch(hint.unwrap()).unwrap();
    eventually("it is no longer told", SOON, || {
        let seen = told(&world, "warnings");
        check(seen == "[]", || seen.clone())
    });
    assert!(!world.command(&["check"]).expect(0).stderr.contains("lacks"));
    daemon.stop();
}

#[test]
fn a_check_that_a_rebuild_loses_is_told_while_running() {
    let receiver = Receiver::ok();
    let world = asked(&receiver);
    let daemon = world.start();
    assert_eq!(told(&world, "warnings"), "[]");
    rebuild(&world, "AND json_valid(data)", "");
    let warnings = wait_told(&world, &daemon, "warnings", "data is JSON text");
    assert!(
        warnings.contains("CREATE TRIGGER outbox_data"),
        "{warnings}"
    );
    assert!(warnings.contains("CREATE TRIGGER outbox_id"), "{warnings}");
    world.emit("e", "no json");
    world.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_lost_autoincrement_is_a_complaint_at_once_and_refused_at_the_next_start() {
    let receiver = Receiver::ok();
    let world = asked(&receiver);
    let daemon = world.start();
    world.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    rebuild(&world, " AUTOINCREMENT", "");
    let complaints = wait_told(&world, &daemon, "complaints", "AUTOINCREMENT");
    assert!(complaints.contains("BEGIN IMMEDIATE"), "{complaints}");
    world.emit("e", "{\"n\":2}");
    receiver.wait(2, SOON);
    let refused = world.command(&["emit", "e", "{\"n\":3}"]);
    assert_ne!(refused.code, Some(0), "its id may be given again");
    daemon.stop();
    let words = world.command(&["check"]).expect(2).stderr;
    assert!(words.contains("AUTOINCREMENT"), "{words}");
    let mut next = world.spawn(&[]);
    assert_eq!(next.wait(SOON), Some(2), "{}", next.journal());
    let (_, sql) = words.split_once("-bail): ").unwrap();
    world.outbox().execute_batch(sql.trim_end()).unwrap();
    let daemon = world.start();
    world.emit("e", "{\"n\":3}");
    receiver.wait(3, SOON);
    daemon.stop();
}
