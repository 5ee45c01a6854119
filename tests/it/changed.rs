//! What an application does to rows that were taken: it changes them, rebuilds or empties their table,
//! sets the counter back, writes below the newest id. No event is sent twice for it or goes unseen.

use std::time::Duration;

use crate::support::{Daemon, Receiver, SOON, World, check, hook, stays};

/// Long enough for the daemon to look several times.
const LOOKS: Duration = Duration::from_millis(1_700);

fn emit(world: &World, numbers: std::ops::RangeInclusive<i64>) {
    for n in numbers {
        world.emit("e", &format!("{{\"n\":{n},\"email\":\"x@example.com\"}}"));
    }
}

fn delivered(world: &World, count: i64) {
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, count, SOON);
}

/// Nothing more is sent, and the daemon goes on.
#[track_caller]
fn quiet(receiver: &Receiver, daemon: &mut Daemon, count: usize, what: &str) {
    stays(what, LOOKS, || {
        let (seen, ended) = (receiver.count(), daemon.ended());
        check(seen == count && ended.is_none(), || {
            format!("{seen} of {count}, ended: {ended:?}: {}", daemon.journal())
        })
    });
    assert!(!daemon.journal().contains("lost rows"), "{what}");
}

const UPDATES: [&str; 5] = [
    "UPDATE outbox SET tenant = 'acme' WHERE id > 50",
    "UPDATE outbox SET data = json_remove(data, '$.email')",
    "UPDATE outbox SET event = 'f', key = 'k' || id",
    "UPDATE outbox SET time = time - 3600000, tenant = NULL",
    "INSERT INTO outbox (event, data, key) VALUES ('e', '{\"v\":2}', 'k60')
       ON CONFLICT (key) DO UPDATE SET data = excluded.data, time = excluded.time",
];

#[test]
fn rows_that_are_changed_after_they_were_taken_stay_taken() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    emit(&world, 1..=60);
    let mut daemon = world.start();
    delivered(&world, 60);
    let outbox = world.outbox();
    for sql in UPDATES {
        outbox.execute_batch(sql).unwrap();
        quiet(&receiver, &mut daemon, 60, sql);
    }
    // Every column at once, and then a new row.
    let all = "UPDATE outbox SET event = 'g', data = '[]', tenant = 'b', key = NULL,
               time = CAST(strftime('%s', 'now') AS INTEGER) * 1000 + 999";
    outbox.execute_batch(all).unwrap();
    quiet(&receiver, &mut daemon, 60, all);
    emit(&world, 61..=61);
    delivered(&world, 61);
    daemon.stop();
    // And while nobody looks.
    for sql in &UPDATES[..4] {
        outbox.execute_batch(sql).unwrap();
        let mut daemon = world.start();
        quiet(&receiver, &mut daemon, 61, sql);
        daemon.stop();
    }
    assert_eq!(world.number("SELECT generation FROM cursor"), 0);
}

/// Empties the outbox as that does, and holds that what comes after it is sent.
fn emptied(sql: &str, runs: bool, before: i64) {
    println!("{sql}, running: {runs}, {before} events before it is looked at");
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    let mut daemon = Some(world.start());
    emit(&world, 1..=5);
    delivered(&world, 5);
    if !runs {
        daemon.take().unwrap().stop();
    }
    let schema = world.command(&["schema", "outbox"]).expect(0).stdout;
    if sql == "rm" {
        world.remove_outbox();
        world.make_outbox("WAL");
    } else {
        let outbox = world.outbox();
        outbox
            .execute_batch(&sql.replace("SCHEMA", &schema))
            .unwrap();
    }
    emit(&world, 101..=100 + before);
    let daemon = daemon.unwrap_or_else(|| world.start());
    daemon.wait_journal("the outbox was emptied and its counter set back");
    emit(&world, 201..=203);
    delivered(&world, 5 + before + 3);
    let mut numbers: Vec<i64> = receiver.received().iter().map(|r| r.n()).collect();
    numbers.sort_unstable();
    let all = (1..=5).chain(101..=100 + before).chain(201..=203);
    assert_eq!(numbers, all.collect::<Vec<_>>());
    daemon.stop();
}

const FLUSH: &str = "BEGIN; DELETE FROM outbox; UPDATE sqlite_sequence SET seq = 0; COMMIT";
const ANEW: &str = "BEGIN; DROP TABLE outbox; SCHEMA COMMIT";
const REBUILT: &str =
    "DELETE FROM outbox; BEGIN; ALTER TABLE outbox RENAME TO gone; DROP TABLE gone;
                       SCHEMA COMMIT";

#[test]
fn a_counter_set_back_while_running_ends_nothing_and_all_that_comes_is_sent() {
    for sql in [FLUSH, ANEW, REBUILT] {
        emptied(sql, true, 0);
    }
}

