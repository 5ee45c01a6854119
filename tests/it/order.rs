//! `in_order` and `if_failed`: who goes, who waits, and what lets go, as a receiver and a person see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::socket::SECTION;
use crate::support::{Answer, Hook, Received, Receiver, SOON, World, check, hook, insert, stays};

/// In the dialect whose first retry comes after 1 s, one more than so many sends.
fn ordered(receiver: &Receiver, order: &str) -> Hook {
    hook("depot", receiver.url("/"))
        .dialect("bold-factory")
        .line("max_attempts = 2")
        .line(format!("in_order = {order}"))
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(SECTION, hooks);
    world
}

/// Events of one commit, each with its value and its number.
fn emit(world: &World, events: &[(&str, i64)]) {
    let mut outbox = world.outbox();
    let t = outbox.transaction().unwrap();
    for (id, n) in events {
        insert(
            &t,
            "stockMovement.created",
            &format!("{{\"id\":{id},\"n\":{n}}}"),
        );
    }
    t.commit().unwrap();
}

fn n(request: &Received) -> i64 {
    find(&request.json(), "n").and_then(Value::as_i64).unwrap()
}

/// The member of that name, wherever the dialect has it.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(all) => all
            .get(name)
            .or_else(|| all.values().find_map(|v| find(v, name))),
        Value::Array(all) => all.iter().find_map(|v| find(v, name)),
        _ => None,
    }
}

fn came(receiver: &Receiver) -> Vec<i64> {
    receiver.received().iter().map(n).collect()
}

fn states(world: &World, state: &str, count: i64) {
    let sql = format!("SELECT count(*) FROM delivery WHERE state = '{state}'");
    world.wait_number(&sql, count, SOON);
}

/// Refuses that number for good, so often or always.
fn refusing(number: i64, times: usize) -> Receiver {
    let seen = AtomicUsize::new(0);
    Receiver::start(move |request| {
        let refused = n(request) == number && seen.fetch_add(1, Ordering::SeqCst) < times;
        Answer::status(if refused { 500 } else { 200 })
    })
}

