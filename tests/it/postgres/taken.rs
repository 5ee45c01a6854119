//! `webhooksd migrate`: the log of a machine goes on in PostgreSQL, and nothing of it twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::following;
use crate::support::{Answer, Receiver, SOON, World, check, eventually, hook, postgres};

/// Has the log be in the outbox's database from now on.
fn move_log(world: &World, url: &str) {
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let url = format!("url = {url:?}");
    world.write("webhooks.toml", text.replacen("path = \"log.db\"", &url, 1));
}

#[test]
fn what_was_pending_on_a_machine_is_sent_by_who_took_its_log_over() {
    let Some(server) = postgres() else { return };
    let database = server.database();
    let is_down = Arc::new(AtomicBool::new(true));
    let asked = is_down.clone();
    let down = Receiver::start(move |_| {
        let is_down = asked.load(Ordering::Relaxed);
        Answer::status(if is_down { 500 } else { 200 })
    });
    let up = Receiver::ok();
    let hooks = [hook("up", up.url("/")), hook("down", down.url("/"))];
    let world = following(&database, &hooks);
    let refused = world.command(&["migrate"]).expect(2).stderr;
    assert!(refused.contains("in SQLite"), "{refused}");
    let from = world.path("log.db").display().to_string();
    let daemon = world.start();
    for n in 0..3 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    up.wait(3, SOON);
    down.wait(3, SOON);
    move_log(&world, &database.url());
    let held = world
        .command(&["migrate", "--from", &from])
        .expect(1)
        .stderr;
    assert!(held.contains("log.db"), "another process has it: {held}");
    daemon.stop();

    let gone = world
        .command(&["migrate", "--from", "none.db"])
        .expect(2)
        .stderr;
    assert!(gone.contains("no log at none.db"), "{gone}");
    let ready = world.command(&["migrate"]).expect(0).stdout;
    assert!(ready.contains("is ready"), "{ready}");
    let taken = world
        .command(&["migrate", "--from", &from])
        .expect(0)
        .stdout;
    assert!(
        taken.contains(" 3 pending deliveries and 6 attempts of"),
        "{taken}"
    );
    let twice = world
        .command(&["migrate", "--from", &from])
        .expect(2)
        .stderr;
    assert!(
        twice.contains("is not empty") && twice.contains("hint: "),
        "{twice}"
    );

    // What failed there is tried again by who goes on, and what was delivered is not sent again.
    is_down.store(false, Ordering::Relaxed);
    database.sql("UPDATE webhooksd.pending SET due_at = 1");
    let daemon = world.start();
    database.emit("e", "{\"n\":3}");
    up.wait(4, SOON);
    down.wait(7, SOON);
    let delivered =
        || database.sql("SELECT count(*) FROM webhooksd.log WHERE outcome = 'delivered'");
    eventually("all is in the log", SOON, || {
        check(delivered() == "8", delivered)
    });
    daemon.stop();
    assert_eq!((up.count(), down.count()), (4, 7));
}
