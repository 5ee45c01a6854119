//! Adding events to an outbox in PostgreSQL: rights, rules, locks, and a server that goes away.

use super::blocked::Held;
use super::following_by;
use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Postgres, Receiver, SOON, check, eventually, hook, postgres};

const EVENT: &str = r#"{"event":"e","data":{"n":1}}"#;

#[test]
fn who_may_not_add_is_told_what_is_to_be_granted() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    server.psql("postgres", "CREATE ROLE may_add LOGIN");
    database.sql("GRANT SELECT, DELETE ON outbox TO may_add");
    let hooks = [hook("one", "http://127.0.0.1:9/")];
    let world = following_by(&database.url_as("may_add"), SECTION, &hooks);
    let daemon = world.start();
    let refused = world.command(&["emit", "e", "1"]).expect(1).stderr;
    for word in [
        "add events of outbox",
        "permission denied",
        "USAGE ON SEQUENCE outbox_id",
    ] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let refused = post(&world, "/events", EVENT).expect(503).error();
    assert!(refused.contains("permission denied"), "{refused}");
    // What the hint says is enough, and nothing has to be started anew.
    database.sql("GRANT INSERT ON outbox TO may_add; GRANT USAGE ON SEQUENCE outbox_id TO may_add");
    post(&world, "/events", EVENT).expect(202);
    world.command(&["emit", "e", "1"]).expect(0);
    daemon.stop();
}

#[test]
fn a_rule_of_the_applications_own_costs_only_who_breaks_it_and_no_data_is_told() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    database.sql("ALTER TABLE outbox ADD CONSTRAINT \"no bad ones\" CHECK (event <> 'bad')");
    let hooks = [hook("one", "http://127.0.0.1:9/")];
    let world = following_by(&database.url(), SECTION, &hooks);
    let daemon = world.start();
    let bad = r#"{"event":"bad","data":"hunter2"}"#;
    std::thread::scope(|scope| {
        for text in [bad, EVENT, bad, EVENT] {
            let mut connection = crate::socket::client::Connection::new(&world);
            scope.spawn(move || {
                for _ in 0..50 {
                    let (status, words) = connection
                        .post("application/json", text.as_bytes())
                        .unwrap();
                    assert_eq!(status, if text == bad { 503 } else { 202 }, "{words}");
                    assert_eq!(text == bad, words.contains("no bad ones"), "{words}");
                    assert!(!words.contains("hunter2"), "{words}");
                }
            });
        }
    });
    let refused = world
        .command(&["emit", "bad", "\"hunter2\""])
        .expect(1)
        .stderr;
    assert!(
        refused.contains("no bad ones") && !refused.contains("hunter2"),
        "{refused}"
    );
    assert!(
        !daemon.journal().contains("hunter2"),
        "{}",
        daemon.journal()
    );
    assert_eq!(database.sql("SELECT count(*) FROM outbox"), "100");
    daemon.stop();
}

#[test]
fn what_is_refused_because_others_hold_it_is_not_added_later() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let hooks = [hook("one", "http://127.0.0.1:9/")];
    let world = following_by(&database.url(), SECTION, &hooks);
    let daemon = world.start();
    let keyed = r#"{"event":"e","data":1,"key":"k"}"#;
    for (sql, asked) in [
        (
            "INSERT INTO outbox (event, data, key) VALUES ('e', '2', 'k')",
            keyed,
        ),
        ("LOCK TABLE outbox IN EXCLUSIVE MODE", EVENT),
    ] {
        let held = Held::by(&database, sql);
        let refused = post(&world, "/events", asked).expect(503).error();
        let told = "another transaction is in the way: process ";
        assert!(refused.contains(told), "{sql}: {refused}");
        // The answer may be here before the server has ended what waits.
        eventually("nothing waits for it", SOON, || {
            let waiting = database.sql("SELECT count(*) FROM pg_locks WHERE NOT granted");
            check(waiting == "0", || waiting)
        });
        held.roll_back();
        assert_eq!(database.sql("SELECT count(*) FROM outbox"), "0", "{sql}");
    }
    post(&world, "/events", EVENT).expect(202);
    daemon.stop();
}

#[test]
fn a_server_that_is_away_is_told_of_and_taken_up_again() {
    let Some(mut server) = Postgres::own(&["fsync=on", "synchronous_commit=off"]) else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    let mut taken = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            post(&world, "/events", EVENT).expect(202);
            taken += 1;
        }
        // What was answered is on its disk, whatever the server does for others.
        server.kill();
        let away = post(&world, "/events", EVENT).expect(503);
        assert!(away.body.contains("is away"), "{away:?}");
        assert!(away.head.contains("retry-after"), "{away:?}");
        let away = world.command(&["emit", "e", "1"]).expect(1).stderr;
        assert!(away.contains("is away"), "{away}");
        server.up();
        post(&world, "/events", EVENT).expect(202);
        taken += 1;
        let rows = database.sql("SELECT count(*) FROM outbox");
        assert_eq!(rows, taken.to_string());
    }
    receiver.wait(taken, SOON);
    assert_eq!(curl(&world, "/health", &[]).status, 200);
    daemon.stop();
    assert_eq!(receiver.count(), taken, "each once");
}
