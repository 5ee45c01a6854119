//! `webhooksd demo --postgres`: what it shows, and that it leaves nothing behind however it ends.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{SOON, World, check, eventually, missing};

/// Half a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(180);

/// A folder that the server's user may enter too, with one for what is temporary in it.
fn folder() -> World {
    let world = World::bare(&[]);
    std::fs::create_dir(world.path("tmp")).unwrap();
    let rights = Permissions::from_mode(0o711);
    std::fs::set_permissions(world.folder(), rights).unwrap();
    world
}

/// The processes that have to do with a folder.
fn processes(folder: &Path) -> Vec<(Pid, String)> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let of = all.filter_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        let pid = entry.file_name().to_str()?.parse().ok()?;
        words
            .contains(&*folder.to_string_lossy())
            .then_some((Pid::from_raw(pid)?, words))
    });
    of.collect()
}

/// Nothing of it is on the disk, and no process has anything to do with it.
fn nothing_is_left(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    eventually("no process is left", SOON, || {
        let left = processes(folder);
        check(left.is_empty(), || format!("{left:?}"))
    });
}

/// Begins it, and waits until it has said so much.
fn begin(world: &World, words: &[&str], said: &str) -> (std::process::Child, String) {
    let out = std::fs::File::create(world.path("out")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["demo", "--postgres"])
        .args(words)
        .current_dir(world.folder())
        .env("TMPDIR", world.path("tmp"))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(std::fs::File::create(world.path("err")).unwrap())
        .spawn()
        .unwrap();
    let text = eventually(&format!("{said:?} is said"), LIMIT, || {
        let read = |name| std::fs::read_to_string(world.path(name)).unwrap();
        let text = read("out");
        let is_said = text.contains(said);
        check(is_said, || format!("{text}{}", read("err"))).map(|()| text)
    });
    (child, text)
}

/// Has it end, and waits for that; its exit code.
fn end(mut child: std::process::Child, signal: Signal) -> Option<i32> {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    let ended = eventually("it ends", SOON, || {
        let ended = child.try_wait().unwrap();
        ended.ok_or_else(|| "it runs".to_owned())
    });
    ended.code()
}

#[test]
fn two_nodes_share_a_server_and_one_of_them_is_killed() {
    if crate::support::postgres().is_none() {
        return;
    }
    let world = folder();
    let tmp = world.path("tmp");
    let words = ["demo", "--postgres"];
    let demo = world.plain(&words, ("TMPDIR", tmp.as_os_str()), LIMIT);
    let text = demo.expect(0).stdout;
    println!("{text}");
    for word in [
        "\n  one   ",
        "\n  two   ",
        "UPDATE invoice",
        "kill -9",
        "billing, erp, newsletter, search-index, warehouse",
        "psql -h",
        "6 deliveries, 7 requests",
    ] {
        assert!(text.contains(word), "{word}");
    }
    let log: Vec<&str> = text.lines().filter(|line| line.starts_with("20")).collect();
    let rows = |outcome: &str| log.iter().filter(|line| line.contains(outcome)).count();
    assert_eq!((rows(" delivered "), rows(" retry ")), (6, 1));
    nothing_is_left(&tmp);
}

#[test]
fn it_ends_by_a_signal_in_its_midst_and_leaves_nothing() {
    if crate::support::postgres().is_none() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = folder();
        let (child, _) = begin(&world, &[], "daemons share");
        assert_eq!(end(child, signal), Some(1));
        nothing_is_left(&world.path("tmp"));
    }
}

#[test]
fn all_of_it_ends_with_it_even_where_it_is_killed() {
    if crate::support::postgres().is_none() {
        return;
    }
    let world = folder();
    let (child, _) = begin(&world, &[], "daemons share");
    assert_eq!(end(child, Signal::KILL), None);
    let tmp = world.path("tmp");
    eventually("the server's folder is empty", SOON, || {
        let servers = std::fs::read_dir(&tmp).unwrap().flatten();
        let left = servers.filter(|entry| entry.path().join("data").exists());
        let left: Vec<_> = left.collect();
        check(left.is_empty(), || format!("{left:?}"))
    });
    eventually("no daemon is left either", SOON, || {
        let left = processes(&tmp);
        check(left.is_empty(), || format!("{left:?}"))
    });
}

#[test]
fn the_page_shows_both_nodes_until_the_end() {
    if crate::support::postgres().is_none() {
        return;
    }
    let world = folder();
    let (child, _) = begin(&world, &["--page"], "/?token=");
    assert_eq!(end(child, Signal::INT), Some(0));
    nothing_is_left(&world.path("tmp"));
}

/// Hides what is installed where root can; elsewhere the demo runs where nothing is.
#[test]
fn without_a_server_it_says_what_to_install() {
    let world = folder();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c"]);
    command.arg("[ ! -d /usr/lib/postgresql ] || mount -t tmpfs none /usr/lib/postgresql || exit 77; exec \"$@\"");
    command.args(["sh", env!("CARGO_BIN_EXE_webhooksd"), "demo", "--postgres"]);
    command.env("TMPDIR", world.path("tmp"));
    let Ok(refused) = command.stdin(Stdio::null()).output() else {
        missing("unshare");
        return;
    };
    let told = String::from_utf8(refused.stderr).unwrap();
    if refused.status.code() == Some(77) || told.contains("unshare") {
        println!("SKIPPED: what is installed can't be hidden here (unshare -m)");
        return;
    }
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert_eq!(
        told,
        "no PostgreSQL 15 or newer is installed: `apt-get install postgresql` brings one\n"
    );
    nothing_is_left(&world.path("tmp"));
}

#[test]
fn a_folder_that_is_no_place_for_a_server_is_told() {
    if crate::support::postgres().is_none() {
        return;
    }
    let world = folder();
    let refused = |tmp: &str, told: &str, hint: &str| {
        std::fs::create_dir(world.path(tmp)).unwrap();
        let tmp = world.path(tmp);
        let words = ["demo", "--postgres"];
        let refused = world.plain(&words, ("TMPDIR", tmp.as_os_str()), LIMIT);
        let said = refused.expect(1).stderr;
        assert!(said.contains(told) && said.contains(hint), "{said}");
        nothing_is_left(&tmp);
    };
    refused(
        &"x".repeat(90),
        "is too long for a Unix socket",
        "hint: set TMPDIR to a shorter folder",
    );
    if rustix::process::geteuid().is_root() {
        // What only root may enter.
        std::fs::set_permissions(world.folder(), Permissions::from_mode(0o700)).unwrap();
        refused(
            "shut",
            "run initdb: Permission denied",
            "hint: the server is another user's than root",
        );
    }
}
