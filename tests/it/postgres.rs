//! An outbox in PostgreSQL: what only that engine can do, with the real server.
//!
//! What holds of both engines is in `contract.rs`.

mod adding;
mod again;
mod away;
mod blocked;
mod clocks;
mod days;
mod demo;
mod differing;
mod doorbell;
mod failover;
mod faults;
mod full;
mod logged;
mod nodes;
mod past;
mod pooled;
mod refused;
mod rights;
mod secured;
mod shown;
mod taken;
mod told;
mod withheld;
mod writers;

use crate::support::{Database, Hook, World};

/// A folder with a daemon that follows a database.
fn following(database: &Database, hooks: &[Hook]) -> World {
    following_by(&database.url(), "", hooks)
}

/// A folder with a daemon whose log is in the database too.
pub(crate) fn logging(database: &Database, more: &str, hooks: &[Hook]) -> World {
    logging_by(&database.url(), more, hooks)
}

/// The same by another URL.
fn logging_by(url: &str, more: &str, hooks: &[Hook]) -> World {
    let world = following_by(url, "", hooks);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let text = text.replacen("[log]\npath = \"log.db\"\n", more, 1);
    world.write("webhooks.toml", text);
    world
}

/// The same with outbox and log apart, each by its URL.
fn logging_apart((outbox, log): (&str, &str), more: &str, hooks: &[Hook]) -> World {
    let world = following_by(outbox, "", hooks);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let section = format!("[log]\nurl = {log:?}\n{more}\n");
    let text = text.replacen("[log]\npath = \"log.db\"\n", &section, 1);
    world.write("webhooks.toml", text);
    world
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
