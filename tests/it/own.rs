//! Events of webhooksd itself: who gets them, what they say, and that each fact is told once.

mod askers;
mod four;
mod kills;

use std::time::Duration;

use serde_json::{Value, json};

use crate::socket::SECTION;
use crate::socket::client::post;
use crate::support::{Answer, Hook, Receiver, SOON, World, check, eventually, hook, stays};

/// Longer than a row by SQL takes to be told of, which is a second.
const TOLD: Duration = Duration::from_millis(1_500);

const FAILED: &str = "webhooksd.delivery.failed";
const PAUSED: &str = "webhooksd.webhook.paused";
const RESUMED: &str = "webhooksd.webhook.resumed";
const REJECTED: &str = "webhooksd.event.rejected";

/// How many events of webhooksd itself there are, by their ids.
const OWN: &str = "SELECT count(DISTINCT event_id) FROM delivery WHERE event LIKE 'webhooksd.%'";

/// A webhook that asks for all of them.
fn asking(name: &str, receiver: &Receiver) -> Hook {
    hook(name, receiver.url("/")).events("webhooksd.*")
}

/// A webhook of the application's events that gives up at once.
fn failing(name: &str, receiver: &Receiver) -> Hook {
    hook(name, receiver.url("/")).one_attempt()
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(SECTION, hooks);
    world
}

/// Name and `data` of what a receiver of bold-cms got, in the order of the ids.
fn told(receiver: &Receiver) -> Vec<(String, Value)> {
    let got = receiver
        .received()
        .into_iter()
        .map(|request| request.json());
    let mut got: Vec<Value> = got.map(|body| body["v1"].clone()).collect();
    got.sort_by_key(|body| body["event"]["id"].as_i64());
    got.dedup();
    let name = |body: &Value| body["event"]["name"].as_str().unwrap().to_owned();
    got.iter()
        .map(|body| (name(body), body["data"].clone()))
        .collect()
}

fn names(receiver: &Receiver) -> Vec<String> {
    told(receiver).into_iter().map(|(name, _)| name).collect()
}

/// Waits until these, and no others, came to a receiver of bold-cms.
#[track_caller]
fn told_are(receiver: &Receiver, expected: &[&str]) {
    eventually("it is told", SOON, || {
        check(names(receiver) == expected, || {
            format!("{:?}", told(receiver))
        })
    });
}

/// Adds a row that can't be sent, of a tenant.
fn reject(world: &World) {
    let sql = "INSERT INTO outbox (event, data, tenant) VALUES ('webhooksd.mine', '{}', 'globex')";
    world.outbox().execute_batch(sql).unwrap();
}

