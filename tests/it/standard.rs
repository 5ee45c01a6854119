//! Standard Webhooks: the dialect of that name, and its headers beside another's, as a receiver sees them.
//!
//! What is expected is written from the specification (id, timestamp and body under one HMAC, in base64), not by the
//! product's code. The published libraries as receivers are tried by `tests/matrix/run`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::socket::SECTION;
use crate::support::{Answer, Hook, Received, Receiver, SOON, World, base64, hook, now_ms};

const KEY: &[u8] = b"thirty-two bytes of a known key!";
const OLD: &[u8] = b"and four and twenty of another";

fn whsec(key: &[u8]) -> String {
    format!("whsec_{}", base64(key))
}

/// `v1,` and the signature of a request by that key.
fn signed(key: &[u8], request: &Received) -> String {
    let of = |name| request.header(name).unwrap();
    let mut text = format!("{}.{}.", of("webhook-id"), of("webhook-timestamp")).into_bytes();
    text.extend_from_slice(&request.body);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    format!("v1,{}", base64(ring::hmac::sign(&key, &text).as_ref()))
}

#[track_caller]
fn assert_signed(request: &Received, keys: &[&[u8]]) {
    let all: Vec<String> = keys.iter().map(|key| signed(key, request)).collect();
    assert_eq!(request.header("webhook-signature"), Some(&*all.join(" ")));
    let seconds: i64 = request
        .header("webhook-timestamp")
        .unwrap()
        .parse()
        .unwrap();
    let age_ms = now_ms() - seconds * 1_000;
    assert!((0..120_000).contains(&age_ms), "{age_ms} ms ago");
}

fn standard(name: &str, receiver: &Receiver) -> Hook {
    hook(name, receiver.url("/hooks")).dialect("standard-webhooks")
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(SECTION, hooks);
    world
}

/// The headers in the log are those that were sent.
#[track_caller]
fn assert_logged(world: &World, receiver: &Receiver) {
    let sent = receiver.received();
    let count = i64::try_from(sent.len()).unwrap();
    world.wait_number(
        "SELECT count(DISTINCT request_headers) FROM log",
        count,
        SOON,
    );
    let logged = world.log("SELECT request_headers FROM log");
    for request in sent {
        let mut lines = String::new();
        for line in request
            .lines()
            .iter()
            .skip(1)
            .filter(|line| !line.is_empty())
        {
            writeln!(lines, "{line}").unwrap();
        }
        let is_there = logged.iter().any(|row| row[0] == lines.trim_end());
        assert!(is_there, "{lines}\n{logged:#?}");
    }
}

