//! When a request counts as delivered, and when it is made again: Bold CMS's policy in real time.
//!
//! The schedules of days are proved in paused time beside the code; here are the three seconds and
//! the ten seconds of the document, on real sockets, and the classes of statuses.

use std::time::Duration;

use crate::support::{Answer, Receiver, SOON, World, bound_port, check, hook, stays};

/// What a busy machine may add to a span: far less than makes the next one of the document of it.
const BUSY_MS: i64 = 6_000;

/// Of the 3 s of the time-out.
const SILENT_MS: std::ops::Range<i64> = 2_900..3_000 + BUSY_MS;

/// Of the 10 s after a failure; never sooner, but for what two clocks differ by.
const APART_MS: std::ops::Range<i64> = 9_500..10_000 + BUSY_MS;

/// The attempts of a webhook as `(start in UNIX ms, duration in ms, outcome, status, error)`.
fn attempts(world: &World, webhook: &str) -> Vec<(i64, i64, String, String, String)> {
    let sql = format!(
        "SELECT CAST(round((julianday(time) - 2440587.5) * 86400000) AS INTEGER),
                CAST(duration_ms AS INTEGER), outcome, status, error
         FROM log WHERE webhook = '{webhook}' ORDER BY id"
    );
    let row = |row: Vec<String>| {
        let [start, duration, outcome, status, error] = row.try_into().unwrap();
        let number = |text: String| text.parse().unwrap();
        (number(start), number(duration), outcome, status, error)
    };
    world.log(&sql).into_iter().map(row).collect()
}

#[test]
fn bold_cms_sends_four_times_ten_seconds_after_each_failure_and_gives_up() {
    let silent = Receiver::start(|_| Answer::Silence);
    let failing = Receiver::start(|_| Answer::status(500));
    let (_refusing, port) = bound_port();
    let world = World::new(&[
        hook("silent", silent.url("/")),
        hook("refused", format!("http://127.0.0.1:{port}/")),
        hook("failing", failing.url("/")),
    ]);
    let daemon = world.start();
    world.emit("story-approve", "{}");
    // 42 s, and each of its seven spans on a busy machine.
    let limit = Duration::from_secs(90);
    world.wait_number("SELECT count(*) FROM failed", 3, limit);
    for (webhook, duration) in [
        ("silent", SILENT_MS),
        ("refused", 0..SILENT_MS.start),
        ("failing", 0..SILENT_MS.start),
    ] {
        let made = attempts(&world, webhook);
        println!("{webhook}: {made:?}");
        let outcomes: Vec<&str> = made.iter().map(|a| a.2.as_str()).collect();
        assert_eq!(outcomes, ["retry", "retry", "retry", "failed"], "{webhook}");
        assert!(made.iter().all(|a| duration.contains(&a.1)), "{made:?}");
        for pair in made.windows(2) {
            let apart = pair[1].0 - (pair[0].0 + pair[0].1);
            assert!(APART_MS.contains(&apart), "{webhook}: {apart} ms apart");
        }
        let status = if webhook == "failing" { "500" } else { "NULL" };
        assert!(made.iter().all(|a| a.3 == status && a.4 != "NULL"));
    }
    for receiver in [&silent, &failing] {
        assert_eq!(receiver.count(), 4);
    }
    // The receiver's own clock agrees with the log.
    for pair in silent.received().windows(2) {
        let apart = i64::try_from((pair[1].at - pair[0].at).as_millis()).unwrap();
        let both = SILENT_MS.start + APART_MS.start..SILENT_MS.end + APART_MS.end;
        assert!(both.contains(&apart), "{apart} ms");
    }
    let state = "SELECT webhook, state, attempts, finished_at IS NOT NULL FROM delivery ORDER BY 1";
    let failed = |name: &str| vec![name.into(), "failed".into(), "4".into(), "1".to_owned()];
    let all = ["failing", "refused", "silent"];
    assert_eq!(world.log(state), all.map(failed));
    let view = "SELECT webhook, event, event_id, attempts, status FROM failed ORDER BY 1";
    let given_up = |name: &str, status: &str| {
        [name, "story-approve", "1", "4", status]
            .map(str::to_owned)
            .to_vec()
    };
    let rows = [
        given_up("failing", "500"),
        given_up("refused", "NULL"),
        given_up("silent", "NULL"),
    ];
    assert_eq!(world.log(view), rows);
    daemon.stop();
}

