//! An outbox in PostgreSQL: what only that engine can do, with the real server.
//!
//! What holds of both engines is in `contract.rs`.

mod away;
mod doorbell;
mod failover;
mod pooled;
mod refused;
mod secured;
mod told;
mod writers;

use crate::support::{Database, Hook, World};

/// A folder with a daemon that follows a database.
fn following(database: &Database, hooks: &[Hook]) -> World {
    following_by(&database.url(), "", hooks)
}

/// The same by another URL, with more lines of `[outbox]`.
fn following_by(url: &str, more: &str, hooks: &[Hook]) -> World {
    let world = World::bare(hooks);
    world.configure_with(more, hooks);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let url = format!("url = {url:?}");
    world.write(
        "webhooks.toml",
        text.replacen("path = \"outbox.db\"", &url, 1),
    );
    world
}
