//! Pause and resume as people do them: by command, by SQL, over HTTP; over restarts and reloads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook, now_ms, stays};

/// Longer than a row by SQL takes to be heeded, which is a second.
const HEEDED: Duration = Duration::from_millis(1_500);

const PENDING: &str = "SELECT count(*) FROM delivery WHERE state = 'pending' AND webhook = 'depot'";

/// Two webhooks, and where each goes to.
fn world() -> (World, Receiver, Receiver) {
    let (depot, other) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[]);
    let hooks = [hook("depot", depot.url("/")), hook("other", other.url("/"))];
    world.configure_with(SECTION, &hooks);
    (world, depot, other)
}

fn emit(world: &World, numbers: std::ops::RangeInclusive<i64>) {
    for n in numbers {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
}

/// What `status --json` says of the webhook.
fn status(world: &World, name: &str) -> Value {
    let told = world.command(&["status", "--json"]).expect(0).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    let all = told["webhooks"].as_array().unwrap();
    all.iter().find(|w| w["name"] == name).unwrap().clone()
}

#[test]
fn a_paused_webhook_gets_nothing_is_told_everywhere_and_goes_on_oldest_first() {
    let (world, depot, other) = world();
    let daemon = world.start();
    let said = world.command(&["pause", "depot"]).expect(0).stdout;
    assert!(
        said.contains("depot is paused until `webhooksd resume depot`"),
        "{said}"
    );
    emit(&world, 1..=20);
    other.wait(20, SOON);
    world.wait_number(PENDING, 20, SOON);
    stays("nothing is sent", HEEDED, || {
        check(depot.count() == 0, || depot.count().to_string())
    });

    let of = status(&world, "depot");
    assert!(
        of["paused_since"].is_string() && of["paused_until"].is_null(),
        "{of}"
    );
    assert_eq!(of["pending"], 20);
    assert!(status(&world, "other")["paused_since"].is_null());
    let told = world.command(&["status"]).expect(0).stdout;
    assert!(
        told.contains("depot   paused\n") && told.contains("paused since"),
        "{told}"
    );
    let whole: Value = serde_json::from_str(&curl(&world, "/status", &[]).body).unwrap();
    let in_hand = &whole["webhooks"][0];
    assert!(
        in_hand["paused_since"].is_string() && in_hand["queued"] == 0,
        "{whole}"
    );
    let metrics = curl(&world, "/metrics", &[]).body;
    for line in [
        "webhooksd_webhook_paused{webhook=\"depot\"} 1",
        "webhooksd_webhook_paused{webhook=\"other\"} 0",
        "webhooksd_queued{webhook=\"depot\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let view =
        "SELECT webhook, paused_since IS NOT NULL, paused_until IS NULL FROM health ORDER BY 1";
    assert_eq!(world.log(view), [["depot", "1", "1"], ["other", "0", "1"]]);
    let why = world.command(&["explain", "1"]).expect(0).stdout;
    assert!(why.contains("the webhook is paused since"), "{why}");
    assert!(why.contains("`webhooksd resume depot` sends it"), "{why}");

    // What a person waits for goes.
    world.command(&["test", "depot"]).expect(0);
    assert_eq!(depot.count(), 1);

    let said = world.command(&["resume", "depot"]).expect(0).stdout;
    assert!(said.contains("depot is resumed"), "{said}");
    let got = depot.wait(21, SOON);
    world.wait_number(PENDING, 0, SOON);
    assert_eq!(got.len(), 21);
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE webhook = 'depot' AND attempt > 1"),
        0
    );
    let said = world.command(&["resume", "depot"]).expect(0).stdout;
    assert!(said.contains("was not paused"), "{said}");
    for word in ["paused: no attempt begins", "resumed: what is pending goes"] {
        daemon.wait_journal(word);
        let journal = daemon.journal();
        assert_eq!(journal.matches(word).count(), 1, "{journal}");
    }
    daemon.stop();
}

#[test]
fn the_backlog_goes_oldest_first_before_what_comes_later() {
    let depot = Receiver::ok();
    let world = World::new(&[]);
    let one = [hook("depot", depot.url("/")).line("max_in_flight = 1")];
    world.configure_with(SECTION, &one);
    let _daemon = world.start();
    world.command(&["pause", "depot"]).expect(0);
    emit(&world, 1..=300);
    world.wait_number(PENDING, 300, SOON);
    world.command(&["resume", "depot"]).expect(0);
    emit(&world, 301..=320);
    let got = depot.wait(320, SOON);
    let numbers = got.iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        body["v1"]["data"]["n"].as_i64().unwrap_or_default()
    });
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=320).collect::<Vec<_>>());
}

