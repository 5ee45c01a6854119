//! `webhooksd emit`: rows into the outbox from the shell, with the daemon or without.
//!
//! One event prints its id. `-` takes NDJSON from standard input: lines that are there together are
//! written together, so a pipe is fast and a trickle is prompt. A line that is no event ends it;
//! what stands before that line is in the outbox, and the message says so.

mod stdin;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use super::{Ended, Failure, note, note_in_place, say};
use crate::api::item;
use crate::config::{self, SecretsWanted};
use crate::model::{Clock, EventId};
use crate::outbox::{self, AppendError, Appended, Appender, NewEvent, Trouble};
use crate::transport;
use stdin::{Lines, Next};

/// Writes an event into the outbox
///
/// Prints its id. With `-` reads one event a line from standard input:
/// {"event":"…","data":…,"time":…,"tenant":"…","key":"…"}, the last three optional.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd emit story-approve '{\"id\":7}'
  webhooksd emit stockMovement.shipped @movement.json --key sm-001
  jq -c '{event:\"product.updated\",data:.}' products.json | webhooksd emit -")]
pub(super) struct Arguments {
    /// The event's name, or `-` for NDJSON from standard input
    event: String,
    /// The event's data, JSON text, or @FILE [default: {}]
    data: Option<String>,
    /// When it happened, UNIX milliseconds [default: now]
    #[arg(long, value_name = "MS")]
    time: Option<i64>,
    /// Whose event it is
    #[arg(long)]
    tenant: Option<String>,
    /// Writes the event only once: a key seen before answers with the first id
    #[arg(long)]
    key: Option<String>,
}

/// Events in one transaction.
const BATCH_EVENTS: usize = 1_000;

/// Bytes of text in one transaction.
const BATCH_BYTES: usize = 8 << 20;

/// Between two updates of the progress line.
const PROGRESS: Duration = Duration::from_millis(200);

pub(super) fn emit(path: &Path, arguments: &Arguments) -> Ended {
    let config = config::load(path, SecretsWanted::Skip, &transport::check_ca)
        .map_err(crate::daemon::Error::Config)?;
    let of = &config.outbox;
    if let Some(server) = &of.server {
        let trouble = Trouble::sqlite_only(server, "emit");
        return Err(Failure::from(outbox::Error::Server(trouble)).code(2));
    }
    if crate::daemon::make_own_outbox(&config)? {
        note(format_args!(
            "there was no outbox: made {}",
            of.path.display()
        ));
    }
    let mut appender = Appender::open(&of.path, of.max_data_bytes)?;
    if arguments.event == "-" {
        let longest_bytes = of.max_data_bytes + item::AROUND_BYTES;
        return from_stdin(&mut appender, Lines::of_stdin(longest_bytes)?);
    }
    let event = NewEvent {
        event: arguments.event.clone(),
        data: data(arguments.data.as_deref(), of.max_data_bytes)?,
        time_ms: arguments.time,
        tenant: arguments.tenant.clone(),
        key: arguments.key.clone(),
    };
    match appender.append(&[event]) {
        Ok(appended) => one(appended.first()),
        Err(AppendError::Item { field, reason, .. }) => {
            Err(Failure::text(format!("{field}: {reason}")).code(2))
        }
        Err(AppendError::Conflict { id, .. }) => Err(conflict(id)),
        Err(AppendError::Outbox(error)) => Err(error.into()),
    }
}

fn conflict(id: EventId) -> Failure {
    Failure::text(format!(
        "key was given before, to event {id}, with other content; nothing was written"
    ))
}

/// The data, of a file no more than shows that it is too much.
fn data(argument: Option<&str>, max_data_bytes: usize) -> Result<String, Failure> {
    let Some(text) = argument else {
        return Ok("{}".into());
    };
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.into());
    };
    let failed = |error: io::Error| Failure::text(format!("read {file:?}: {error}"));
    let most = u64::try_from(max_data_bytes).unwrap_or(u64::MAX);
    let mut data = Vec::new();
    let opened = File::open(file).map_err(failed)?;
    opened
        .take(most.saturating_add(1))
        .read_to_end(&mut data)
        .map_err(failed)?;
    if data.len() > max_data_bytes {
        let text = format!("data: {file:?} is larger than max_data_bytes = {max_data_bytes}");
        return Err(Failure::text(text).code(2));
    }
    String::from_utf8(data).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        Failure::text(format!("data: {file:?} is not UTF-8 from byte {at} on")).code(2)
    })
}

