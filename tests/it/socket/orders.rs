//! Orders: reload, test and redeliver, from the request to the endpoint and the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::client::{curl, post};
use super::{SECTION, started, world};
use crate::support::{Answer, Receiver, SOON, World, hook};

#[test]
fn health_and_status_tell_of_a_daemon_that_is_well() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    world.emit("a", r#"{"n":1}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let health = curl(&world, "/health", &[]).expect(200).json();
    assert_eq!(
        health,
        json!({"healthy": true, "complaints": [], "warnings": []})
    );
    let status = curl(&world, "/status", &[]).expect(200).json();
    assert_eq!(status["version"], 1);
    assert_eq!(status["daemon"]["pid"], daemon.pid());
    assert_eq!(status["outbox"]["newest"], 1);
    assert_eq!(status["outbox"]["lag"], 0);
    assert_eq!(status["webhooks"][0]["name"], "w");
    assert_eq!(status["webhooks"][0]["pending"], 0);
    assert!(status["log"]["bytes"].as_i64().unwrap() > 0);
    daemon.stop();
}

#[test]
fn reload_answers_what_it_did_or_why_not() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    world.emit("a", r#"{"n":1}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let off = [
        hook("w", "http://127.0.0.1:9/").line("active = false"),
        hook("x", "http://h/"),
    ];
    world.configure_with(SECTION, &off);
    let done = post(&world, "/reload", "").expect(200).json();
    assert_eq!(
        done,
        json!({"webhooks": 1, "cancelled": [{"webhook": "w", "count": 1}]})
    );
    world.configure_with(SECTION, &[hook("w", "ftp://h/"), hook("w", "http://h/")]);
    let error = post(&world, "/reload", "").expect(422).error();
    assert!(error.contains("scheme must be http"), "{error}");
    assert!(
        error.matches("webhooks.toml").count() > 1,
        "all at once: {error}"
    );
    for more in [
        "mode = \"0600\"",
        "group = \"root\"",
        "\n[metrics]\nlisten = \"127.0.0.1:1\"",
    ] {
        world.configure_with(&format!("{SECTION}\n{more}"), &off);
        let error = post(&world, "/reload", "").expect(422).error();
        assert!(error.contains("another one than at the start"), "{error}");
        assert!(error.contains("restart"), "{error}");
    }
    let status = curl(&world, "/status", &[]).json();
    assert_eq!(status["daemon"]["last_reload_failed"], true);
    assert_eq!(status["daemon"]["reloads"], 5);
    daemon.stop();
}

#[test]
fn the_reload_command_has_the_daemon_say_what_is_wrong_with_a_file() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    let run = || world.command(&["reload"]);
    assert_eq!(run().code, Some(0));
    for broken in ["ftp://h/", "http://h/\"\nname = \"twice"] {
        world.configure_with(SECTION, &[hook("w", broken)]);
        let refused = run();
        let errors = &refused.stderr;
        assert_eq!(refused.code, Some(2), "{errors}");
        assert!(errors.contains("webhooks.toml:"), "{errors}");
    }
    daemon.wait_journal("the configuration was not reloaded");
    let journal = daemon.journal();
    assert!(
        journal.contains(" error: webhooks.toml:") || journal.contains(" error: /"),
        "{journal}"
    );
    for line in journal.lines() {
        assert!(
            !line.trim().is_empty() && !line.ends_with("error: "),
            "{journal}"
        );
        assert!(line.matches("error: ").count() < 2, "{journal}");
    }
    let status = curl(&world, "/status", &[]).json();
    assert_eq!(status["daemon"]["last_reload_failed"], true);
    assert_eq!(
        status["daemon"]["reloads"], 3,
        "the daemon was asked each time"
    );
    daemon.stop();
}

/// A webhook in each dialect, one that is inactive and one that nobody answers for.
fn of_every_kind(receiver: &Receiver) -> World {
    let world = World::new(&[]);
    let signed = |name, path| hook(name, receiver.url(path)).secret("key");
    let hooks = [
        signed("w", "/cms"),
        signed("lift", "/lift").dialect("openboxes-lift"),
        signed("factory", "/factory").dialect("bold-factory"),
        hook("off", receiver.url("/off")).line("active = false"),
        hook("dead", "http://127.0.0.1:9/"),
    ];
    world.configure_with(SECTION, &hooks);
    world
}

