//! SIGHUP: a new file is taken in while events flow, and nothing is lost or doubled by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Answer, Receiver, SOON, World, check, hmac_hex, hook, insert, nap, stays};

/// Long enough for something that must not happen to have happened.
const MEANWHILE: Duration = Duration::from_millis(400);

fn delivered(world: &World, count: i64) {
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, count, SOON);
}

#[test]
fn twenty_reloads_under_load_lose_and_double_nothing() {
    let (steady, moved, passing) = (Receiver::ok(), Receiver::ok(), Receiver::ok());
    let hooks = |round: usize| {
        let mut hooks = vec![
            hook("steady", steady.url("/")),
            hook("moved", moved.url(&format!("/{round}"))).secret(&format!("secret {round}")),
        ];
        if round % 2 == 1 {
            hooks.push(hook("passing", passing.url("/")));
        }
        hooks
    };
    let world = World::new(&hooks(0));
    let daemon = world.start();
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, outbox) = (Arc::clone(&stop), world.outbox());
    let load = std::thread::spawn(move || {
        let mut n = 0;
        while !stopping.load(Ordering::SeqCst) {
            insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
            n += 1;
            nap(Duration::from_millis(8));
        }
        n
    });
    for round in 1..=20 {
        world.configure(&hooks(round));
        daemon.reload();
        nap(Duration::from_millis(100));
    }
    stop.store(true, Ordering::SeqCst);
    let events: i64 = load.join().unwrap();
    let sql = "SELECT count(*) FROM delivery WHERE webhook <> 'passing' AND state = 'delivered'";
    world.wait_number(sql, events * 2, SOON);
    for (name, receiver) in [("steady", &steady), ("moved", &moved)] {
        let mut times = BTreeMap::new();
        for request in receiver.received() {
            *times.entry(request.n()).or_insert(0) += 1;
        }
        let all: BTreeMap<i64, i32> = (0..events).map(|n| (n, 1)).collect();
        assert_eq!(times, all, "{name} got each event once");
    }
    for request in moved.received() {
        let round = request.lines()[0].split(['/', ' ']).nth(2).unwrap();
        let signature = hmac_hex(&format!("secret {round}"), &request.body);
        assert_eq!(request.header("X-Qt-Signature"), Some(signature.as_str()));
    }
    println!("{events} events, {} to the passing one", passing.count());
    assert!(passing.count() > 0);
    daemon.stop();
}

#[test]
fn a_new_webhook_gets_the_events_after_the_cursor() {
    let (old, new) = (Receiver::ok(), Receiver::ok());
    let hooks = [hook("old", old.url("/")), hook("new", new.url("/"))];
    let world = World::new(&hooks[..1]);
    let daemon = world.start();
    for n in 0..3 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    delivered(&world, 3);
    world.configure(&hooks);
    daemon.reload();
    for n in 3..5 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    delivered(&world, 7);
    let mut came: Vec<i64> = new.received().iter().map(|request| request.n()).collect();
    came.sort_unstable();
    assert_eq!(came, [3, 4]);
    assert_eq!(old.count(), 5);
}

