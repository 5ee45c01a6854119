//! `batch`: several events in one POST, as a receiver and a person see it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Answer, Hook, Received, Receiver, SOON, World, check, eventually, hmac_hex, hook, insert,
};

const SECRET: &str = "a key for batches";

fn lift(receiver: &Receiver, batch: &str) -> Hook {
    hook("depot", receiver.url("/"))
        .dialect("openboxes-lift")
        .secret(SECRET)
        .line(format!("batch = {batch}"))
}

fn emit(world: &World, count: usize) {
    let mut outbox = world.outbox();
    let t = outbox.transaction().unwrap();
    for n in 1..=count {
        insert(&t, "stockMovement.created", &format!("{{\"n\":{n}}}"));
    }
    t.commit().unwrap();
}

/// The elements of a body, which is an array.
fn elements(request: &Received) -> Vec<Value> {
    request.json().as_array().unwrap().clone()
}

fn ns(request: &Received) -> Vec<i64> {
    let n = |element: &Value| element["data"]["n"].as_i64().unwrap();
    elements(request).iter().map(n).collect()
}

fn id(request: &Received) -> String {
    request.header("X-Webhook-Batch").unwrap().to_owned()
}

fn delivered(world: &World, count: i64) {
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, count, SOON);
}

#[test]
fn what_is_pending_goes_in_one_signed_post_and_is_a_row_each_in_the_log() {
    let receiver = Receiver::start(|_| Answer::with_body(200, "", b"thanks"));
    let world = World::new(&[lift(&receiver, "{}")]);
    emit(&world, 10);
    let daemon = world.start();
    delivered(&world, 10);
    let received = receiver.received();
    let all: Vec<i64> = received.iter().flat_map(ns).collect();
    assert_eq!(all, (1..=10).collect::<Vec<_>>(), "in the order of ids");
    assert!(received.len() < 10, "{} POSTs", received.len());
    for request in &received {
        let signature = format!("sha256={}", hmac_hex(SECRET, &request.body));
        assert_eq!(request.header("X-Webhook-Signature"), Some(&*signature));
        // Each element is to the byte what the log has as the event's body.
        let sql = format!(
            "SELECT '[' || group_concat(request_body, ',') || ']' FROM
               (SELECT request_body FROM log WHERE batch = '{}' ORDER BY event_id)",
            id(request)
        );
        assert_eq!(world.log(&sql), [[request.text()]]);
        let header = format!("X-Webhook-Batch: {}", id(request));
        let sql = format!(
            "SELECT count(*), min(attempt), max(outcome), count(DISTINCT time), min(response_body),
                    max(request_headers LIKE '%{header}%'), count(DISTINCT id)
               FROM log WHERE batch = '{}'",
            id(request)
        );
        let n = elements(request).len().to_string();
        let row = [&*n, "1", "delivered", "1", "thanks", "1", &*n];
        assert_eq!(world.log(&sql), [row]);
    }
    let batches: HashSet<String> = received.iter().map(id).collect();
    assert_eq!(batches.len(), received.len());
    assert_eq!(
        world.number("SELECT count(*) FROM batch"),
        0,
        "all are over"
    );
    daemon.stop();
}

#[test]
fn without_the_key_nothing_is_an_array_and_the_column_is_null() {
    let receiver = Receiver::ok();
    let plain = hook("depot", receiver.url("/")).dialect("openboxes-lift");
    let world = World::new(&[plain]);
    emit(&world, 3);
    let _daemon = world.start();
    delivered(&world, 3);
    for request in receiver.received() {
        assert!(request.json().is_object() && request.header("X-Webhook-Batch").is_none());
    }
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE batch IS NULL"),
        3
    );
    assert_eq!(world.number("SELECT count(*) FROM posted"), 0);
}

