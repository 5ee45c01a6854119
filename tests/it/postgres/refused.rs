//! What a person has to mend: `check` and `run` end with 2 and say the same, with what to do.

use super::{following_by, logging_apart};
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Answer, Database, Receiver, SOON, World, check, eventually, hook, postgres};

/// Holds that `check` and `run` refuse with these words, and returns what `check` said.
#[track_caller]
pub(super) fn refused(world: &World, words: &[&str]) -> String {
    let checked = world.command(&["check"]).expect(2).stderr;
    let mut daemon = world.spawn(&[]);
    assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
    let journal = daemon.journal();
    for said in [&checked, &journal] {
        for word in words {
            assert!(said.contains(word), "{word:?} in {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(
        checked.contains("webhooks.toml:4:"),
        "at the URL: {checked}"
    );
    checked
}

fn world(url: &str, more: &str) -> World {
    following_by(url, more, &[hook("one", "https://a.example/")])
}

fn world_of(database: &Database) -> World {
    world(&database.url(), "")
}

#[test]
fn each_is_told_with_what_to_do() {
    let Some(server) = postgres() else { return };
    let nowhere = server.named("nowhere");
    refused(
        &world_of(&nowhere),
        &["database \"nowhere\" does not exist", "createdb"],
    );

    server.psql("postgres", "CREATE DATABASE bare");
    let bare = server.named("bare");
    refused(
        &world_of(&bare),
        &["has no table \"outbox\"", "schema outbox --postgres"],
    );
    bare.sql("CREATE TABLE outbox (id bigint, event text, data json, time timestamptz)");
    refused(&world_of(&bare), &["has no column \"xid\""]);

    server.psql(
        "postgres",
        "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    refused(&world_of(&server.named("ascii")), &["SQL_ASCII", "UTF8"]);

    let database = server.database();
    server.psql("postgres", "CREATE ROLE nobody_here LOGIN");
    let world = world(&database.url_as("nobody_here"), "");
    refused(&world, &["may not read the table", "GRANT SELECT"]);
    refused(
        &self::world(&database.url_as("stranger"), ""),
        &["role \"stranger\" does not exist"],
    );
}

#[test]
fn a_table_without_its_guards_is_warned_of() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    server.psql("postgres", "CREATE ROLE reads_alone LOGIN");
    database.sql(
        "DROP TRIGGER outbox_id ON outbox; ALTER TABLE outbox DROP CONSTRAINT outbox_pkey; \
              DROP INDEX outbox_by_id; DROP INDEX outbox_by_key",
    );
    database.sql("GRANT SELECT ON outbox TO reads_alone");
    let checked = world(&database.url_as("reads_alone"), "")
        .command(&["check"])
        .expect(0);
    for word in [
        "lacks the trigger outbox_id",
        "lacks an index",
        "lacks a unique index on id",
        "lacks a unique index on key",
        "may not delete rows",
    ] {
        assert!(checked.stderr.contains(word), "{word}: {}", checked.stderr);
    }
}

#[test]
fn another_database_is_a_persons_decision() {
    let Some(server) = postgres() else { return };
    let (first, second) = (server.database(), server.database());
    let world = world_of(&first);
    world.start().stop();
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace(&first.url(), &second.url()));
    refused(
        &world,
        &["not in the database that the log followed", "start-from"],
    );
    world.command(&["start-from", "now"]).expect(0);
    world.start().stop();
}

#[test]
fn a_dump_that_was_put_back_is_told_of_and_goes_on_by_a_persons_word() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), "", &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    daemon.stop();
    // As of a server that has had more transactions than this one.
    database.sql("UPDATE outbox SET xid = (xid::text::bigint + 100000000)::text::xid8");
    database.emit("e", "{\"n\":2}");
    refused(
        &world,
        &[
            "a dump was put back",
            "UPDATE outbox SET xid = pg_current_xact_id()",
        ],
    );
    database.sql("UPDATE outbox SET xid = pg_current_xact_id()");
    world.command(&["start-from", "beginning"]).expect(0);
    let daemon = world.start();
    receiver.wait(3, SOON);
    daemon.stop();
    assert_eq!(receiver.count(), 3);
}

#[test]
fn another_database_is_refused_before_anything_that_is_pending_is_sent() {
    let Some(server) = postgres() else { return };
    let (first, second) = (server.database(), server.database());
    let receiver = Receiver::start(|_| Answer::status(500));
    let hooks = [hook("one", receiver.url("/"))];
    let world = logging_apart((&first.url(), &second.url()), "", &hooks);
    let daemon = world.start();
    first.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    daemon.wait_journal("will be tried again");
    daemon.stop();
    second.sql(
        "UPDATE webhooksd.pending SET due_at = (extract(epoch FROM now()) * 1000)::bigint - 1000",
    );
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write(
        "webhooks.toml",
        text.replacen(&first.url(), &second.url(), 1),
    );
    let mut daemon = world.spawn(&[]);
    assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
    let journal = daemon.journal();
    assert!(
        journal.contains("not in the database that the log followed"),
        "{journal}"
    );
    assert!(!journal.contains("ready"), "{journal}");
    assert_eq!(receiver.count(), 1, "{journal}");
    let nodes = second.sql("SELECT count(*) FROM webhooksd.node");
    assert_eq!(nodes, "0", "nobody waits for one that was never there");
}

#[test]
fn a_guard_that_is_dropped_while_it_runs_is_told_of() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let world = following_by(
        &database.url(),
        SECTION,
        &[hook("one", "http://127.0.0.1:9/")],
    );
    let daemon = world.start();
    let told = || curl(&world, "/health", &[]).body;
    eventually("all are there", SOON, || {
        let body = told();
        check(!body.contains("trigger outbox_id"), || body)
    });
    database.sql("DROP TRIGGER outbox_id ON outbox");
    // It is looked at twice a minute.
    eventually("it is told", SOON, || {
        let body = told();
        check(body.contains("CREATE TRIGGER outbox_id"), || body)
    });
    daemon.stop();
}