#[test]
fn a_row_by_sql_is_a_pause_within_a_second_and_its_deletion_ends_it() {
    let (world, depot, other) = world();
    let daemon = world.start();
    let sql = "INSERT INTO pause (webhook, reason) VALUES ('depot', 'stocktaking')";
    assert_eq!(world.change_log(sql).unwrap(), 1);
    daemon.wait_journal("paused: no attempt begins");
    daemon.wait_journal("stocktaking");
    emit(&world, 1..=3);
    other.wait(3, SOON);
    world.wait_number(PENDING, 3, SOON);
    assert_eq!(status(&world, "depot")["paused_reason"], "stocktaking");
    // To pause again replaces it.
    let later = now_ms() + 3_600_000;
    let again = format!("INSERT INTO pause (webhook, until) VALUES ('depot', {later})");
    assert_eq!(world.change_log(&again).unwrap(), 1);
    let row = "SELECT since > 1700000000000, until, reason FROM pause";
    assert_eq!(world.log(row), [["1", &*later.to_string(), "NULL"]]);
    let unknown = "INSERT INTO pause (webhook) VALUES ('deport')";
    let error = world.change_log(unknown).unwrap_err().to_string();
    assert!(error.contains("no webhook has that name"), "{error}");
    let text = "INSERT INTO pause (webhook, until) VALUES ('depot', 'tomorrow')";
    let error = world.change_log(text).unwrap_err().to_string();
    assert!(error.contains("UNIX milliseconds"), "{error}");
    assert_eq!(depot.count(), 0);
    assert_eq!(
        world
            .change_log("DELETE FROM pause WHERE webhook = 'depot'")
            .unwrap(),
        1
    );
    depot.wait(3, SOON);
}

#[test]
fn a_pause_lasts_over_restart_and_reload_and_one_written_while_stopped_is_heeded() {
    let (world, depot, other) = world();
    let daemon = world.start();
    world.command(&["pause", "depot"]).expect(0);
    emit(&world, 1..=2);
    world.wait_number(PENDING, 2, SOON);
    daemon.reload();
    emit(&world, 3..=4);
    world.wait_number(PENDING, 4, SOON);
    daemon.kill();
    let daemon = world.start();
    emit(&world, 5..=6);
    world.wait_number(PENDING, 6, SOON);
    other.wait(6, SOON);
    stays("nothing is sent", HEEDED, || {
        check(depot.count() == 0, || depot.count().to_string())
    });
    world.command(&["resume", "depot"]).expect(0);
    depot.wait(6, SOON);
    world.wait_number(PENDING, 0, SOON);
    daemon.stop();

    let refused = world.command(&["pause", "depot", "--for", "2h"]).expect(1);
    let hint = "INSERT INTO pause (webhook, until) VALUES ('depot', ";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    let refused = world.command(&["resume", "depot"]).expect(1);
    let hint = "DELETE FROM pause WHERE webhook = 'depot'";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    world
        .change_log("INSERT INTO pause (webhook) VALUES ('depot')")
        .unwrap();
    let _daemon = world.start();
    emit(&world, 7..=8);
    other.wait(8, SOON);
    world.wait_number(PENDING, 2, SOON);
    assert_eq!(depot.count(), 6);
}

