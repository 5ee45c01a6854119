//! `max_per_second`: the requests of a webhook begin apart, and nobody else's do.

use std::time::Duration;

use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Hook, Receiver, SOON, World, check, eventually, hook, insert, stays};

/// A receiver's thread may be late by so much for one request and not for the next.
const LATE: Duration = Duration::from_millis(60);

fn paced(receiver: &Receiver, name: &str, per_second: &str) -> Hook {
    hook(name, receiver.url("/"))
        .line(format!("max_per_second = {per_second}"))
        .line("keep_alive = true")
}

fn emit(world: &World, events: i64) {
    let outbox = world.outbox();
    outbox.execute_batch("BEGIN").unwrap();
    for n in 0..events {
        insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
    }
    outbox.execute_batch("COMMIT").unwrap();
}

/// The gaps between the begins of requests, as the log has them, in milliseconds and cut off.
fn gaps(world: &World, webhook: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT CAST(round((julianday(time) - 2440587.5) * 86400000) AS INTEGER) FROM log
          WHERE webhook = '{webhook}' ORDER BY 1"
    );
    let times: Vec<i64> = (world.log(&sql).iter())
        .map(|row| row[0].parse().unwrap())
        .collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn requests_begin_apart_whatever_they_are_for_and_others_go_at_once() {
    let (slow, swift) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[]);
    world.configure_with(
        SECTION,
        &[paced(&slow, "slow", "20"), hook("swift", swift.url("/"))],
    );
    let daemon = world.start();
    emit(&world, 60);
    swift.wait(60, SOON);
    let by_then = slow.count();
    assert!(
        by_then < 60,
        "the slow one had {by_then} when the swift one had all"
    );
    let test = world.command(&["test", "slow"]).expect(0);
    assert!(test.stdout.contains("delivered"), "{}", test.stdout);
    slow.wait(61, SOON);
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'slow'", 61, SOON);
    let sent = world.log("SELECT delivery_id FROM log WHERE webhook = 'slow' ORDER BY id LIMIT 10");
    let again: Vec<&str> = sent.iter().map(|row| &*row[0]).collect();
    world.command(&[&["redeliver"], &*again].concat()).expect(0);
    let received = slow.wait(71, SOON);
    // Ten gaps, so that a thread that is late now and then is of no account.
    for (earlier, later) in received.iter().zip(received.iter().skip(10)) {
        let apart = later.at.saturating_duration_since(earlier.at);
        assert!(apart + LATE >= Duration::from_millis(500), "{apart:?}");
    }
    world.wait_number("SELECT count(*) FROM log WHERE webhook = 'slow'", 71, SOON);
    // The wall clock's milliseconds are cut off.
    let gaps = gaps(&world, "slow");
    assert!(gaps.iter().all(|gap| *gap >= 49), "{gaps:?}");
    let status = world.command(&["status"]).expect(0).stdout;
    assert!(status.contains("at most 20 a second"), "{status}");
    daemon.stop();
}

#[test]
fn a_thousand_a_second_are_near_a_thousand() {
    const EVENTS: usize = 3_000;
    let receiver = Receiver::ok();
    let world = World::new(&[paced(&receiver, "w", "1000")]);
    let daemon = world.start();
    // A wait of a whole millisecond for each would come to half. Where the machine is busy with something else, once is enough.
    eventually("600 a second", SOON * 2, || {
        let before = receiver.count();
        emit(&world, i64::try_from(EVENTS).unwrap());
        let received = receiver.wait(before + EVENTS, SOON);
        let (first, last) = (received[before].at, received[before + EVENTS - 1].at);
        let took = last - first;
        assert!(
            took >= Duration::from_millis(2_999) - LATE,
            "{took:?} for {EVENTS}"
        );
        let rate = (EVENTS as f64 - 1.0) / took.as_secs_f64();
        println!("{rate:.0} a second");
        check(rate >= 600.0, || format!("{rate:.0} a second"))
    });
    daemon.stop();
}

#[test]
fn a_reload_changes_the_pace() {
    let receiver = Receiver::ok();
    let world = World::new(&[paced(&receiver, "w", "0.01")]);
    let daemon = world.start();
    emit(&world, 40);
    receiver.wait(1, SOON);
    stays(
        "one in a hundred seconds",
        Duration::from_millis(300),
        || check(receiver.count() == 1, || receiver.count().to_string()),
    );
    world.configure(&[paced(&receiver, "w", "100")]);
    daemon.reload();
    receiver.wait(40, SOON);
    world.wait_number("SELECT count(*) FROM log", 40, SOON);
    let gaps = gaps(&world, "w");
    assert!(gaps.iter().all(|gap| *gap >= 9), "{gaps:?}");
    // And away with it.
    world.configure(&[hook("w", receiver.url("/"))]);
    daemon.reload();
    emit(&world, 40);
    receiver.wait(80, SOON);
    daemon.stop();
}

#[test]
fn who_waits_for_its_pace_is_told_of() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    world.configure_with(
        SECTION,
        &[paced(&receiver, "w", "0.01"), hook("x", receiver.url("/x"))],
    );
    let daemon = world.start();
    emit(&world, 4);
    receiver.wait(5, SOON);
    world.wait_number("SELECT count(*) FROM log", 5, SOON);
    let explained = world.command(&["explain", "4"]).expect(0).stdout;
    assert!(
        explained
            .contains("pending and waits for its pace: 2 before it, 0.01 a second, attempt 1 of 4"),
        "{explained}"
    );
    let json = world.command(&["status", "--json"]).expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rates: Vec<_> = (0..2)
        .map(|n| &status["webhooks"][n]["max_per_second"])
        .collect();
    assert_eq!(rates, [&serde_json::json!(0.01), &serde_json::Value::Null]);
    let answered: serde_json::Value =
        serde_json::from_str(&curl(&world, "/status", &[]).body).unwrap();
    assert_eq!(answered["webhooks"][0]["max_per_second"], 0.01);
    let metrics = curl(&world, "/metrics", &[]).body;
    assert!(
        metrics.contains("\nwebhooksd_max_per_second{webhook=\"w\"} 0.01\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("max_per_second{webhook=\"x\"}"),
        "{metrics}"
    );
    daemon.stop();
    // By the file, where no daemon answers.
    let status = world.command(&["status"]).stdout;
    assert!(status.contains("at most 0.01 a second"), "{status}");
}
