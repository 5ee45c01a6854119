//! `cancel`: what is pending ends, by id and by webhook, and is not sent by this daemon or the next.

use std::process::Command;
use std::time::Duration;

use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook};

const SECTION: &str = "[socket]\npath = \"webhooksd.sock\"";

/// A world with a webhook that fails, in the dialect that then waits a minute, and one that does not.
fn world_of(failing: &Receiver, well: &Receiver) -> World {
    let world = World::new(&[]);
    let hooks = [
        hook("failing", failing.url("/")).dialect("openboxes-lift"),
        hook("well", well.url("/")),
    ];
    world.configure_with(SECTION, &hooks);
    world
}

const PENDING: &str = "SELECT count(*) FROM delivery WHERE state = 'pending'";
const CANCELLED: &str = "SELECT count(*) FROM delivery WHERE state = 'cancelled'";

#[test]
fn a_pending_retry_is_cancelled_and_told_apart_from_what_a_reload_cancelled() {
    let (failing, well) = (Receiver::start(|_| Answer::status(500)), Receiver::ok());
    let world = world_of(&failing, &well);
    let daemon = world.start();
    for n in 1..=3 {
        world.emit("a", &format!("{{\"n\":{n}}}"));
    }
    world.wait_number("SELECT count(*) FROM log", 6, SOON);
    let sql = "SELECT id FROM delivery WHERE state = 'pending' ORDER BY event_id";
    let ids: Vec<String> = world.log(sql).concat();
    let done = world.command(&["cancel", &ids[0]]).expect(0);
    assert_eq!(done.stdout, "1 delivery cancelled\n");
    assert_eq!(world.number(PENDING), 2);
    let told = world.command(&["explain", "1"]).expect(0).stdout;
    assert!(told.contains("by `webhooksd cancel`"), "{told}");
    daemon.wait_journal("cancelled by order");

    // What has ended or never was is an error, and the others are cancelled all the same.
    let sql = "SELECT id FROM delivery WHERE state = 'delivered' LIMIT 1";
    let delivered = world.log(sql).concat().concat();
    let refused = world
        .command(&["cancel", &ids[0], &delivered, "4711", &ids[1]])
        .expect(1);
    assert_eq!(refused.stdout, "1 delivery cancelled\n");
    let all_refused = world.command(&["cancel", &ids[0]]).expect(1);
    assert_eq!(all_refused.stdout, "", "nothing was done");
    for words in [
        format!("delivery {}: that delivery has ended", ids[0]),
        format!("delivery {delivered}: that delivery has ended"),
        "delivery 4711: no delivery has that id".to_owned(),
    ] {
        assert!(
            refused.stderr.contains(&words),
            "{words}: {}",
            refused.stderr
        );
    }

    // The webhook that becomes inactive cancels the third, and only that is brought back.
    let hooks = |active: &str| {
        [
            hook("failing", failing.url("/"))
                .dialect("openboxes-lift")
                .line(active),
            hook("well", well.url("/")),
        ]
    };
    world.configure_with(SECTION, &hooks("active = false"));
    world.command(&["reload"]).expect(0);
    assert_eq!(world.number(CANCELLED), 3);
    let told = world.command(&["explain", "3"]).expect(0).stdout;
    assert!(told.contains("the webhook was inactive"), "{told}");
    world.configure_with(SECTION, &hooks("active = true"));
    world.command(&["reload"]).expect(0);
    let again = ["redeliver", "--cancelled", "--dry-run"];
    let told = world.command(&again).expect(0).stdout;
    assert_eq!(told, "1 delivery would be sent again\n");
    world.command(&["redeliver", &ids[0]]).expect(0);
    daemon.stop();
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE event_id = 2 AND webhook = 'failing'"),
        1
    );
}

#[test]
fn a_webhooks_pending_deliveries_are_cancelled_and_no_one_elses() {
    let (failing, well) = (Receiver::start(|_| Answer::status(500)), Receiver::ok());
    let world = world_of(&failing, &well);
    let daemon = world.start();
    for n in 1..=5 {
        world.emit("a", &format!("{{\"n\":{n}}}"));
    }
    world.wait_number("SELECT count(*) FROM log", 10, SOON);
    let cancel = |more: &[&str]| {
        world
            .command(&[&["cancel", "--webhook", "failing"], more].concat())
            .expect(0)
            .stdout
    };
    assert_eq!(cancel(&["--dry-run"]), "5 deliveries would be cancelled\n");
    assert_eq!(cancel(&["--until", "1h"]), "0 deliveries cancelled\n");
    assert_eq!(
        cancel(&["--since", "1h", "--dry-run"]),
        "5 deliveries would be cancelled\n"
    );
    assert_eq!(world.number(PENDING), 5, "a dry run does nothing");
    assert_eq!(cancel(&["--since", "1h"]), "5 deliveries cancelled\n");
    assert_eq!(world.number(PENDING), 0);
    assert_eq!(cancel(&[]), "0 deliveries cancelled\n");
    let health = world.command(&["status", "--json"]).expect(0).stdout;
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["webhooks"][0]["pending"], 0, "{health}");
    assert_eq!(health["webhooks"][0]["given_up"], 0, "{health}");
    let unknown = world
        .command(&["cancel", "--webhook", "typo"])
        .expect(2)
        .stderr;
    assert!(unknown.contains("there are failing, well"), "{unknown}");
    let no_time = [
        "cancel",
        "--webhook",
        "well",
        "--since",
        "1h",
        "--until",
        "2h",
    ];
    let no_time = world.command(&no_time).expect(2).stderr;
    assert!(no_time.contains("is not before --until"), "{no_time}");
    for bad in [
        &["cancel"][..],
        &["cancel", "0"],
        &["cancel", "1", "--webhook", "well"],
        &["cancel", "1", "--dry-run"],
    ] {
        world.command(bad).expect(2);
    }
    // What comes afterwards is sent as ever.
    world.emit("a", "{\"n\":6}");
    world.wait_number("SELECT count(*) FROM log", 12, SOON);
    daemon.stop();
    let alone = world
        .command(&["cancel", "--webhook", "failing"])
        .expect(1)
        .stderr;
    assert!(alone.contains("webhooksd run"), "{alone}");
}

