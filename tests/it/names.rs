//! One database, one name, one daemon: hard links, files mounted alone, and a second daemon.

use std::process::Command;

use serde_json::Value;

use crate::support::{Receiver, SOON, World, check, eventually, hook};

/// Holds that `check` and `run` refuse, and returns their words.
#[track_caller]
fn refused(world: &World) -> String {
    let checked = world.command(&["check"]).expect(2).stderr;
    let mut daemon = world.spawn(&[]);
    let code = daemon.wait(SOON);
    let words = format!("{checked}{}", daemon.journal());
    assert_eq!(code, Some(2), "{words}");
    words
}

#[test]
fn a_hard_link_of_outbox_or_log_is_refused_with_the_way_out() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    world.start().stop();
    for name in ["outbox.db", "log.db"] {
        let other = world.path("other.db");
        std::fs::hard_link(world.path(name), &other).unwrap();
        let words = refused(&world);
        assert_eq!(words.matches("hard links").count(), 2, "{words}");
        assert!(
            words.contains(name) && words.contains("-samefile"),
            "{words}"
        );
        std::fs::remove_file(other).unwrap();
    }
    let daemon = world.start();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_symbolic_link_is_no_other_name() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    std::fs::create_dir(world.path("app")).unwrap();
    std::fs::rename(world.path("outbox.db"), world.path("app/app.db")).unwrap();
    std::os::unix::fs::symlink("app/app.db", world.path("outbox.db")).unwrap();
    let app = rusqlite::Connection::open(world.path("app/app.db")).unwrap();
    world.command(&["check"]).expect(0);
    let daemon = world.start();
    crate::support::insert(&app, "e", "{}");
    receiver.wait(1, SOON);
    assert!(world.path("app/app.db-wal").exists() && !world.path("outbox.db-wal").exists());
    daemon.stop();
}

#[test]
fn a_link_that_is_made_while_running_is_told_and_events_flow() {
    let receiver = Receiver::ok();
    let world = crate::socket::world(&receiver.url("/"));
    let daemon = world.start();
    let complaints = || {
        let status = world.command(&["status", "--json"]).expect(0).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["daemon"]["complaints"].to_string()
    };
    let other = world.path("other.db");
    std::fs::hard_link(world.path("outbox.db"), &other).unwrap();
    eventually("the link is told", SOON, || {
        let seen = complaints();
        check(seen.contains("hard links"), || seen.clone())
    });
    daemon.wait_journal("hard links");
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    std::fs::remove_file(other).unwrap();
    eventually("it is no longer told", SOON, || {
        let seen = complaints();
        check(seen == "[]", || seen.clone())
    });
    daemon.stop();
}

/// Mounts the folder or the file alone, and says in which mode the words after it ended.
const MOUNT: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

#[test]
fn a_file_that_is_mounted_alone_is_refused_and_its_folder_is_not() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    std::fs::create_dir(world.path("app")).unwrap();
    std::fs::create_dir(world.path("data")).unwrap();
    std::fs::rename(world.path("outbox.db"), world.path("app/app.db")).unwrap();
    let config = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", config.replace("outbox.db", "data/app.db"));
    let unshare = ["-Urm", "-m"].into_iter().find(|how| {
        let mut command = Command::new("unshare");
        command.args([how, "sh", "-c", MOUNT, "sh"]);
        command
            .args([world.path("app"), world.path("data")])
            .arg("true");
        command.output().is_ok_and(|output| output.status.success())
    });
    let Some(unshare) = unshare else {
        println!("SKIPPED: nothing can be mounted here (unshare -Urm)");
        return;
    };
    let run = |from: &str, to: &str| {
        let (from, to) = (world.path(from), world.path(to));
        let paths = [from.to_str().unwrap(), to.to_str().unwrap()];
        let behind = [
            &["unshare", unshare, "sh", "-c", MOUNT, "sh"][..],
            &paths[..],
        ]
        .concat();
        let checked = world.command_behind(&behind, &["check"], &[]);
        (checked, world.spawn_behind(&behind, &[], &[]))
    };
    let (checked, mut daemon) = run("app", "data");
    checked.expect(0);
    daemon.wait_ready();
    let app = rusqlite::Connection::open(world.path("app/app.db")).unwrap();
    crate::support::insert(&app, "e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
    world.write("data/app.db", "");
    let (checked, mut daemon) = run("app/app.db", "data/app.db");
    let words = checked.expect(2).stderr;
    assert!(words.contains("mounted as a single file"), "{words}");
    assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
    daemon.wait_journal("mount the folder");
}

#[test]
fn a_second_daemon_with_a_log_of_its_own_on_the_same_outbox_is_refused_by_the_firsts_pid() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let second = World::bare(&[hook("one", receiver.url("/"))]);
    let link = second.path("link.db");
    std::os::unix::fs::symlink(world.path("outbox.db"), &link).unwrap();
    for path in [world.path("outbox.db"), link] {
        let daemon = world.start();
        let text = format!(
            "[outbox]\npath = {path:?}\n[log]\npath = \"log.db\"\n[[webhook]]\nname = \"two\"\n\
             url = {:?}\nevents = [\"*\"]\n",
            receiver.url("/two")
        );
        second.write("webhooks.toml", text);
        let mut other = second.spawn(&[]);
        assert_eq!(other.wait(SOON), Some(2), "{}", other.journal());
        let words = other.journal();
        assert!(
            words.contains(&format!("process {}", daemon.pid())),
            "{words}"
        );
        let before = receiver.count();
        // Who reads or writes beside the daemon is not refused.
        second.command(&["emit", "e", "{}"]).expect(0);
        receiver.wait(before + 1, SOON);
        daemon.kill();
        let other = second.start();
        other.stop();
    }
}
