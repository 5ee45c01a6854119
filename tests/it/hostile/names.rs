//! Names that do not resolve, resolve late or never, or to a thousand dead addresses.
//!
//! `getaddrinfo` of the real binary is scripted by a shim (`shim/names.c`), by the names themselves.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::support::{
    Daemon, Receiver, SOON, World, bound_port, eventually, hook, insert, nap, now, percentile, shim,
};

/// What the shim answers for.
const SUFFIX: &str = ".shim.test";

/// Threads that ask for names, at most.
const RESOLVERS: usize = 16;

/// Webhooks with a name of their own, none of which is ever answered.
const DEAD: usize = 1_000;

/// A time-out of 3 s, and what a busy machine may add.
const THREE_SECONDS_MS: Range<i64> = 2_900..6_500;

/// Sooner than a time-out.
const SOON_MS: Range<i64> = 0..2_900;

/// What a thousand webhooks that wait for their names may take, in a debug build.
const MEMORY_KIB: u64 = 96 * 1024;

fn start(world: &World) -> Daemon {
    let library = shim("names");
    world.start_in(&[
        ("LD_PRELOAD", library.as_os_str()),
        ("SHIM_NAMES", SUFFIX.as_ref()),
    ])
}

fn url(label: &str, port: u16) -> String {
    format!("http://{label}{SUFFIX}:{port}/")
}

/// A port on which every address of loopback drops connections silently, as long as it is held.
fn deaf_port() -> (TcpListener, Vec<TcpStream>, u16) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = {
        let _entered = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        socket.listen(1).unwrap().into_std().unwrap()
    };
    let port = listener.local_addr().unwrap().port();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut queue = Vec::new();
    // Once its queue is full the kernel drops what comes.
    while let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_millis(300)) {
        queue.push(stream);
    }
    (listener, queue, port)
}

/// What is behind a name's addresses.
#[derive(Clone, Copy)]
enum Behind {
    Good,
    Refusing,
    Deaf,
}