#[test]
fn a_pause_for_a_while_ends_by_itself() {
    let (world, depot, _other) = world();
    let daemon = world.start();
    let begun = now_ms();
    let said = world
        .command(&["pause", "depot", "--for", "2s"])
        .expect(0)
        .stdout;
    assert!(said.contains("depot is paused until 20"), "{said}");
    emit(&world, 1..=1);
    depot.wait(1, SOON);
    assert!(now_ms() - begun >= 2_000);
    daemon.wait_journal("resumed: what is pending goes");
    world.wait_number("SELECT count(*) FROM pause", 0, SOON);
    // One that was over before the start is no pause.
    daemon.stop();
    world
        .change_log("INSERT INTO pause (webhook, until) VALUES ('depot', 1700000000005)")
        .unwrap();
    let _daemon = world.start();
    emit(&world, 2..=2);
    depot.wait(2, SOON);
    world.wait_number("SELECT count(*) FROM pause", 0, SOON);
}

#[test]
fn what_can_not_be_paused_is_said() {
    let (world, _depot, _other) = world();
    let _daemon = world.start();
    for command in ["pause", "resume"] {
        let refused = world.command(&[command, "deport"]).expect(2);
        let words = "no webhook is called \"deport\"";
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        let path = format!("/{command}");
        let unknown = post(&world, &path, r#"{"webhook":"deport"}"#).expect(404);
        assert!(
            unknown.body.contains("no webhook is called"),
            "{}",
            unknown.body
        );
        post(&world, &path, "{}").expect(400);
        post(&world, &path, r#"{"webhook":"depot","how":1}"#).expect(400);
    }
    post(&world, "/pause", r#"{"webhook":"depot","for_ms":0}"#).expect(400);
    let too_long = r#"{"webhook":"depot","for_ms":31622400001}"#;
    post(&world, "/pause", too_long).expect(400);
    for span in ["soon", "367d"] {
        let refused = world.command(&["pause", "depot", "--for", span]).expect(2);
        assert!(refused.stderr.contains("up to 366d"), "{}", refused.stderr);
    }
    let paused = post(&world, "/pause", r#"{"webhook":"depot","for_ms":60000}"#).expect(200);
    let paused: Value = serde_json::from_str(&paused.body).unwrap();
    assert!(paused["paused_until"].is_string(), "{paused}");
    let resumed = post(&world, "/resume", r#"{"webhook":"depot"}"#).expect(200);
    let resumed: Value = serde_json::from_str(&resumed.body).unwrap();
    assert_eq!(resumed["resumed"], true);
    eventually("the pause is gone", SOON, || {
        let rows = world.log("SELECT * FROM pause");
        check(rows.is_empty(), || format!("{rows:?}"))
    });
}

#[test]
fn a_webhook_that_only_fails_pauses_itself_and_a_test_that_passes_ends_it() {
    let status = Arc::new(AtomicU16::new(503));
    let says = status.clone();
    let span = Duration::from_millis(100);
    let depot = Receiver::start(move |_| Answer::status(says.load(Ordering::SeqCst)).after(span));
    let other = Receiver::ok();
    let world = World::new(&[]);
    let slow = hook("depot", depot.url("/")).line("max_in_flight = 1");
    let hooks = [
        slow.line("auto_pause = \"1s\""),
        hook("other", other.url("/")),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    emit(&world, 1..=30);
    daemon.wait_journal("paused itself: what comes waits");
    other.wait(30, SOON);
    let failed = depot.count();
    assert!((20..=22).contains(&failed), "{failed}");
    let of = status_of(&world);
    let reason = of["paused_reason"].as_str().unwrap();
    assert!(
        reason.starts_with("auto_pause: all ") && reason.contains("503"),
        "{reason}"
    );
    let told = world.command(&["status"]).expect(0).stdout;
    assert!(told.contains("next try in"), "{told}");
    let why = world.command(&["explain", "30"]).expect(0).stdout;
    assert!(why.contains("auto_pause: all "), "{why}");
    // A restart knows it.
    daemon.kill();
    let _daemon = world.start();
    world.command(&["test", "depot"]).expect(1);
    assert!(status_of(&world)["paused_since"].is_string());
    status.store(200, Ordering::SeqCst);
    world.command(&["test", "depot"]).expect(0);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered' AND origin = 'event'";
    world.wait_number(delivered, 60, SOON);
    assert!(status_of(&world)["paused_since"].is_null());
}

fn status_of(world: &World) -> Value {
    status(world, "depot")
}