#[test]
fn the_request_is_that_of_the_specification_and_stands_in_the_log() {
    let receiver = Receiver::ok();
    let world = World::new(&[standard("billing", &receiver).secret(&whsec(KEY))]);
    let daemon = world.start();
    let data = r#"{ "n":1.10, "n":"ü" }"#;
    let id = world.emit("invoice.paid", data);
    let request = &receiver.wait(1, SOON)[0];
    let body = request.text();
    let (start, rest) = body.split_at(r#"{"type":"invoice.paid","timestamp":""#.len());
    let (stamp, end) = rest.split_at("2026-11-29T09:32:17Z".len());
    assert_eq!(start, r#"{"type":"invoice.paid","timestamp":""#);
    assert!(
        stamp.ends_with('Z') && stamp.chars().nth(10) == Some('T'),
        "{stamp}"
    );
    assert_eq!(end, format!(r#"","data":{data}}}"#));
    assert_signed(request, &[KEY]);
    let names = "Host Connection Accept-Encoding Content-Length Content-Type User-Agent \
                 webhook-id webhook-timestamp webhook-signature";
    assert_eq!(request.names().join(" "), names);
    let message = request.header("webhook-id").unwrap();
    assert!(
        message.starts_with("evt_") && message.len() == 30,
        "{message}"
    );
    assert_logged(&world, &receiver);
    // Its id leads to the event, and the event to its id.
    let told = world.command(&["explain", message]).expect(0).stdout;
    assert!(
        told.contains("invoice.paid") && told.contains(message),
        "{told}"
    );
    let told = world
        .command(&["explain", &id.to_string()])
        .expect(0)
        .stdout;
    assert!(
        told.contains(&format!("{message} in bold-factory and standard-webhooks")),
        "{told}"
    );
    let told = world.command(&["logs", "-v"]).expect(0).stdout;
    let signature = request.header("webhook-signature").unwrap();
    assert!(told.contains(message) && told.contains(signature), "{told}");
    daemon.stop();
}

#[test]
fn a_retry_after_a_kill_is_the_same_message_signed_anew() {
    let is_first = AtomicBool::new(true);
    let receiver = Receiver::start(move |_| {
        Answer::status(if is_first.swap(false, Ordering::SeqCst) {
            503
        } else {
            200
        })
    });
    let world = world(&[standard("billing", &receiver).secret("a plain secret of 24 bytes")]);
    let daemon = world.start();
    world.emit("e", "{}");
    world.wait_number("SELECT count(*) FROM log WHERE outcome = 'retry'", 1, SOON);
    daemon.kill();
    let daemon = world.start();
    let both = receiver.wait(2, SOON);
    world.wait_number(
        "SELECT count(*) FROM log WHERE outcome = 'delivered'",
        1,
        SOON,
    );
    for request in &both {
        assert_signed(request, &[b"a plain secret of 24 bytes"]);
    }
    assert_eq!(both[0].body, both[1].body);
    let of = |name| [&both[0], &both[1]].map(|request| request.header(name).unwrap().to_owned());
    let [first, second] = of("webhook-id");
    assert_eq!(first, second);
    let [first, second] = of("webhook-timestamp").map(|text| text.parse::<i64>().unwrap());
    assert!((5..=60).contains(&(second - first)), "{first} and {second}");
    let [first, second] = of("webhook-signature");
    assert_ne!(first, second);
    assert_logged(&world, &receiver);
    // A redelivery is the same message too.
    let id = world.number("SELECT id FROM delivery").to_string();
    world.command(&["redeliver", &id]).expect(0);
    let again = &receiver.wait(3, SOON)[2];
    assert_eq!(again.header("webhook-id"), both[0].header("webhook-id"));
    daemon.stop();
}

#[test]
fn both_secrets_sign_while_a_receiver_changes_over_and_a_reload_loses_nothing() {
    let receiver = Receiver::ok();
    let own = || standard("billing", &receiver).line("secret_file = 'new.key'");
    let world = world(&[own()]);
    world.write("new.key", format!("{}\n", whsec(OLD)));
    let daemon = world.start();
    world.emit("e", "1");
    assert_signed(&receiver.wait(1, SOON)[0], &[OLD]);
    world.command(&["pause", "billing"]).expect(0);
    world.emit("e", "2");
    world.wait_number("SELECT count(*) FROM parked", 1, SOON);
    // The new one without its padding, which is the same key; the one before in another file.
    world.write("old.key", format!("{}\n", whsec(OLD)));
    world.write("new.key", whsec(KEY).trim_end_matches('='));
    world.configure_with(SECTION, &[own().line("previous_secret_file = 'old.key'")]);
    daemon.reload();
    world.command(&["resume", "billing"]).expect(0);
    assert_signed(&receiver.wait(2, SOON)[1], &[KEY, OLD]);
    assert_logged(&world, &receiver);
    world.configure_with(SECTION, &[own()]);
    daemon.reload();
    world.emit("e", "3");
    assert_signed(&receiver.wait(3, SOON)[2], &[KEY]);
    assert_logged(&world, &receiver);
    daemon.stop();
}

const BESIDE: &str =
    "standard_webhooks = { secret_file = 'new.key', previous_secret_file = 'old.key' }";

/// Another dialect's request is what it was, with the three headers behind its signature.
#[test]
fn its_headers_go_beside_those_of_each_other_dialect() {
    let dialects = ["bold-cms", "bold-factory", "openboxes-lift"];
    let plain: Vec<_> = dialects.iter().map(|_| Receiver::ok()).collect();
    let beside: Vec<_> = dialects.iter().map(|_| Receiver::ok()).collect();
    let mut hooks = Vec::new();
    for (at, dialect) in dialects.iter().enumerate() {
        let of = |name: &str, receiver: &Receiver| {
            let name = format!("{name}-{at}");
            let hook = hook(&name, receiver.url("/")).dialect(dialect);
            if *dialect == "bold-cms" {
                hook
            } else {
                hook.secret("a vendor's")
            }
        };
        hooks.push(of("plain", &plain[at]));
        hooks.push(of("beside", &beside[at]).line(BESIDE));
    }
    let world = World::new(&hooks);
    world.write("new.key", whsec(KEY));
    world.write("old.key", whsec(OLD));
    let daemon = world.start();
    let id = world.emit("e", "{}");
    let told = world
        .command(&["explain", &id.to_string()])
        .expect(0)
        .stdout;
    for (plain, beside) in plain.iter().zip(&beside) {
        let (plain, beside) = (plain.wait(1, SOON), beside.wait(1, SOON));
        let (plain, beside) = (&plain[0], &beside[0]);
        assert_eq!(plain.header("webhook-id"), None);
        assert_eq!(plain.body, beside.body);
        assert_signed(beside, &[KEY, OLD]);
        let names = [plain.names().join(" "), beside.names().join(" ")];
        let more = "webhook-id webhook-timestamp webhook-signature";
        assert_eq!(format!("{} {more}", names[0]), names[1]);
        for name in ["X-Qt-Signature", "X-Bold-Signature", "X-Webhook-Signature"] {
            assert_eq!(plain.header(name), beside.header(name));
        }
        let message = beside.header("webhook-id").unwrap();
        assert!(
            told.contains(message),
            "{message} is bold-factory's: {told}"
        );
    }
    world.wait_number("SELECT count(*) FROM log", 6, SOON);
    for receiver in &beside {
        let sent = &receiver.received()[0];
        let lines: Vec<&str> = sent
            .lines()
            .into_iter()
            .skip(1)
            .filter(|l| !l.is_empty())
            .collect();
        let lines = lines.join("\n");
        let logged = world.log("SELECT request_headers FROM log WHERE webhook LIKE 'beside-%'");
        assert!(
            logged.iter().any(|row| row[0] == lines),
            "{lines}\n{logged:#?}"
        );
    }
    daemon.stop();
}

/// One POST is one message: its id is the batch's, the same in each retry.
#[test]
fn a_batch_has_its_own_id_as_a_message() {
    let receiver = Receiver::ok();
    let depot = hook("depot", receiver.url("/")).dialect("openboxes-lift");
    let world = World::new(&[depot.line("batch = {}").line(BESIDE)]);
    world.write("new.key", whsec(KEY));
    world.write("old.key", whsec(OLD));
    world.emit("e", "1");
    world.emit("e", "2");
    let daemon = world.start();
    world.wait_number(
        "SELECT count(*) FROM log WHERE outcome = 'delivered'",
        2,
        SOON,
    );
    for request in receiver.received() {
        assert_signed(&request, &[KEY, OLD]);
        assert_eq!(
            request.header("webhook-id"),
            request.header("X-Webhook-Batch")
        );
    }
    assert_logged(&world, &receiver);
    daemon.stop();
}

/// A webhook that asks for neither costs the log nothing.
#[test]
fn where_nobody_asks_for_it_there_is_no_row_of_it() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("cms", receiver.url("/"))]);
    let daemon = world.start();
    world.emit("e", "1");
    world.wait_number(
        "SELECT count(*) FROM log WHERE outcome = 'delivered'",
        1,
        SOON,
    );
    for table in ["payload_message", "patient"] {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE request_headers LIKE '%webhook-id%'"),
        0
    );
    daemon.stop();
}

/// Events of webhooksd itself are events like others.
#[test]
fn an_event_of_webhooksd_itself_goes_in_this_dialect_too() {
    let (ops, dead) = (Receiver::ok(), Receiver::start(|_| Answer::status(500)));
    let told = standard("ops", &ops)
        .secret(&whsec(KEY))
        .events("webhooksd.*");
    let world = World::new(&[told, hook("depot", dead.url("/")).one_attempt()]);
    let daemon = world.start();
    world.emit("e", "{}");
    let request = &ops.wait(1, SOON)[0];
    assert_signed(request, &[KEY]);
    let body = request.json();
    assert_eq!(body["type"], "webhooksd.delivery.failed");
    assert_eq!(body["data"]["webhook"], "depot");
    let message = request.header("webhook-id").unwrap();
    let told = world.command(&["explain", message]).expect(0).stdout;
    assert!(told.contains("webhooksd.delivery.failed"), "{told}");
    daemon.stop();
}

/// The answer may take 15 s: one that takes four is a success here, and a failure elsewhere.
#[test]
fn an_answer_after_four_seconds_is_in_time() {
    let slow = || Receiver::start(|_| Answer::status(200).after(Duration::from_secs(4)));
    let (patient, hasty) = (slow(), slow());
    let world = World::new(&[
        standard("patient", &patient).secret(&whsec(KEY)),
        hook("hasty", hasty.url("/")).one_attempt(),
    ]);
    let daemon = world.start();
    world.emit("e", "{}");
    let rows = world.attempts("webhook, outcome, status", 2, SOON);
    for row in rows {
        let expected: [&str; 2] = match &*row[0] {
            "patient" => ["delivered", "200"],
            _ => ["failed", "NULL"],
        };
        assert_eq!(row[1..], expected, "{row:?}");
    }
    daemon.stop();
}
