//! Ends of what a machine has: descriptors, threads, memory; and a thousand reloads.
//!
//! What our own machine lacks costs no event and no try: deliveries wait, the socket goes on as far
//! as it can, nothing spins, and all of it is over when the shortage is, without a restart. Shortages
//! are made by rlimits, by a cgroup where this process may make one, and by a shim for threads.
//! A full disk and a failing one are tried elsewhere.

mod descriptors;
mod memory;
mod reloads;
mod subscriptions;
mod threads;

use std::time::Duration;

use crate::support::Daemon;

/// Clock ticks of a second, as the kernel shows them to programs on every machine of today (time(7)).
const TICKS: u64 = 100;

/// Processor time that the process has used so far, all threads together.
fn cpu(daemon: &Daemon) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    // The command's name may hold anything, so fields are counted from behind it (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

/// Descriptors that the process has open.
fn descriptors(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/fd", daemon.pid());
    std::fs::read_dir(folder).unwrap().count()
}

fn threads_of(daemon: &Daemon) -> usize {
    let folder = format!("/proc/{}/task", daemon.pid());
    std::fs::read_dir(folder).unwrap().count()
}
