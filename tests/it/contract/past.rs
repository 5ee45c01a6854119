//! Events of the past, judged by `match` and sent again by `replay`: the same over both engines.

use serde_json::{Value, json};

use super::each;
use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Receiver, SOON, World, check, eventually, hook};

const DEPOT: &str = "where = [ { path = \"$.at\", in = [\"a\", \"b\"] } ]";

/// The numbers of some keys of what `match` says.
#[track_caller]
pub(crate) fn judged<const N: usize>(
    world: &World,
    arguments: &[&str],
    keys: [&str; N],
) -> [i64; N] {
    let arguments = [&["match", "depot", "--json"], arguments].concat();
    let told = world.command(&arguments).expect(0).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    keys.map(|key| told[key].as_i64().unwrap_or(-1))
}

#[test]
fn what_a_webhook_would_get_is_judged_and_compared_with_what_was_sent() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    let all = |line: &str| {
        let depot = hook("depot", receiver.url("/")).events("stock.*");
        [if line.is_empty() {
            depot
        } else {
            depot.line(line)
        }]
    };
    each(&all(""), "", |outbox| {
        let world = &outbox.world;
        let rows = [
            ("stock.moved", "a"),
            ("stock.moved", "c"),
            ("other", "a"),
            ("stock.counted", "b"),
        ];
        for (event, at) in rows {
            outbox.emit(event, &format!("{{\"at\":\"{at}\"}}"));
        }
        let keys = [
            "events",
            "matched",
            "turned_away",
            "would_add",
            "would_drop",
            "not_taken",
        ];
        assert_eq!(
            judged(world, &[], keys),
            [4, 3, 0, 0, 0, 3],
            "{}",
            outbox.name()
        );
        let daemon = world.start();
        receiver.wait(seen + 3, SOON);
        let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        world.wait_number(delivered, 3, SOON);
        assert_eq!(judged(world, &[], keys), [4, 3, 0, 0, 0, 0]);
        outbox.configure(&all(DEPOT), "");
        assert_eq!(judged(world, &[], keys), [4, 2, 1, 0, 1, 0]);
        assert_eq!(
            judged(world, &["--event", "stock.m*"], keys),
            [2, 1, 1, 0, 1, 0]
        );
        let later = ["--since", "2100-01-01T00:00:00Z"];
        assert_eq!(judged(world, &later, keys), [0, 0, 0, 0, 0, 0]);
        outbox.configure(&[hook("depot", receiver.url("/")).events("*")], "");
        assert_eq!(judged(world, &[], keys), [4, 4, 0, 1, 0, 0]);
        daemon.stop();
        outbox.emit("other", "{\"at\":\"c\"}");
        assert_eq!(judged(world, &[], keys), [5, 5, 0, 1, 0, 1]);
        seen += 3;
    });
}

#[test]
fn a_newer_webhook_gets_the_old_events_once_each_across_kill_9() {
    const EVENTS: i64 = 6_000;
    let receiver = Receiver::ok();
    let mut seen = 0;
    let other = || hook("other", "http://127.0.0.1:9/").events("other");
    each(&[other()], SECTION, |outbox| {
        let world = &outbox.world;
        let daemon = world.start();
        let rows: Vec<_> = (1..=EVENTS)
            .map(|n| format!("('a', '{{\"n\":{n}}}')"))
            .collect();
        for rows in rows.chunks(2_000) {
            let rows = rows.join(", ");
            outbox.sql(&format!("INSERT INTO outbox (event, data) VALUES {rows}"));
        }
        // Taken in, though nobody wants them.
        let newest = outbox.newest();
        world.wait_number("SELECT event_id FROM cursor", newest, SOON);
        let hooks = [
            other(),
            hook("w", receiver.url("/"))
                .dialect("bold-factory")
                .line("max_in_flight = 8"),
        ];
        outbox.configure(&hooks, SECTION);
        post(world, "/reload", "").expect(200);
        let told = post(world, "/replay", r#"{"since":0}"#).expect(202).json();
        assert_eq!(told, json!({"replay": 1, "matched": EVENTS, "pruned": 0}));
        eventually("the replay is on its way", SOON, || {
            let done = curl(world, "/replays/1", &[]).json()["done"]
                .as_i64()
                .unwrap();
            check(done >= 500, || done.to_string())
        });
        daemon.kill();
        let done = world.number("SELECT done FROM replay");
        assert!(done < EVENTS, "killed too late: {done}");
        let daemon = world.start();
        eventually("the replay ends", SOON * 2, || {
            let state = curl(world, "/replays/1", &[]).expect(200).json();
            check(state["finished"] == true, || state.to_string())
        });
        let count = "SELECT count(*) FROM delivery WHERE origin = 'replay'";
        assert_eq!(world.number(count), EVENTS, "{}", outbox.name());
        let distinct = "SELECT count(DISTINCT event_id) FROM delivery WHERE webhook = 'w'";
        assert_eq!(world.number(distinct), EVENTS);
        let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
        world.wait_number(delivered, EVENTS, SOON * 2);
        assert_eq!(world.number("SELECT event_id FROM cursor"), newest);
        daemon.stop();
        let arrived = receiver.count() - seen;
        assert!(arrived >= usize::try_from(EVENTS).unwrap(), "{arrived}");
        seen = receiver.count();
    });
}

#[test]
fn a_replay_takes_what_is_asked_for() {
    let receiver = Receiver::ok();
    let mut seen = 0;
    each(&[hook("w", receiver.url("/"))], SECTION, |outbox| {
        let world = &outbox.world;
        let daemon = world.start();
        let now_ms = crate::support::now_ms();
        let at = |ago_s: i64| now_ms - ago_s * 1_000;
        let mut ids = Vec::new();
        for (n, ago_s) in [(1, 300), (2, 200), (3, 100)] {
            for event in ["story-a", "other"] {
                let time = outbox.time(at(ago_s));
                outbox.sql(&format!(
                    "INSERT INTO outbox (event, data, time) VALUES ('{event}', '{{\"n\":{n}}}', {time})"
                ));
                ids.push(outbox.newest());
            }
        }
        receiver.wait(seen + 6, SOON);
        let told = |order: Value| post(world, "/replay", &order.to_string());
        for (order, matched) in [
            (json!({"since": 0}), 6),
            (json!({"since": at(200)}), 4),
            (json!({"since": at(300), "until": at(100)}), 4),
            (json!({"since": 0, "event": "story-*"}), 3),
            (json!({"from_id": ids[3]}), 3),
            (json!({"since": now_ms + 60_000}), 0),
        ] {
            let mut order = order;
            order["dry_run"] = json!(true);
            let told = told(order.clone()).expect(200).json();
            assert_eq!(told["matched"], matched, "{order} {}", outbox.name());
        }
        told(json!({"since": at(250), "until": at(150), "event": "story-*"})).expect(202);
        receiver.wait(seen + 7, SOON);
        eventually("the replay ends", SOON, || {
            let state = curl(world, "/replays/1", &[]).expect(200).json();
            check(state["finished"] == true && state["done"] == 1, || {
                state.to_string()
            })
        });
        daemon.stop();
        let again = receiver.received().pop().unwrap();
        assert_eq!(again.n(), 2);
        seen += 7;
    });
}
