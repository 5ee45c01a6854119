//! Retry-After of a 429 or 503: the webhook is left alone until then, across restarts, and everybody is told.

use std::time::Duration;

use serde_json::Value;

use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Answer, Hook, Receiver, SOON, World, check, hook, now_ms, stays};

const HOUR_MS: i64 = 3_600_000;

/// A receiver whose first answer is that status with that header, and every other one a 200.
fn asking(status: u16, value: &'static str) -> Receiver {
    let first = std::sync::atomic::AtomicBool::new(true);
    Receiver::start(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            Answer::with_body(status, &format!("Retry-After: {value}\r\n"), b"later")
        } else {
            Answer::status(200)
        }
    })
}

/// One request at a time, so that the first answer is there before the second request.
fn one_at_a_time(receiver: &Receiver, dialect: &str) -> Hook {
    hook("w", receiver.url("/"))
        .dialect(dialect)
        .line("max_in_flight = 1")
}

#[test]
fn the_webhook_is_left_alone_and_goes_on_then() {
    let receiver = asking(429, "3");
    let other = Receiver::ok();
    let world = World::new(&[
        one_at_a_time(&receiver, "bold-factory"),
        hook("other", other.url("/")),
    ]);
    let daemon = world.start();
    for n in 0..4 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    other.wait(4, SOON);
    let received = receiver.wait(4, SOON);
    let asked_ms = received[0].at_ms;
    assert!(
        received[1].at_ms >= asked_ms + 3_000,
        "{} ms",
        received[1].at_ms - asked_ms
    );
    // The one that was answered goes by its schedule, which is longer; nobody lost a try.
    let sql = "SELECT coalesce(max(attempts), 0) FROM delivery WHERE webhook = 'w'";
    world.wait_number(&format!("{sql} AND state = 'delivered'"), 1, SOON);
    receiver.wait(5, SOON);
    assert!(receiver.received()[4].at_ms >= asked_ms + 10_000);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        8,
        SOON,
    );
    assert_eq!(world.number(sql), 2);
    daemon.stop();
}

#[test]
fn it_is_told_of_and_survives_a_kill_and_a_reload() {
    let receiver = asking(503, "3600");
    let world = World::new(&[]);
    let hooks = [one_at_a_time(&receiver, "openboxes-lift")];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    let begun_ms = now_ms();
    for n in 0..3 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    daemon.wait_journal("the endpoint asks to wait by Retry-After");
    // What was answered is due then; the others are due, and held.
    let due_ms = world.number("SELECT due_at FROM delivery WHERE id = 1");
    assert!(due_ms >= begun_ms + HOUR_MS && due_ms <= now_ms() + HOUR_MS);
    for event in ["1", "2"] {
        let explained = world.command(&["explain", event]).expect(0).stdout;
        assert!(
            explained.contains("pending and asked to wait until 2"),
            "{explained}"
        );
        assert!(
            explained.contains("by Retry-After (in 59 min)")
                || explained.contains("by Retry-After (in 1 h)"),
            "{explained}"
        );
    }
    let told = |world: &World| {
        let status = world.command(&["status"]).stdout;
        assert!(status.contains("asked to wait until 2"), "{status}");
        let json = world.command(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&json).unwrap();
        status["webhooks"][0]["held_until"].clone()
    };
    // There is no pause to end, and nobody is to believe that this was one.
    let said = world.command(&["resume", "w"]).expect(0).stdout;
    assert!(said.contains("was not paused"), "{said}");
    assert!(
        said.contains("(Retry-After): nothing but a test is sent before 2"),
        "{said}"
    );
    let held_until = told(&world);
    assert!(held_until.is_string(), "{held_until}");
    let answered: Value = serde_json::from_str(&curl(&world, "/status", &[]).body).unwrap();
    assert_eq!(answered["webhooks"][0]["held_until"], held_until);
    let metrics = curl(&world, "/metrics", &[]).body;
    assert!(
        metrics.contains("\nwebhooksd_held_until_seconds{webhook=\"w\"} 1"),
        "{metrics}"
    );
    // A person's test goes all the same; a redelivery waits.
    world.command(&["test", "w"]).expect(0);
    assert_eq!(receiver.count(), 2);
    world.command(&["redeliver", "4"]).expect(0);
    world.configure_with(SECTION, &hooks);
    daemon.reload();
    let told_of = daemon
        .journal()
        .matches("asks to wait by Retry-After")
        .count();
    assert_eq!(told_of, 1, "once, and not for each attempt");
    daemon.kill();
    assert_eq!(told(&world), held_until, "without a daemon");
    let daemon = world.start();
    world.emit("e", "{}");
    stays(
        "nothing is sent after the restart",
        Duration::from_millis(700),
        || check(receiver.count() == 2, || receiver.count().to_string()),
    );
    assert_eq!(told(&world), held_until);
    daemon.stop();
}

#[test]
fn bold_cms_asks_nobody() {
    let receiver = asking(429, "3600");
    let world = World::new(&[]);
    world.configure_with(SECTION, &[one_at_a_time(&receiver, "bold-cms")]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.emit("e", "{}");
    receiver.wait(2, SOON);
    world.wait_number("SELECT count(*) FROM log", 2, SOON);
    let waits_ms = world.number("SELECT due_at - created_at FROM delivery WHERE id = 1");
    assert!((10_000..40_000).contains(&waits_ms), "{waits_ms}");
    assert!(!daemon.journal().contains("Retry-After"));
    let json = world.command(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["webhooks"][0]["held_until"], Value::Null);
    daemon.stop();
}
