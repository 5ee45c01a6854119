//! The blocks of the manual about an outbox and a log in PostgreSQL, run against Debian's.

use std::path::Path;
use std::process::Command;

use super::page::{one, top, under};
use super::shell;
use crate::support::{Receiver, SOON, World, check, eventually, hook, need, postgres};

pub(super) const TITLE: &str = "The outbox in PostgreSQL";
pub(super) const SHARED: &str = "Beyond one machine";
pub(super) const UNIT: &str = "The unit";
pub(super) const LOG: &str = "The log in PostgreSQL";

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

#[test]
fn a_log_in_postgresql_is_made_and_read_as_the_page_says() {
    if !need("psql") {
        return;
    }
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    configure(&world, &one(LOG, "toml"), &database.url());
    world.command(&["migrate"]).expect(0);
    world.command(&["check"]).expect(0);
    let daemon = world.start();
    database.emit("story-approve", "{\"story\":4711}");
    receiver.wait(1, SOON);
    let recipe = one(LOG, "sql");
    eventually("the recipe shows it", SOON, || {
        let shown = database.sql(&recipe);
        let is_there = shown.contains("story-approve") && shown.contains("delivered");
        check(is_there, || shown.clone())
    });
    daemon.stop();
    assert!(!world.path("log.db").exists(), "there is no file");
}

/// The sections of a page in the place of those that a folder has, with the URL of a server that is there.
fn configure(world: &World, sections: &str, url: &str) {
    let sections = sections.replace("postgres://webhooksd@db.example/app", url);
    let (outbox, log) = sections.split_once("\n\n").unwrap();
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let text = text.replacen("[outbox]\npath = \"outbox.db\"", outbox, 1);
    let text = text.replacen("[log]\npath = \"log.db\"\n", log, 1);
    world.write("webhooks.toml", text);
}

#[test]
fn two_daemons_share_a_server_as_the_first_page_says() {
    // `postgres::demo` runs the first of them.
    let commands = ["webhooksd demo --postgres\n", "webhooksd run\n"];
    assert_eq!(under(SHARED, "sh"), commands);
    let Some(server) = postgres() else { return };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = World::bare(&[hook("one", receiver.url("/"))]);
    configure(&world, &one(SHARED, "toml"), &database.url());
    let (one, two) = (world.start(), world.start());
    database.emit("e", "{}");
    receiver.wait(1, SOON);
    one.stop();
    database.emit("e", "{}");
    receiver.wait(2, SOON);
    two.stop();
}

/// What a systemd before 260 says of a word that the units have.
const LATER: &str = "RefreshOnReload";

#[test]
fn the_unit_with_the_pages_drop_in_is_one() {
    if !need("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["webhooksd.service", "webhooksd.socket"] {
        let text = std::fs::read_to_string(top(&format!("packaging/units/{name}"))).unwrap();
        let text = text.replace("/usr/bin/webhooksd", env!("CARGO_BIN_EXE_webhooksd"));
        std::fs::write(at(name), text).unwrap();
    }
    std::fs::create_dir(at("webhooksd.service.d")).unwrap();
    std::fs::write(at("webhooksd.service.d/override.conf"), one(UNIT, "ini")).unwrap();
    let verify = || {
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "./webhooksd.service"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(verified.stderr).unwrap();
        let is_ours = |line: &&str| line.contains("webhooksd") && !line.contains(LATER);
        said.lines().find(is_ours).map(str::to_owned)
    };
    assert_eq!(verify(), None);
    // It is read.
    let wrong = one(UNIT, "ini").replace("StateDirectory=", "StateDirectory=/no");
    std::fs::write(at("webhooksd.service.d/override.conf"), wrong).unwrap();
    assert!(verify().is_some());
}

/// As under that unit: another user, who may write to the socket's folder and to nothing else.
#[test]
fn a_node_writes_nothing_beside_its_socket() {
    const USER: u32 = 471_104;
    let Some(server) = postgres() else { return };
    if !rustix::process::geteuid().is_root() || !need("setpriv") {
        println!("SKIPPED: only root can try the rights of other users");
        return;
    }
    let rights = |path: &Path, mode| {
        let rights = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, rights).unwrap();
    };
    let database = server.database();
    rights(Path::new(&server.host()), 0o711);
    let receiver = Receiver::ok();
    let more = "[socket]\npath = \"run/s.sock\"\n";
    let world = crate::postgres::logging(&database, more, &[hook("one", receiver.url("/"))]);
    std::fs::create_dir(world.path("run")).unwrap();
    std::os::unix::fs::chown(world.path("run"), Some(USER), Some(USER)).unwrap();
    rights(world.folder(), 0o555);
    let user = format!("--reuid={USER}");
    let user = ["setpriv", &user, "--regid=471104", "--clear-groups"];
    if world.command_behind(&user, &["--version"], &[]).code != Some(0) {
        println!("SKIPPED: other users can't run the program where it was built");
        return;
    }
    let mut daemon = world.spawn_behind(&user, &[], &[]);
    daemon.wait_ready();
    database.emit("e", "{}");
    receiver.wait(1, SOON);
    let mut there: Vec<_> = std::fs::read_dir(world.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("journal"))
        .collect();
    there.sort();
    assert_eq!(there, ["run", "webhooks.toml"]);
    assert!(!daemon.journal().contains("WARN"), "{}", daemon.journal());
    daemon.stop();
}
