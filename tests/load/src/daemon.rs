//! The daemon under measurement: the release binary as a child, its journal in a file.
//!
//! It never outlives the value that stands for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::build::Build;
use crate::process::{Written, cpu_us, memory_mib, now_ns, written};

/// What is in flight ends within its time-outs, 9 seconds at most.
const STOP_LIMIT: Duration = Duration::from_secs(15);

pub(crate) struct Daemon {
    child: Child,
    journal: PathBuf,
    pub(crate) build: Build,
    pub(crate) folder: PathBuf,
    pub(crate) started_ns: u64,
}

impl Daemon {
    /// Starts it in a folder that has its configuration. `level`: info, as it is shipped, or warn.
    pub(crate) fn start(build: &Build, folder: &Path, level: &str) -> Self {
        Self::start_with(build, folder, level, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(build: &Build, folder: &Path, level: &str, more: &[&str]) -> Self {
        let journal = folder.join("journal");
        let file = File::create(&journal).unwrap();
        let started_ns = now_ns();
        let child = build
            .command()
            .args(["run", "--level", level, "--config"])
            .arg(folder.join("webhooks.toml"))
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("start webhooksd");
        Self {
            child,
            journal,
            build: build.clone(),
            folder: folder.to_owned(),
            started_ns,
        }
    }

    /// Starts it and waits until it says that it follows the outbox; with the seconds that took.
    pub(crate) fn start_ready(build: &Build, folder: &Path) -> (Self, f64) {
        let mut daemon = Self::start(build, folder, "info");
        let seconds = daemon.wait_line("ready: following", Duration::from_secs(60));
        (daemon, seconds)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        cpu_us(self.pid())
    }

    pub(crate) fn written(&self) -> Written {
        written(self.pid())
    }

    /// Resident memory now, in MiB.
    pub(crate) fn rss_mib(&self) -> f64 {
        memory_mib(self.pid(), "VmRSS")
    }

    /// The highest resident memory so far, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        memory_mib(self.pid(), "VmHWM")
    }

    /// How long the journal is; what is looked for may be told to stand behind it.
    pub(crate) fn journal_bytes(&self) -> u64 {
        fs::metadata(&self.journal).unwrap().len()
    }

    /// Waits for a line of the journal; returns the seconds since the call.
    pub(crate) fn wait_line(&mut self, words: &str, limit: Duration) -> f64 {
        self.wait_line_after(0, words, limit)
    }

    pub(crate) fn wait_line_after(&mut self, bytes: u64, words: &str, limit: Duration) -> f64 {
        let begun = Instant::now();
        loop {
            let text = fs::read(&self.journal).unwrap();
            let tail = text.get(bytes as usize..).unwrap_or_default();
            if String::from_utf8_lossy(tail).contains(words) {
                return begun.elapsed().as_secs_f64();
            }
            self.check_alive();
            assert!(
                begun.elapsed() < limit,
                "no {words:?} in the journal within {limit:?}: {}",
                self.last_lines()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Panics with the end of the journal where the daemon has ended.
    pub(crate) fn check_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("webhooksd ended, {status}: {}", self.last_lines());
        }
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Stops it as systemd does; returns the seconds that took.
    pub(crate) fn stop(mut self) -> f64 {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        while begun.elapsed() < STOP_LIMIT {
            if self.child.try_wait().unwrap().is_some() {
                return begun.elapsed().as_secs_f64();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!(
            "webhooksd did not stop within {STOP_LIMIT:?}: {}",
            self.last_lines()
        );
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
