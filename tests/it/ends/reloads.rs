//! A thousand reloads: memory, descriptors and threads stay, events that come meanwhile are delivered
//! once each. Half of them are asked for over the socket, half by SIGHUP.
//!
//! `WEBHOOKSD_RELOADS=N` makes it N.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{descriptors, threads_of};
use crate::socket::SECTION;
use crate::support::{Daemon, Hook, Receiver, SOON, World, hook, insert, nap, now};

const RELOADS: u64 = 1_000;

/// Allocators keep what they have; a reload that leaked its configuration would take more.
const GROWTH_KIB: u64 = 6 * 1_024;

/// Connections under way come and go.
const MORE_DESCRIPTORS: usize = 16;

/// The runtime's threads for what may block come and go, too.
const MORE_THREADS: usize = 16;

/// Twenty webhooks that change in everything that may change.
fn hooks(receiver: &Receiver, round: u64) -> Vec<Hook> {
    let mut hooks = vec![hook("steady", receiver.url("/steady"))];
    for at in 0..19 {
        let path = format!("/{at}/{round}");
        let name = format!("w{}", at + round % 3);
        let other = hook(&name, receiver.url(&path)).secret(&format!("secret {round}"));
        hooks.push(match (at + round) % 3 {
            0 => other.events("never-*").line("keep_alive = true"),
            1 => other.events("never-*").dialect("bold-factory"),
            _ => other.events("never-*").line("active = false"),
        });
    }
    hooks
}

/// One connection on which reload after reload is asked for.
struct Asking(BufReader<UnixStream>);

impl Asking {
    fn reload(&mut self) {
        let request = b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        self.0.get_mut().write_all(request).unwrap();
        let (mut status, mut length) = (String::new(), 0);
        self.0.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut self.0, &mut body).unwrap();
        assert!(
            status.contains(" 200 "),
            "{status}{}",
            String::from_utf8_lossy(&body)
        );
    }
}

#[derive(Debug)]
struct Size {
    memory_kib: u64,
    descriptors: usize,
    threads: usize,
}

fn size(daemon: &Daemon) -> Size {
    Size {
        memory_kib: daemon.memory_kib("VmRSS"),
        descriptors: descriptors(daemon),
        threads: threads_of(daemon),
    }
}

#[test]
fn a_thousand_reloads_leave_nothing() {
    let reloads = std::env::var("WEBHOOKSD_RELOADS");
    let reloads = reloads.map_or(RELOADS, |number| number.parse().unwrap());
    let receiver = Receiver::ok();
    let world = World::new(&hooks(&receiver, 0));
    world.configure_with(SECTION, &hooks(&receiver, 0));
    let daemon = world.start_with(&["--level", "info"]);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, outbox) = (Arc::clone(&stop), world.outbox());
    let load = std::thread::spawn(move || {
        let mut n = 0;
        while !stopping.load(Ordering::SeqCst) {
            insert(&outbox, "e", &format!("{{\"n\":{n}}}"));
            n += 1;
            nap(Duration::from_millis(10));
        }
        n
    });
    let stream = UnixStream::connect(world.path("s.sock")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut asking = Asking(BufReader::new(stream));
    let (begun, mut warm) = (now(), None);
    for round in 0..reloads {
        world.configure_with(SECTION, &hooks(&receiver, round));
        if round % 2 == 0 {
            daemon.signal(rustix::process::Signal::HUP);
        }
        // Also where a signal came before: it is one more, and this one's answer comes after it.
        asking.reload();
        if round == reloads / 4 {
            warm = Some(size(&daemon));
        }
    }
    let (warm, end) = (warm.unwrap(), size(&daemon));
    println!(
        "{reloads} reloads in {:?}: {warm:?}, then {end:?}",
        begun.elapsed()
    );
    stop.store(true, Ordering::SeqCst);
    let events: i64 = load.join().unwrap();
    assert!(
        end.memory_kib < warm.memory_kib + GROWTH_KIB,
        "{warm:?} {end:?}"
    );
    assert!(
        end.descriptors < warm.descriptors + MORE_DESCRIPTORS,
        "{warm:?} {end:?}"
    );
    assert!(
        end.threads < warm.threads + MORE_THREADS,
        "{warm:?} {end:?}"
    );
    let done = "SELECT count(*) FROM delivery WHERE webhook = 'steady' AND state = 'delivered'";
    world.wait_number(done, events, SOON);
    let mut came: Vec<i64> = receiver
        .received()
        .iter()
        .map(|request| request.n())
        .collect();
    came.sort_unstable();
    assert_eq!(came, (0..events).collect::<Vec<_>>(), "each event once");
    daemon.stop();
}
