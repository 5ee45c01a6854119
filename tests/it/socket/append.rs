//! The thread that appends what comes over the socket: the daemon owns it, and ends where it can't go on.

use super::client::{lines, post};
use super::world;
use crate::support::{Receiver, SOON};

/// What the daemon is told, to panic in the thread.
fn panicking(point: &str) -> [(&str, &std::ffi::OsStr); 3] {
    [
        ("WEBHOOKSD_CRASH", point.as_ref()),
        ("WEBHOOKSD_CRASH_BY", "panic".as_ref()),
        ("RUST_BACKTRACE", "0".as_ref()),
    ]
}

#[test]
fn a_panic_of_the_thread_that_appends_ends_the_daemon_and_the_next_one_takes_events_again() {
    let receiver = Receiver::ok();
    let world = world(&receiver.url("/"));
    let mut daemon = world.spawn_in(&panicking("append: before the commit"));
    daemon.wait_ready();
    let body = r#"{"event":"a","data":{}}"#;
    let reply = post(&world, "/events", body).expect(503);
    assert!(
        reply.body.contains("the daemon is stopping"),
        "{}",
        reply.body
    );
    assert_eq!(daemon.wait(SOON), Some(1));
    let journal = daemon.journal();
    assert!(
        journal.contains("a part of the pipeline panicked; its line is above"),
        "{journal}"
    );
    let _daemon = world.start();
    post(&world, "/events", body).expect(202);
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
}

#[test]
fn a_writer_of_lines_is_told_of_the_panic_and_not_that_others_wait() {
    let world = world(&Receiver::ok().url("/"));
    let mut daemon = world.spawn_in(&panicking("append: before the answer"));
    daemon.wait_ready();
    let answers = lines(&world, "{\"event\":\"a\",\"data\":1}\n");
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("the daemon is stopping"), "{answers:?}");
    assert_eq!(daemon.wait(SOON), Some(1));
    // It was durable all the same: an answer is a promise, none is not its contrary.
    let _daemon = world.start();
    world.wait_number("SELECT count(*) FROM log", 1, SOON);
}
