//! What the kernel says of a process: CPU time, memory. And the clock that all processes share.
//!
//! CPU time comes from /proc/PID/stat in ticks of 10 ms, rounded down, and beside it from the
//! scheduler's own nanoseconds, thread by thread, which forget the threads that have ended. Neither
//! says too much, so the larger is the better one.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Microseconds in a tick of /proc/PID/stat: USER_HZ is 100 on every architecture of interest.
const TICK_US: u64 = 10_000;

/// CLOCK_MONOTONIC, the same for all processes of the machine.
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// User and system time of a process since its start, its ended threads included.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc/PID/stat");
    // The name may hold blanks; it ends at the last parenthesis.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ((ticks * TICK_US) as f64).max(threads_cpu_ns(pid) as f64 / 1e3)
}

/// The same of its children that have ended, as far as it has waited for them.
pub(crate) fn cpu_us_of_ended(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc/PID/stat");
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    (ticks * TICK_US) as f64
}

/// What a process has written since its start, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// What write, writev and their like took, into files and whatever else.
    pub(crate) calls: f64,
    /// Pages of files that became dirty, whole.
    pub(crate) pages: f64,
}

pub(crate) fn written(pid: u32) -> Written {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).expect("/proc/PID/io");
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.expect("a line of /proc/PID/io").parse().unwrap()
    };
    Written {
        calls: number("wchar: "),
        pages: number("write_bytes: "),
    }
}

/// Time on a CPU of the threads that live, in nanoseconds.
pub(crate) fn threads_cpu_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("/proc/PID/task");
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// A line of /proc/PID/status that ends in kB, such as VmRSS or VmHWM (the highest RSS so far), in MiB.
pub(crate) fn memory_mib(pid: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc/PID/status");
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// Raises the number of open files to what this process may have.
pub(crate) fn raise_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("raise the number of open files");
}

/// Writes out what the kernel still holds of files, so that it is not measured with what follows.
pub(crate) fn write_back() {
    rustix::fs::sync();
}