#[test]
fn what_is_pending_for_a_removed_or_inactive_webhook_is_cancelled() {
    let (removed, asleep) = (
        Receiver::start(|_| Answer::status(500)),
        Receiver::start(|_| Answer::status(500)),
    );
    let sleeping = || hook("asleep", asleep.url("/"));
    let world = World::new(&[hook("removed", removed.url("/")), sleeping()]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.emit("e", "{}");
    world.attempts("id", 4, SOON);
    world.configure(&[sleeping().line("active = false")]);
    daemon.reload();
    let cancelled = "SELECT count(*) FROM delivery WHERE state = 'cancelled'";
    world.wait_number(cancelled, 4, SOON);
    let journal = daemon.journal();
    for name in ["removed", "asleep"] {
        let told = |line: &str| line.contains("warn") && line.contains(name) && line.contains('2');
        assert!(journal.lines().any(told), "{name}: {journal}");
    }
    // Events that come meanwhile are not kept for the time after.
    let while_asleep = world.emit("e", "{}");
    stays("nothing is queued", MEANWHILE, || {
        let sql = format!("SELECT count(*) FROM delivery WHERE event_id = {while_asleep}");
        check(world.number(&sql) == 0, || "a delivery".to_owned())
    });
    world.configure(&[sleeping()]);
    daemon.reload();
    world.emit("e", "{}");
    asleep.wait(3, SOON);
    stays("only the new event comes", MEANWHILE, || {
        let counts = (removed.count(), asleep.count());
        check(counts == (2, 3), || format!("{counts:?}"))
    });
    assert_eq!(world.number(cancelled), 4);
}

#[test]
fn a_pending_delivery_goes_to_the_new_url_with_the_new_secret() {
    let before = Receiver::start(|_| Answer::status(500));
    let after = Receiver::ok();
    let at = |receiver: &Receiver| {
        [hook("moving", receiver.url("/")).line("secret_file = \"moving.key\"")]
    };
    let world = World::new(&at(&before));
    world.write("moving.key", "first secret\n");
    let daemon = world.start();
    world.emit("e", r#"{"n":1}"#);
    let first = before.wait(1, SOON).remove(0);
    let signature = hmac_hex("first secret", &first.body);
    assert_eq!(first.header("X-Qt-Signature"), Some(signature.as_str()));
    world.attempts("id", 1, SOON);
    world.configure(&at(&after));
    world.write("moving.key", "second secret");
    daemon.reload();
    let second = after.wait(1, SOON).remove(0);
    let signature = hmac_hex("second secret", &second.body);
    assert_eq!(second.header("X-Qt-Signature"), Some(signature.as_str()));
    assert_eq!(second.body, first.body);
    let apart = (second.at - first.at).as_millis();
    assert!(
        (9_500..19_000).contains(&apart),
        "on its schedule: {apart} ms"
    );
    // The file of the secret alone is reason enough to reload.
    world.write("moving.key", "third secret");
    daemon.reload();
    world.emit("e", r#"{"n":2}"#);
    let third = after.wait(2, SOON).remove(1);
    let signature = hmac_hex("third secret", &third.body);
    assert_eq!(third.header("X-Qt-Signature"), Some(signature.as_str()));
    assert_eq!(before.count(), 1);
}

#[test]
fn a_file_with_an_error_changes_nothing_and_the_journal_says_where() {
    let (old, new) = (Receiver::ok(), Receiver::ok());
    let world = World::new(&[hook("old", old.url("/")).secret("marker-secret")]);
    let daemon = world.start();
    world.configure(&[
        hook("old", new.url("/")),
        hook("new", new.url("/")).line("evnets = [\"typo\"]"),
    ]);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let line = 1 + text.lines().position(|l| l.contains("evnets")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_journal(&format!("webhooks.toml:{line}"));
    daemon.wait_journal("evnets");
    world.emit("e", "{}");
    let request = &old.wait(1, SOON)[0];
    let signature = hmac_hex("marker-secret", &request.body);
    assert_eq!(request.header("X-Qt-Signature"), Some(signature.as_str()));
    assert_eq!(new.count(), 0);
    // A path of the outbox or the log is not taken in by a reload either.
    world.configure(&[hook("old", new.url("/"))]);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace("log.db", "other.db"));
    daemon.signal(Signal::HUP);
    daemon.wait_journal("restart");
    world.emit("e", "{}");
    old.wait(2, SOON);
    assert!(!world.path("other.db").exists());
    // And a good file is, after all that.
    world.configure(&[hook("old", new.url("/"))]);
    daemon.reload();
    world.emit("e", "{}");
    new.wait(1, SOON);
    assert_eq!(old.count(), 2);
}
