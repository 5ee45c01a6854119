//! The daemon as a process: one at a time, stopping, starting again, and its journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Answer, Gate, Receiver, SOON, World, check, eventually, hook, insert, now, stays,
};

#[test]
fn a_second_instance_is_refused_by_the_firsts_pid() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let first = world.start();
    let mut second = world.spawn(&[]);
    let code = second.wait(SOON);
    assert!(matches!(code, Some(1 | 2)), "{code:?}");
    let words = second.journal();
    assert!(words.contains(&first.pid().to_string()), "{words}");
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    let pid = first.pid();
    first.stop();
    let third = world.start();
    assert_ne!(third.pid(), pid);
}

#[test]
fn sigterm_lets_attempts_in_flight_finish_and_records_them() {
    let gate = Gate::default();
    let answers = gate.clone();
    let slow = Receiver::start(move |_| {
        answers.pass();
        Answer::status(200)
    });
    let world = World::new(&[hook("slow", slow.url("/"))]);
    let mut daemon = world.start();
    let mut outbox = world.outbox();
    let five = outbox.transaction().unwrap();
    for _ in 0..5 {
        insert(&five, "e", "{}");
    }
    five.commit().unwrap();
    slow.wait(5, SOON);
    daemon.signal(Signal::TERM);
    daemon.wait_journal("stopping");
    stays(
        "it waits for its attempts",
        Duration::from_millis(300),
        || check(daemon.ended().is_none(), || daemon.journal()),
    );
    gate.open();
    assert_eq!(daemon.wait(SOON), Some(0));
    let sql = "SELECT count(*) FROM log WHERE outcome = 'delivered' AND status = 200";
    assert_eq!(world.number(sql), 5);
    // An event committed while it is stopped is delivered by the next run, the others are not again.
    world.emit("e", "{}");
    let _daemon = world.start();
    world.wait_number(sql, 6, SOON);
    assert_eq!(slow.count(), 6);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let silent = Receiver::start(|_| Answer::Silence);
    let world = World::new(&[hook("silent", silent.url("/"))]);
    let mut daemon = world.start();
    world.emit("e", "{}");
    silent.wait(1, SOON);
    daemon.signal(Signal::TERM);
    stays("it waits", Duration::from_millis(300), || {
        check(daemon.ended().is_none(), || "it has ended".to_owned())
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(1), "it waited for the attempt");
    let states = world.log("SELECT state, attempts FROM delivery");
    assert_eq!(states, [["pending", "0"]], "nothing is lost by it");
    let _daemon = world.start();
    silent.wait(2, SOON);
}

#[test]
fn a_signal_right_behind_the_first_is_the_same_one() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let slow = Receiver::start(move |_| {
        eventually("the stop has begun", SOON, || {
            check(gate.load(Ordering::SeqCst), || "not yet".to_owned())
        });
        Answer::status(200)
    });
    let world = World::new(&[hook("slow", slow.url("/"))]);
    let mut daemon = world.start();
    world.emit("e", "{}");
    eventually("the request is out", SOON, || {
        check(slow.connections() > 0, || "no connection".to_owned())
    });
    // Both are pending when it goes on: two of the same kind would be one.
    daemon.signal(Signal::STOP);
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::INT);
    daemon.signal(Signal::CONT);
    daemon.wait_journal("stopping: no event is taken any more");
    open.store(true, Ordering::SeqCst);
    assert_eq!(daemon.wait(SOON), Some(0), "{}", daemon.journal());
    let states = world.log("SELECT state FROM delivery");
    assert_eq!(states, [["delivered"]]);
}

#[test]
fn idle_it_stops_at_once_by_sigterm_and_by_sigint() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("idle", receiver.url("/"))]);
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = world.start();
        let asked = now();
        daemon.signal(signal);
        assert_eq!(daemon.wait(SOON), Some(0));
        let took = asked.elapsed();
        println!("idle stop by {signal:?}: {took:?}");
        // Whatever a stop may have to wait for takes 5 s.
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn retries_go_on_by_their_schedule_over_a_restart() {
    let failing = Receiver::start(|_| Answer::status(500));
    let world = World::new(&[hook("failing", failing.url("/"))]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.attempts("id", 1, SOON);
    daemon.stop();
    let daemon = world.start();
    let requests = failing.wait(2, SOON);
    let apart = (requests[1].at - requests[0].at).as_millis();
    println!("sent again after {apart} ms");
    // The next would be 10 s later.
    assert!((9_500..19_000).contains(&apart), "{apart} ms");
    let attempts = world.attempts("attempt, outcome", 2, SOON);
    assert_eq!(attempts, [["1", "retry"], ["2", "retry"]]);
    daemon.stop();
}

#[test]
fn the_journal_has_one_line_per_attempt_and_no_secret_and_no_body() {
    let (good, bad) = (
        Receiver::start(|_| Answer::with_body(200, "X-Hint: marker-header\r\n", b"marker-answer")),
        Receiver::start(|_| Answer::with_body(500, "", b"marker-answer")),
    );
    let world = World::new(&[
        hook("good", good.url("/"))
            .secret("marker-secret")
            .line("headers = { Authorization = \"marker-value\" }"),
        hook("bad", bad.url("/"))
            .one_attempt()
            .secret("marker-secret"),
    ]);
    for arguments in [&[][..], &["--journal", "json"]] {
        let daemon = world.start_with(arguments);
        let before = world.number("SELECT count(*) FROM log");
        for _ in 0..4 {
            world.emit("zebra-crossed", r#"{"what":"marker-body"}"#);
        }
        let sql = "SELECT count(*) FROM log";
        world.wait_number(sql, before + 8, SOON);
        let lines = eventually("a line for each attempt", SOON, || {
            let journal = daemon.journal();
            let told = journal
                .lines()
                .filter(|line| line.contains("zebra-crossed"));
            let lines: Vec<String> = told.map(str::to_owned).collect();
            check(lines.len() >= 8, || journal.clone()).map(|()| lines)
        });
        for (name, level) in [("good", "info"), ("bad", "warn")] {
            let of = |line: &&String| line.contains(name) && line.to_lowercase().contains(level);
            let count = lines.iter().filter(of).count();
            assert!(count >= 4, "{name}: {lines:#?}");
        }
        let good = lines.iter().filter(|line| line.contains("good")).count();
        assert_eq!(good, 4, "one a delivered attempt: {lines:#?}");
        daemon.stop();
    }
    for run in 1..=2 {
        let journal = std::fs::read_to_string(world.path(format!("journal-{run}"))).unwrap();
        assert!(!journal.contains("marker"), "{journal}");
        let warned = |line: &&str| line.to_lowercase().contains("warn") && line.contains("bad");
        let warnings = journal.lines().filter(warned).count();
        assert_eq!(warnings, 4, "giving up is a warning: {journal}");
        let json = journal
            .lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        assert_eq!(json, run == 2, "{journal}");
    }
}

#[test]
fn a_configuration_with_an_error_does_not_start() {
    let world = World::new(&[hook("typo", "ftp://127.0.0.1/")]);
    let mut daemon = world.spawn(&[]);
    assert_eq!(daemon.wait(SOON), Some(2));
    let words = daemon.journal();
    assert!(words.contains("webhooks.toml:"), "{words}");
    assert!(words.contains("http"), "{words}");
    assert!(!world.path("log.db").exists());
}
