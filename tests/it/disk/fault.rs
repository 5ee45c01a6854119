//! A disk that a test fills, breaks and mends while the daemon runs, by `tests/it/shim/diskfull.c`.
//!
//! And what all of these tests ask: how the daemon says that it is not well, and whether everything
//! came to the receiver and into the log exactly once in the end.

use std::time::Duration;

use crate::socket::client::curl;
use crate::support::{Daemon, Receiver, SOON, World, check, eventually, insert, shim};

/// Long enough for complaints, which come after 5 s, and for the retries to have become slow.
const SHORT: Duration = Duration::from_secs(7);

/// How long a trouble lasts here.
pub(super) fn long() -> Duration {
    let seconds = std::env::var("WEBHOOKSD_DISK_LONG").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    seconds.map_or(SHORT, Duration::from_secs)
}

/// Sets what is wrong with the disk: lines such as `full log.db`; nothing mends it.
pub(super) fn set(world: &World, faults: &str) {
    // Renamed, so that the program never reads half of it.
    world.write("disk.new", faults);
    std::fs::rename(world.path("disk.new"), world.path("disk")).unwrap();
}

/// Starts the daemon on that disk and does not wait.
pub(super) fn spawn(world: &World) -> Daemon {
    let (library, file) = (shim("diskfull"), world.path("disk"));
    world.spawn_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_DISK", file.as_os_str()),
    ])
}

/// Starts the daemon on a disk that is well.
#[track_caller]
pub(super) fn start(world: &World) -> Daemon {
    set(world, "");
    let (library, file) = (shim("diskfull"), world.path("disk"));
    world.start_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_DISK", file.as_os_str()),
    ])
}

/// Commits events in one transaction, numbered and with that much text beside the number.
pub(super) fn emit(world: &World, numbers: std::ops::RangeInclusive<i64>, bytes: usize) {
    let outbox = world.outbox();
    let transaction = outbox.unchecked_transaction().unwrap();
    let text = "x".repeat(bytes);
    for n in numbers {
        insert(
            &transaction,
            "e",
            &format!("{{\"n\":{n},\"x\":\"{text}\"}}"),
        );
    }
    transaction.commit().unwrap();
}

/// Waits until health, the command `status` and the metrics all say that something is wrong, in
/// those words.
#[track_caller]
pub(super) fn not_well(world: &World, words: &str) {
    eventually(&format!("health says {words:?}"), SOON, || {
        let health = curl(world, "/health", &[]);
        let says = health.status == 503 && health.body.contains(words);
        check(says, || format!("{health:?}"))
    });
    let status = world.command(&["status"]).expect(0).stdout;
    assert!(
        status.contains("NOT WELL") && status.contains(words),
        "{status}"
    );
    world.command(&["status", "--check"]).expect(1);
    let metrics = curl(world, "/metrics", &[]).expect(200).body;
    assert!(metrics.contains("webhooksd_healthy 0\n"), "{metrics}");
}

/// Waits until health says that all is well.
#[track_caller]
pub(super) fn well(world: &World) {
    eventually("health is well", SOON, || {
        let health = curl(world, "/health", &[]);
        check(health.status == 200, || format!("{health:?}"))
    });
}

/// Waits until `count` events are delivered, and holds that each was sent once, is in the log once,
/// and was delivered at its first try.
#[track_caller]
pub(super) fn each_once(world: &World, receiver: &Receiver, count: i64) {
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, count, Duration::from_secs(60));
    let mut numbers: Vec<i64> = receiver
        .received()
        .iter()
        .map(|request| request.n())
        .collect();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (1..=count).collect::<Vec<_>>(),
        "each was sent once"
    );
    assert_eq!(world.number("SELECT count(*) FROM delivery"), count);
    assert_eq!(world.number("SELECT count(*) FROM attempt"), count);
    assert_eq!(world.number("SELECT max(attempts) FROM delivery"), 1);
    intact(world);
}

/// Holds that neither database was harmed.
#[track_caller]
pub(super) fn intact(world: &World) {
    assert_eq!(world.log("PRAGMA integrity_check"), [["ok"]]);
    let outbox = world.outbox();
    let answer: String = outbox
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(answer, "ok");
}
