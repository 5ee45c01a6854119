//! What systemd is told, received by a socket in its place: `sd_notify(3)`.
//!
//! Whether systemd does with it what the unit promises is tried out by packaging/test.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Answer, Daemon, Receiver, SOON, World, check, eventually, hook};

/// systemd's end of the socket.
struct Manager {
    messages: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    /// Starts the daemon with this as its manager.
    fn start(world: &World) -> (Self, Daemon) {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::listen(world, socket, path.as_os_str())
    }

    /// The same with a socket that is called `name`.
    fn listen(world: &World, socket: UnixDatagram, name: &OsStr) -> (Self, Daemon) {
        let messages = Arc::<Mutex<Vec<String>>>::default();
        let received = messages.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
                received.lock().unwrap().push(message);
            }
        });
        // A watchdog of 2 s is fed each half second.
        let daemon = world.spawn_in(&[
            ("NOTIFY_SOCKET", name),
            ("WATCHDOG_USEC", "2000000".as_ref()),
        ]);
        (Self { messages }, daemon)
    }

    /// Waits for a message that holds `text`, behind the first `from`, and returns its place.
    #[track_caller]
    fn wait(&self, text: &str, from: usize) -> usize {
        eventually(&format!("systemd is told {text:?}"), SOON, || {
            let messages = self.messages.lock().unwrap();
            let found = messages.iter().skip(from).position(|m| m.contains(text));
            found
                .map(|place| from + place)
                .ok_or_else(|| format!("{messages:?}"))
        })
    }

    fn count(&self, text: &str) -> usize {
        let messages = self.messages.lock().unwrap();
        messages.iter().filter(|m| m.contains(text)).count()
    }
}

#[test]
fn systemd_is_told_ready_status_reloads_stop_and_that_the_pipeline_moves() {
    let receiver = Receiver::start(|_| Answer::status(503));
    let world = World::new(&[hook("crm", receiver.url("/"))]);
    world.emit("e", "{}");
    let (manager, mut daemon) = Manager::start(&world);
    let ready = manager.wait("READY=1\nSTATUS=", 0);
    assert_eq!(ready, 0, "nothing is said before the outbox is followed");
    receiver.wait(1, SOON);
    manager.wait(
        "STATUS=1 pending, 0 in flight; last error: crm: answered 503",
        ready,
    );
    let fed = manager.count("WATCHDOG=1");
    eventually("the watchdog is fed", SOON, || {
        check(manager.count("WATCHDOG=1") >= fed + 3, || fed.to_string())
    });
    daemon.signal(Signal::HUP);
    let reloading = manager.wait("RELOADING=1\nMONOTONIC_USEC=", ready);
    manager.wait("READY=1", reloading);
    world.write("webhooks.toml", "what = 1");
    daemon.signal(Signal::HUP);
    let refused = manager.wait("the last reload was refused", reloading);
    daemon.signal(Signal::TERM);
    manager.wait("STOPPING=1", refused);
    assert_eq!(daemon.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn a_log_that_is_locked_is_told_and_does_not_starve_the_watchdog() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("crm", receiver.url("/"))]);
    let (manager, daemon) = Manager::start(&world);
    let ready = manager.wait("READY=1", 0);
    let locker = rusqlite::Connection::open(world.path("log.db")).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.emit("e", "{}");
    manager.wait("locked", ready);
    let fed = manager.count("WATCHDOG=1");
    eventually("the watchdog is fed all the same", SOON, || {
        check(manager.count("WATCHDOG=1") >= fed + 2, || fed.to_string())
    });
    locker.execute_batch("ROLLBACK").unwrap();
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn a_manager_without_a_file_is_told_as_well() {
    let world = World::new(&[hook("crm", Receiver::ok().url("/"))]);
    let name = format!("webhooksd-it-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let (manager, mut daemon) = Manager::listen(&world, socket, format!("@{name}").as_ref());
    manager.wait("READY=1\nSTATUS=", 0);
    daemon.signal(Signal::TERM);
    manager.wait("STOPPING=1", 0);
    assert_eq!(daemon.wait(SOON), Some(0));
    let journal = daemon.journal();
    assert!(!journal.contains("can't be told"), "{journal}");
}

#[test]
fn a_manager_that_is_not_there_is_complained_of_once() {
    let world = World::new(&[hook("crm", Receiver::ok().url("/"))]);
    let nowhere = world.path("nowhere");
    let daemon = world.start_in(&[
        ("NOTIFY_SOCKET", nowhere.as_os_str()),
        ("WATCHDOG_USEC", "2000000".as_ref()),
    ]);
    daemon.wait_journal("systemd can't be told");
    for _ in 0..3 {
        daemon.reload();
    }
    let journal = daemon.journal();
    assert_eq!(
        journal.matches("systemd can't be told").count(),
        1,
        "{journal}"
    );
    daemon.stop();
}

#[test]
fn an_empty_name_is_no_manager() {
    let world = World::new(&[hook("crm", Receiver::ok().url("/"))]);
    let mut daemon = world.start_in(&[("NOTIFY_SOCKET", "".as_ref())]);
    // Else it would have been told of the end at the latest.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(0));
    let journal = daemon.journal();
    assert!(!journal.contains("can't be told"), "{journal}");
}

#[test]
fn a_manager_behind_vsock_is_named_as_not_supported() {
    let world = World::new(&[hook("crm", Receiver::ok().url("/"))]);
    let daemon = world.start_in(&[("NOTIFY_SOCKET", "vsock:2:1234".as_ref())]);
    daemon.wait_journal("NOTIFY_SOCKET is a vsock address, which webhooksd does not support");
    daemon.stop();
}
