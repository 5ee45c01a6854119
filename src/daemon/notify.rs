//! What systemd is told: ready, reloading, stopping, a status line, and that the pipeline moves.
//!
//! Ready means that the outbox is followed: its first look is over. The watchdog is fed only while
//! every part of the pipeline comes round. A part in trouble, such as a full disk, comes round and
//! says so in the status; a restart would not help it. A part that stands still is fed no longer,
//! and systemd starts the daemon anew. Time is the monotonic clock's, so that a step of the wall
//! clock feeds nothing and starves nothing.
//!
//! Without systemd all of it does nothing. The protocol is `sd_notify(3)`; the socket is a file or,
//! with `@`, a name in the abstract namespace, which containers' managers and supervisors use.

use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::model::Clock;
use crate::pipeline::{Dispatch, Rounds};
use crate::store::{self, Outlook, Reader};
use crate::transport::Client;

/// Between two looks at the pipeline.
const LOOK: Duration = Duration::from_secs(2);

/// Between two looks for the end of the first round.
const FIRST: Duration = Duration::from_millis(2);

/// No round of a part takes longer but in a hang: locks are waited for 5 s at most, and a batch is
/// some megabytes.
const STILL: Duration = Duration::from_secs(15);

/// How long a manager that does not read may hold a thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// The status is one line of a terminal or two.
const STATUS_CHARS: usize = 160;

/// Says how the pipeline is until it stops.
pub(super) async fn tell(
    dispatch: Arc<Dispatch<Client>>,
    log: PathBuf,
) -> Result<(), store::Error> {
    let mut stop = dispatch.stopping();
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        drop(stop.wait_for(|stop| *stop).await);
        return Ok(());
    }
    while dispatch.rounds()[0].count == 0 {
        if ends_within(&mut stop, FIRST).await {
            return Ok(());
        }
    }
    let watchdog = sd_notify::watchdog_enabled();
    let look = watchdog.map_or(LOOK, |limit| LOOK.min(limit / 4));
    let mut status = Status::new(log);
    let mut progress = Progress::new(&dispatch.clock);
    let mut told = is_told(&[
        NotifyState::Ready,
        NotifyState::Status(status.line(&dispatch).await.unwrap_or_default()),
    ]);
    loop {
        // Without it the service would never be up.
        told = told || is_told(&[NotifyState::Ready]);
        match progress.stands_still(&dispatch.rounds(), &dispatch.clock) {
            None if watchdog.is_some() => say(&[NotifyState::Watchdog]),
            None => {}
            Some(part) => tracing::error!(
                part,
                "a part of the pipeline stands still: the watchdog is not fed"
            ),
        }
        if let Some(line) = status.line(&dispatch).await {
            say(&[NotifyState::Status(line)]);
        }
        if ends_within(&mut stop, look).await {
            return Ok(());
        }
    }
}

/// Says that the configuration is being read anew; [`ready`] must follow.
pub(super) fn reloading() {
    // With `Type=notify-reload` systemd wants to know when (systemd.service(5)).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock can't be read"),
    }
}

/// Says that the reload is over.
pub(super) fn ready() {
    say(&[NotifyState::Ready]);
}

/// Says that the daemon stops.
pub(super) fn stopping(in_flight: usize) {
    let line = format!("stopping, {in_flight} in flight");
    say(&[NotifyState::Stopping, NotifyState::Status(&line)]);
}

fn say(states: &[NotifyState<'_>]) {
    // What could not be said is in the journal.
    let _: bool = is_told(states);
}

/// Says it, and whether that could be said.
fn is_told(states: &[NotifyState<'_>]) -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    match send(states) {
        Ok(()) => {
            TOLD.store(false, Ordering::Relaxed);
            true
        }
        Err(error) => {
            if !TOLD.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "systemd can't be told");
            }
            false
        }
    }
}

fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let mut message = String::new();
    for state in states {
        // A string takes all.
        writeln!(message, "{state}").unwrap_or_default();
    }
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

async fn ends_within(stop: &mut watch::Receiver<bool>, time: Duration) -> bool {
    timeout(time, stop.wait_for(|stop| *stop)).await.is_ok()
}

/// Since when each part has not come round.
struct Progress {
    seen: [(u64, Instant); 3],
}

impl Progress {
    fn new(clock: &Clock) -> Self {
        Self {
            seen: [(0, clock.instant()); 3],
        }
    }

