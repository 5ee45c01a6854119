//! SIGHUP from a terminal that is closed ends the daemon; any other is a reload.

use std::fs::{File, read_to_string};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Daemon, Receiver, SOON, World, check, eventually, hook};

/// The end of a terminal at which the person sits.
struct Terminal {
    person: OwnedFd,
    program: File,
}

impl Terminal {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        // Else the daemon would hold it itself.
        rustix::io::fcntl_setfd(&person, rustix::io::FdFlags::CLOEXEC).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program = File::from(open(name.as_c_str(), flags, Mode::empty()).unwrap());
        Self { person, program }
    }

    /// Starts the daemon in it, behind the words of `prefix`.
    fn start(&self, world: &World, prefix: &[&str]) -> Option<Daemon> {
        let words = [by_default(), prefix, &["setsid", "--ctty"]].concat();
        let mut command = world.daemon_behind(&words);
        command.stdin(Stdio::from(self.program.try_clone().unwrap()));
        let Some(mut daemon) = world.try_spawn(command) else {
            println!("SKIPPED: there is no setsid here");
            return None;
        };
        daemon.wait_ready();
        Some(daemon)
    }

    /// Closes it, as its window does.
    fn close(self) {
        drop(self.program);
        drop(self.person);
    }
}

/// What gives SIGHUP its default back where these tests run under `nohup` themselves.
fn by_default() -> &'static [&'static str] {
    let status = read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    // SIGHUP is the first signal.
    match mask & 1 {
        0 => &[],
        _ => &["env", "--default-signal=HUP"],
    }
}

#[test]
fn a_terminal_that_is_closed_ends_the_daemon() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let terminal = Terminal::new();
    let Some(mut daemon) = terminal.start(&world, &[]) else {
        return;
    };
    // As long as it is there, SIGHUP is a reload.
    daemon.reload();
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    terminal.close();
    assert_eq!(daemon.wait(SOON), Some(0));
    let journal = daemon.journal();
    assert!(journal.contains("the terminal was closed"), "{journal}");
    assert!(journal.contains("info: stopped"), "{journal}");
}

/// What `nohup` does to its programs.
const NOHUP: [&str; 4] = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];

#[test]
fn nohup_leaves_it_running_and_reloading() {
    let receiver = Receiver::ok();
    let world = World::new(&[hook("one", receiver.url("/"))]);
    let terminal = Terminal::new();
    let Some(mut daemon) = terminal.start(&world, &NOHUP) else {
        return;
    };
    let journal = daemon.journal();
    terminal.close();
    eventually("SIGHUP of the terminal is a reload", SOON, || {
        let now = daemon.journal();
        check(now.matches("configuration reloaded").count() == 1, || {
            journal.clone()
        })
    });
    daemon.reload();
    assert!(daemon.ended().is_none());
    world.emit("e", "{}");
    receiver.wait(1, SOON);
    daemon.stop();
}

#[test]
fn without_a_terminal_it_is_a_reload() {
    let world = World::new(&[hook("one", Receiver::ok().url("/"))]);
    let command = world.daemon_behind(&["setsid"]);
    let Some(mut daemon) = world.try_spawn(command) else {
        println!("SKIPPED: there is no setsid here");
        return;
    };
    daemon.wait_ready();
    for _ in 0..3 {
        daemon.reload();
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(0));
}
