//! What is told of an order: who holds whom, since when, and what lets go; by every way in which somebody may ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{Answer, Daemon, Hook, Receiver, SOON, World, hook};

/// Gives up after one attempt, and then holds its line.
fn holding(receiver: &Receiver, order: &str) -> Hook {
    hook("depot", receiver.url("/"))
        .dialect("bold-factory")
        .line("max_attempts = 1")
        .line(format!("in_order = {order}"))
        .line("if_failed = \"hold\"")
}

/// Refuses what says so in its data, until it is opened.
fn refusing() -> (Receiver, Arc<AtomicBool>) {
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = is_open.clone();
    let receiver = Receiver::start(move |request| {
        let refused = request.text().contains("refused") && !opened.load(Ordering::SeqCst);
        Answer::status(if refused { 500 } else { 200 })
    });
    (receiver, is_open)
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(SECTION, hooks);
    world
}

/// Event 1 is refused and holds the next so many.
fn held(world: &World, count: i64) -> Daemon {
    let daemon = world.start();
    world.emit("a", "{\"id\":1,\"refused\":true}");
    world.wait_number(FAILED, 1, SOON);
    for _ in 0..count {
        world.emit("a", "{\"id\":1}");
    }
    world.wait_number("SELECT count(*) FROM held", count, SOON);
    daemon
}

const FAILED: &str = "SELECT count(*) FROM delivery WHERE state = 'failed'";
const DELIVERED: &str = "SELECT count(*) FROM delivery WHERE state = 'delivered'";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The ids that the view `failed` has.
fn failed_ones(world: &World) -> String {
    let sql = "SELECT coalesce(group_concat(delivery_id), '') FROM failed";
    world.log(sql).concat().concat()
}

fn explained(world: &World, event: &str) -> String {
    world.command(&["explain", event]).expect(0).stdout
}

