//! `[delivery] traceparent`: what a receiver, the log and the journal have of an attempt's trace.
//!
//! The grammar is written here from W3C Trace Context, and not by the product's code.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::socket::SECTION;
use crate::support::{Answer, Hook, Received, Receiver, SOON, World, check, eventually, hook};

fn on() -> String {
    format!("{SECTION}\n[delivery]\ntraceparent = true")
}

fn world(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    world.configure_with(&on(), hooks);
    world
}

/// The trace and the span of a request, by version 00 of the specification.
#[track_caller]
fn ids(request: &Received) -> [String; 2] {
    let value = request.header("traceparent").unwrap();
    let parts: Vec<&str> = value.split('-').collect();
    let is_hex = |text: &str, digits: usize| {
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == digits && text.bytes().all(lower)
    };
    let [version, trace, span, flags] = parts[..] else {
        panic!("{value}");
    };
    assert!(version == "00" && flags == "01", "{value}");
    assert!(is_hex(trace, 32) && trace != "0".repeat(32), "{value}");
    assert!(is_hex(span, 16) && span != "0".repeat(16), "{value}");
    [trace.to_owned(), span.to_owned()]
}

/// The lines of a request's head behind the first.
fn head(request: &Received) -> String {
    let lines = request.lines().into_iter().skip(1);
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A webhook of each dialect, signed and not, with the receivers of both.
fn of_each_dialect() -> (Vec<Hook>, Vec<Receiver>) {
    let dialects = [
        "bold-cms",
        "bold-factory",
        "openboxes-lift",
        "standard-webhooks",
    ];
    let mut hooks = Vec::new();
    let mut receivers = Vec::new();
    for dialect in dialects {
        for is_signed in [true, false] {
            if !is_signed && dialect == "standard-webhooks" {
                continue;
            }
            let receiver = Receiver::ok();
            let name = format!("{dialect}-{is_signed}");
            let hook = hook(&name, receiver.url("/")).dialect(dialect);
            let hook = hook.line("headers = { X-Team = 'web' }");
            hooks.push(if is_signed {
                hook.secret("a plain secret of 24 bytes")
            } else {
                hook
            });
            receivers.push(receiver);
        }
    }
    (hooks, receivers)
}

#[test]
fn each_dialect_sends_one_line_more_and_log_and_journal_have_it() {
    let (hooks, receivers) = of_each_dialect();
    let world = World::new(&[]);
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    world.emit("e", "{}");
    let off: Vec<Received> = receivers
        .iter()
        .map(|r| r.wait(1, SOON).remove(0))
        .collect();
    assert!(!daemon.journal().contains("trace"), "{}", daemon.journal());
    world.configure_with(&on(), &hooks);
    daemon.reload();
    world.emit("e", r#"{"traceparent":"00-1-1-00"}"#);
    let mut traces = HashSet::new();
    for (receiver, off) in receivers.iter().zip(&off) {
        let request = &receiver.wait(2, SOON)[1];
        let [trace, _] = ids(request);
        daemon.wait_journal(&format!("trace_id=\"{trace}\""));
        let mut names = request.names();
        assert!(!off.names().contains(&"traceparent"), "{:?}", off.names());
        let at = names
            .iter()
            .position(|name| *name == "traceparent")
            .unwrap();
        assert_eq!(names[at + 1..], ["X-Team"], "behind what signs");
        names.remove(at);
        assert_eq!(names, off.names(), "all else is what it was");
        let logged = head(request).replace("X-Team: web", "X-Team: [redacted]");
        eventually("the log has the very lines", SOON, || {
            let rows = world.log("SELECT request_headers FROM log");
            check(rows.iter().any(|row| row[0] == logged), || {
                format!("{logged}\n{rows:#?}")
            })
        });
        assert!(traces.insert(trace), "each delivery has its own");
    }
    let told = world.command(&["logs", "-v"]).expect(0).stdout;
    for trace in &traces {
        assert!(
            told.contains(&format!("traceparent: 00-{trace}-")),
            "{told}"
        );
    }
    world.configure_with(SECTION, &hooks);
    daemon.reload();
    world.emit("e", "{}");
    let third = &receivers[0].wait(3, SOON)[2];
    assert_eq!(third.header("traceparent"), None, "a reload takes it away");
    daemon.stop();
}

#[test]
fn a_retry_is_a_span_of_its_trace_and_what_is_made_anew_another_trace() {
    let is_first = AtomicBool::new(true);
    let receiver = Receiver::start(move |_| {
        let status = if is_first.swap(false, Ordering::SeqCst) {
            503
        } else {
            200
        };
        Answer::status(status)
    });
    let hooks = [hook("billing", receiver.url("/"))
        .dialect("standard-webhooks")
        .secret("a plain secret of 24 bytes")];
    let (world, other) = (world(&hooks), world(&hooks));
    let daemon = world.start();
    let event = world.emit("e", "{}").to_string();
    world.wait_number("SELECT count(*) FROM log WHERE outcome = 'retry'", 1, SOON);
    daemon.kill();
    let daemon = world.start_with(&["--journal", "json"]);
    receiver.wait(2, SOON);
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        1,
        SOON,
    );
    let id = world.number("SELECT id FROM delivery").to_string();
    world.command(&["redeliver", &id]).expect(0);
    receiver.wait(3, SOON);
    world.command(&["replay", "--since", "1h"]).expect(0);
    receiver.wait(4, SOON);
    let told = world.command(&["test", "billing"]).expect(0).stdout;
    let all: Vec<[String; 2]> = receiver.wait(5, SOON).iter().map(ids).collect();
    let [first, retry, rest @ ..] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(first[0], retry[0], "a retry, behind a kill");
    let traces: HashSet<&String> = rest.iter().map(|ids| &ids[0]).chain([&first[0]]).collect();
    assert_eq!(traces.len(), 4, "redelivery, replay and test: {all:?}");
    let spans: HashSet<&String> = all.iter().map(|ids| &ids[1]).collect();
    assert_eq!(spans.len(), 5, "{all:?}");
    assert!(
        told.contains(&format!(
            "> traceparent: 00-{}-{}-01",
            rest[2][0], rest[2][1]
        )),
        "{told}"
    );
    daemon.wait_journal(&format!("\"trace_id\":\"{}\"", retry[0]));
    // A receiver's trace leads to its attempts, and by them to the event.
    let sql = format!(
        "SELECT event_id, attempt, outcome FROM log WHERE request_headers LIKE '%traceparent: 00-{}-%' ORDER BY id",
        first[0]
    );
    assert_eq!(
        world.log(&sql),
        [[&*event, "1", "retry"], [&*event, "2", "delivered"]]
    );
    daemon.stop();
    // Another log, whose first delivery has the same number.
    let daemon = other.start();
    other.emit("e", "{}");
    let apart = ids(&receiver.wait(6, SOON)[5]);
    assert!(
        !traces.contains(&apart[0]) && !spans.contains(&apart[1]),
        "{apart:?} {all:?}"
    );
    daemon.stop();
}

#[test]
fn a_batch_has_one_header_by_its_lowest_delivery_and_halves_are_other_spans() {
    let posts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&posts);
    let receiver = Receiver::start(move |request| {
        let is_alone = request.json().as_array().unwrap().len() == 1;
        count.fetch_add(1, Ordering::SeqCst);
        Answer::status(if is_alone { 200 } else { 400 })
    });
    let hooks = [hook("depot", receiver.url("/"))
        .dialect("openboxes-lift")
        .secret("a key for batches")
        .line("batch = {}")
        .line("max_in_flight = 1")];
    let world = world(&hooks);
    for n in 0..4 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    let daemon = world.start();
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        4,
        SOON,
    );
    let requests = receiver.received();
    assert!(requests.len() > 4, "{} were split", requests.len());
    let mut spans = HashSet::new();
    for request in &requests {
        let [trace, span] = ids(request);
        assert!(spans.insert(span), "{requests:#?}");
        let batch = request.header("X-Webhook-Batch").unwrap();
        let sql = format!("SELECT DISTINCT request_headers FROM log WHERE batch = '{batch}'");
        assert_eq!(
            world.log(&sql),
            [[head(request)]],
            "all rows of a POST show it"
        );
        let lowest = format!("SELECT min(delivery_id) FROM log WHERE batch = '{batch}'");
        let lowest = world.number(&lowest);
        let of_lowest = format!(
            "SELECT count(*) FROM log l WHERE request_headers LIKE '%traceparent: 00-{trace}-%'
                AND {lowest} <> (SELECT min(delivery_id) FROM log WHERE batch = l.batch)"
        );
        assert_eq!(
            world.number(&of_lowest),
            0,
            "a trace is of one lowest delivery"
        );
    }
    daemon.stop();
}

/// What differs stands beside the lines that all share: the log grows by it and no more.
#[test]
fn the_lines_that_all_requests_share_are_stored_once() {
    let receiver = Receiver::ok();
    let world = world(&[
        hook("signed", receiver.url("/")).secret("key"),
        hook("plain", receiver.url("/")),
        hook("factory", receiver.url("/")).dialect("bold-factory"),
    ]);
    for n in 0..30 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    let daemon = world.start();
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'delivered'",
        90,
        SOON,
    );
    let whole = "SELECT count(*) FROM attempt WHERE typeof(request_headers) <> 'integer'";
    assert!(world.number(whole) <= 3, "{}", world.number(whole));
    // The two of bold-cms have the same lines.
    let texts = "SELECT count(*) FROM text WHERE text LIKE '%User-Agent%'";
    assert_eq!(world.number(texts), 2);
    let distinct = "SELECT count(DISTINCT request_headers) FROM log WHERE request_headers GLOB '*traceparent: 00-*-01*'";
    assert_eq!(world.number(distinct), 90);
    daemon.stop();
}
