//! The journal: the daemon's lines on standard error.
//!
//! Text for people, JSON on request. Under systemd a line begins with its priority (`<4>`, see
//! sd-daemon(3)), and text has no time, for the journal has its own. A thread of its own writes what
//! the others queue (`queue`), so that nobody waits for a reader. A warning that repeats is summed up
//! (`repeats`). What the journal says of itself, and the last words of a daemon that could not go on,
//! are put together in `voice`. A panic is a line like any other.

mod priority;
mod queue;
mod repeats;
mod text;
mod voice;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use crate::model::Clock;
use priority::{prioritised, priority};
use queue::Queue;
use repeats::Repeats;
use text::Text;
use voice::Voice;

pub(super) use voice::Form;

/// Which lines are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Level {
    /// What failed
    Error,
    /// Also deliveries given up and what needs a look
    Warn,
    /// Also each attempt
    Info,
}

/// At the end, who reads has so long for what is left.
const LAST: Duration = Duration::from_secs(1);

/// The journal of this process, until it is dropped; what is queued is written then, if it can be.
pub(super) struct Journal {
    queue: Arc<Queue>,
    voice: Arc<Voice>,
    has_thread: bool,
}

impl Journal {
    /// Says why the daemon ends, and ends the journal.
    pub(super) fn end_with(self, failure: &Failure) {
        self.queue.insist(&self.voice.last_words(failure));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.end();
        if self.has_thread {
            self.queue.wait_written(LAST);
        }
    }
}

/// Begins the journal of this process.
pub(super) fn begin(form: Form, level: Level) -> Journal {
    let clock = Clock::system();
    let under_systemd = is_journals();
    let queue = Arc::new(Queue::default());
    let repeats = Arc::new(Repeats::new(clock.clone()));
    let voice = Arc::new(Voice {
        form,
        under_systemd,
        clock: clock.clone(),
    });
    let most = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
    };
    match form {
        Form::Json => tracing_subscriber::fmt()
            .with_max_level(most)
            .with_writer(Lines {
                queue: queue.clone(),
                under_systemd,
            })
            .json()
            .flatten_event(true)
            .with_target(false)
            .finish()
            .with(Calm(repeats.clone()))
            .init(),
        Form::Text => {
            let (lines, calm) = (queue.clone(), repeats.clone());
            let text = Text {
                most,
                under_systemd,
                clock,
                admits: move |event: &tracing::Event<'_>| calm.admits(event),
                take: move |line: &[u8], level| lines.add(line, is_urgent(level)),
            };
            text.init();
        }
    }
    let (writer, teller) = (queue.clone(), voice.clone());
    let thread = std::thread::Builder::new()
        .name("journal".into())
        .spawn(move || writer.write_to(&mut io::stderr(), &teller, &repeats));
    if thread.is_err() {
        // Then each line is written as it comes.
        queue.write_at_once();
    }
    std::panic::set_hook(Box::new(tell_panic));
    Journal {
        queue,
        voice,
        has_thread: thread.is_ok(),
    }
}

/// A panic's line, and its backtrace where the environment asks for one.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let (words, thread) = (words.unwrap_or("without a word"), std::thread::current());
    let thread = thread.name().unwrap_or("without a name");
    match panic.location() {
        Some(place) => tracing::error!("thread '{thread}' panicked at {place}: {words}"),
        None => tracing::error!("thread '{thread}' panicked: {words}"),
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let lines = backtrace.to_string();
        lines.lines().for_each(|line| tracing::error!("{line}"));
    }
}

/// Whether the daemon's lines go to systemd's journal, as far as the environment tells.
fn is_journals() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// Whether standard error is systemd's journal, as systemd says it (systemd.exec(5)): the variable
/// is inherited by programs whose output goes elsewhere.
fn is_stderr() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// A failure's lines as they are printed: with a priority where that goes to systemd's journal.
pub(super) fn printed(lines: &str, of_run: bool) -> String {
    if is_stderr() || (of_run && is_journals()) {
        prioritised(lines, tracing::Level::ERROR)
    } else {
        lines.to_owned()
    }
}

fn is_urgent(level: tracing::Level) -> bool {
    level != tracing::Level::INFO
}

/// Lets no warning through that is summed up.
struct Calm(Arc<Repeats>);

impl<S: tracing::Subscriber> Layer<S> for Calm {
    fn event_enabled(&self, event: &tracing::Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admits(event)
    }
}

/// Makes a JSON line's writer.
struct Lines {
    queue: Arc<Queue>,
    under_systemd: bool,
}

struct Line {
    queue: Arc<Queue>,
    bytes: Vec<u8>,
    urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            queue: self.queue.clone(),
            bytes: Vec::new(),
            urgent: true,
        }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Line {
        let mut line = self.make_writer();
        line.urgent = is_urgent(*meta.level());
        if self.under_systemd {
            line.bytes
                .extend_from_slice(priority(*meta.level()).as_bytes());
        }
        line
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.queue.add(&self.bytes, self.urgent);
    }
}
