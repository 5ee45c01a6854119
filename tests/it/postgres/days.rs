//! A log in PostgreSQL by days and versions, with the program: what is too large loses a day, and what is of the version
//! before is brought over by a command.

use std::fmt::Write as _;

use super::logging;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{
    Daemon, Database, Receiver, SOON, World, check, eventually, hook, postgres, shim,
};

const DAY_MS: i64 = 86_400_000;

/// Starts the daemon on a machine whose clock is so many days ahead.
fn start_at(world: &World, days: i64) -> Daemon {
    world.write("step", (days * DAY_MS).to_string());
    let (library, file) = (shim("clock"), world.path("step"));
    world.start_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_CLOCK", file.as_os_str()),
    ])
}

/// So many days of attempts that have rows.
fn days(database: &Database) -> String {
    database.sql("SELECT count(*) FROM (SELECT DISTINCT tableoid FROM webhooksd.attempt) t")
}

/// Text that no server makes shorter.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").unwrap();
    }
    text
}

#[test]
fn a_log_beyond_its_size_loses_its_oldest_day_and_says_so() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let more = format!("[log]\nmax_size = \"64MB\"\n{SECTION}");
    let world = logging(&database, &more, &[hook("one", receiver.url("/"))]);
    let daemon = start_at(&world, 0);
    for n in 1..=100 {
        let data = format!("{{\"n\":{n},\"noise\":\"{}\"}}", noise(n, 900_000));
        database.emit("e", &data);
    }
    receiver.wait(100, SOON * 4);
    daemon.stop();
    assert_eq!(days(&database), "1");
    // Two days later, so that one is over and another one has begun.
    let daemon = start_at(&world, 2);
    eventually("the day goes", SOON, || {
        let days = days(&database);
        check(days == "0", || days)
    });
    daemon.wait_journal("the log has reached its max_size");
    database.emit("e", "{\"n\":101}");
    receiver.wait(101, SOON);
    eventually("it is in the log", SOON, || {
        let days = days(&database);
        check(days == "1", || days)
    });
    assert_eq!(database.sql("SELECT count(*) FROM webhooksd.payload"), "1");
    let metrics = curl(&world, "/metrics", &[]).body;
    let line = |l: &&str| l.starts_with("webhooksd_log_deleted_early_total ");
    let early = metrics.lines().find(line).unwrap();
    assert_eq!(early, "webhooksd_log_deleted_early_total 100", "{metrics}");
    let status = world.command(&["status", "--json"]).expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["log"]["max_bytes"], 64_000_000, "{status}");
    assert!(
        status["log"]["bytes"].as_u64().unwrap() < 32_000_000,
        "{status}"
    );
    daemon.stop();
    assert_eq!(receiver.count(), 101, "each once");
}

/// A log as version 1 made it, with a delivery that is pending.
fn of_version_one(database: &Database) {
    for sql in [
        "CREATE SCHEMA webhooksd",
        include_str!("../../../src/store/postgres/schema/0001.sql"),
        include_str!("../../../src/store/postgres/views.sql"),
        "INSERT INTO webhooksd.meta SELECT 1, 1, 1, uuid_send(gen_random_uuid());
         INSERT INTO webhooksd.payload (generation, event_id, event, dialect, body) VALUES (0, 1, 'e', 'standard-webhooks', '{}');
         INSERT INTO webhooksd.pending (webhook, payload_id, origin, due_at, created_at)
           SELECT 'one', id, 'event', 1, 1 FROM webhooksd.payload",
    ] {
        database.sql(sql);
    }
}

#[test]
fn a_log_of_the_version_before_is_refused_until_it_is_brought_over() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    of_version_one(&database);
    let receiver = Receiver::ok();
    let world = logging(&database, "", &[hook("one", receiver.url("/"))]);
    for (command, code) in [("check", 2), ("run", 2), ("status", 1)] {
        let told = world.command(&[command]).expect(code).stderr;
        assert!(told.contains("is of version 1"), "{told}");
        assert!(told.contains("`webhooksd migrate`"), "{told}");
    }
    let told = world.command(&["migrate"]).expect(0).stdout;
    assert!(
        told.contains("was of version 1 and is of version 2 now"),
        "{told}"
    );
    let told = world.command(&["migrate"]).expect(0).stdout;
    assert!(told.contains("is ready"), "{told}");
    let daemon = world.start();
    receiver.wait(1, SOON);
    database.emit("e", "{}");
    receiver.wait(2, SOON);
    daemon.stop();
}
