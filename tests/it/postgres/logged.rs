//! A log in PostgreSQL, written and read by the program: what people type is what they type for one in SQLite.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::logging;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Answer, Database, Receiver, SOON, check, eventually, hook};

/// What SQL says of the log.
fn log(database: &Database, sql: &str) -> String {
    database.sql(&format!("SET search_path = webhooksd; {sql}"))
}

#[test]
fn an_event_is_delivered_told_of_and_sent_again() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let failures = AtomicUsize::new(1);
    let receiver = Receiver::start(move |_| {
        let fails =
            failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        Answer::status(if fails.is_ok() { 404 } else { 200 })
    });
    let hooks = [hook("one", receiver.url("/")).one_attempt()];
    let world = logging(&database, SECTION, &hooks);
    let daemon = world.start();
    let id = database.emit("story-published", "{\"n\":1}");
    receiver.wait(1, SOON);
    eventually("it is given up", SOON, || {
        let failed = log(&database, "SELECT webhook, status FROM failed");
        check(failed == "one|404", || failed)
    });
    let text = world.command(&["logs"]).expect(0).stdout;
    assert!(text.contains("404"), "{text}");
    let text = world
        .command(&["explain", &id.to_string()])
        .expect(0)
        .stdout;
    assert!(text.contains("one"), "{text}");
    // By SQL, and by the command.
    log(
        &database,
        "INSERT INTO redelivery (delivery_id) SELECT delivery_id FROM failed",
    );
    receiver.wait(2, SOON);
    eventually("it is delivered", SOON, || {
        let states = log(
            &database,
            "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state",
        );
        check(states == "delivered|1\nfailed|1", || states)
    });
    let again = log(
        &database,
        "SELECT max(id) FROM delivery WHERE state = 'delivered'",
    );
    world.command(&["redeliver", &again]).expect(0);
    let requests = receiver.wait(3, SOON);
    assert_eq!(requests[1].body, requests[2].body, "the same bytes");
    let status = world.command(&["status", "--json"]).expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["nodes"][0]["webhooks"], 1, "{status}");
    assert_eq!(status["nodes"][0]["me"], true, "{status}");
    assert!(status["log"]["bytes"].as_u64().unwrap() > 0, "{status}");
    let metrics = curl(&world, "/metrics", &[]).body;
    for line in ["webhooksd_nodes 1", "webhooksd_lanes_owned 1"] {
        assert!(metrics.lines().any(|l| l == line), "{metrics}");
    }
    let page = curl(&world, "/", &[]);
    assert!(page.body.contains("one"), "{}", page.body);
    daemon.stop();
    assert_eq!(
        database.sql("SELECT count(*) FROM webhooksd.node"),
        "0",
        "it has left"
    );
    assert!(!world.path("log.db").exists());
}

#[test]
fn what_was_pending_at_a_kill_goes_once_more_and_the_rest_not() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = logging(
        &database,
        "[node]\nlease = \"1s\"\n",
        &[hook("one", receiver.url("/"))],
    );
    let daemon = world.start();
    for n in 0..20 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    receiver.wait(20, SOON);
    eventually("all is in the log", SOON, || {
        let rows = log(
            &database,
            "SELECT count(*) FROM log WHERE outcome = 'delivered'",
        );
        check(rows == "20", || rows)
    });
    daemon.kill();
    for n in 20..40 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    let daemon = world.start();
    receiver.wait(40, SOON);
    daemon.stop();
    assert_eq!(receiver.count(), 40, "each once");
}

#[test]
fn a_schema_that_is_no_log_and_a_file_beside_a_url_are_refused() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    database.sql("CREATE SCHEMA webhooksd; CREATE TABLE webhooksd.other (n int)");
    let hooks = [hook("one", "http://127.0.0.1:9/")];
    let world = logging(&database, "", &hooks);
    for command in ["check", "run"] {
        let told = world.command(&[command]).expect(2).stderr;
        assert!(told.contains("is no log"), "{told}");
        assert!(
            told.contains("schema webhooksd is the log's alone"),
            "{told}"
        );
    }
    let other = server.database();
    other.sql("CREATE SCHEMA webhooksd AUTHORIZATION postgres");
    let world = logging(&other, "", &hooks);
    world.start().stop();
    other.sql("UPDATE webhooksd.meta SET version = 9, oldest = 9");
    let told = world.command(&["check"]).expect(2).stderr;
    assert!(told.contains("of version 9"), "{told}");
}

#[test]
fn what_the_log_says_is_there_again_behind_a_connection_that_ended() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = logging(&database, SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    let is_told = |step: &str| {
        eventually(step, SOON, || {
            let told = curl(&world, "/status", &[]).json();
            let webhook = &told["webhooks"][0];
            let whole = told["outbox"]["cursor"].is_number() && webhook["pending"].is_number();
            let metrics = curl(&world, "/metrics", &[]).body;
            let counted = metrics.contains("webhooksd_pending{webhook=\"one\"}");
            check(whole && counted, || format!("{told} {metrics}"))
        });
    };
    is_told("told");
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    database.emit("e", "{\"n\":2}");
    receiver.wait(2, SOON);
    is_told("told again");
    daemon.stop();
}

#[test]
fn who_says_where_to_begin_is_no_node_that_others_wait_for() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let world = logging(&database, SECTION, &[hook("one", "http://127.0.0.1:9/")]);
    world.command(&["start-from", "now"]).expect(0);
    assert_eq!(log(&database, "SELECT count(*) FROM node"), "0");
    // Nor is one whose start came to nothing.
    log(&database, "ALTER TABLE turn RENAME TO gone");
    world.command(&["run"]).expect(2);
    assert_eq!(log(&database, "SELECT count(*) FROM node"), "0");
}

#[test]
fn what_was_dropped_of_the_logs_views_and_triggers_is_put_back_by_a_start() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = logging(&database, SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    daemon.stop();
    database.sql("DROP VIEW webhooksd.failed; DROP TRIGGER redelivery ON webhooksd.redelivery");
    let daemon = world.start();
    assert_eq!(database.sql("SELECT count(*) FROM webhooksd.failed"), "0");
    let unknown = database.try_sql("INSERT INTO webhooksd.redelivery (delivery_id) VALUES (1)");
    assert!(unknown.is_err(), "the trigger knows that there is none");
    database
        .sql("INSERT INTO webhooksd.redelivery (delivery_id) SELECT id FROM webhooksd.delivery");
    receiver.wait(2, SOON);
    daemon.stop();
}
