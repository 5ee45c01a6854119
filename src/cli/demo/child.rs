//! A daemon of the demo: this very binary, which does not outlive it, even where the demo is killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::super::Failure;

/// Between two looks at whatever is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A stop takes milliseconds where nothing is in flight.
const STOP: Duration = Duration::from_secs(10);

/// A shell waits for the end of its input, which the demo holds, and then ends the daemon.
const BESIDE: &str = "cat >/dev/null; kill -KILL \"$0\" 2>/dev/null";

/// A child that does not outlive the demo.
pub(super) struct Daemon {
    child: Child,
    beside: Beside,
}

/// Who ends the daemon where the demo can't.
struct Beside(Child);

impl Beside {
    fn of(pid: u32) -> std::io::Result<Self> {
        let beside = Command::new("sh")
            .args(["-c", BESIDE, &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        beside.map(Self)
    }

    /// It is wanted no longer: the daemon's number may be another process's once its end was waited for.
    fn leave(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.beside.leave();
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Daemon {
    /// `webhooksd run` with these words more, and its journal in a file.
    pub(super) fn start(config: &Path, words: &[&str], journal: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::text(format!("start the daemon: {error}"));
        let journal = std::fs::File::options()
            .append(true)
            .create(true)
            .open(journal)
            .map_err(failed)?;
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("run")
            .arg("--config")
            .arg(config)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(journal)
            .spawn()
            .map_err(failed)?;
        match Beside::of(child.id()) {
            Ok(beside) => Ok(Self { child, beside }),
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                Err(failed(error))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` does.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.beside.leave();
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| Failure::text(format!("kill the daemon: {error}")))?;
        Ok(())
    }

    /// # Errors
    /// It has ended by itself.
    pub(super) fn runs(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(Failure::text(format!("the daemon ended: {status}"))),
            _ => Ok(()),
        }
    }

    /// Stops it as systemd would; true when it said that all went well.
    pub(super) async fn stop(&mut self) -> bool {
        self.beside.leave();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
            return false;
        }
        let ended = async {
            loop {
                match self.child.try_wait() {
                    Ok(Some(status)) => return status.success(),
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    Err(_) => return false,
                }
            }
        };
        timeout(STOP, ended).await.unwrap_or(false)
    }
}
