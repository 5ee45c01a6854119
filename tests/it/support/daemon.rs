//! The binary as a process: started, signalled, waited for, and its journal read.
//!
//! A process that a test leaves behind is killed when its value goes; where the test is failing,
//! the end of the journal is printed first.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{SOON, check, eventually};

/// The word by which the journal tells that the outbox is being followed.
const READY: &str = "ready";

/// A run of `webhooksd run`.
pub(crate) struct Daemon {
    child: Child,
    journal: PathBuf,
}

/// A command that has ended.
pub(crate) struct Finished {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

impl Daemon {
    /// Starts `command` with its standard error in the file `journal`.
    pub(super) fn spawn(mut command: Command, journal: PathBuf) -> Self {
        let file = File::create(&journal).unwrap();
        let child = command.stderr(file).spawn().unwrap();
        Self { child, journal }
    }

    /// Waits until the outbox is being followed.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        eventually("the daemon is ready", SOON, || {
            let journal = self.journal();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status} before it was ready:\n{journal}");
            }
            check(journal.contains(READY), || journal)
        });
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The journal so far.
    pub(crate) fn journal(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.journal).unwrap()).into_owned()
    }

    /// Waits until the journal of this run holds `text`.
    #[track_caller]
    pub(crate) fn wait_journal(&self, text: &str) {
        eventually(&format!("{text:?} in the journal"), SOON, || {
            let journal = self.journal();
            check(journal.contains(text), || journal)
        });
    }

    /// Sends a signal; the process may just have ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        let sent = kill_process(pid, signal);
        assert!(matches!(sent, Ok(()) | Err(Errno::SRCH)), "{sent:?}");
    }

    /// Has the file taken in by SIGHUP, and waits until the journal tells of one reload more.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let before = self.reloads();
        self.signal(Signal::HUP);
        eventually("the journal tells of the reload", SOON, || {
            check(self.reloads() > before, || self.journal())
        });
    }

    fn reloads(&self) -> usize {
        let journal = self.journal();
        let tells = |line: &&str| line.contains("configuration reloaded");
        journal.lines().filter(tells).count()
    }

    /// The status, once the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end; the exit code, `None` where a signal ended it.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let journal = self.journal.clone();
        let status = eventually("the daemon ends", limit, || {
            self.ended().ok_or_else(|| tail(&journal))
        });
        status.code()
    }

    /// Stops it as systemd would, and waits; it must end well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let code = self.wait(SOON);
        assert_eq!(code, Some(0), "{}", tail(&self.journal));
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A figure of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.unwrap().trim_start_matches(':').trim();
        digits.trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- journal of {} ---\n{}", self.pid(), tail(&self.journal));
        }
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Finished {
    /// Runs `command` to its end with its output in files of `folder`, so that no pipe can fill.
    #[track_caller]
    pub(super) fn run(mut command: Command, folder: &Path, limit: Duration) -> Self {
        let out = tempfile::NamedTempFile::new_in(folder).unwrap();
        let err = tempfile::NamedTempFile::new_in(folder).unwrap();
        command.stdout(out.reopen().unwrap());
        command.stderr(err.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned()
        };
        let end = now_or_later(&mut child, limit);
        let (stdout, stderr) = (read(&out), read(&err));
        let Some(status) = end else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} did not end within {limit:?}\n{stdout}\n{stderr}");
        };
        Self {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Holds that it ended with `code`, and returns it.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

fn now_or_later(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = super::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > limit {
            return None;
        }
        super::nap(super::POLL);
    }
}

/// The end of a journal, short enough for a failure's text.
fn tail(journal: &Path) -> String {
    // In a drop the folder may be gone already, and a panic there would end all tests.
    let bytes = std::fs::read(journal).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
