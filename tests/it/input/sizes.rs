//! Rows by the hundred megabytes: lengths are looked at first, and what is not sent is not loaded.

use std::time::Duration;

use super::{harmless, lax_outbox};
use crate::support::{Received, Receiver, SOON, World, hook};

const LARGE_BYTES: i64 = 100 << 20;

/// What is allowed where large rows are sent: what a slow machine sends within the 3 s it has.
const ALLOWED_BYTES: i64 = 12 << 20;

/// What a daemon needs that sends small events, in a debug build.
const SMALL_KIB: u64 = 48 << 10;

#[test]
fn rows_that_are_too_large_are_never_in_memory() {
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    let outbox = lax_outbox(&world);
    let daemon = world.start();
    for values in [
        "'e', printf('\"%.*c\"', ?1, 'x'), 1, NULL",
        "'e', zeroblob(?1), 1, NULL",
        "printf('%.*c', ?1, 'x'), '{}', 1, NULL",
        "'e', '{}', printf('%.*c', ?1, '1'), NULL",
        "'e', '{}', 1, printf('%.*c', ?1, 't')",
    ] {
        let sql = format!("INSERT INTO outbox (event, data, time, tenant) VALUES ({values})");
        outbox.execute(&sql, [LARGE_BYTES]).unwrap();
        let behind = "INSERT INTO outbox (event, data, time) VALUES ('behind', '{\"n\":1}', 1)";
        outbox.execute(behind, []).unwrap();
    }
    receiver.wait(5, SOON);
    // A request goes out before the log has what was taken in with it.
    world.wait_number("SELECT count(*) FROM rejected", 5, SOON);
    let rejected = world.log("SELECT event_id, event, reason FROM rejected ORDER BY event_id");
    println!("{rejected:?}");
    assert_eq!(rejected.len(), 5);
    for (at, row) in rejected.iter().enumerate() {
        assert_eq!(row[0], (2 * at + 1).to_string());
        let words = row[1..].concat();
        assert!(words.len() < 400, "{words}");
        harmless(&words);
    }
    for (row, word) in rejected.iter().zip([
        "max_data_bytes",
        "max_data_bytes",
        "bytes long",
        "time",
        "bytes long",
    ]) {
        assert!(row[2].contains(word), "{row:?}");
    }
    let peak = daemon.memory_kib("VmHWM");
    println!("peak {peak} KiB");
    assert!(peak < SMALL_KIB, "{peak} KiB");
    daemon.stop();
}

#[test]
fn large_rows_are_delivered_in_memory_that_is_bounded_by_their_size() {
    const ROWS: usize = 8;
    let receiver = Receiver::ok();
    let hooks = [
        hook("one", receiver.url("/")),
        hook("two", receiver.url("/")).dialect("bold-factory"),
    ];
    let world = World::bare(&hooks);
    world.configure_with(&format!("max_data_bytes = {ALLOWED_BYTES}"), &hooks);
    let outbox = lax_outbox(&world);
    let daemon = world.start();
    let sql = "INSERT INTO outbox (event, data, time) VALUES ('e', printf('\"%.*c\"', ?1, 'x'), 1)";
    for _ in 0..ROWS {
        outbox.execute(sql, [ALLOWED_BYTES - 2]).unwrap();
    }
    outbox.execute(sql, [ALLOWED_BYTES - 1]).unwrap();
    outbox.execute(sql, [5]).unwrap();
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    let count = i64::try_from(2 * ROWS + 2).unwrap();
    world.wait_number(delivered, count, Duration::from_secs(60));
    let peak = daemon.memory_kib("VmHWM");
    println!(
        "{ROWS} rows of {} MiB, peak {} MiB",
        ALLOWED_BYTES >> 20,
        peak >> 10
    );
    assert_eq!(world.number("SELECT count(*) FROM rejected"), 1);
    let large = |request: &Received| i64::try_from(request.body.len()).unwrap() > ALLOWED_BYTES;
    let large = receiver.received().iter().filter(|r| large(r)).count();
    assert!(large >= 2 * ROWS, "{large}");
    assert!(peak < 240 << 10, "{peak} KiB");
    daemon.stop();
}