fn one(appended: Option<&Appended>) -> Ended {
    match appended {
        Some(Appended::New(id) | Appended::Again(id)) => {
            say(id)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Appended::Conflict(id)) => Err(conflict(*id)),
        None => Err(Failure::text("nothing was written")),
    }
}

struct Progress {
    shown: bool,
    begun: Instant,
    last: Instant,
    written: u64,
}

impl Progress {
    fn show(&mut self, now: Instant) {
        if self.shown && now.saturating_duration_since(self.last) >= PROGRESS {
            self.last = now;
            note_in_place(format_args!(
                "\r{} events, {} a second ",
                self.written,
                self.rate(now)
            ));
        }
    }

    fn rate(&self, now: Instant) -> u64 {
        let ms = now.saturating_duration_since(self.begun).as_millis().max(1);
        u64::try_from(u128::from(self.written) * 1_000 / ms).unwrap_or(u64::MAX)
    }
}

fn from_stdin(appender: &mut Appender, mut lines: Lines) -> Ended {
    let clock = Clock::system();
    let now = clock.instant();
    let shown = io::stderr().is_terminal();
    let mut progress = Progress {
        shown,
        begun: now,
        last: now,
        written: 0,
    };
    let mut number = 0_u64;
    let ended = loop {
        let (batch, broken) = next_batch(&mut lines, &mut number);
        if let Err(failure) = write(appender, batch, &mut progress) {
            break Err(failure);
        }
        progress.show(clock.instant());
        match broken {
            None => {}
            Some(End::Whole) => break Ok(ExitCode::SUCCESS),
            Some(End::Broken(failure)) => break Err(failure),
        }
    };
    if shown {
        note_in_place("\r\x1b[K");
    }
    let rate = progress.rate(clock.instant());
    note(format_args!(
        "{} events are in the outbox ({rate} a second)",
        progress.written
    ));
    ended
}

enum End {
    Whole,
    Broken(Failure),
}

/// The lines that are there by now, as far as one transaction goes.
fn next_batch(lines: &mut Lines, number: &mut u64) -> (Vec<(u64, NewEvent)>, Option<End>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        let line = match lines.next(batch.is_empty()) {
            Next::Line(line) => line,
            Next::Wait => break,
            Next::End => return (batch, Some(End::Whole)),
            Next::Failed(error) => {
                let text = format!("read standard input: {error}");
                return (batch, Some(End::Broken(Failure::text(text))));
            }
        };
        *number += 1;
        let parsed = match &line {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => {
                bytes += line.len();
                item::parse(line)
            }
            Err(reason) => Err(reason.clone()),
        };
        match parsed {
            Ok(event) => batch.push((*number, event)),
            Err(reason) => {
                let failure = Failure::text(format!("line {number}: {reason}")).code(2);
                return (batch, Some(End::Broken(failure)));
            }
        }
    }
    (batch, None)
}

/// Writes a batch; where one of its events is refused, those before it.
fn write(
    appender: &mut Appender,
    batch: Vec<(u64, NewEvent)>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let (numbers, events): (Vec<u64>, Vec<NewEvent>) = batch.into_iter().unzip();
    if events.is_empty() {
        return Ok(());
    }
    let (appended, refused) = match appender.append_all(&events) {
        Ok(appended) => (appended, None),
        Err(AppendError::Outbox(error)) => return Err(error.into()),
        Err(AppendError::Item {
            index,
            field,
            reason,
        }) => {
            let text = format!("line {}: {field} {reason}", numbers[index]);
            (
                before(appender, &events[..index])?,
                Some(Failure::text(text).code(2)),
            )
        }
        Err(AppendError::Conflict { index, id }) => {
            let line = numbers[index];
            let text =
                format!("line {line}: key was given before, to event {id}, with other content");
            (
                before(appender, &events[..index])?,
                Some(Failure::text(text)),
            )
        }
    };
    let new = appended
        .iter()
        .filter(|one| matches!(one, Appended::New(_)));
    progress.written += new.count() as u64;
    refused.map_or(Ok(()), Err)
}

/// Writes what stands before a refused event.
fn before(appender: &mut Appender, events: &[NewEvent]) -> Result<Vec<Appended>, Failure> {
    appender.append_all(events).map_err(|error| match error {
        AppendError::Outbox(error) => error.into(),
        other => Failure::new(&other),
    })
}
