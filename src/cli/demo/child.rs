//! A daemon of the demo: this very binary, which does not outlive it.

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

/// A child that does not outlive the demo.
pub(super) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
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
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("run")
            .arg("--config")
            .arg(config)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(journal)
            .spawn();
        Ok(Self(child.map_err(failed)?))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, as `kill -9` does.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        killed.map_err(|error| Failure::text(format!("kill the daemon: {error}")))?;
        Ok(())
    }

    /// # Errors
    /// It has ended by itself.
    pub(super) fn runs(&mut self) -> Result<(), Failure> {
        match self.0.try_wait() {
            Ok(Some(status)) => Err(Failure::text(format!("the daemon ended: {status}"))),
            _ => Ok(()),
        }
    }

    /// Stops it as systemd would; true when it said that all went well.
    pub(super) async fn stop(&mut self) -> bool {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
            return false;
        }
        let ended = async {
            loop {
                match self.0.try_wait() {
                    Ok(Some(status)) => return status.success(),
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    Err(_) => return false,
                }
            }
        };
        timeout(STOP, ended).await.unwrap_or(false)
    }
}
