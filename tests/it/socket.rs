//! The socket as its clients see it: events in by HTTP and by lines, orders, the file, crowds.
//!
//! Requests are such as curl makes where an answer is looked at, and plain sockets where many are made
//! or rules are broken; curl itself is tried once. The daemon is the real one.

mod append;
pub(crate) mod client;
mod crowd;
mod foreign;
pub(crate) mod http;
mod intake;
mod listener;
mod orders;
mod rate;
mod replay;

use crate::support::{Daemon, World, hook};

/// A world with a socket, and a webhook `w` that takes every event to `url`.
pub(crate) fn world(url: &str) -> World {
    let world = World::new(&[hook("w", url)]);
    world.configure_with(SECTION, &[hook("w", url)]);
    world
}

/// The section that gives the socket a short path.
pub(crate) const SECTION: &str = "\n[socket]\npath = \"s.sock\"";

/// The same, started.
pub(crate) fn started(url: &str) -> (World, Daemon) {
    let world = world(url);
    let daemon = world.start();
    (world, daemon)
}