#[test]
fn a_test_sends_the_dialects_sample_and_tells_all_of_it() {
    let receiver = Receiver::ok();
    let world = of_every_kind(&receiver);
    let daemon = world.start();
    for (name, event) in [
        ("w", "story-submit"),
        ("factory", "production.order.completed"),
        ("lift", "stockMovement.shipped"),
    ] {
        let path = format!("/webhooks/{name}/test");
        let told = post(&world, &path, "").expect(200).json();
        assert_eq!(told["outcome"], "delivered", "{told}");
        assert_eq!(
            (&told["status"], &told["event"]),
            (&json!(200), &json!(event))
        );
        let received = receiver.received().pop().unwrap();
        assert_eq!(told["request_body"], received.text());
        let headers = told["request_headers"].as_str().unwrap();
        assert!(headers.contains("Signature: "), "{headers}");
        assert_eq!(told["response_body"], "ok");
        assert!(told["phases"]["head_ms"].as_f64().unwrap() > 0.0);
        assert!(told["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    daemon.stop();
}

#[test]
fn a_test_is_one_logged_attempt_with_a_new_id() {
    let receiver = Receiver::start(|_| Answer::status(500));
    let world = of_every_kind(&receiver);
    let daemon = world.start();
    let own = r#"{"event":"my.event","data":{ "n": 7 }}"#;
    let told = post(&world, "/webhooks/w/test", own).expect(200).json();
    assert_eq!(
        (&told["outcome"], &told["status"]),
        (&json!("failed"), &json!(500))
    );
    assert!(told["error"].as_str().unwrap().contains("500"), "{told}");
    let body = told["request_body"].as_str().unwrap();
    assert!(body.contains(r#""data":{ "n": 7 }"#), "{body}");
    let mut ids = vec![told["event_id"].as_i64().unwrap()];
    for name in ["lift", "factory", "dead"] {
        let path = format!("/webhooks/{name}/test");
        let told = post(&world, &path, "").expect(200).json();
        assert_eq!(told["outcome"], "failed");
        assert_eq!(told["status"].is_null(), name == "dead", "{told}");
        ids.push(told["event_id"].as_i64().unwrap());
    }
    assert!(
        ids.is_sorted_by(|a, b| a < b) && ids[0] > 1_700_000_000_000,
        "{ids:?}"
    );
    let logged = "SELECT count(*) FROM log WHERE origin = 'test' AND outcome = 'failed'";
    assert_eq!(world.number(logged), 4);
    let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
    assert_eq!(world.number(pending), 0);
    daemon.stop();
}

#[test]
fn a_test_that_makes_no_sense_is_refused() {
    let world = of_every_kind(&Receiver::ok());
    let daemon = world.start();
    post(&world, "/webhooks/off/test", "").expect(409);
    post(&world, "/webhooks/none/test", "").expect(404);
    let error = post(&world, "/webhooks/w/test", r#"{"event":"a b"}"#);
    let error = error.expect(400).error();
    assert!(error.starts_with("event"), "{error}");
    post(&world, "/webhooks/w/test", r#"{"x":1}"#).expect(400);
    assert_eq!(world.number("SELECT count(*) FROM delivery"), 0);
    daemon.stop();
}

#[test]
fn a_test_does_not_wait_behind_the_queue() {
    let receiver =
        Receiver::start(|_| Answer::status(200).after(std::time::Duration::from_millis(100)));
    let world = World::new(&[]);
    let one = hook("w", receiver.url("/")).line("max_in_flight = 1");
    world.configure_with(SECTION, &[one]);
    let daemon = world.start();
    for n in 0..100 {
        world.emit("a", &format!("{{\"n\":{n}}}"));
    }
    receiver.wait(1, SOON);
    let told = post(&world, "/webhooks/w/test", "").expect(200).json();
    assert_eq!(told["outcome"], "delivered");
    assert!(receiver.count() < 90, "{}", receiver.count());
    daemon.stop();
}

/// A receiver that answers 500 until the switch is on.
fn switched() -> (Receiver, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let switch = well.clone();
    let receiver = Receiver::start(move |_| {
        Answer::status(if switch.load(Ordering::SeqCst) {
            200
        } else {
            500
        })
    });
    (receiver, well)
}

#[test]
fn one_delivery_again_with_the_same_bytes() {
    let receiver = Receiver::ok();
    let (world, daemon) = started(&receiver.url("/"));
    world.emit("a", r#"{"n": 1}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let told = post(&world, "/deliveries/1/redeliver", "")
        .expect(202)
        .json();
    assert_eq!(told, json!({"delivery_id": 2}));
    let received = receiver.wait(2, SOON);
    assert_eq!(received[0].body, received[1].body);
    for id in ["3", "x", "-1", "99999999999999999999"] {
        post(&world, &format!("/deliveries/{id}/redeliver"), "").expect(404);
    }
    daemon.stop();
    let (world, daemon) = started("http://127.0.0.1:9/");
    world.emit("a", "1");
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    post(&world, "/deliveries/1/redeliver", "").expect(409);
    daemon.stop();
}

#[test]
fn all_that_failed_again_once() {
    let (receiver, well) = switched();
    let world = World::new(&[]);
    let hooks = [
        hook("w", receiver.url("/w")).one_attempt(),
        hook("v", receiver.url("/v")).one_attempt(),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    let mut outbox = world.outbox();
    let transaction = outbox.transaction().unwrap();
    for n in 0..600 {
        crate::support::insert(&transaction, "a", &format!("{{\"n\":{n}}}"));
    }
    transaction.commit().unwrap();
    post(&world, "/webhooks/w/test", "").expect(200);
    world.wait_number("SELECT count(*) FROM failed", 1_200, SOON);
    well.store(true, Ordering::SeqCst);
    for (order, matched) in [
        (r#"{"failed":true,"dry_run":true}"#, 1_200),
        (r#"{"failed":true,"webhook":"v","dry_run":true}"#, 600),
        (r#"{"failed":true,"until":1000,"dry_run":true}"#, 0),
        (r#"{"cancelled":true,"dry_run":true}"#, 0),
    ] {
        let lines = post(&world, "/redeliver", order).expect(200).lines();
        assert_eq!(lines[0], json!({"matched": matched}), "{order}");
        assert_eq!(
            lines[1],
            json!({"finished": true, "done": 0, "refused": []})
        );
        assert_eq!(lines.len(), 2);
    }
    let lines = post(&world, "/redeliver", r#"{"failed":true,"since":0}"#)
        .expect(200)
        .lines();
    assert_eq!(lines.first().unwrap(), &json!({"matched": 1200}));
    assert_eq!(lines[1], json!({"done": 100}));
    let last = json!({"finished": true, "done": 1200, "refused": []});
    assert_eq!(lines.last().unwrap(), &last);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        1_200,
        SOON,
    );
    let again = post(&world, "/redeliver", r#"{"failed":true}"#).lines();
    assert_eq!(again[0], json!({"matched": 0}), "taken up already");
    let lines = post(&world, "/redeliver", r#"{"ids":[1,99999]}"#)
        .expect(200)
        .lines();
    let refused = json!([{"delivery_id": 99999, "error": "no delivery has that id"}]);
    let last = json!({"finished": true, "done": 1, "refused": refused});
    assert_eq!(lines.last().unwrap(), &last);
    for bad in [
        "{}",
        r#"{"ids":[1],"failed":true}"#,
        r#"{"ids":[1],"webhook":"w"}"#,
        "x",
    ] {
        post(&world, "/redeliver", bad).expect(400);
    }
    post(&world, "/redeliver", r#"{"failed":true,"webhook":"none"}"#).expect(404);
    daemon.stop();
}

#[test]
fn what_was_cancelled_comes_back() {
    let receiver = Receiver::ok();
    let world = world("http://127.0.0.1:9/");
    let daemon = world.start();
    world.emit("a", r#"{"n":1}"#);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let off = hook("w", receiver.url("/")).line("active = false");
    world.configure_with(SECTION, &[off]);
    post(&world, "/reload", "").expect(200);
    post(&world, "/deliveries/1/redeliver", "").expect(409);
    post(&world, "/redeliver", r#"{"cancelled":true,"webhook":"w"}"#).expect(409);
    world.configure_with(SECTION, &[hook("w", receiver.url("/"))]);
    post(&world, "/reload", "").expect(200);
    let lines = post(&world, "/redeliver", r#"{"cancelled":true}"#)
        .expect(200)
        .lines();
    assert_eq!(lines.last().unwrap()["done"], 1);
    assert_eq!(receiver.wait(1, SOON)[0].n(), 1);
    daemon.stop();
}

#[test]
fn an_order_is_an_object_and_what_is_wrong_with_it_is_said_without_a_type_of_ours() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    for (path, body) in [
        ("/redeliver", r#"[[1],false,false,null,null,null,false]"#),
        ("/redeliver", r#"{"ids":["1"]}"#),
        ("/redeliver", r#"{"failed":"yes"}"#),
        ("/replay", "[0,null,null,null,true]"),
        ("/replay", r#"{"since":"yesterday"}"#),
        ("/webhooks/w/test", r#"["e",1]"#),
        ("/webhooks/w/test", r#"{"event":7}"#),
    ] {
        let error = post(&world, path, body).expect(400).error();
        for word in ["i64", "struct", "sequence", "Order", "invalid type"] {
            assert!(!error.contains(word), "{body}: {error}");
        }
    }
    daemon.stop();
}
