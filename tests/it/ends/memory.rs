//! Memory: endpoints that hang, large events and a backlog, in a cgroup with little room.
//!
//! Where this process can make no cgroup it says so, and the peak of the process is looked at alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Answer, Daemon, Receiver, SOON, World, check, eventually, hook, insert};

/// What the daemon may take beyond what it has at its start: bodies in flight and in queues, a batch of
/// the outbox, two page caches, and what the allocator wastes. Without a bound for bodies in flight
/// this test takes 200 MiB.
const MORE_KIB: u64 = 112 * 1_024;

/// The cgroup's limit: the program itself, in a debug build, on top.
const LIMIT_BYTES: u64 = (MORE_KIB + 32 * 1_024) * 1_024;

const SILENT: usize = 10;
const EVENTS: i64 = 100;
const DATA_BYTES: usize = 256 * 1_024;

/// A memory cgroup of this test; removed with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let name = format!("webhooksd-it-{}", std::process::id());
        for (root, file) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let made = Self(folder);
            let limit = made.0.join(file);
            // Without the controller the file is not there, and in a plain folder it must not be made.
            if limit.exists() && std::fs::write(&limit, LIMIT_BYTES.to_string()).is_ok() {
                return Some(made);
            }
        }
        println!("SKIPPED in part: no memory cgroup can be made here; only the peak is looked at");
        None
    }

    /// How often the limit killed a process.
    fn kills(&self) -> u64 {
        let text = ["memory.events", "memory.oom_control"]
            .iter()
            .find_map(|file| std::fs::read_to_string(self.0.join(file)).ok());
        let text = text.unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.map_or(0, |count| count.parse().unwrap())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy while a process is in it, which a test that fails may leave for a moment.
        drop(std::fs::remove_dir(&self.0));
    }
}

fn start(world: &World, cgroup: Option<&Cgroup>) -> Daemon {
    let Some(cgroup) = cgroup else {
        return world.start();
    };
    let enter = format!(
        "echo $$ > '{}' && exec \"$@\"",
        cgroup.0.join("cgroup.procs").display()
    );
    let mut daemon = world.spawn_behind(&["sh", "-c", &enter, "sh"], &[], &[]);
    daemon.wait_ready();
    daemon
}

#[test]
fn large_events_behind_endpoints_that_hang_take_little_memory() {
    let cgroup = Cgroup::new();
    let good = Receiver::ok();
    let silent: Vec<Receiver> = (0..SILENT)
        .map(|_| Receiver::start(|_| Answer::Silence))
        .collect();
    let mut hooks = vec![hook("good", good.url("/"))];
    for (at, receiver) in silent.iter().enumerate() {
        hooks.push(hook(&format!("silent-{at}"), receiver.url("/")).one_attempt());
    }
    let world = World::new(&hooks);
    let mut daemon = start(&world, cgroup.as_ref());
    let before = daemon.memory_kib("VmRSS");
    let outbox = world.outbox();
    let padding = "x".repeat(DATA_BYTES);
    for n in 0..EVENTS {
        insert(
            &outbox,
            "e",
            &format!("{{\"n\":{n},\"padding\":\"{padding}\"}}"),
        );
    }
    let done = "SELECT count(*) FROM delivery WHERE webhook = 'good' AND state = 'delivered'";
    eventually("the good one gets all", 3 * SOON, || {
        if let Some(status) = daemon.ended() {
            let kills = cgroup.as_ref().map_or(0, Cgroup::kills);
            panic!("the daemon ended with {status}, {kills} killed by the limit");
        }
        let seen = world.number(done);
        check(seen == EVENTS, || {
            format!("{seen}, peak {} KiB", daemon.memory_kib("VmHWM"))
        })
    });
    let failed = "SELECT count(*) FROM delivery WHERE state = 'failed' AND attempts = 1";
    let all = EVENTS * i64::try_from(SILENT).unwrap();
    world.wait_number(failed, all, Duration::from_secs(180));
    let peak = daemon.memory_kib("VmHWM");
    println!(
        "{before} KiB at the start, {peak} KiB at most, {} kills",
        cgroup.as_ref().map_or(0, Cgroup::kills)
    );
    assert!(peak < before + MORE_KIB, "{before} KiB, then {peak} KiB");
    assert_eq!(cgroup.as_ref().map_or(0, Cgroup::kills), 0);
    assert!(
        !daemon.journal().contains("panicked"),
        "{}",
        daemon.journal()
    );
    daemon.stop();
}
