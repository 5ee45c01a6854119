//! Replays: events of the outbox once more, from a point in time, across a crash.

use std::time::Duration;

use serde_json::json;

use super::client::{curl, post};
use super::{SECTION, started};
use crate::support::{Receiver, SOON, World, check, eventually, hook, insert, nap, now};

/// Many enough that a replay is killed on its way.
const EVENTS: i64 = 6_000;

#[test]
fn a_newer_webhook_gets_the_old_events_once_each_across_kill_9() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(
        SECTION,
        &[hook("other", "http://127.0.0.1:9/").events("other")],
    );
    let daemon = world.start();
    let mut outbox = world.outbox();
    let transaction = outbox.transaction().unwrap();
    for n in 1..=EVENTS {
        insert(&transaction, "a", &format!("{{\"n\":{n}}}"));
    }
    transaction.commit().unwrap();
    world.wait_number("SELECT event_id FROM cursor", EVENTS, SOON);
    let hooks = [
        hook("other", "http://127.0.0.1:9/").events("other"),
        hook("w", receiver.url("/"))
            .dialect("bold-factory")
            .line("max_in_flight = 8"),
    ];
    world.configure_with(SECTION, &hooks);
    post(&world, "/reload", "").expect(200);
    let told = post(&world, "/replay", r#"{"since":0}"#).expect(202).json();
    assert_eq!(told, json!({"replay": 1, "matched": EVENTS, "pruned": 0}));
    eventually("the replay is on its way", SOON, || {
        let done = curl(&world, "/replays/1", &[]).json()["done"]
            .as_i64()
            .unwrap();
        check(done >= 500, || done.to_string())
    });
    daemon.kill();
    let done = world.number("SELECT done FROM replay");
    assert!(done < EVENTS, "killed too late: {done}");
    let daemon = world.start();
    eventually("the replay ends", SOON * 2, || {
        let state = curl(&world, "/replays/1", &[]).expect(200).json();
        check(state["finished"] == true, || state.to_string())
    });
    let count = "SELECT count(*) FROM delivery WHERE origin = 'replay'";
    assert_eq!(world.number(count), EVENTS);
    let distinct = "SELECT count(DISTINCT event_id) FROM delivery WHERE webhook = 'w'";
    assert_eq!(world.number(distinct), EVENTS);
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, EVENTS, SOON * 2);
    assert_eq!(world.number("SELECT event_id FROM cursor"), EVENTS);
    daemon.stop();
}

#[test]
fn filters_count_first_and_ids_stay() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    let event = |name: &str, time: i64, n: i64| {
        let body = format!(r#"{{"event":"{name}","data":{{"n":{n}}},"time":{time}}}"#);
        post(&world, "/events", &body).expect(202);
    };
    for (n, time) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
        event("story-a", time, n);
        event("other", time, n + 10);
    }
    let first = receiver.wait(6, SOON);
    for (order, matched) in [
        (r#"{"since":0,"dry_run":true}"#, 6),
        (r#"{"since":2000,"dry_run":true}"#, 4),
        (r#"{"since":1000,"until":3000,"dry_run":true}"#, 4),
        (r#"{"since":0,"event":"story-*","dry_run":true}"#, 3),
        (r#"{"since":0,"webhook":"w","dry_run":true}"#, 6),
        (r#"{"since":9000,"dry_run":true}"#, 0),
    ] {
        let told = post(&world, "/replay", order).expect(200).json();
        assert_eq!(told["matched"], matched, "{order}");
        assert_eq!(told["replay"], json!(null));
    }
    assert_eq!(world.number("SELECT count(*) FROM replay"), 0);
    let order = r#"{"since":1500,"until":2500,"event":"story-*","webhook":"w"}"#;
    post(&world, "/replay", order).expect(202);
    let again = receiver.wait(7, SOON).pop().unwrap();
    let before = first.iter().find(|r| r.n() == 2).unwrap();
    assert_eq!(again.body, before.body);
    eventually("the replay ends", SOON, || {
        let state = curl(&world, "/replays/1", &[]).expect(200).json();
        check(
            state == json!({"replay": 1, "matched": 1, "done": 1, "finished": true}),
            || state.to_string(),
        )
    });
    curl(&world, "/replays/2", &[]).expect(404);
    curl(&world, "/replays/x", &[]).expect(404);
    post(&world, "/replay", r#"{"since":0,"webhook":"none"}"#).expect(404);
    for bad in [
        "{}",
        r#"{"since":"x"}"#,
        r#"{"since":0,"x":1}"#,
        r#"{"since":0,"event":""}"#,
    ] {
        post(&world, "/replay", bad).expect(400);
    }
    assert_eq!(receiver.count(), 7);
    daemon.stop();
}

/// What a live event may wait at the 99th percentile while its own webhook gets a replay, on a busy
/// machine of two cores: without the throttle it waits behind all of it, several seconds. On a slower
/// one both take longer, and it may wait for a quarter of the replay.
const LIVE_P99: Duration = Duration::from_millis(1_000);

#[test]
fn live_events_keep_their_latency_beside_a_replay_to_the_same_webhook() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(
        SECTION,
        &[hook("other", "http://127.0.0.1:9/").events("other")],
    );
    let daemon = world.start();
    let mut outbox = world.outbox();
    let transaction = outbox.transaction().unwrap();
    for n in 1..=EVENTS * 2 {
        insert(&transaction, "old", &format!("{{\"n\":{n}}}"));
    }
    transaction.commit().unwrap();
    world.wait_number("SELECT event_id FROM cursor", EVENTS * 2, SOON);
    let live = hook("w", receiver.url("/")).dialect("bold-factory");
    world.configure_with(SECTION, &[live]);
    post(&world, "/reload", "").expect(200);
    post(&world, "/replay", r#"{"since":0}"#).expect(202);
    let replayed = now();
    let begun: Vec<_> = (0..100)
        .map(|n| {
            let begun = now();
            world.emit("live", &format!("{{\"n\":{}}}", -n));
            nap(Duration::from_millis(10));
            begun
        })
        .collect();
    let is_on_its_way = world.number("SELECT finished_at IS NULL FROM replay") == 1;
    let is_live = |text: &str| text.contains("\"event\":\"live\"");
    let received = eventually("all live events are there", SOON, || {
        let all = receiver.received().into_iter();
        let live: Vec<_> = all.filter(|r| is_live(r.text())).collect();
        check(live.len() == 100, || live.len().to_string())?;
        Ok(live)
    });
    let span = |r: &crate::support::Received| {
        let n = usize::try_from(-r.n()).unwrap();
        r.at.saturating_duration_since(begun[n])
    };
    let mut spans: Vec<Duration> = received.iter().map(span).collect();
    spans.sort_unstable();
    let (median, p99) = (spans[50], spans[99]);
    let all = usize::try_from(EVENTS * 2).unwrap() + begun.len();
    let last = receiver.wait(all, 3 * SOON)[all - 1].at;
    let whole = last.saturating_duration_since(replayed);
    println!(
        "live beside a replay of {whole:?} (still on its way: {is_on_its_way}): p50 {median:?}, p99 {p99:?}"
    );
    assert!(p99 < LIVE_P99.max(whole / 4), "{p99:?} of {whole:?}");
    daemon.stop();
}
