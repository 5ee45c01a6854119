//! An outbox that is not there yet when the daemon starts: waited for, told, never made for others.

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Daemon, Receiver, SOON, World, check, eventually, insert};

/// A world whose configuration names that outbox, with a socket to ask the daemon over.
fn world_of(receiver: &Receiver, outbox: &str) -> World {
    let world = crate::socket::world(&receiver.url("/"));
    world.remove_outbox();
    let config = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", config.replace("outbox.db", outbox));
    world
}

/// Starts, and waits until health says what is waited for.
#[track_caller]
fn start_waiting(world: &World, words: &str) -> Daemon {
    let daemon = world.start();
    let complaints = eventually("health says what it waits for", SOON, || {
        let status = world.command(&["status", "--json"]).expect(0).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        let complaints = status["daemon"]["complaints"].to_string();
        let told = complaints.contains("waiting for the outbox");
        check(told, || status.to_string()).map(|()| complaints)
    });
    assert!(complaints.contains(words), "{complaints}");
    daemon.wait_journal("waiting for the outbox");
    assert!(!daemon.journal().contains("following the outbox"));
    daemon
}

/// Makes the documented table in a database, as the application's migrations do.
fn migrate(world: &World, name: &str) -> Connection {
    let sql = world.command(&["schema", "outbox"]).expect(0).stdout;
    let app = Connection::open(world.path(name)).unwrap();
    app.execute_batch(&sql).unwrap();
    app
}

/// Holds that events flow once the table is there, and that nothing is complained of any more.
#[track_caller]
fn goes_on(world: &World, receiver: &Receiver, app: &Connection) {
    insert(app, "e", "{\"n\":1}");
    receiver.wait(1, SOON);
    eventually("it is well", SOON, || {
        let status = world.command(&["status"]).expect(0).stdout;
        check(status.contains("daemon: well"), || status.clone())
    });
}

#[test]
fn a_database_without_the_table_is_not_altered_and_followed_once_it_has_it() {
    let receiver = Receiver::ok();
    for make in [
        "CREATE TABLE mine (a)",
        "PRAGMA journal_mode = WAL; CREATE TABLE mine (a)",
    ] {
        let world = world_of(&receiver, "outbox.db");
        let app = Connection::open(world.path("outbox.db")).unwrap();
        app.execute_batch(make).unwrap();
        drop(app);
        let before = std::fs::read(world.path("outbox.db")).unwrap();
        let words = world.command(&["check"]).expect(0).stderr;
        assert!(
            words.contains("no table") && words.contains("schema outbox"),
            "{words}"
        );
        let daemon = start_waiting(&world, "schema outbox");
        assert_eq!(std::fs::read(world.path("outbox.db")).unwrap(), before);
        let app = migrate(&world, "outbox.db");
        let sent = receiver.count();
        insert(&app, "e", "{}");
        receiver.wait(sent + 1, SOON);
        daemon.stop();
    }
}

#[test]
fn an_empty_file_is_somebodys_and_waited_for() {
    let receiver = Receiver::ok();
    let world = world_of(&receiver, "outbox.db");
    world.write("outbox.db", "");
    let daemon = start_waiting(&world, "no table");
    assert_eq!(std::fs::metadata(world.path("outbox.db")).unwrap().len(), 0);
    goes_on(&world, &receiver, &migrate(&world, "outbox.db"));
    daemon.stop();
}

#[test]
fn a_folder_or_a_file_elsewhere_is_waited_for_and_not_made() {
    let receiver = Receiver::ok();
    let world = world_of(&receiver, "app/app.db");
    let words = world.command(&["check"]).expect(0);
    assert!(words.stderr.contains("app.db"), "{}", words.stderr);
    let daemon = start_waiting(&world, "app.db");
    std::fs::create_dir(world.path("app")).unwrap();
    let emit = world.command(&["emit", "e", "{}"]);
    assert_ne!(emit.code, Some(0), "there is none to write to");
    assert_eq!(std::fs::read_dir(world.path("app")).unwrap().count(), 0);
    goes_on(&world, &receiver, &migrate(&world, "app/app.db"));
    daemon.stop();
    // The next start finds it.
    let daemon = world.start();
    daemon.wait_journal("following the outbox");
    daemon.stop();
}

#[test]
fn a_start_that_waits_for_an_outbox_stops_at_once_and_answers_over_the_socket() {
    let receiver = Receiver::ok();
    let world = world_of(&receiver, "app/app.db");
    let daemon = start_waiting(&world, "app.db");
    let refused = crate::socket::client::lines(&world, "{\"event\":\"e\",\"data\":1}\n");
    assert!(refused[0].contains("error"), "{refused:?}");
    daemon.stop();
}

#[test]
fn a_table_that_comes_with_old_events_needs_a_decision_as_ever() {
    let receiver = Receiver::ok();
    let world = world_of(&receiver, "outbox.db");
    world.write("outbox.db", "");
    let mut daemon = start_waiting(&world, "no table");
    let app = Connection::open(world.path("old.db")).unwrap();
    let sql = world.command(&["schema", "outbox"]).expect(0).stdout;
    app.execute_batch(&sql).unwrap();
    let old = "INSERT INTO outbox (event, data, time) VALUES ('e', '{}', 1)";
    app.execute(old, []).unwrap();
    drop(app);
    std::fs::rename(world.path("old.db"), world.path("outbox.db")).unwrap();
    assert_eq!(daemon.wait(SOON), Some(2));
    daemon.wait_journal("start-from");
    assert_eq!(receiver.count(), 0);
}

#[test]
fn what_is_left_of_a_database_keeps_another_from_being_made_in_its_place() {
    let receiver = Receiver::ok();
    let world = world_of(&receiver, "outbox.db");
    world.write("outbox.db-wal", "frames");
    let daemon = start_waiting(&world, "outbox.db");
    assert!(!world.path("outbox.db").exists());
    daemon.stop();
}

#[test]
fn a_log_whose_folder_is_not_there_yet_is_waited_for() {
    let receiver = Receiver::ok();
    let world = crate::socket::world(&receiver.url("/"));
    let config = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", config.replace("log.db", "var/log.db"));
    let mut daemon = world.spawn(&[]);
    daemon.wait_journal("the log's folder must exist");
    std::fs::create_dir(world.path("var")).unwrap();
    daemon.wait_ready();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}