/// Takes 2 ms for each request, and counts how many it had at a time at the most.
fn counting() -> (Receiver, Arc<AtomicUsize>) {
    let (flying, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let receiver = Receiver::start(move |_| {
        seen.fetch_max(flying.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        crate::support::nap(Duration::from_millis(2));
        flying.fetch_sub(1, Ordering::SeqCst);
        Answer::status(200)
    });
    (receiver, most)
}

#[test]
fn all_of_a_webhook_go_one_at_a_time_in_their_order() {
    let (receiver, most) = counting();
    let world = world(&[ordered(&receiver, "true")]);
    let events: Vec<_> = (1..=60).map(|n| ("1", n)).collect();
    let daemon = world.start();
    emit(&world, &events);
    states(&world, "delivered", 60);
    assert_eq!(came(&receiver), (1..=60).collect::<Vec<_>>());
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(world.number("SELECT count(*) FROM turn"), 0);
    daemon.stop();
}

#[test]
fn a_retry_holds_its_own_value_and_no_other() {
    let receiver = refusing(1, 1);
    let world = world(&[ordered(&receiver, "\"$.id\"")]);
    // 1, 1.0 and 1e0 are one value, "1" is another, and the last three have none.
    let events = [
        ("1", 1),
        ("1.0", 2),
        ("1e0", 3),
        ("\"1\"", 4),
        ("\"\\u0031\"", 5),
        ("null", 6),
        ("[1]", 7),
        ("{\"a\":1}", 8),
    ];
    emit(&world, &events);
    let daemon = world.start();
    receiver.wait(6, SOON);
    let mut first: Vec<i64> = came(&receiver).into_iter().take(6).collect();
    first.sort_unstable();
    assert_eq!(first, [1, 4, 5, 6, 7, 8]);
    let told = world.command(&["explain", "2"]).expect(0).stdout;
    assert!(
        told.contains("held by delivery 1, which is pending"),
        "{told}"
    );
    states(&world, "delivered", 8);
    let of_one: Vec<i64> = came(&receiver).into_iter().filter(|n| *n <= 3).collect();
    assert_eq!(of_one, [1, 1, 2, 3]);
    let of_text: Vec<i64> = came(&receiver)
        .into_iter()
        .filter(|n| [4, 5].contains(n))
        .collect();
    assert_eq!(of_text, [4, 5]);
    daemon.stop();
}

#[test]
fn what_was_given_up_lets_the_next_go_or_holds_it() {
    for if_failed in ["next", "hold"] {
        let receiver = refusing(1, 2);
        let line = format!("if_failed = \"{if_failed}\"");
        let world = world(&[ordered(&receiver, "\"$.id\"").line(line)]);
        emit(&world, &[("1", 1), ("1", 2), ("2", 3)]);
        let daemon = world.start();
        states(&world, "failed", 1);
        if if_failed == "next" {
            states(&world, "delivered", 2);
            assert_eq!(*came(&receiver).last().unwrap(), 2);
            daemon.stop();
            continue;
        }
        states(&world, "delivered", 1);
        stays("it is held", Duration::from_millis(500), || {
            check(receiver.count() == 3, || receiver.count().to_string())
        });
        let told = world.command(&["explain", "2"]).expect(0).stdout;
        assert!(told.contains("`webhooksd cancel 1` lets it go"), "{told}");
        // Also by the next process, and however it died.
        daemon.kill();
        let daemon = world.start();
        emit(&world, &[("1", 4), ("2", 5)]);
        states(&world, "delivered", 2);
        assert_eq!(
            world.number("SELECT count(*) FROM held WHERE held_by = 1"),
            2
        );
        world.command(&["redeliver", "1"]).expect(0);
        states(&world, "delivered", 5);
        // The values go beside each other; each goes in its order.
        let of = |all: &[i64]| {
            came(&receiver)
                .into_iter()
                .filter(|n| all.contains(n))
                .collect()
        };
        let of: [Vec<i64>; 2] = [of(&[1, 2, 4]), of(&[3, 5])];
        assert_eq!(of, [vec![1, 1, 1, 2, 4], vec![3, 5]]);
        daemon.stop();
    }
}

#[test]
fn a_failed_one_that_holds_is_let_go_by_cancel_and_no_other() {
    let receiver = refusing(1, 2);
    let world = world(&[ordered(&receiver, "true").line("if_failed = \"hold\"")]);
    emit(&world, &[("1", 1), ("1", 2)]);
    let daemon = world.start();
    states(&world, "failed", 1);
    world.command(&["cancel", "1"]).expect(0);
    states(&world, "delivered", 1);
    let refused = world.command(&["cancel", "1"]).expect(1).stderr;
    assert!(refused.contains("has ended"), "{refused}");
    states(&world, "failed", 1);
    daemon.stop();
}

#[test]
fn kills_keep_the_order() {
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(20)));
    let world = world(&[ordered(&receiver, "\"$.id\"")]);
    let values = ["1", "2", "3"].into_iter().cycle();
    let events: Vec<_> = values.zip(0..120).collect();
    emit(&world, &events);
    for count in [5, 20, 40] {
        let daemon = world.start();
        receiver.wait(count, SOON);
        daemon.kill();
    }
    let daemon = world.start();
    states(&world, "delivered", 120);
    for value in 0..3 {
        let mut of: Vec<i64> = came(&receiver)
            .into_iter()
            .filter(|n| n % 3 == value)
            .collect();
        // What was in flight at a kill came twice, and nothing came between.
        of.dedup();
        assert_eq!(of, (0..40).map(|n| 3 * n + value).collect::<Vec<_>>());
    }
    daemon.stop();
}

#[test]
fn a_reload_keeps_what_has_a_place_in_it() {
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = is_open.clone();
    let receiver = Receiver::start(move |request| {
        let refused = n(request) == 1 && !opened.load(Ordering::SeqCst);
        Answer::status(if refused { 500 } else { 200 })
    });
    let lines = |order: &str| [ordered(&receiver, order).line("if_failed = \"hold\"")];
    let world = world(&lines("\"$.id\""));
    emit(&world, &[("1", 1), ("1", 2)]);
    let daemon = world.start();
    receiver.wait(1, SOON);
    world.configure_with(SECTION, &lines("\"$.other\""));
    world.command(&["reload"]).expect(0);
    emit(&world, &[("1", 3)]);
    states(&world, "delivered", 1);
    states(&world, "failed", 1);
    assert_eq!(world.number("SELECT count(*) FROM held"), 1);
    is_open.store(true, Ordering::SeqCst);
    // Without an order nothing holds.
    world.configure_with(
        SECTION,
        &[hook("depot", receiver.url("/")).dialect("bold-factory")],
    );
    world.command(&["reload"]).expect(0);
    states(&world, "delivered", 2);
    assert_eq!(*came(&receiver).last().unwrap(), 2);
    daemon.stop();
}

