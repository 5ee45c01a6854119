//! Endpoints that do their worst: each costs one logged attempt with a clear error, in bounded time
//! and bounded memory, and a healthy endpoint beside them is served all the while.
//!
//! Each webhook gives up after one attempt, so that what is in the log is what one POST met. Many
//! peers share a daemon (`trial.rs`), so that the time-outs of 3 s run beside each other. What an
//! endpoint's answers mean for the schedule of retries is not tried here.

mod bodies;
mod heads;
mod kept;
mod names;
mod peer;
mod requests;
mod tls;
mod trial;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Answer, Receiver, SOON, World, bound_port, hook};

#[test]
fn a_refused_connection_says_so() {
    let (_refusing, port) = bound_port();
    let url = format!("http://127.0.0.1:{port}/");
    let world = World::new(&[hook("refused", url).one_attempt()]);
    let _daemon = world.start();
    world.emit("e", "{}");
    let row = &world.attempts("outcome, status, class, error", 1, SOON)[0];
    assert_eq!(row[..3], ["failed", "NULL", "refused"]);
    assert_eq!(row[3], format!("connection refused by 127.0.0.1:{port}"));
}

/// A hostile answer costs one try of the schedule, no more, and none of the healthy one's.
#[test]
fn in_every_dialect_a_hostile_answer_costs_one_try() {
    let endless = Answer::Endless(
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"X-Filler: x\r\n".repeat(99),
    );
    let torn = Answer::Last(b"HTTP/1.1 20".to_vec());
    let mut receivers = Vec::new();
    let mut hooks = Vec::new();
    for dialect in ["bold-cms", "bold-factory", "openboxes-lift"] {
        for (name, answer) in [("endless", &endless), ("torn", &torn)] {
            let answer = answer.clone();
            let receiver = Receiver::start(move |_| answer.clone());
            let name = format!("{dialect}-{name}");
            hooks.push(hook(&name, receiver.url("/")).dialect(dialect));
            receivers.push(receiver);
        }
    }
    let world = World::new(&hooks);
    let _daemon = world.start();
    world.emit("e", "{}");
    for row in world.attempts("webhook, outcome, attempt, class", hooks.len(), SOON) {
        let class = if row[0].ends_with("torn") {
            "closed"
        } else {
            "protocol"
        };
        assert_eq!(row[1..], ["retry", "1", class], "{row:?}");
    }
    let sql = "SELECT count(*) FROM delivery WHERE state = 'pending' AND attempts = 1";
    assert_eq!(world.number(sql), 6);
}

#[test]
fn a_gzip_answer_is_decoded_in_the_log() {
    let text = "Danke schön".repeat(40);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let answer = Answer::with_body(200, "Content-Encoding: gzip\r\n", &packed);
    let receiver = Receiver::start(move |_| answer.clone());
    let world = World::new(&[hook("packed", receiver.url("/")).one_attempt()]);
    let _daemon = world.start();
    world.emit("e", "{}");
    let columns = "outcome, CAST(response_body AS TEXT), response_headers";
    let row = &world.attempts(columns, 1, SOON)[0];
    assert_eq!(row[..2], ["delivered", &text]);
    assert!(row[2].contains("content-encoding: gzip"), "{row:?}");
}
