//! `allow_addresses` and `deny_addresses`: what is connected to is what was judged, whatever it is called.
//!
//! Spellings that only a resolver knows (`127.1`) are refused in a URL. How addresses are written into others is held beside the code (`src/model/network.rs`).

use crate::support::{Receiver, SOON, World, hook};

fn delivery(lines: &str) -> String {
    format!("[delivery]\n{lines}")
}

/// The class and the words of all failures, and where they were connected to.
fn failures(world: &World) -> Vec<Vec<String>> {
    world.log("SELECT DISTINCT class, error, peer IS NULL FROM log WHERE outcome <> 'delivered' ORDER BY 2")
}

#[test]
fn a_denied_address_is_not_connected_to_in_any_spelling() {
    let receiver = Receiver::ok();
    let port = receiver.port();
    let world = World::new(&[]);
    let hosts = [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::]",
        "[::ffff:0.0.0.0]",
    ];
    let names: Vec<String> = (0..hosts.len()).map(|n| format!("w{n}")).collect();
    let hooks: Vec<_> = names
        .iter()
        .zip(hosts)
        .map(|(name, host)| hook(name, format!("http://{host}:{port}")))
        .collect();
    world.configure_with(
        &delivery("deny_addresses = [\"127.0.0.0/8\", \"::1\"]"),
        &hooks,
    );
    let daemon = world.start();
    world.emit("e", "{}");
    let refused = "SELECT count(DISTINCT webhook) FROM log WHERE class = 'address'";
    world.wait_number(refused, i64::try_from(hosts.len()).unwrap(), SOON);
    assert_eq!(receiver.count(), 0);
    for row in failures(&world) {
        assert!(row[1].contains("denied by deny_addresses"), "{row:?}");
        assert_eq!(row[2], "1", "nothing was connected to");
    }

    // Without the rule that it was, the same URL is delivered to.
    world.configure_with("", &hooks[..1]);
    daemon.reload();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_rule_that_a_reload_brings_holds_for_kept_connections_too() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let hooks = [hook("w", receiver.url("/")).line("keep_alive = true")];
    world.configure_with("", &hooks);
    let daemon = world.start();
    world.emit("e", "{\"n\":1}");
    receiver.wait(1, SOON);
    let here = delivery("allow_addresses = [\"127.0.0.0/8\"]\ndeny_addresses = [\"127.0.0.9\"]");
    world.configure_with(&here, &hooks);
    daemon.reload();
    world.emit("e", "{\"n\":2}");
    receiver.wait(2, SOON);
    let elsewhere = delivery("allow_addresses = [\"192.0.2.0/24\"]");
    world.configure_with(&elsewhere, &hooks);
    daemon.reload();
    world.emit("e", "{\"n\":3}");
    world.wait_number("SELECT count(*) FROM log WHERE class = 'address'", 1, SOON);
    assert_eq!(receiver.count(), 2);
    let words = "127.0.0.1 is in none of allow_addresses of [delivery]";
    assert_eq!(failures(&world), [["address", words, "1"]]);
    let journal = daemon.journal();
    assert!(
        journal.contains(
            "127.0.0.1 is in none of allow_addresses of [delivery]: every attempt will fail"
        ),
        "{journal}"
    );
    daemon.stop();
}