#[test]
fn three_bad_events_of_a_hundred_end_alone_and_all_others_arrive() {
    const BAD: [i64; 3] = [17, 50, 51];
    let receiver = Receiver::start(|request| {
        let bad = ns(request).iter().any(|n| BAD.contains(n));
        Answer::status(if bad { 400 } else { 200 })
    });
    let world = World::new(&[lift(&receiver, "{ max_events = 100 }").line("max_in_flight = 1")]);
    emit(&world, 100);
    let _daemon = world.start();
    delivered(&world, 97);
    let alone = "SELECT count(*) FROM log WHERE status = 400 AND error NOT LIKE '%split%'";
    world.wait_number(alone, 3, SOON);
    let received = receiver.received();
    let mut good = Vec::new();
    let mut refused = Vec::new();
    for request in &received {
        let ns = ns(request);
        if ns.iter().any(|n| BAD.contains(n)) {
            refused.push(ns);
        } else {
            good.extend(ns);
        }
    }
    good.sort_unstable();
    let expected: Vec<i64> = (1..=100).filter(|n| !BAD.contains(n)).collect();
    assert_eq!(good, expected, "each of the others once");
    for bad in BAD {
        assert!(refused.contains(&vec![bad]), "{bad} alone");
    }
    // Each split halves: no more than twice the bad ones for each of the seven steps, and the first.
    assert!(received.len() <= 43, "{} POSTs", received.len());
    // A POST that was split was no send: the ladder begins where an event stands alone.
    let ladder = "SELECT DISTINCT state, attempts FROM delivery WHERE state <> 'delivered'";
    assert_eq!(world.log(ladder), [["pending", "1"]]);
    let split = "SELECT DISTINCT outcome, attempt FROM log WHERE error LIKE '%split%'";
    assert_eq!(world.log(split), [["retry", "1"]]);
    let batches: HashSet<String> = received.iter().map(id).collect();
    assert_eq!(batches.len(), received.len(), "each half is a new batch");
}

#[test]
fn a_receiver_that_takes_no_arrays_is_asked_about_once() {
    let receiver = Receiver::start(|_| Answer::status(422));
    let world = World::new(&[lift(&receiver, "{}")]);
    emit(&world, 8);
    let daemon = world.start();
    daemon.wait_journal("does this receiver take arrays?");
    let alone = "SELECT count(*) FROM delivery WHERE attempts = 1";
    world.wait_number(alone, 8, SOON);
    assert_eq!(daemon.journal().matches("take arrays?").count(), 1);
}

#[test]
fn what_a_2xx_names_is_tried_again_and_the_rest_is_delivered() {
    let receiver = Receiver::start(|request| {
        let all = elements(request);
        let bad = all
            .iter()
            .find(|e| e["data"]["n"] == 2)
            .map(|e| e["id"].clone());
        let failures: Vec<Value> = bad
            .into_iter()
            .map(|id| serde_json::json!({"id": id, "error": "no such bin"}))
            .collect();
        let body = serde_json::json!({ "failures": failures }).to_string();
        Answer::with_body(200, "", body.as_bytes())
    });
    let world = World::new(&[lift(&receiver, "{}")]);
    emit(&world, 5);
    let _daemon = world.start();
    delivered(&world, 4);
    let named = "SELECT event_id, outcome, status, error FROM log WHERE outcome <> 'delivered'";
    let error = "answered 200, but named it a failure: no such bin";
    eventually("the row", SOON, || {
        let rows = world.log(named);
        check(rows == [["2", "retry", "200", error]], || {
            format!("{rows:?}")
        })
    });
    let state = "SELECT attempts, due_at > created_at FROM delivery WHERE state = 'pending'";
    assert_eq!(world.log(state), [["1", "1"]]);
}

#[test]
fn what_comes_while_a_post_is_in_flight_is_gathered_until_its_time() {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let wait = if first {
            Duration::from_secs(2)
        } else {
            Duration::ZERO
        };
        Answer::status(200).after(wait)
    });
    let world = World::new(&[lift(&receiver, "{ wait = \"300ms\" }")]);
    let _daemon = world.start();
    let outbox = world.outbox();
    insert(&outbox, "e", "{\"n\":1}");
    receiver.wait(1, SOON);
    for n in 2..=9 {
        insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
    }
    let received = receiver.wait(2, SOON);
    assert_eq!(ns(&received[0]), [1], "at once, for nothing was in flight");
    assert_eq!(ns(&received[1]), [2, 3, 4, 5, 6, 7, 8, 9]);
    let waited = received[1].at - received[0].at;
    assert!(
        waited < Duration::from_secs(2),
        "before the first was answered: {waited:?}"
    );
    delivered(&world, 9);
}

