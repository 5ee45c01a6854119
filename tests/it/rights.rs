//! A user who is not in the log's group is told its name, and the command that puts him in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::support::{Finished, World, hook};

/// A user that no machine has, and the owner of the files.
const USER: u32 = 471_104;
const OWNER: u32 = 471_105;

/// Any group of this machine but root's.
fn group() -> Option<(String, u32)> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    groups.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let id: u32 = fields.get(2)?.parse().ok()?;
        (id > 0).then(|| (fields[0].to_owned(), id))
    })
}

fn chmod(world: &World, name: &str, mode: u32) {
    fs::set_permissions(world.path(name), Permissions::from_mode(mode)).unwrap();
}

/// A stopped world with its log in a folder `var`, whose files are that group's; and the user's prefix.
fn world(group: u32) -> World {
    let world = World::new(&[hook("w", "http://127.0.0.1:9/")]);
    let text = fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", text.replace("log.db", "var/log.db"));
    fs::create_dir(world.path("var")).unwrap();
    world.start().stop();
    for name in ["var", "var/log.db", "var/log.db-wal", "var/log.db-shm"] {
        chown(world.path(name), Some(OWNER), Some(group)).unwrap();
    }
    for (name, mode) in [(".", 0o755), ("webhooks.toml", 0o644), ("var", 0o755)] {
        chmod(&world, name, mode);
    }
    world
}

fn as_user(world: &World, words: &[&str]) -> Finished {
    let user = format!("--reuid={USER}");
    let user = ["setpriv", &user, "--regid=471104", "--clear-groups"];
    world.command_behind(&user, words, &[])
}

#[test]
fn who_is_not_in_the_group_is_told_its_name_and_the_command() {
    let Some((name, id)) = group().filter(|_| rustix::process::geteuid().is_root()) else {
        println!("SKIPPED: only root can try the rights of other users");
        return;
    };
    let world = world(id);
    if as_user(&world, &["--version"]).code != Some(0) {
        println!("SKIPPED: other users can't run the program where it was built, or no setpriv");
        return;
    }
    let joins = format!("is for the group {name}: sudo usermod --append --groups {name} USER");
    let as_owner = format!("sudo -u '#{OWNER}' webhooksd ...");
    let told = |denied: &str, expected: &str| {
        for words in [&["logs"][..], &["status"], &["explain", "1"]] {
            let said = as_user(&world, words).expect(1).stderr;
            let is_of = format!("hint: {:?} {expected}", world.path(denied));
            assert!(said.contains(&is_of) && said.contains(&as_owner), "{said}");
        }
    };
    told("var/log.db", &joins);
    // A folder that can't be entered is no log that is missing.
    chmod(&world, "var", 0o2770);
    told("var", &joins);
    chmod(&world, "var", 0o755);
    chmod(&world, "var/log.db", 0o600);
    told("var/log.db", "is for its owner alone: ");
    // The configuration of an installation is its group's too.
    chown(world.path("webhooks.toml"), Some(OWNER), Some(id)).unwrap();
    chmod(&world, "webhooks.toml", 0o640);
    let said = as_user(&world, &["logs"]).expect(2).stderr;
    assert!(
        said.contains("read configuration") && said.contains(&joins),
        "{said}"
    );
}
