//! What systemd is told: ready, reloading, stopping, a status line, and that the pipeline moves.
//!
//! Ready means that the outbox is followed: its first look is over. The watchdog is fed only while
//! every part that has work comes round. A part in trouble, such as a full disk, comes round and
//! says so in the status; a restart would not help it. A part that stands still is fed no longer,
//! and systemd starts the daemon anew. Time is the monotonic clock's, so that a step of the wall
//! clock feeds nothing and starves nothing.
//!
//! Without systemd all of it does nothing. The protocol is `sd_notify(3)`; the socket is a file or,
//! with `@`, a name in the abstract namespace, which containers' managers and supervisors use.

use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::model::Clock;
use crate::pipeline::{Dispatch, PARTS, Ticks};
use crate::query::{About, Reading, Status};
use crate::store::{self, Count};
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
    about: About,
) -> Result<(), store::Error> {
    let mut stop = dispatch.stopping();
    if manager().is_none() {
        drop(stop.wait_for(|stop| *stop).await);
        return Ok(());
    }
    while dispatch.ticks()[0].count == 0 {
        if ends_within(&mut stop, FIRST).await {
            return Ok(());
        }
    }
    let watchdog = sd_notify::watchdog_enabled();
    let look = watchdog.map_or(LOOK, |limit| LOOK.min(limit / 4));
    let mut status = Line::new(about);
    let mut progress = Progress::new(dispatch.clock());
    let mut told = is_told(&[
        NotifyState::Ready,
        NotifyState::Status(status.line(&dispatch).await.unwrap_or_default()),
    ]);
    loop {
        // Without it the service would never be up.
        told = told || is_told(&[NotifyState::Ready]);
        match progress.stands_still(&dispatch.ticks(), dispatch.clock()) {
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

/// Says what a start waits for.
pub(super) fn waiting(what: &str) {
    say(&[NotifyState::Status(&short(&format!(
        "starting: waits for {what}"
    )))]);
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

/// The socket of who wants to be told. A name of nothing is none.
fn manager() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(name) = manager() else {
        return Ok(());
    };
    let address = match name.as_bytes() {
        [b'v', b's', b'o', b'c', b'k', b':', ..] => {
            let words = "NOTIFY_SOCKET is a vsock address, which webhooksd does not support";
            return Err(io::Error::new(io::ErrorKind::Unsupported, words));
        }
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
    seen: [(u64, Instant); PARTS],
}

impl Progress {
    fn new(clock: &Clock) -> Self {
        Self {
            seen: [(0, clock.instant()); PARTS],
        }
    }

    /// The part that has stood still for too long, if one has.
    fn stands_still(&mut self, ticks: &[Ticks; PARTS], clock: &Clock) -> Option<&'static str> {
        let now = clock.instant();
        let mut still = None;
        for (ticks, (count, since)) in ticks.iter().zip(&mut self.seen) {
            if !ticks.busy || ticks.count != *count {
                (*count, *since) = (ticks.count, now);
            } else if now.saturating_duration_since(*since) >= STILL {
                still = Some(ticks.part);
            }
        }
        still
    }
}

/// The status line, and what it is read through.
struct Line {
    about: About,
    reading: Reading,
    said: Option<String>,
}

impl Line {
    fn new(about: About) -> Self {
        Self {
            reading: Reading::new(&about),
            about,
            said: None,
        }
    }

    /// The line, where it is another one than last time.
    async fn line(&mut self, dispatch: &Dispatch<Client>) -> Option<&str> {
        let line = line(&Status::brief(&self.about, &self.reading, dispatch).await);
        if self.said.as_ref() == Some(&line) {
            return None;
        }
        self.said = Some(line);
        self.said.as_deref()
    }
}

fn line(status: &Status) -> String {
    let (files, in_flight) = (&status.inside.files, status.in_flight);
    let mut line = match files.pending_in_all {
        Some(Count { count, more }) => {
            let more = if more { "more than " } else { "" };
            format!("{more}{count} pending, {in_flight} in flight")
        }
        None => format!("{in_flight} in flight"),
    };
    if status.daemon.last_reload_failed {
        line.push_str("; the last reload was refused");
    }
    for complaint in &status.health.complaints {
        line.push_str("; ");
        line.push_str(complaint);
    }
    if let Some(failing) = &files.last_failure {
        line.push_str("; last error: ");
        line.push_str(&failing.webhook);
        line.push_str(": ");
        line.push_str(failing.error.as_deref().unwrap_or("failed"));
    }
    short(&line)
}

fn short(line: &str) -> String {
    // A line's end would end the message's field.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    line.chars().take(STATUS_CHARS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Files;
    use crate::store::LastFailure;

    fn ticks(intake: u64, record: u64, busy: bool) -> [Ticks; PARTS] {
        let of = |part, count, busy| Ticks { part, count, busy };
        [
            of("intake", intake, true),
            of("refill", intake, true),
            of("record", record, busy),
            of("append", 0, false),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_busy_part_that_has_not_come_round_for_long_stands_still() {
        let clock = Clock::follow_tokio(1_000_000);
        let mut progress = Progress::new(&clock);
        let almost = STILL.saturating_sub(Duration::from_millis(1));
        for (wait, ticks, expected) in [
            (almost, ticks(0, 0, false), None),
            (Duration::from_millis(1), ticks(0, 0, false), Some("refill")),
            (Duration::ZERO, ticks(1, 0, false), None),
            (almost, ticks(1, 0, true), None),
            (almost, ticks(2, 0, true), Some("record")),
            (Duration::ZERO, ticks(2, 1, true), None),
            (STILL, ticks(3, 1, false), None),
        ] {
            tokio::time::advance(wait).await;
            assert_eq!(progress.stands_still(&ticks, &clock), expected);
        }
    }

    #[test]
    fn the_line_is_one_line_with_what_matters_first() {
        let status = |pending_in_all, last_failure| {
            let mut status = Status::default();
            status.inside.files = Arc::new(Files {
                pending_in_all,
                last_failure,
                ..Files::default()
            });
            status
        };
        let count = |more| Some(Count { count: 3, more });
        let mut well = status(count(false), None);
        well.in_flight = 1;
        assert_eq!(line(&well), "3 pending, 1 in flight");
        let mut blind = status(None, None);
        blind.daemon.last_reload_failed = true;
        blind.health.complaints = vec!["log: disk full (for 5 s)".into()];
        assert_eq!(
            line(&blind),
            "0 in flight; the last reload was refused; log: disk full (for 5 s)"
        );
        let failure = LastFailure {
            webhook: "crm".into(),
            error: Some(format!("answered\nWATCHDOG=1{}", "x".repeat(500))),
        };
        let long = line(&status(count(true), Some(failure)));
        assert!(
            long.starts_with(
                "more than 3 pending, 0 in flight; last error: crm: answered WATCHDOG=1"
            )
        );
        assert_eq!((long.lines().count(), long.len()), (1, STATUS_CHARS));
    }
}