#[test]
fn no_post_is_larger_than_asked_but_for_one_event() {
    let receiver = Receiver::ok();
    let rule = "{ max_events = 4, max_bytes = 1000 }";
    let world = World::new(&[lift(&receiver, rule).line("max_in_flight = 1")]);
    let mut outbox = world.outbox();
    let t = outbox.transaction().unwrap();
    for n in 1..=30 {
        let pad = "x".repeat(if n % 10 == 0 { 2_000 } else { 10 * n });
        insert(&t, "e", &format!("{{\"n\":{n},\"pad\":\"{pad}\"}}"));
    }
    t.commit().unwrap();
    let _daemon = world.start();
    delivered(&world, 30);
    let received = receiver.received();
    let all: Vec<i64> = received.iter().flat_map(ns).collect();
    assert_eq!(all, (1..=30).collect::<Vec<_>>());
    for request in received {
        let events = elements(&request).len();
        assert!(events <= 4 && (request.body.len() <= 1_000 || events == 1));
    }
}

#[test]
fn what_was_in_flight_at_a_kill_goes_again_with_its_bytes_and_its_id() {
    let hangs = Arc::new(AtomicBool::new(true));
    let silent = hangs.clone();
    let receiver = Receiver::start(move |_| {
        if silent.load(Ordering::SeqCst) {
            return Answer::Silence;
        }
        Answer::status(200)
    });
    let world = World::new(&[lift(&receiver, "{ max_events = 7 }")]);
    emit(&world, 20);
    let daemon = world.start();
    let before = receiver.wait(3, SOON);
    daemon.kill();
    // More of its kind, which would fit.
    emit(&world, 1);
    hangs.store(false, Ordering::SeqCst);
    let _daemon = world.start();
    delivered(&world, 21);
    let after: Vec<_> = receiver.received().split_off(before.len());
    for request in &before {
        let again = after.iter().find(|other| id(other) == id(request));
        assert_eq!(again.map(|other| &other.body), Some(&request.body));
    }
    let all: usize = after.iter().map(|request| elements(request).len()).sum();
    assert_eq!(all, 21);
}

#[test]
fn one_event_of_a_batch_sent_again_goes_alone_and_a_test_too() {
    let receiver = Receiver::ok();
    let world = World::new(&[lift(&receiver, "{}")]);
    world.configure_with(crate::socket::SECTION, &[lift(&receiver, "{}")]);
    emit(&world, 3);
    let _daemon = world.start();
    delivered(&world, 3);
    let before = receiver.count();
    world.command(&["redeliver", "2"]).expect(0);
    delivered(&world, 4);
    let again = receiver.received().pop().unwrap();
    assert_eq!(ns(&again), [2]);
    assert!(
        receiver.received()[..before]
            .iter()
            .all(|r| id(r) != id(&again))
    );
    world.command(&["test", "depot"]).expect(0);
    let test = receiver.wait(before + 2, SOON).pop().unwrap();
    assert_eq!(elements(&test).len(), 1);
}

#[test]
fn a_whole_batch_that_failed_goes_again_as_it_was() {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        Answer::status(if first { 503 } else { 200 })
    });
    let world = World::new(&[lift(&receiver, "{}").line("max_in_flight = 1")]);
    emit(&world, 6);
    let daemon = world.start();
    receiver.wait(1, SOON);
    let retry = "SELECT count(*) FROM log WHERE outcome = 'retry'";
    eventually("the first", SOON, || {
        check(world.number(retry) > 0, String::new)
    });
    let first = elements(&receiver.received()[0]).len();
    assert_eq!(
        world.number("SELECT count(DISTINCT due_at) FROM delivery WHERE attempts = 1"),
        1
    );
    daemon.kill();
    // A minute is over.
    world
        .change_log("UPDATE parked SET due_at = due_at - 60000")
        .unwrap();
    emit(&world, 2);
    let _daemon = world.start();
    delivered(&world, 8);
    let received = receiver.received();
    let again: Vec<_> = received
        .iter()
        .filter(|r| id(r) == id(&received[0]))
        .collect();
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].body, again[1].body);
    assert_eq!(elements(again[1]).len(), first);
    let numbers = format!(
        "SELECT count(*) FROM log WHERE attempt = 2 AND batch = '{}'",
        id(again[1])
    );
    assert_eq!(world.number(&numbers), i64::try_from(first).unwrap());
}