#[test]
fn the_socket_cancels_one_and_says_why_not() {
    let failing = Receiver::start(|_| Answer::status(500));
    let (world, daemon) = crate::socket::started(&failing.url("/"));
    world.emit("a", "{\"n\":1}");
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let post = |path: &str, body: &str| crate::socket::client::post(&world, path, body);
    let done = post("/deliveries/1/cancel", "").expect(200).json();
    assert_eq!(
        done,
        serde_json::json!({"delivery_id": 1, "state": "cancelled"})
    );
    assert_eq!(
        post("/deliveries/1/cancel", "").expect(409).error(),
        "that delivery has ended"
    );
    for unknown in ["/deliveries/2/cancel", "/deliveries/x/cancel"] {
        assert_eq!(
            post(unknown, "").expect(404).error(),
            "no delivery has that id"
        );
    }
    for bad in [
        "{}",
        "{\"ids\":[1],\"webhook\":\"w\"}",
        "{\"ids\":[1],\"since\":1}",
        "{\"webhook\":\"w\",\"failed\":true}",
    ] {
        post("/cancel", bad).expect(400);
    }
    post("/cancel", "{\"webhook\":\"typo\"}").expect(404);
    daemon.stop();
}

#[test]
fn an_attempt_that_has_begun_ends_and_is_told_as_it_is() {
    let late = Receiver::start(|request| {
        let status = if request.n() == 1 { 500 } else { 200 };
        Answer::status(status).after(Duration::from_secs(1))
    });
    let world = World::new(&[]);
    world.configure_with(SECTION, &[hook("late", late.url("/"))]);
    let daemon = world.start();
    world.emit("a", "{\"n\":1}");
    world.emit("a", "{\"n\":2}");
    late.wait(2, SOON);
    world.command(&["cancel", "1", "2"]).expect(0);
    world.wait_number("SELECT count(*) FROM log", 2, SOON);
    let states = world.log("SELECT event_id, state, attempts FROM delivery ORDER BY event_id");
    assert_eq!(states, [["1", "cancelled", "1"], ["2", "delivered", "1"]]);
    daemon.wait_journal("not tried again: it was cancelled meanwhile");
    let journal = daemon.journal();
    assert!(!journal.contains("will be tried again"), "{journal}");
    daemon.stop();
}

/// A backlog behind an endpoint that says nothing, cancelled while others are served; killed in the middle, and
/// ended by the same order.
#[test]
fn a_large_backlog_is_cancelled_beside_live_traffic_and_across_a_kill() {
    const EVENTS: i64 = 30_000;
    let (silent, well) = (Receiver::start(|_| Answer::Silence), Receiver::ok());
    let world = World::new(&[]);
    let hooks = [
        hook("silent", silent.url("/")).events("many"),
        hook("well", well.url("/")).events("live"),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    let sql = format!(
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {EVENTS})
         INSERT INTO outbox (event, data) SELECT 'many', json_object('n', n) FROM c"
    );
    world.outbox().execute(&sql, []).unwrap();
    world.wait_number("SELECT event_id FROM cursor", EVENTS, SOON);
    let ask = ["cancel", "--webhook", "silent"];
    std::thread::scope(|scope| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhooksd"));
        command
            .args(ask)
            .arg("--config")
            .arg(world.path("webhooks.toml"));
        let asked = scope.spawn(move || command.output().unwrap());
        eventually("some are cancelled", SOON, || {
            let cancelled = world.number(CANCELLED);
            check(cancelled > 1_000, || cancelled.to_string())
        });
        world.emit("live", "{\"n\":1}");
        well.wait(1, Duration::from_secs(5));
        daemon.kill();
        let told = asked.join().unwrap();
        assert!(!told.status.success(), "it was killed in the middle");
    });
    let before = world.number(CANCELLED);
    assert!(
        before < EVENTS && world.number(PENDING) > 0,
        "it was killed in the middle"
    );
    let daemon = world.start();
    world.command(&ask).expect(0);
    let begun = silent.count();
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 1, SOON);
    assert_eq!(
        (world.number(PENDING), world.number(CANCELLED)),
        (0, EVENTS)
    );
    // What was in flight then ends within 3 s; nothing else begins.
    world.emit("live", "{\"n\":2}");
    well.wait(2, SOON);
    daemon.stop();
    let daemon = world.start();
    world.emit("live", "{\"n\":3}");
    well.wait(3, SOON);
    daemon.stop();
    assert_eq!(silent.count(), begun, "nothing that was cancelled is sent");
}
