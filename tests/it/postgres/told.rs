//! What a person is told of an outbox in PostgreSQL: how much is not taken yet, and who else takes it.

use super::following_by;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Receiver, SOON, check, eventually, hook, postgres};

#[test]
fn status_tells_how_many_rows_are_behind() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = following_by(&database.url(), SECTION, &[hook("one", receiver.url("/"))]);
    let daemon = world.start();
    let lag = || {
        let status = world.command(&["status", "--json"]).expect(0).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["daemon"]["outbox_lag"].clone()
    };
    eventually("nothing is behind", SOON, || {
        let lag = lag();
        check(lag == 0, || lag.to_string())
    });
    // Somebody writes the log, so that nothing is taken.
    let log = rusqlite::Connection::open(world.path("log.db")).unwrap();
    log.execute_batch("BEGIN IMMEDIATE").unwrap();
    database.sql(
        "INSERT INTO outbox (event, data) SELECT 'e', '{\"n\":1}' FROM generate_series(1, 1500)",
    );
    eventually("all of it is behind", SOON, || {
        let lag = lag();
        check(lag == 1_500, || lag.to_string())
    });
    let metrics = curl(&world, "/metrics", &[]).expect(200).body;
    assert!(
        metrics.contains("\nwebhooksd_outbox_lag 1500\n"),
        "{metrics}"
    );
    log.execute_batch("ROLLBACK").unwrap();
    receiver.wait(1_500, SOON);
    eventually("nothing is behind any more", SOON, || {
        let lag = lag();
        check(lag == 0, || lag.to_string())
    });
    daemon.stop();
}

#[test]
fn two_that_take_the_same_outbox_are_told_of() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let first = following_by(&database.url(), "", &hooks);
    let daemon = first.start();
    database.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    let own = first.command(&["check"]).expect(0).stderr;
    assert!(!own.contains("another webhooksd"), "{own}");
    let second = following_by(&database.url(), "", &hooks);
    let checked = second.command(&["check"]).expect(0).stderr;
    for word in [
        "another webhooksd follows outbox",
        "each of the two sends every event",
    ] {
        assert!(checked.contains(word), "{word}: {checked}");
    }
    let other = second.start();
    other.wait_journal("another webhooksd follows outbox");
    // Its log knows nothing of the first event, which is not old.
    receiver.wait(2, SOON);
    other.stop();
    daemon.stop();
    // By itself again, after a start too.
    let daemon = first.start();
    database.emit("e", "{\"n\":2}");
    receiver.wait(3, SOON);
    assert!(
        !daemon.journal().contains("another webhooksd"),
        "{}",
        daemon.journal()
    );
    daemon.stop();
}
