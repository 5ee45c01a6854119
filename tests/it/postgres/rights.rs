//! Rights that are taken away while the daemon runs: it says which, waits, and goes on by itself.

use super::{doorbell, following_by, logging_by};
use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Receiver, SOON, check, eventually, hook, postgres};

#[test]
fn a_right_to_read_that_is_lost_is_told_of_and_waited_for() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    server.psql("postgres", "CREATE ROLE loses_rights LOGIN");
    database.sql("GRANT SELECT, DELETE ON outbox TO loses_rights");
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&database.url_as("loses_rights"), SECTION, &hooks);
    let daemon = world.start();
    for round in 0..2 {
        database.emit("e", "{\"n\":1}");
        receiver.wait(2 * round + 1, SOON);
        database.sql("REVOKE SELECT ON outbox FROM loses_rights");
        database.emit("e", "{\"n\":2}");
        daemon.wait_journal("permission denied for table outbox");
        daemon.wait_journal("GRANT SELECT, DELETE ON outbox");
        eventually("it is not well", SOON, || {
            let health = curl(&world, "/health", &[]);
            check(health.status == 503, || health.body)
        });
        database.sql("GRANT SELECT ON outbox TO loses_rights");
        receiver.wait(2 * round + 2, SOON);
    }
    daemon.wait_journal("events are taken in again");
    eventually("it is well", SOON, || {
        let health = curl(&world, "/health", &[]);
        check(health.status == 200, || health.body)
    });
    daemon.stop();
    assert_eq!(receiver.count(), 4, "each once");
}

/// What the manual has the table's owner and the database's give, to whom it calls `webhooksd`.
const GRANTS: [&str; 4] = [
    "CREATE SCHEMA webhooksd AUTHORIZATION webhooksd",
    "GRANT SELECT, DELETE ON outbox TO webhooksd",
    "GRANT INSERT ON outbox TO webhooksd",
    "GRANT USAGE ON SEQUENCE outbox_id TO webhooksd",
];

#[test]
fn the_rights_that_the_manual_names_are_enough() {
    let Some(server) = postgres() else { return };
    let page = include_str!("../../../packaging/manual/postgres.md").replace('\n', " ");
    let database = server.database();
    server.psql("postgres", "CREATE ROLE granted LOGIN");
    for grant in GRANTS {
        assert!(page.contains(&format!("`{grant}`")), "{grant}");
        let (what, _) = grant.rsplit_once(' ').unwrap();
        database.sql(&format!("{what} granted"));
    }
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = logging_by(&database.url_as("granted"), SECTION, &hooks);
    let checked = world.command(&["check"]).expect(0).stderr;
    assert!(!checked.contains("warning"), "{checked}");
    let daemon = world.start();
    world.command(&["emit", "e", "{\"n\":1}"]).expect(0);
    post(&world, "/events", "{\"event\":\"e\",\"data\":{\"n\":2}}").expect(202);
    receiver.wait(2, SOON);
    world.command(&["status", "--check"]).expect(0);
    daemon.stop();
    assert!(!world.path("log.db").exists(), "the log is the server's");
}

#[test]
fn a_doorbell_that_may_not_be_used_any_more_costs_no_event() {
    let Some(server) = postgres() else { return };
    let database = doorbell::database(server, "bell_rights");
    server.psql("postgres", "CREATE ROLE loses_bell LOGIN");
    database.sql(
        "GRANT SELECT, DELETE ON outbox TO loses_bell; GRANT UPDATE ON SEQUENCE outbox_doorbell TO loses_bell",
    );
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&database.url_as("loses_bell"), "doorbell = true", &hooks);
    let daemon = world.start();
    eventually("it sleeps", SOON, || {
        let asleep = database.sql("SELECT last_value = 2 FROM outbox_doorbell");
        check(asleep == "t", || asleep)
    });
    database.sql("REVOKE UPDATE ON SEQUENCE outbox_doorbell FROM loses_bell");
    // So many that it is to say that it is awake.
    for n in 1..=60 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    receiver.wait(60, SOON);
    daemon.stop();
    let daemon = world.start();
    daemon.wait_journal("no doorbell that this user may use");
    database.emit("e", "{\"n\":61}");
    receiver.wait(61, SOON);
    daemon.stop();
    assert_eq!(receiver.count(), 61, "each once");
}