#[test]
fn a_held_line_is_told_of_however_long_it_is_held() {
    let (receiver, _) = refusing();
    let world = world(&[holding(&receiver, "\"$.id\"")]);
    let daemon = held(&world, 2);
    daemon.wait_journal("given up");
    let line = daemon.journal();
    let line = line.lines().find(|line| line.contains("given up")).unwrap();
    assert!(line.contains("holds=true"), "{line}");
    assert!(
        line.contains("webhooksd redeliver 1") && line.contains("webhooksd cancel 1"),
        "{line}"
    );

    // Another value is delivered, and the failure is two hours old by now.
    world.emit("a", "{\"id\":2}");
    world.wait_number(DELIVERED, 1, SOON);
    let ago = "finished_at = finished_at - 7200000";
    world
        .change_log(&format!("UPDATE ended SET {ago}"))
        .unwrap();
    world
        .change_log("UPDATE turn SET since = since - 7200000 WHERE state = 1")
        .unwrap();
    let since = world.number("SELECT since FROM turn WHERE state = 1") / 1_000;
    let since = world
        .log(&format!(
            "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', {since}, 'unixepoch')"
        ))
        .concat()
        .concat();

    let status = json(&world.command(&["status", "--json"]).expect(0).stdout);
    let depot = &status["webhooks"][0];
    assert_eq!(depot["failing"], true, "{depot}");
    assert_eq!(depot["given_up"], 0, "{depot}");
    assert_eq!((&depot["held"], &depot["holding"]), (&2.into(), &1.into()));
    assert_eq!(depot["holding_since"], *since);
    let told = world.command(&["status", "--check"]).expect(1).stdout;
    assert!(told.contains("FAILING"), "{told}");
    assert!(
        told.contains("2 held by their order, by delivery 1, given up 2 h"),
        "{told}"
    );

    let told = json(&curl(&world, "/status", &[]).body);
    let depot = &told["webhooks"][0];
    assert_eq!((&depot["held"], &depot["holding"]), (&2.into(), &1.into()));
    assert_eq!(depot["holding_since"], *since);
    let metrics = curl(&world, "/metrics", &[]);
    let metrics = metrics.body;
    assert!(
        metrics.contains("webhooksd_holding{webhook=\"depot\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("webhooksd_holding_since_seconds{webhook=\"depot\"} 1"),
        "{metrics}"
    );
    daemon.stop();
}

#[test]
fn what_is_let_go_is_not_said_to_be_cancelled() {
    let (receiver, _) = refusing();
    let world = world(&[holding(&receiver, "true")]);
    let daemon = held(&world, 1);
    let told = world.command(&["cancel", "1"]).expect(0);
    assert_eq!(
        told.stdout,
        "delivery 1: let go, the next of its line goes; it stays failed\n"
    );
    world.wait_number(DELIVERED, 1, SOON);
    daemon.wait_journal("let go by order");
    assert!(
        !daemon.journal().contains("cancelled by order"),
        "{}",
        daemon.journal()
    );

    // The same over the socket, and with one that is cancelled.
    world.emit("a", "{\"id\":1,\"refused\":true}");
    world.wait_number(FAILED, 2, SOON);
    let holder = world.number("SELECT max(id) FROM delivery");
    let let_go = post(&world, &format!("/deliveries/{holder}/cancel"), "");
    assert_eq!(let_go.status, 200);
    let expected = serde_json::json!({ "delivery_id": holder, "state": "failed", "let_go": true });
    assert_eq!(json(&let_go.body), expected);
    assert_eq!(world.number(FAILED), 2);
    world.emit("a", "{\"id\":1,\"refused\":true}");
    world.wait_number(FAILED, 3, SOON);
    world.emit("a", "{\"id\":1}");
    world.wait_number("SELECT count(*) FROM held", 1, SOON);
    let ids = [1, 0].map(|back| (world.number("SELECT max(id) FROM delivery") - back).to_string());
    // The one behind it first, for else it is on its way.
    let told = world
        .command(&["cancel", &ids[1], &ids[0]])
        .expect(0)
        .stdout;
    let let_go = format!(
        "delivery {}: let go, the next of its line goes; it stays failed\n",
        ids[0]
    );
    assert_eq!(told, format!("{let_go}1 delivery cancelled\n"));
    daemon.stop();
}

#[test]
fn a_holder_that_was_sent_again_in_vain_is_still_found() {
    let (receiver, _) = refusing();
    let world = world(&[holding(&receiver, "true")]);
    let daemon = held(&world, 3);
    let told = explained(&world, "1");
    let ways = "`webhooksd redeliver 1` or `webhooksd cancel 1` lets go";
    assert!(
        told.contains(&format!("delivery 1 holds 3 deliveries behind it: {ways}")),
        "{told}"
    );

    world.command(&["redeliver", "1"]).expect(0);
    world.wait_number(FAILED, 2, SOON);
    let again = world
        .number("SELECT max(new_delivery_id) FROM redelivery")
        .to_string();
    assert_eq!(
        failed_ones(&world),
        "1",
        "and not what it was sent again as"
    );
    let told = explained(&world, "1");
    assert!(
        told.contains("by a redelivery") && told.contains(ways),
        "{told}"
    );
    let refused = world.command(&["cancel", &again]).expect(1).stderr;
    let words = "that delivery has ended; delivery 1, which it was sent again for, holds the line: `webhooksd cancel 1`";
    assert!(refused.contains(words), "{refused}");
    let answer = post(&world, &format!("/deliveries/{again}/cancel"), "");
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains(words), "{}", answer.body);
    daemon.wait_journal(&format!("delivery={again} "));
    let journal = daemon.journal();
    let line = journal
        .lines()
        .filter(|line| line.contains("given up"))
        .nth(1)
        .unwrap();
    assert!(
        line.contains("holds=true") && line.contains("webhooksd cancel 1"),
        "{line}"
    );
    daemon.stop();
}

#[test]
fn a_holder_is_sent_again_by_failed_until_it_is_delivered_and_never_twice_at_a_time() {
    let (receiver, is_open) = refusing();
    let world = world(&[holding(&receiver, "true")]);
    let daemon = held(&world, 3);
    let failed = || failed_ones(&world);
    world.command(&["redeliver", "1"]).expect(0);
    world.wait_number(FAILED, 2, SOON);
    // A redelivery that waits is not made a second time; cancelled, it leaves the holder where it was.
    world.command(&["pause", "depot"]).expect(0);
    let dry = || {
        world
            .command(&["redeliver", "--failed", "--dry-run"])
            .expect(0)
            .stdout
    };
    assert_eq!(dry(), "1 delivery would be sent again\n");
    world.command(&["redeliver", "--failed"]).expect(0);
    assert_eq!(
        (failed(), dry()),
        (
            "".to_owned(),
            "0 deliveries would be sent again\n".to_owned()
        )
    );
    let again = world
        .number("SELECT max(new_delivery_id) FROM redelivery")
        .to_string();
    world.command(&["cancel", &again]).expect(0);
    assert_eq!(
        (failed(), dry()),
        (
            "1".to_owned(),
            "1 delivery would be sent again\n".to_owned()
        )
    );
    world.command(&["resume", "depot"]).expect(0);
    is_open.store(true, Ordering::SeqCst);
    world.command(&["redeliver", "--failed"]).expect(0);
    world.wait_number(DELIVERED, 4, SOON);
    assert_eq!(failed(), "", "what it was sent again as went with it");
    assert_eq!(dry(), "0 deliveries would be sent again\n");
    let status = json(&world.command(&["status", "--json"]).expect(0).stdout);
    assert_eq!(status["webhooks"][0]["given_up"], 0, "{status}");
    daemon.stop();
}