#[test]
fn a_status_is_delivered_from_200_to_299_and_retried_otherwise() {
    let statuses = [200, 204, 299, 300, 302, 304, 400, 404, 410, 429, 500, 503];
    let aside = Receiver::ok();
    let location = format!("Location: {}\r\n", aside.url("/followed"));
    let receivers = statuses.map(|status| {
        let location = location.clone();
        Receiver::start(move |_| match status {
            204 => Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
            304 => Answer::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()),
            300..=399 => Answer::with_body(status, &location, b"there"),
            429 | 503 => Answer::with_body(status, "Retry-After: 1\r\n", b""),
            _ => Answer::status(status),
        })
    });
    let hooks: Vec<_> = statuses
        .iter()
        .zip(&receivers)
        .map(|(status, receiver)| hook(&format!("s{status}"), receiver.url("/")))
        .collect();
    let world = World::new(&hooks);
    let _daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", statuses.len(), SOON);
    for status in statuses {
        let name = format!("s{status}");
        let made = attempts(&world, &name);
        assert_eq!(made.len(), 1, "{status}");
        let (start, duration, outcome, logged, error) = &made[0];
        assert_eq!(*logged, status.to_string());
        let sql = format!("SELECT state, due_at FROM delivery WHERE webhook = '{name}'");
        let delivery = &world.log(&sql)[0];
        if status < 300 {
            assert_eq!((outcome.as_str(), error.as_str()), ("delivered", "NULL"));
            assert_eq!(delivery[0], "delivered");
        } else {
            assert_eq!(
                (outcome.as_str(), delivery[0].as_str()),
                ("retry", "pending")
            );
            assert!(error.contains(&status.to_string()), "{error}");
            let wait = delivery[1].parse::<i64>().unwrap() - start - duration;
            assert!(APART_MS.contains(&wait), "{status}: due {wait} ms later");
        }
    }
    stays(
        "no redirect is followed",
        Duration::from_millis(300),
        || check(aside.count() == 0, || aside.count().to_string()),
    );
}

#[test]
fn an_unasked_101_fails_and_other_interim_answers_are_passed_over() {
    let switching = Receiver::start(|_| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        Answer::Bytes(head.into())
    });
    let hinting = Receiver::start(|_| {
        let head = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                    HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        Answer::Bytes(head.into())
    });
    // Interim answers once a second do not extend the three seconds.
    let stalling = Receiver::start(|_| {
        let hint = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(60);
        Answer::Drip(Vec::new(), hint.into(), Duration::from_millis(20))
    });
    let world = World::new(&[
        hook("switching", switching.url("/")).one_attempt(),
        hook("hinting", hinting.url("/")).one_attempt(),
        hook("stalling", stalling.url("/")).one_attempt(),
    ]);
    let _daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", 3, SOON);
    let switched = &attempts(&world, "switching")[0];
    assert_eq!(switched.2, "failed");
    assert!(switched.4.contains("101"), "{switched:?}");
    let hinted = &attempts(&world, "hinting")[0];
    assert_eq!((hinted.2.as_str(), hinted.3.as_str()), ("delivered", "201"));
    let stalled = &attempts(&world, "stalling")[0];
    assert_eq!((stalled.2.as_str(), stalled.3.as_str()), ("failed", "NULL"));
    assert!(SILENT_MS.contains(&stalled.1), "{stalled:?}");
}
