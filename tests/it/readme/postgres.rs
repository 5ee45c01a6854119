//! The blocks of the manual about an outbox in PostgreSQL, run against Debian's.

use super::page::one;
use super::shell;
use crate::support::{Receiver, SOON, World, hook, need, postgres};

pub(super) const TITLE: &str = "The outbox in PostgreSQL";

#[test]
fn an_outbox_in_postgresql_is_made_and_followed_as_the_page_says() {
    if !need("psql") {
        return;
    }
    let Some(server) = postgres() else { return };
    server.psql("postgres", "CREATE ROLE webhooksd LOGIN");
    server.psql("postgres", "CREATE DATABASE app");
    let app = server.named("app");
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    // The page's commands find the server as an administrator's do.
    let host = server.host();
    let script = format!("export PGHOST={host} PGUSER=postgres\n{}", one(TITLE, "sh"));
    shell(world.folder(), &script);
    let section = one(TITLE, "toml");
    let section = section.replace(
        "postgres://webhooksd@db.example/app",
        &app.url_as("webhooksd"),
    );
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let text = text.replacen("[outbox]\npath = \"outbox.db\"\n", &section, 1);
    world.write("webhooks.toml", text);
    world.write("db.password", "unused, as this server trusts its socket");
    let checked = world.command(&["check"]).expect(0);
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
    let daemon = world.start();
    app.sql(&one(TITLE, "sql"));
    assert!(receiver.wait(1, SOON)[0].text().contains("4711"));
    daemon.stop();
}