#[test]
fn order_and_batch() {
    let (receiver, most) = counting();
    let hook = hook("depot", receiver.url("/"))
        .dialect("openboxes-lift")
        .line("in_order = true")
        .line("batch = { max_events = 10 }");
    let world = world(&[hook]);
    let events: Vec<_> = (1..=100).map(|n| ("1", n)).collect();
    emit(&world, &events);
    let daemon = world.start();
    states(&world, "delivered", 100);
    let all: Vec<i64> = receiver
        .received()
        .iter()
        .flat_map(|r| r.json().as_array().unwrap().clone())
        .map(|element| find(&element, "n").and_then(Value::as_i64).unwrap())
        .collect();
    assert_eq!(all, (1..=100).collect::<Vec<_>>());
    assert!(receiver.count() <= 20, "{} POSTs", receiver.count());
    assert_eq!(most.load(Ordering::SeqCst), 1);
    daemon.stop();
}

#[test]
fn order_and_where_and_pause_and_max_per_second() {
    let receiver = Receiver::ok();
    let hook = ordered(&receiver, "true")
        .line("where = [ { path = \"$.n\", gt = 2 } ]")
        .line("max_per_second = 10");
    let world = world(&[hook]);
    let daemon = world.start();
    world.command(&["pause", "depot"]).expect(0);
    let events: Vec<_> = (1..=8).map(|n| ("1", n)).collect();
    emit(&world, &events);
    states(&world, "pending", 6);
    assert_eq!(receiver.count(), 0);
    world.command(&["resume", "depot"]).expect(0);
    states(&world, "delivered", 6);
    assert_eq!(came(&receiver), (3..=8).collect::<Vec<_>>());
    for pair in receiver.received().windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart > Duration::from_millis(70), "{apart:?}");
    }
    daemon.stop();
}

#[test]
fn a_webhook_that_goes_away_takes_its_turns_with_it() {
    let receiver = refusing(1, usize::MAX);
    let lines = |active: &str| {
        [ordered(&receiver, "true")
            .line("if_failed = \"hold\"")
            .line(active)]
    };
    let world = world(&lines(""));
    emit(&world, &[("1", 1), ("1", 2), ("1", 3)]);
    let daemon = world.start();
    states(&world, "failed", 1);
    world.configure_with(SECTION, &lines("active = false"));
    world.command(&["reload"]).expect(0);
    states(&world, "cancelled", 2);
    assert_eq!(world.number("SELECT count(*) FROM turn"), 0);
    world.configure_with(SECTION, &lines(""));
    world.command(&["reload"]).expect(0);
    emit(&world, &[("1", 4)]);
    states(&world, "delivered", 1);
    daemon.stop();
}

#[test]
fn order_and_retry_after() {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::with_body(503, "Retry-After: 3\r\n", b""),
        _ => Answer::status(200),
    });
    let world = world(&[ordered(&receiver, "\"$.id\"")]);
    emit(&world, &[("1", 1), ("1", 2)]);
    let daemon = world.start();
    receiver.wait(1, SOON);
    // Another line waits for the same time; behind it each goes in its order.
    emit(&world, &[("2", 3), ("2", 4)]);
    states(&world, "delivered", 4);
    let got = receiver.received();
    assert!(got[1].at - got[0].at >= Duration::from_millis(2_900));
    let all = came(&receiver);
    let of = |wanted: [i64; 2]| -> Vec<i64> {
        let those = all.iter().copied();
        those.filter(|n| wanted.contains(n)).collect()
    };
    assert_eq!((of([1, 2]), of([3, 4])), (vec![1, 1, 2], vec![3, 4]));
    daemon.stop();
}

