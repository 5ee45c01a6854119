//! The block of the manual about `batch`: `check` takes it, and it is what the daemon does by default.

use super::one;
use crate::support::{Receiver, SOON, World, hook, insert};

#[test]
fn the_batch_is_what_it_says() {
    let block = one("Several events in one POST: `batch`", "toml");
    let (_, rule) = block.split_once("batch = ").unwrap();
    let receiver = Receiver::ok();
    let depot = |rule: &str| {
        hook("depot", receiver.url("/"))
            .dialect("openboxes-lift")
            .line(format!("batch = {rule}"))
    };
    let world = World::new(&[depot(rule)]);
    let shown = |text: &str| block.contains(text);
    assert!(shown("dialect = \"openboxes-lift\"") && shown("events = [\"stockMovement.*\"]"));
    world.command(&["check"]).expect(0);
    let mut outbox = world.outbox();
    let t = outbox.transaction().unwrap();
    for n in 0..150 {
        insert(&t, "e", &format!("{{\"n\":{n}}}"));
    }
    t.commit().unwrap();
    let _daemon = world.start();
    let sql = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    world.wait_number(sql, 150, SOON);
    let sizes = receiver.received();
    let most = sizes.iter().map(|r| r.json().as_array().unwrap().len());
    assert_eq!(most.max(), Some(100));
}
