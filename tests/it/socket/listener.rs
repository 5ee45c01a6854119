//! The socket's file: made, replaced, left alone, removed; and a socket that systemd passes.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::client::post;
use super::{SECTION, started, world};
use crate::support::{SOON, World, check, eventually, hook};

const EVENT: &str = r#"{"event":"a","data":1}"#;

#[test]
fn a_leftover_is_replaced_and_the_own_file_is_removed() {
    let (world, daemon) = started("http://127.0.0.1:9/");
    daemon.kill();
    let leftover = std::fs::symlink_metadata(world.path("s.sock")).unwrap();
    assert!(leftover.file_type().is_socket());
    let daemon = world.start();
    post(&world, "/events", EVENT).expect(202);
    daemon.stop();
    assert!(!world.path("s.sock").exists());
}

#[test]
fn what_is_no_socket_stays() {
    let world = world("http://127.0.0.1:9/");
    world.write("s.sock", "precious");
    let ended = world.command(&["run"]).expect(2);
    assert!(ended.stderr.contains("s.sock"), "{}", ended.stderr);
    assert_eq!(std::fs::read(world.path("s.sock")).unwrap(), b"precious");
}

#[test]
fn a_live_socket_is_not_taken_from_its_daemon() {
    let (first, daemon) = started("http://127.0.0.1:9/");
    let second = World::new(&[]);
    let section = format!("\n[socket]\npath = {:?}", first.path("s.sock"));
    second.configure_with(&section, &[hook("w", "http://127.0.0.1:9/")]);
    let ended = second.command(&["run"]).expect(1);
    assert!(ended.stderr.contains("another process"), "{}", ended.stderr);
    post(&first, "/events", EVENT).expect(202);
    daemon.stop();
}

#[test]
fn mode_and_group_are_the_configurations() {
    let world = World::new(&[]);
    let group = Command::new("id").arg("-gn").output().unwrap();
    let group = String::from_utf8(group.stdout).unwrap();
    let section = format!("{SECTION}\nmode = \"0640\"\ngroup = {:?}", group.trim());
    world.configure_with(&section, &[hook("w", "http://127.0.0.1:9/")]);
    let daemon = world.start();
    let data = std::fs::metadata(world.path("s.sock")).unwrap();
    assert_eq!(data.mode() & 0o777, 0o640);
    daemon.stop();
    let section = format!("{SECTION}\ngroup = \"no-such-group-here\"");
    world.configure_with(&section, &[hook("w", "http://127.0.0.1:9/")]);
    let ended = world.command(&["run"]).expect(2);
    assert!(
        ended.stderr.contains("no-such-group-here"),
        "{}",
        ended.stderr
    );
}

/// Does the second half of what systemd does, behind the `fork`: the socket, which is its standard
/// input, becomes descriptor 3 of the daemon, which has this process's id.
const ACTIVATE: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";

/// Runs the daemon as systemd would, with a socket that this process bound.
fn activate(folder: &Path, listener: &UnixListener) -> Activated {
    let journal = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("journal"));
    let child = Command::new("sh")
        .args(["-c", ACTIVATE, "sh"])
        .arg(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["run", "--config"])
        .arg(folder.join("webhooks.toml"))
        .stdin(OwnedFd::from(listener.try_clone().unwrap()))
        .stdout(Stdio::null())
        .stderr(journal.unwrap())
        .spawn();
    Activated(child.unwrap())
}

struct Activated(Child);

impl Activated {
    /// Stops it as systemd does, and waits for its end.
    fn stop(mut self) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_socket_that_is_passed_wins_outlives_the_daemon_and_refuses_no_writer() {
    let world = world("http://127.0.0.1:9/");
    let path = world.path("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let folder = world.folder();
    let first = activate(folder, &listener);
    // Answered once the daemon is up, however long that takes: the kernel holds the connection.
    post(&world, "/events", EVENT).expect(202);
    let journal = eventually("the journal tells of its mode", SOON, || {
        let journal = std::fs::read_to_string(world.path("journal")).unwrap();
        let told = journal.contains("another mode than [socket] mode");
        check(told, || journal.clone()).map(|()| journal)
    });
    assert!(!journal.contains("another socket"), "{journal}");
    let second = std::thread::scope(|scope| {
        let restarted = scope.spawn(|| {
            first.stop();
            activate(folder, &listener)
        });
        // The restart begins now; a writer that comes meanwhile waits and is not refused.
        post(&world, "/events", EVENT).expect(202);
        restarted.join().unwrap()
    });
    post(&world, "/events", EVENT).expect(202);
    second.stop();
    assert!(path.exists(), "it is systemd's");
}