#[test]
fn nobody_else_gets_them_and_where_nobody_asks_there_is_nothing() {
    let (all, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let world = world(&[hook("all", all.url("/")), failing("depot", &dead)]);
    let daemon = world.start();
    world.emit("e", "{}");
    reject(&world);
    world.command(&["pause", "depot"]).expect(0);
    world.command(&["resume", "depot"]).expect(0);
    world.wait_number("SELECT count(*) FROM rejected", 1, SOON);
    world.wait_number("SELECT count(*) FROM failed", 1, SOON);
    stays("nothing is made", TOLD, || {
        check(names(&all) == ["e"], || format!("{:?}", names(&all)))
    });
    for table in ["own", "pause_told"] {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
    assert_eq!(world.number(OWN), 0);
    let refused = post(
        &world,
        "/events",
        r#"{"event":"webhooksd.delivery.failed","data":{}}"#,
    );
    let refused = refused.expect(400);
    assert!(
        refused.body.contains("as only webhooksd's own events do"),
        "{}",
        refused.body
    );
    assert_eq!(
        world
            .outbox()
            .query_row("SELECT count(*) FROM outbox", [], |r| r.get::<_, i64>(0))
            .unwrap(),
        2
    );
    daemon.stop();
}

#[test]
fn facts_from_before_anybody_asked_are_not_told() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let world = world(&[failing("depot", &dead), failing("shop", &dead)]);
    let daemon = world.start();
    world.emit("e", "{}");
    reject(&world);
    world.wait_number("SELECT count(*) FROM rejected", 1, SOON);
    world.wait_number("SELECT count(*) FROM failed", 2, SOON);
    world.command(&["pause", "depot"]).expect(0);
    let with_ops = [
        failing("depot", &dead),
        failing("shop", &dead),
        asking("ops", &ops),
    ];
    world.configure_with(SECTION, &with_ops);
    daemon.reload();
    stays("none is told", TOLD, || {
        check(ops.count() == 0, || ops.count().to_string())
    });
    // What stood there before is known: its end is a fact of today.
    world.command(&["resume", "depot"]).expect(0);
    told_are(&ops, &[RESUMED]);
    world.emit("e", "{}");
    told_are(&ops, &[RESUMED, FAILED, FAILED]);
    // Nobody asks for a while.
    world.configure_with(SECTION, &[failing("depot", &dead), failing("shop", &dead)]);
    daemon.reload();
    world.command(&["pause", "shop"]).expect(0);
    world.emit("e", "{}");
    world.wait_number(
        "SELECT count(*) FROM failed WHERE webhook = 'depot'",
        3,
        SOON,
    );
    assert_eq!(world.number("SELECT count(*) FROM pause_told"), 0);
    world.configure_with(SECTION, &with_ops);
    daemon.reload();
    stays("none is told", TOLD, || {
        check(names(&ops).len() == 3, || format!("{:?}", told(&ops)))
    });
    let last = world.number("SELECT event_id FROM own");
    world.command(&["resume", "shop"]).expect(0);
    told_are(&ops, &[RESUMED, FAILED, FAILED, RESUMED, FAILED]);
    assert!(world.number("SELECT event_id FROM own") > last);
    daemon.stop();
}

#[test]
fn nothing_is_told_of_their_own_deliveries() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let deaf = failing("deaf", &dead).events("webhooksd.*");
    let world = world(&[asking("ops", &ops), deaf, failing("depot", &dead)]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.wait_number(
        "SELECT count(*) FROM failed WHERE webhook = 'deaf'",
        1,
        SOON,
    );
    // Nor of a test, also where that is sent again, nor of one of them that is sent again.
    drop(world.command(&["test", "depot"]));
    let test = world
        .number("SELECT id FROM delivery WHERE origin = 'test'")
        .to_string();
    world.command(&["redeliver", &test]).expect(0);
    let again = "SELECT count(*) FROM delivery WHERE webhook = 'depot' AND origin = 'redelivery' AND state = 'failed'";
    world.wait_number(again, 1, SOON);
    let id = world
        .number("SELECT id FROM delivery WHERE webhook = 'deaf'")
        .to_string();
    world.command(&["redeliver", &id]).expect(0);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE webhook = 'deaf' AND state = 'failed'",
        2,
        SOON,
    );
    stays("one fact, one event", TOLD, || {
        check(names(&ops) == [FAILED], || format!("{:?}", told(&ops)))
    });
    assert_eq!(names(&ops), [FAILED]);
    // An event of the application that is sent again in vain is given up once more.
    let id =
        world.number("SELECT max(id) FROM delivery WHERE webhook = 'depot' AND origin = 'event'");
    world.command(&["redeliver", &id.to_string()]).expect(0);
    told_are(&ops, &[FAILED, FAILED]);
    assert_eq!(world.number(OWN), 2);
    daemon.stop();
}

#[test]
fn pauses_by_sql_are_told_once_also_those_made_while_nobody_ran() {
    let ops = Receiver::ok();
    let world = world(&[
        asking("ops", &ops),
        hook("depot", ops.url("/")).events("none"),
    ]);
    let daemon = world.start();
    let pause = "INSERT INTO pause (webhook, reason) VALUES ('depot', 'stocktaking')";
    world.change_log(pause).unwrap();
    told_are(&ops, &[PAUSED]);
    world.change_log("DELETE FROM pause").unwrap();
    told_are(&ops, &[PAUSED, RESUMED]);
    let all = told(&ops);
    let since = all[0].1["since"].as_i64().unwrap();
    let data = json!({"webhook": "depot", "reason": "stocktaking", "since": since});
    assert_eq!(
        all,
        [
            (PAUSED.to_owned(), data.clone()),
            (RESUMED.to_owned(), data)
        ]
    );
    daemon.kill();
    world.change_log(pause).unwrap();
    let daemon = world.start();
    told_are(&ops, &[PAUSED, RESUMED, PAUSED]);
    daemon.kill();
    let daemon = world.start();
    stays("told once", TOLD, || {
        check(world.number(OWN) == 3, || format!("{:?}", told(&ops)))
    });
    daemon.stop();
    world.change_log("DELETE FROM pause").unwrap();
    let _daemon = world.start();
    told_are(&ops, &[PAUSED, RESUMED, PAUSED, RESUMED]);
    world.command(&["pause", "depot", "--for", "1s"]).expect(0);
    told_are(&ops, &[PAUSED, RESUMED, PAUSED, RESUMED, PAUSED, RESUMED]);
}

