//! The socket's file: made, replaced, left alone, removed; and a socket that systemd passes.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

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

/// Does what systemd does: binds, then runs the daemon with the socket as descriptor 3.
const ACTIVATE: &str = "
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(64)
os.chmod(sys.argv[1], 0o600)
for command in (sys.argv[2:], sys.argv[2:]):
    child = os.fork()
    if child == 0:
        if s.fileno() != 3:
            os.dup2(s.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ['LISTEN_FDS'] = '1'
        os.environ['LISTEN_PID'] = str(os.getpid())
        os.execv(command[0], command)
    print(child, flush=True)
    os.waitpid(child, 0)
";

struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_socket_that_is_passed_wins_outlives_the_daemon_and_refuses_no_writer() {
    use std::io::BufRead;
    let world = world("http://127.0.0.1:9/");
    let journal = std::fs::File::create(world.path("journal")).unwrap();
    let mut child = Command::new("python3")
        .args(["-c", ACTIVATE])
        .arg(world.path("s.sock"))
        .arg(env!("CARGO_BIN_EXE_webhooksd"))
        .args(["run", "--config"])
        .arg(world.path("webhooks.toml"))
        .stdout(Stdio::piped())
        .stderr(journal)
        .spawn()
        .expect("the tests need python3");
    let mut pids = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let _activated = Activated(child);
    let first = pids.next().unwrap().unwrap();
    // Answered once the daemon is up, however long that takes: the kernel holds the connection.
    eventually("the socket is there", SOON, || {
        check(
            UnixStream::connect(world.path("s.sock")).is_ok(),
            String::new,
        )
    });
    post(&world, "/events", EVENT).expect(202);
    let journal = std::fs::read_to_string(world.path("journal")).unwrap();
    assert!(
        journal.contains("another mode than [socket] mode"),
        "{journal}"
    );
    assert!(!journal.contains("another socket"), "{journal}");
    let killed = Command::new("kill").arg(&first).status().unwrap();
    assert!(killed.success());
    // The restart begins now; a writer that comes meanwhile waits and is not refused.
    post(&world, "/events", EVENT).expect(202);
    let second = pids.next().unwrap().unwrap();
    assert_ne!(first, second);
    let killed = Command::new("kill").arg(&second).status().unwrap();
    assert!(killed.success());
    assert!(pids.next().is_none());
    assert!(world.path("s.sock").exists(), "it is systemd's");
}