#[test]
fn a_counter_set_back_while_stopped_ends_nothing_and_all_that_came_is_sent() {
    for (sql, before) in [(FLUSH, 0), (FLUSH, 3), (ANEW, 5), ("rm", 0), ("rm", 9)] {
        emptied(sql, false, before);
    }
}

#[test]
fn a_row_below_the_newest_id_is_set_aside_and_told() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    emit(&world, 1..=5);
    let outbox = world.outbox();
    let seventh = "INSERT INTO outbox (id, event, data) VALUES (7, 'e', '{\"n\":7}')";
    outbox
        .execute_batch(&format!("DROP TRIGGER outbox_id; {seventh}"))
        .unwrap();
    let daemon = world.start();
    delivered(&world, 6);
    outbox
        .execute_batch("DELETE FROM outbox WHERE id IN (2, 3)")
        .unwrap();
    emit(&world, 8..=8);
    delivered(&world, 7);
    let aside = "SELECT count(*) FROM rejected";
    let late = |id: i64| {
        let sql = "INSERT INTO outbox (id, event, data) VALUES (?1, 'late', '{}')";
        outbox.execute(sql, [id]).unwrap();
    };
    // A look must have seen that 2 was gone before it is there again: the one that finds this has.
    late(6);
    world.wait_number(aside, 1, SOON);
    late(2);
    emit(&world, 9..=9);
    world.wait_number(aside, 2, SOON);
    delivered(&world, 8);
    daemon.wait_journal("at or below the newest that was taken");
    let told = world.log("SELECT event_id, event, reason FROM rejected ORDER BY id");
    for (row, id) in told.iter().zip(["6", "2"]) {
        assert_eq!(row[..2], [id, "late"], "nothing is told of rows that go");
        assert!(row[2].contains("schema outbox"), "{told:?}");
    }
    // What was sent under the id is not told of under the other's name.
    let explained = world.command(&["explain", "2"]).expect(0).stdout;
    assert!(explained.contains("event 2 e"), "{explained}");
    assert!(!explained.contains("late"), "{explained}");
    daemon.stop();
    // While it is stopped: of an id that left no trace.
    world
        .change_log("DELETE FROM payload WHERE event_id = 3")
        .unwrap();
    late(3);
    let daemon = world.start();
    world.wait_number(aside, 3, SOON);
    let explained = world.command(&["explain", "3"]).expect(0).stdout;
    assert!(explained.contains("late"), "{explained}");
    assert!(explained.contains("not sent: set aside"), "{explained}");
    assert_eq!(receiver.count(), 8);
    daemon.stop();
}

#[test]
fn explain_tells_of_the_event_that_was_taken_and_not_of_the_row_in_its_place() {
    let receiver = Receiver::ok();
    let secure = Receiver::ok();
    let world = World::new(&[
        hook("cms", receiver.url("/")),
        hook("factory", secure.url("/")).dialect("bold-factory"),
    ]);
    let daemon = world.start();
    world.emit("first", "{\"n\":1}");
    delivered(&world, 2);
    let told = world.command(&["explain", "1"]).expect(0).stdout;
    let sent = told
        .split([' ', '\n'])
        .find(|word| word.starts_with("evt_"));
    let sent = sent.unwrap().to_owned();
    let outbox = world.outbox();
    outbox
        .execute_batch("UPDATE outbox SET event = 'other', data = '[]' WHERE id = 1")
        .unwrap();
    for id in ["1", &sent] {
        let told = world.command(&["explain", id]).expect(0).stdout;
        assert!(told.starts_with("event 1 first; the row"), "{told}");
        assert!(
            !told.contains("other,") && told.contains("delivered"),
            "{told}"
        );
    }
    // A row of another event, which has got the id anew and is not taken yet.
    daemon.stop();
    outbox.execute_batch(FLUSH).unwrap();
    let daemon = world.start();
    daemon.wait_journal("was emptied");
    daemon.stop();
    world.emit("second", "{\"n\":2}");
    let told = world.command(&["explain", "1"]).expect(0);
    assert!(told.stdout.starts_with("event 1 second"), "{}", told.stdout);
    assert!(!told.stdout.contains("delivered"), "{}", told.stdout);
    assert!(
        told.stderr.contains("an event first had the id 1"),
        "{}",
        told.stderr
    );
    // It is taken, and both have a history.
    let daemon = world.start();
    delivered(&world, 4);
    daemon.stop();
    let told = world.command(&["explain", "1"]).expect(0);
    assert!(told.stdout.starts_with("event 1 second"), "{}", told.stdout);
    assert!(
        told.stderr.contains("an event first had the id 1 before"),
        "{}",
        told.stderr
    );
    let told = world.command(&["explain", &sent]).expect(0).stdout;
    assert!(told.starts_with("event 1 first; the row"), "{told}");
    assert!(told.contains("delivered"), "{told}");
}