#[test]
fn explain_says_of_a_held_one_what_helps() {
    let (receiver, _) = refusing();
    let world = world(&[holding(&receiver, "true")]);
    let daemon = held(&world, 1);
    world.command(&["pause", "depot"]).expect(0);
    let told = explained(&world, "2");
    assert!(
        told.contains(
            "until `webhooksd resume depot`; beyond that it is held by delivery 1, which failed after 1 send of event 1"
        ),
        "{told}"
    );
    assert!(!told.contains("sends it"), "{told}");
    world.command(&["resume", "depot"]).expect(0);

    // A replay goes at once, and what was made when the event came waits still.
    let span = ["replay", "--since", "1h", "--webhook", "depot"];
    world.command(&span).expect(0);
    world.wait_number(DELIVERED, 1, SOON);
    let told = explained(&world, "2");
    assert!(told.contains("by a replay"), "{told}");
    assert!(
        told.contains("; delivery 2, made when the event came, is still to be sent: pending and held by delivery 1"),
        "{told}"
    );
    daemon.stop();
}

#[test]
fn a_retry_and_a_cancelled_attempt_are_said_to_be_such() {
    let gate = Arc::new(AtomicBool::new(false));
    let opened = gate.clone();
    let receiver = Receiver::start(move |request| {
        if request.text().contains("slow") {
            while !opened.load(Ordering::SeqCst) {
                crate::support::nap(Duration::from_millis(5));
            }
        }
        Answer::status(if request.text().contains("refused") {
            500
        } else {
            200
        })
    });
    let lines = |max: u8| {
        hook("depot", receiver.url("/"))
            .dialect("bold-factory")
            .line(format!("max_attempts = {max}"))
            .line("in_order = \"$.id\"")
    };
    let world = world(&[lines(3)]);
    let daemon = world.start();
    world.emit("a", "{\"id\":1,\"refused\":true}");
    world.emit("a", "{\"id\":1}");
    world.emit("a", "{\"id\":2,\"slow\":true}");
    world.emit("a", "{\"id\":2}");
    world.wait_number("SELECT count(*) FROM held", 2, SOON);
    receiver.wait(2, SOON);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
    let told = explained(&world, "2");
    assert!(
        told.contains("held by delivery 1, which is pending after 1 send of event 1, due 2"),
        "{told}"
    );
    world.command(&["cancel", "3"]).expect(0);
    let told = explained(&world, "4");
    assert!(
        told.contains(
            "held by delivery 3, which was cancelled while an attempt of event 3 is under way"
        ),
        "{told}"
    );
    let state = "SELECT held_by_state FROM held WHERE delivery_id = 4";
    assert_eq!(world.log(state).concat(), ["cancelled"]);
    gate.store(true, Ordering::SeqCst);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE id = 4 AND state = 'delivered'",
        1,
        SOON,
    );
    daemon.stop();
}

#[test]
fn who_cancels_a_backlog_is_told_what_becomes_of_its_order() {
    let (receiver, _) = refusing();
    let hooks = |line: &str| [holding(&receiver, "true").line(line)];
    let world = world(&hooks(""));
    let daemon = held(&world, 3);
    let told = world.command(&["cancel", "--webhook", "depot"]).expect(0);
    assert_eq!(told.stdout, "3 deliveries cancelled\n");
    assert_eq!(
        told.stderr,
        "delivery 1, which was given up, still holds its line: `webhooksd cancel 1`\n"
    );
    world.emit("a", "{\"id\":1}");
    world.wait_number("SELECT count(*) FROM held", 1, SOON);
    world.configure_with(SECTION, &hooks("active = false"));
    let told = world.command(&["reload"]).expect(0).stderr;
    assert!(
        told.contains("1 delivery cancelled") && told.contains("in no order"),
        "{told}"
    );
    daemon.stop();
}
