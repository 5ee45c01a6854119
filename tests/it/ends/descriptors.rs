//! No descriptors: from the start, with more endpoints that hang and clients that idle than there are
//! places, and all of a sudden.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::cpu;
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{Answer, Daemon, Receiver, SOON, World, check, eventually, hook, now, stays};

/// Less than the daemon's own files and one connection to each endpoint.
const FEW: &str = "ulimit -n 64; exec \"$@\"";

const SILENT: usize = 20;
const CLIENTS: usize = 40;
const EVENTS: i64 = 6;

/// A part of one core that waiting may cost: a loop that spins takes all of it.
const IDLE_SHARE: f64 = 0.5;

fn limit(daemon: &Daemon, most: u64) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    // The soft limit alone: it can be raised again.
    let new = Rlimit {
        current: Some(most),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(pid, Resource::Nofile, new).unwrap();
}

fn delivered(world: &World) -> i64 {
    world.number("SELECT count(*) FROM delivery WHERE webhook LIKE 'good%' AND state = 'delivered'")
}

#[test]
fn more_endpoints_hang_and_clients_idle_than_there_are_descriptors() {
    let good = Receiver::ok();
    let silent: Vec<Receiver> = (0..SILENT)
        .map(|_| Receiver::start(|_| Answer::Silence))
        .collect();
    let mut hooks = vec![hook("good", good.url("/"))];
    for (at, receiver) in silent.iter().enumerate() {
        hooks.push(hook(&format!("silent-{at}"), receiver.url("/")).one_attempt());
    }
    let world = World::new(&hooks);
    world.configure_with(SECTION, &hooks);
    let mut daemon = world.spawn_behind(&["sh", "-c", FEW, "sh"], &[], &[]);
    daemon.wait_ready();
    let clients: Vec<UnixStream> = (0..CLIENTS)
        .map(|_| UnixStream::connect(world.path("s.sock")).unwrap())
        .collect();
    let (begun, used) = (now(), cpu(&daemon));
    for n in 0..EVENTS {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    eventually("the good one gets all", 3 * SOON, || {
        let seen = delivered(&world);
        check(seen == EVENTS, || format!("{seen}\n{}", daemon.journal()))
    });
    let all = EVENTS * i64::try_from(SILENT).unwrap();
    let failed = "SELECT count(*) FROM delivery WHERE state = 'failed' AND attempts = 1";
    world.wait_number(failed, all, 3 * SOON);
    let share = (cpu(&daemon) - used).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("{:?}, {:.0} % of a core", begun.elapsed(), share * 100.0);
    assert!(share < IDLE_SHARE, "{share}");
    // Every row is what an endpoint did: what the machine lacked is in none of them.
    let ours = "SELECT count(*) FROM log WHERE webhook <> 'good' AND error NOT LIKE 'no answer%'";
    assert_eq!(
        world.number(ours),
        0,
        "{:?}",
        world.log("SELECT DISTINCT error FROM log")
    );
    assert_eq!(world.number("SELECT count(*) FROM log"), all + EVENTS);
    // The clients that idled have not taken the socket from the others.
    curl(&world, "/health", &[]).expect(200);
    drop(clients);
    assert!(
        !daemon.journal().contains("panicked"),
        "{}",
        daemon.journal()
    );
    daemon.stop();
}

#[test]
fn a_sudden_end_of_descriptors_costs_no_try_and_is_over_when_it_is() {
    let good = Receiver::ok();
    let named = good.url("/").replace("127.0.0.1", "localhost");
    let hooks = [hook("good", good.url("/")), hook("good-by-name", named)];
    let world = World::new(&hooks);
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    world.emit("e", "{\"n\":0}");
    world.wait_number("SELECT count(*) FROM log", 2, SOON);
    // Below what is open: nothing can be opened any more.
    limit(&daemon, 3);
    // The kernel connects it, and the daemon can't accept it before it has descriptors again.
    let mut waiting = UnixStream::connect(world.path("s.sock")).unwrap();
    daemon.wait_journal("a connection can't be accepted");
    let (begun, used) = (now(), cpu(&daemon));
    for n in 1..=20 {
        world.emit("e", &format!("{{\"n\":{n}}}"));
    }
    daemon.wait_journal("this machine can't send at the moment");
    stays(
        "nothing is sent and no try is lost",
        Duration::from_secs(3),
        || {
            let tries = world.number("SELECT sum(attempts) FROM delivery");
            check(tries == 2, || format!("{tries} tries"))
        },
    );
    let share = (cpu(&daemon) - used).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("{:.0} % of a core while nothing goes", share * 100.0);
    assert!(share < IDLE_SHARE, "{share}");
    limit(&daemon, 1_024);
    let done = "SELECT count(*) FROM delivery WHERE state = 'delivered' AND attempts = 1";
    world.wait_number(done, 42, SOON);
    assert_eq!(world.number("SELECT count(*) FROM log"), 42);
    waiting.set_read_timeout(Some(SOON)).unwrap();
    let ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    waiting.write_all(ask).unwrap();
    let mut status = [0; 12];
    waiting.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    curl(&world, "/health", &[]).expect(200);
    assert!(
        !daemon.journal().contains("panicked"),
        "{}",
        daemon.journal()
    );
    daemon.stop();
}