    /// The part that has stood still for too long, if one has.
    fn stands_still(&mut self, rounds: &[Rounds; 3], clock: &Clock) -> Option<&'static str> {
        let now = clock.instant();
        let mut still = None;
        for (rounds, (count, since)) in rounds.iter().zip(&mut self.seen) {
            if !rounds.busy || rounds.count != *count {
                (*count, *since) = (rounds.count, now);
            } else if now.saturating_duration_since(*since) >= STILL {
                still = Some(rounds.part);
            }
        }
        still
    }
}

/// The status line, and the connection to the log that it is read through.
struct Status {
    log: PathBuf,
    reader: Option<Reader>,
    said: Option<String>,
}

impl Status {
    fn new(log: PathBuf) -> Self {
        Self {
            log,
            reader: None,
            said: None,
        }
    }

    /// The line, where it is another one than last time.
    async fn line(&mut self, dispatch: &Dispatch<Client>) -> Option<&str> {
        let (log, reader) = (self.log.clone(), self.reader.take());
        let read = move || {
            let reader = reader.or_else(|| Reader::open(&log).ok());
            let outlook = reader.as_ref().and_then(|reader| reader.outlook().ok());
            (reader, outlook)
        };
        let (reader, outlook) = dispatch.with_blocking(read).await;
        self.reader = reader;
        let snapshot = dispatch.snapshot();
        let line = line(
            outlook.as_ref(),
            snapshot.in_flight,
            snapshot.last_reload_failed,
            &snapshot.complaints,
        );
        if self.said.as_ref() == Some(&line) {
            return None;
        }
        self.said = Some(line);
        self.said.as_deref()
    }
}

fn line(
    outlook: Option<&Outlook>,
    in_flight: usize,
    refused: bool,
    complaints: &[String],
) -> String {
    let mut line = match outlook {
        Some(Outlook { pending, more, .. }) => {
            let more = if *more { "more than " } else { "" };
            format!("{more}{pending} pending, {in_flight} in flight")
        }
        None => format!("{in_flight} in flight"),
    };
    if refused {
        line.push_str("; the last reload was refused");
    }
    for complaint in complaints {
        line.push_str("; ");
        line.push_str(complaint);
    }
    if let Some(failing) = outlook.and_then(|outlook| outlook.failing.as_ref()) {
        line.push_str("; last error: ");
        line.push_str(&failing.webhook);
        line.push_str(": ");
        line.push_str(failing.error.as_deref().unwrap_or("failed"));
    }
    // A line's end would end the message's field.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    line.chars().take(STATUS_CHARS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Failing;

    fn rounds(intake: u64, record: u64, busy: bool) -> [Rounds; 3] {
        let of = |part, count, busy| Rounds { part, count, busy };
        [
            of("intake", intake, true),
            of("refill", intake, true),
            of("record", record, busy),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_busy_part_that_has_not_come_round_for_long_stands_still() {
        let clock = Clock::follow_tokio(1_000_000);
        let mut progress = Progress::new(&clock);
        let almost = STILL.saturating_sub(Duration::from_millis(1));
        for (wait, rounds, expected) in [
            (almost, rounds(0, 0, false), None),
            (
                Duration::from_millis(1),
                rounds(0, 0, false),
                Some("refill"),
            ),
            (Duration::ZERO, rounds(1, 0, false), None),
            (almost, rounds(1, 0, true), None),
            (almost, rounds(2, 0, true), Some("record")),
            (Duration::ZERO, rounds(2, 1, true), None),
            (STILL, rounds(3, 1, false), None),
        ] {
            tokio::time::advance(wait).await;
            assert_eq!(progress.stands_still(&rounds, &clock), expected);
        }
    }

    #[test]
    fn the_line_is_one_line_with_what_matters_first() {
        let mut outlook = Outlook {
            pending: 3,
            more: false,
            failing: None,
        };
        assert_eq!(
            line(Some(&outlook), 1, false, &[]),
            "3 pending, 1 in flight"
        );
        assert_eq!(
            line(None, 0, true, &["log: disk full (for 5 s)".into()]),
            "0 in flight; the last reload was refused; log: disk full (for 5 s)"
        );
        outlook.more = true;
        outlook.failing = Some(Failing {
            webhook: "crm".into(),
            error: Some(format!("answered\nWATCHDOG=1{}", "x".repeat(500))),
        });
        let long = line(Some(&outlook), 0, false, &[]);
        assert!(
            long.starts_with(
                "more than 3 pending, 0 in flight; last error: crm: answered WATCHDOG=1"
            )
        );
        assert_eq!((long.lines().count(), long.len()), (1, STATUS_CHARS));
    }
}
