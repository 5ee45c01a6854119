//! The block of the manual about `in_order`: `check` takes it, and it does what is said below it.

use super::one;
use crate::socket::SECTION;
use crate::support::{Answer, Receiver, SOON, World, hook};

#[test]
fn the_order_is_what_it_says() {
    let block = one("One at a time: `in_order`", "toml");
    assert!(block.contains("events = [\"stockMovement.*\"]"), "{block}");
    let (_, keys) = block.split_once("in_order").unwrap();
    let receiver = Receiver::start(|request| {
        let refused = request.text().contains("refused");
        Answer::status(if refused { 500 } else { 200 })
    });
    let depot = hook("depot", receiver.url("/"))
        .dialect("bold-factory")
        .line("max_attempts = 1")
        .line(format!("in_order{keys}"));
    let world = World::new(&[]);
    world.configure_with(SECTION, &[depot]);
    world.command(&["check"]).expect(0);
    let _daemon = world.start();
    world.emit("e", "{\"identifier\":\"a\",\"refused\":1}");
    world.wait_number("SELECT count(*) FROM failed", 1, SOON);
    world.emit("e", "{\"identifier\":\"a\"}");
    world.emit("e", "{\"identifier\":\"b\"}");
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(delivered, 1, SOON);
    assert_eq!(world.number("SELECT event_id FROM held"), 2);
    world.command(&["cancel", "1"]).expect(0);
    world.wait_number(delivered, 2, SOON);
}