#[test]
fn order_and_auto_pause() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let receiver = Receiver::start(move |_| {
        Answer::status(if well.load(Ordering::SeqCst) {
            200
        } else {
            500
        })
    });
    let hook = hook("depot", receiver.url("/"))
        .dialect("bold-factory")
        .line("max_attempts = 1")
        .line("in_order = true")
        .line("auto_pause = \"1s\"");
    let world = world(&[hook]);
    let daemon = world.start();
    let mut n = 0;
    // A failure at a time lets the next go, until there were twenty for so long.
    crate::support::eventually("it pauses itself", SOON, || {
        n += 1;
        emit(&world, &[("1", n)]);
        let paused = world.number("SELECT count(*) FROM pause");
        check(paused == 1, || n.to_string())
    });
    emit(&world, &[("1", n + 1), ("1", n + 2)]);
    let sql = format!("SELECT count(*) FROM delivery WHERE event_id > {n} AND state = 'pending'");
    world.wait_number(&sql, 2, SOON);
    let tried = receiver.count();
    is_well.store(true, Ordering::SeqCst);
    world.command(&["resume", "depot"]).expect(0);
    let sql = format!("SELECT count(*) FROM delivery WHERE event_id > {n} AND state = 'delivered'");
    world.wait_number(&sql, 2, SOON);
    let after = came(&receiver).split_off(tried);
    assert!(after.is_sorted(), "{after:?}");
    daemon.stop();
}

#[test]
fn order_and_a_batch_that_splits() {
    // More than two are too many, and the first half is not ready at once.
    let seen = AtomicUsize::new(0);
    let receiver = Receiver::start(move |request| {
        let count = request.json().as_array().unwrap().len();
        let is_first = n(request) == 1 && count <= 2;
        let refused = match count {
            3.. => 413,
            _ if is_first && seen.fetch_add(1, Ordering::SeqCst) == 0 => 503,
            _ => 200,
        };
        let more = if refused == 503 {
            "Retry-After: 1\r\n"
        } else {
            ""
        };
        Answer::with_body(refused, more, b"")
    });
    let hook = hook("depot", receiver.url("/"))
        .dialect("openboxes-lift")
        .line("in_order = true")
        .line("batch = { max_events = 10 }");
    let world = world(&[hook]);
    let events: Vec<_> = (1..=9).map(|n| ("1", n)).collect();
    emit(&world, &events);
    let daemon = world.start();
    receiver.wait(3, SOON);
    eventually_due(&world);
    daemon.kill();
    // A minute is over.
    world
        .change_log("UPDATE parked SET due_at = due_at - 60000 WHERE due_at < 9000000000000")
        .unwrap();
    let daemon = world.start();
    states(&world, "delivered", 9);
    let taken = receiver.received().into_iter().filter(|r| {
        let all = r.json().as_array().unwrap().len();
        all <= 2
    });
    let mut all: Vec<i64> = taken
        .flat_map(|r| r.json().as_array().unwrap().clone())
        .map(|element| find(&element, "n").and_then(Value::as_i64).unwrap())
        .collect();
    // The refused one came again, and nothing between.
    all.dedup();
    let first = all.iter().position(|n| *n == 3).unwrap();
    assert!(all[..first].iter().all(|n| *n <= 2), "{all:?}");
    assert_eq!(all[first..], [3, 4, 5, 6, 7, 8, 9], "{all:?}");
    daemon.stop();
}

/// Waits until the first of the line waits for another try.
fn eventually_due(world: &World) {
    let sql =
        "SELECT count(*) FROM parked k WHERE k.attempts >= 1 AND k.due_at > k.created_at + 10000
                  AND k.due_at < 9000000000000";
    world.wait_number(&sql.replace('\n', " "), 2, SOON);
}

#[test]
fn what_is_cancelled_is_not_sent_though_its_turn_comes() {
    let refused = Arc::new(AtomicBool::new(true));
    let refuses = refused.clone();
    let receiver = Receiver::start(move |_| {
        Answer::status(if refuses.load(Ordering::SeqCst) {
            500
        } else {
            200
        })
    });
    let world = world(&[ordered(&receiver, "true")]);
    let events: Vec<_> = (1..=900).map(|n| ("1", n)).collect();
    emit(&world, &events);
    let daemon = world.start();
    receiver.wait(1, SOON);
    states(&world, "pending", 900);
    refused.store(false, Ordering::SeqCst);
    world.command(&["cancel", "--webhook", "depot"]).expect(0);
    states(&world, "pending", 0);
    // What was under way, or due before the order, came; nothing that waited for its turn did.
    let late: Vec<i64> = came(&receiver).into_iter().filter(|n| *n > 2).collect();
    assert!(late.is_empty(), "{late:?}");
    daemon.stop();
}
