//! SIGHUP: a reload, or the end of a daemon whose terminal is gone.
//!
//! systemd and `kill -HUP` mean a reload. A terminal that is closed sends SIGHUP as well, and whoever
//! closes it wants what runs in it to end. So SIGHUP ends a daemon that was started from a terminal
//! where that goes at the same time, in either order: some terminals send the signal before they go.
//! A terminal that went while nobody sent SIGHUP (`disown`) leaves the daemon running, to be reloaded,
//! and so does `nohup`, which had SIGHUP ignored when the daemon began. A service has no terminal.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Error;
use crate::model::Clock;

/// Signal and hang-up so close to each other are one and the same.
const TOGETHER: Duration = Duration::from_secs(5);

/// The thread that waits for the terminal's end does nothing else.
const STACK_BYTES: usize = 64 << 10;

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HungUp {
    Reload,
    End,
}

/// The signal and the terminal.
pub(super) struct HangUp {
    clock: Clock,
    signal: Signal,
    /// As long as it is there.
    terminal: Option<Terminal>,
    /// When the last signal came.
    asked: Option<Instant>,
    /// When the terminal went.
    gone: Option<Instant>,
}

impl HangUp {
    /// Listens from now on; before that SIGHUP does what it did at the start.
    pub(super) fn new(clock: Clock) -> Result<Self, Error> {
        // Asked before the runtime sets the signal to something else.
        let ignored = is_ignored();
        let signal = signal(SignalKind::hangup()).map_err(Error::Runtime)?;
        let terminal = if ignored { None } else { Terminal::open() };
        Ok(Self {
            clock,
            signal,
            terminal,
            asked: None,
            gone: None,
        })
    }

    /// Waits for what SIGHUP means. May be dropped and called again.
    pub(super) async fn next(&mut self) -> HungUp {
        loop {
            let went = tokio::select! {
                biased;
                Some(()) = self.signal.recv() => false,
                () = until_gone(self.terminal.as_mut()) => true,
            };
            let now = Some(self.clock.instant());
            if went || self.terminal.as_ref().is_some_and(Terminal::is_gone) {
                self.terminal = None;
                self.gone = now;
            }
            if !went {
                self.asked = now;
            }
            if together(self.asked, self.gone) {
                return HungUp::End;
            }
            if !went {
                return HungUp::Reload;
            }
        }
    }
}

fn together(one: Option<Instant>, other: Option<Instant>) -> bool {
    one.zip(other).is_some_and(|(one, other)| {
        let apart = one.saturating_duration_since(other);
        apart.max(other.saturating_duration_since(one)) <= TOGETHER
    })
}

/// The terminal that this process belongs to.
struct Terminal {
    file: Arc<OwnedFd>,
    goes: oneshot::Receiver<()>,
}

impl Terminal {
    /// Opens it, if there is one. A thread waits for its end; there is none where there is no terminal.
    fn open() -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = Arc::new(open("/dev/tty", flags, Mode::empty()).ok()?);
        let (gone, goes) = oneshot::channel();
        let watched = Arc::clone(&file);
        let watch = move || {
            if is_gone_within(&watched, None) {
                // Nobody may be left to be told.
                gone.send(()).unwrap_or_default();
            }
        };
        let thread = std::thread::Builder::new()
            .name("terminal".into())
            .stack_size(STACK_BYTES)
            .spawn(watch);
        thread.ok().map(|_| Self { file, goes })
    }

    fn is_gone(&self) -> bool {
        is_gone_within(&self.file, Some(&Timespec::default()))
    }
}

/// Waits for the terminal's end.
async fn until_gone(terminal: Option<&mut Terminal>) {
    if let Some(terminal) = terminal
        && (&mut terminal.goes).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn is_gone_within(terminal: &OwnedFd, limit: Option<&Timespec>) -> bool {
    loop {
        let mut place = [PollFd::new(terminal, PollFlags::empty())];
        let polled = poll(&mut place, limit);
        let [place] = place;
        match polled {
            Err(Errno::INTR) => {}
            polled => return polled.is_ok() && place.revents().contains(PollFlags::HUP),
        }
    }
}

/// Whether SIGHUP is ignored: `nohup` has its programs start so.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is the first signal.
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_close_to_each_other_is_one() {
        let now = Instant::now();
        let later = |ms| now.checked_add(Duration::from_millis(ms));
        for (one, other, expected) in [
            (later(0), later(0), true),
            (later(5_000), later(0), true),
            (later(0), later(5_000), true),
            (later(5_001), later(0), false),
            (later(0), later(5_001), false),
            (later(0), None, false),
            (None, later(0), false),
        ] {
            assert_eq!(together(one, other), expected, "{one:?} {other:?}");
        }
    }
}
