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

/// Eleven events, the last with the id 20, all taken.
fn with_a_gap(world: &World, receiver: &Receiver) {
    let outbox = world.outbox();
    for n in 1..=10 {
        insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
    }
    let last = "INSERT INTO outbox (id, event, data) VALUES (20, 'e', '{}')";
    outbox.execute_batch(last).unwrap();
    receiver.wait(11, SOON);
}

/// The ids of the rows that were set aside.
fn aside(world: &World) -> Vec<i64> {
    let rows = world.log("SELECT event_id FROM rejected ORDER BY id");
    rows.iter().map(|row| row[0].parse().unwrap()).collect()
}

#[track_caller]
fn wait_aside(world: &World, ids: &[i64]) {
    eventually("the row below is set aside", SOON, || {
        let seen = aside(world);
        check(seen == ids, || format!("{seen:?}"))
    });
}

#[test]
fn a_row_below_is_found_though_its_guard_is_back_by_then_and_its_time_old() {
    let receiver = Receiver::ok();
    let world = asked(&receiver);
    let sql = world.command(&["schema", "outbox"]).expect(0).stdout;
    let (_, trigger) = sql.split_once("CREATE TRIGGER").unwrap();
    let trigger = format!("CREATE TRIGGER{trigger}");
    let trigger = trigger.as_str();
    let below = |id: i64, back: &str| {
        let sql = format!(
            "BEGIN IMMEDIATE; DROP TRIGGER outbox_id;
             INSERT INTO outbox (id, event, data, time) VALUES ({id}, 'low', '{{}}', 1700000000000);
             {back}; COMMIT"
        );
        world.outbox().execute_batch(&sql).unwrap();
    };
    let daemon = world.start();
    with_a_gap(&world, &receiver);
    below(15, trigger);
    wait_aside(&world, &[15]);
    daemon.wait_journal("at or below the newest that was taken");
    daemon.stop();
    // While nobody looks.
    below(11, trigger);
    let daemon = world.start();
    wait_aside(&world, &[15, 11]);
    daemon.stop();
    // And where it stays away; those that were told of are not told of again.
    below(19, "");
    let daemon = world.start();
    wait_aside(&world, &[15, 11, 19]);
    insert(&world.outbox(), "e", "{}");
    receiver.wait(12, SOON);
    eventually("health has a warning of them", SOON, || {
        let seen = told(&world, "warnings");
        check(
            seen.contains("3 rows were set aside in the last day"),
            || seen,
        )
    });
    assert_eq!(told(&world, "healthy"), "true");
    let health = crate::socket::client::curl(&world, "/health", &[]);
    let warnings = health.expect(200).json()["warnings"].to_string();
    assert!(
        warnings.contains("3 rows were set aside in the last day"),
        "{warnings}"
    );
    daemon.stop();
    assert_eq!(aside(&world), [15, 11, 19]);
}

#[test]
fn a_trigger_that_only_looks_like_the_guard_is_none() {
    let receiver = Receiver::ok();
    let world = asked(&receiver);
    let sql = world.command(&["schema", "outbox"]).expect(0).stdout;
    let (table, trigger) = sql.split_at(sql.find("CREATE TRIGGER").unwrap());
    // The counter of such a table is kept under "Outbox", which the trigger does not ask for.
    let capital = table.replace("CREATE TABLE outbox", "CREATE TABLE Outbox");
    let outbox = world.outbox();
    outbox
        .execute_batch(&format!("DROP TABLE outbox; {capital} {trigger}"))
        .unwrap();
    let daemon = world.start();
    wait_told(&world, &daemon, "warnings", "outbox_id");
    with_a_gap(&world, &receiver);
    let low = "INSERT INTO outbox (id, event, data) VALUES (15, 'low', '{}')";
    outbox.execute_batch(low).unwrap();
    wait_aside(&world, &[15]);
    daemon.stop();
}
