//! The page as a browser sees it, by plain requests: who is let in, what is shown, and that nothing which others
//! wrote is obeyed.

mod acts;
pub(crate) mod browser;
mod chromium;
mod copies;
mod delivered;
mod door;
mod driver;
mod hostile;
mod large;
mod live;
mod many;
mod new;
mod nodes;
mod search;
mod served;
mod shown;
mod silent;

use browser::Browser;

use crate::support::{Answer, Daemon, Receiver, SOON, World, hook};

/// A daemon with a webhook `good` whose deliveries arrive and one `bad` that answers 500 once and gives up, both of
/// which had the event 1.
fn one_of_each() -> (World, Daemon, [Receiver; 2]) {
    one_with(crate::socket::SECTION, |_| {})
}

/// The same, with other sections, in a folder that was prepared.
fn one_with(sections: &str, prepare: impl FnOnce(&World)) -> (World, Daemon, [Receiver; 2]) {
    let good = Receiver::ok();
    let bad = Receiver::start(|_| Answer::status(500));
    let world = World::new(&[]);
    world.configure_with(
        sections,
        &[
            hook("good", good.url("/in")).secret("key"),
            hook("bad", bad.url("/in")).one_attempt().secret("key"),
        ],
    );
    prepare(&world);
    let daemon = world.start();
    world.emit("story-approve", r#"{"id":7,"price":2.50}"#);
    world.wait_number("SELECT count(*) FROM log", 2, SOON);
    (world, daemon, [good, bad])
}

/// The id of the delivery to a webhook.
fn delivery(world: &World, webhook: &str) -> i64 {
    world.number(&format!(
        "SELECT max(delivery_id) FROM log WHERE webhook = '{webhook}'"
    ))
}