#[test]
fn they_are_deliveries_like_others() {
    let (ops, shop, dead) = (
        Receiver::ok(),
        Receiver::ok(),
        Receiver::start(|_| Answer::status(500)),
    );
    let choosy =
        asking("shop-ops", &shop).line("where = [{ path = \"$.webhook\", eq = \"shop\" }]");
    let gathered = asking("ops", &ops)
        .dialect("openboxes-lift")
        .line("batch = { wait = \"100ms\" }");
    let hooks = [
        gathered,
        choosy,
        failing("depot", &dead),
        failing("shop", &dead),
    ];
    let world = world(&hooks);
    let daemon = world.start();
    // Whoever asks is told of its own pause once it goes on, with what came meanwhile in one POST.
    world.command(&["pause", "ops"]).expect(0);
    world.emit("e", "{}");
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending' AND webhook = 'ops'";
    world.wait_number(pending, 3, SOON);
    shop.wait(1, SOON);
    assert_eq!(told(&shop)[0].1["webhook"], "shop");
    // One of them is cancelled.
    let one = world
        .number("SELECT min(id) FROM delivery WHERE webhook = 'ops'")
        .to_string();
    world.command(&["cancel", &one]).expect(0);
    world.command(&["resume", "ops"]).expect(0);
    world.wait_number(pending, 0, SOON);
    let got = ops.received();
    assert!(
        got.iter()
            .all(|request| request.header("X-Webhook-Batch").is_some())
    );
    let all: Vec<Value> = got
        .iter()
        .flat_map(|r| r.json().as_array().unwrap().clone())
        .collect();
    let types: Vec<&str> = all
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, [FAILED, FAILED, RESUMED]);
    // Sent again with the same bytes.
    let id = world.number("SELECT delivery_id FROM log WHERE webhook = 'shop-ops'");
    world
        .change_log(&format!(
            "INSERT INTO redelivery (delivery_id) VALUES ({id})"
        ))
        .unwrap();
    let got = shop.wait(2, SOON);
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(shop.count(), 2);
    daemon.stop();
}

#[test]
fn a_webhook_that_pauses_itself_is_told_of_and_so_is_that_it_goes_on() {
    let mends = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mended = mends.clone();
    let flaky = Receiver::start(move |_| {
        let status = if mended.load(std::sync::atomic::Ordering::Relaxed) {
            200
        } else {
            500
        };
        Answer::status(status)
    });
    let ops = Receiver::ok();
    let shy = hook("depot", flaky.url("/")).line("auto_pause = \"1s\"");
    let asks = hook("ops", ops.url("/")).events("webhooksd.webhook.*");
    let world = world(&[asks, shy]);
    let daemon = world.start();
    for _ in 0..30 {
        world.emit("e", "{}");
    }
    told_are(&ops, &[PAUSED]);
    let (name, data) = told(&ops).remove(0);
    assert_eq!(name, PAUSED);
    assert!(
        data["reason"]
            .as_str()
            .unwrap()
            .starts_with("auto_pause: all "),
        "{data}"
    );
    mends.store(true, std::sync::atomic::Ordering::Relaxed);
    world.command(&["test", "depot"]).expect(0);
    told_are(&ops, &[PAUSED, RESUMED]);
    let (name, ended) = told(&ops).remove(1);
    assert_eq!((name.as_str(), &ended), (RESUMED, &data));
    daemon.stop();
}