/// The first label of a name, and the attempt that is to be in the log.
type Trouble = (&'static str, Behind, &'static str, &'static str, Range<i64>);

const TROUBLES: &[Trouble] = &[
    ("ok", Behind::Good, "delivered", "NULL", SOON_MS),
    ("slow", Behind::Good, "delivered", "NULL", 900..2_900),
    (
        "never",
        Behind::Good,
        "connect-timeout",
        "the name \"never.shim.test\" did not resolve within 3 s",
        THREE_SECONDS_MS,
    ),
    (
        "none",
        Behind::Good,
        "name",
        "the name \"none.shim.test\" does not resolve: ",
        SOON_MS,
    ),
    (
        "again",
        Behind::Good,
        "name",
        "the name \"again.shim.test\" does not resolve: ",
        SOON_MS,
    ),
    (
        "empty",
        Behind::Good,
        "name",
        "does not resolve: it has no address",
        SOON_MS,
    ),
    (
        "crowd-refusing",
        Behind::Refusing,
        "refused",
        "connection refused by 127.1.0.1:",
        SOON_MS,
    ),
    (
        "crowd-deaf",
        Behind::Deaf,
        "connect-timeout",
        "no connection to 127.1.0.",
        THREE_SECONDS_MS,
    ),
];

#[test]
fn each_trouble_with_a_name_says_so() {
    let healthy = Receiver::ok();
    let (_refusing, refusing) = bound_port();
    let (_listener, _queue, deaf) = deaf_port();
    let hooks: Vec<_> = TROUBLES
        .iter()
        .map(|(label, behind, ..)| {
            let port = match behind {
                Behind::Good => healthy.port(),
                Behind::Refusing => refusing,
                Behind::Deaf => deaf,
            };
            hook(label, url(label, port)).one_attempt()
        })
        .collect();
    let world = World::new(&hooks);
    let daemon = start(&world);
    world.emit("e", "{}");
    let columns =
        "webhook, coalesce(class, outcome), coalesce(error, 'NULL'), CAST(duration_ms AS INTEGER)";
    let rows = world.attempts(columns, TROUBLES.len(), SOON);
    for (label, _, class, words, span_ms) in TROUBLES {
        let found: Vec<_> = rows.iter().filter(|row| row[0] == *label).collect();
        println!("{found:?}");
        let [row] = &found[..] else {
            panic!("{label}: {found:?}")
        };
        assert!(row[1] == *class && row[2].contains(words), "{row:?}");
        assert!(span_ms.contains(&row[3].parse().unwrap()), "{row:?}");
    }
    assert!(!daemon.journal().contains("panicked"));
    daemon.stop();
}

/// Nobody is at that address; but where its interface were lost, the kernel would refuse to connect.
#[test]
fn a_link_local_address_keeps_its_interface() {
    let forms = [("encoded", "%25lo"), ("raw", "%lo"), ("numbered", "%251")];
    let mut hooks: Vec<_> = forms
        .iter()
        .map(|(name, zone)| hook(name, format!("http://[fe80::77{zone}]:9/")).one_attempt())
        .collect();
    hooks.push(hook("none", "http://[fe80::77]:9/").one_attempt());
    let world = World::new(&hooks);
    let daemon = world.start();
    world.emit("e", "{}");
    for row in world.attempts("webhook, peer, error", hooks.len(), SOON) {
        println!("{row:?}");
        if row[2].contains("Address family not supported") {
            println!("SKIPPED: this machine has no IPv6");
        } else if row[0] == "none" {
            let words =
                "; a link-local address needs its interface, as in http://[fe80::1%25eth0]/";
            assert!(row[2].ends_with(words), "{row:?}");
        } else {
            assert_eq!(row[1], "[fe80::77%1]:9");
            assert!(!row[2].contains("Invalid argument"), "{row:?}");
        }
    }
    daemon.stop();
}

/// How many threads of the daemon ask for names.
fn resolvers(daemon: &Daemon) -> usize {
    let threads = Path::new("/proc")
        .join(daemon.pid().to_string())
        .join("task");
    let names = std::fs::read_dir(threads).unwrap().filter_map(|thread| {
        // A thread may have ended meanwhile.
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim() == "resolver").count()
}

/// Sends events to the two healthy endpoints for that long, and returns the sorted spans from
/// commit to arrival, in the order of the two. By the end of it at least a quarter has arrived:
/// nearly all, but on a machine that is very busy.
fn tick(world: &World, healthy: [&Receiver; 2], span: Duration) -> [Vec<Duration>; 2] {
    let outbox = world.outbox();
    let before = healthy[0].count();
    let start = now();
    let mut committed = Vec::new();
    while start.elapsed() < span {
        let n = before + committed.len();
        insert(&outbox, "tick", &format!("{{\"n\":{n}}}"));
        committed.push(now());
        nap(Duration::from_millis(20));
    }
    let arrived = healthy.map(|receiver| receiver.count() - before);
    let fourth = committed.len() / 4;
    assert!(
        arrived.iter().all(|count| *count >= fourth),
        "{arrived:?} of {}",
        committed.len()
    );
    healthy.map(|receiver| {
        let requests = receiver.wait(before + committed.len(), SOON);
        let mut spans: Vec<Duration> = requests[before..]
            .iter()
            .map(|request| {
                let at = usize::try_from(request.n()).unwrap() - before;
                request.at.saturating_duration_since(committed[at])
            })
            .collect();
        spans.sort_unstable();
        spans
    })
}

#[test]
fn a_thousand_names_that_are_never_answered_slow_nobody_else() {
    let (by_address, by_name) = (Receiver::ok(), Receiver::ok());
    let mut hooks = vec![
        hook("by-address", by_address.url("/")).events("tick"),
        hook("by-name", url("ok", by_name.port())).events("tick"),
    ];
    for n in 0..DEAD {
        let label = format!("never-{n}");
        hooks.push(hook(&label, url(&label, 9)).events("hit").one_attempt());
    }
    let world = World::new(&hooks);
    let daemon = start(&world);
    let healthy = [&by_address, &by_name];
    let alone = tick(&world, healthy, Duration::from_secs(1));
    world.emit("hit", "{}");
    eventually("the look-ups hang", SOON, || match resolvers(&daemon) {
        RESOLVERS => Ok(()),
        other => Err(format!("{other} threads")),
    });
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE event = 'hit'"),
        0
    );
    let beside = tick(&world, healthy, Duration::from_millis(2_500));
    for (which, alone, mut beside) in [
        ("address", &alone[0], beside[0].clone()),
        ("name", &alone[1], beside[1].clone()),
    ] {
        let before = percentile(&mut alone.clone(), 50);
        let (p50, p99) = (percentile(&mut beside, 50), percentile(&mut beside, 99));
        println!("by {which}: p50 {before:.1} ms alone, {p50:.1} ms beside them, p99 {p99:.1} ms");
    }
    let dead = i64::try_from(DEAD).unwrap();
    world.wait_number("SELECT count(*) FROM log WHERE event = 'hit'", dead, SOON);
    let sql = format!(
        "SELECT count(*) FROM log WHERE event = 'hit' AND outcome = 'failed' AND class = 'connect-timeout' \
         AND error LIKE 'the name \"never-%' AND duration_ms >= {} AND duration_ms < {}",
        THREE_SECONDS_MS.start, THREE_SECONDS_MS.end
    );
    assert_eq!(world.number(&sql), dead);
    let peak = daemon.memory_kib("VmHWM");
    println!(
        "{DEAD} names, {} threads, peak {peak} KiB",
        resolvers(&daemon)
    );
    assert!(resolvers(&daemon) <= RESOLVERS);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    daemon.stop();
}
