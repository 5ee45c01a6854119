//! Who may not watch the outbox's files polls them, says so, and misses nothing.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::support::{Receiver, SOON, World, hook};

/// Events reach the receiver though nothing can be watched, by a daemon started behind `prefix`.
fn is_followed_by_polling(world: &World, receiver: &Receiver, prefix: &[&str]) {
    let mut daemon = world.spawn_behind(prefix, &[], &[]);
    daemon.wait_ready();
    daemon.wait_journal("can't be watched");
    for n in 1..=3 {
        world.emit("e", "{}");
        receiver.wait(n, SOON);
    }
    let journal = daemon.journal();
    assert_eq!(journal.matches("can't be watched").count(), 1, "{journal}");
    daemon.stop();
}

#[test]
fn without_an_inotify_instance_or_watch_left_it_polls() {
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$@\"");
        let prefix = ["unshare", "-Ur", "sh", "-c", &script, "sh"];
        let mut possible = Command::new(prefix[0]);
        possible
            .args(&prefix[1..])
            .arg("true")
            .stderr(Stdio::null());
        if !possible.status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: {limit} can't be set here (unshare -Ur)");
            continue;
        }
        let receiver = Receiver::ok();
        let world = World::new(&[hook("w", receiver.url("/"))]);
        is_followed_by_polling(&world, &receiver, &prefix);
    }
}

#[test]
fn in_a_folder_that_it_may_not_read_it_polls() {
    let mut prefix = Vec::new();
    if rustix::process::geteuid().is_root() {
        // Root reads what it likes, but for these two.
        prefix = vec!["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
        let mut possible = Command::new(prefix[0]);
        possible
            .args(&prefix[1..])
            .arg("true")
            .stderr(Stdio::null());
        if !possible.status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: there is no setpriv to take root's rights away");
            return;
        }
    }
    let receiver = Receiver::ok();
    let world = World::new(&[hook("w", receiver.url("/"))]);
    // A link leads into the folder, so that everything else is in one that may be read.
    let folder = world.path("app");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(world.path("outbox.db"), folder.join("outbox.db")).unwrap();
    std::os::unix::fs::symlink("app/outbox.db", world.path("outbox.db")).unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o300)).unwrap();
    is_followed_by_polling(&world, &receiver, &prefix);
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}
