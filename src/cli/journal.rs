//! The journal: the daemon's lines on standard error.
//!
//! Text for people, JSON on request. Under systemd a line begins with its priority (`<4>`, see
//! sd-daemon(3)) and has no time, for the journal has its own. Lines of single attempts are
//! gathered for a few milliseconds, since a write for each would cost more than the attempt's
//! record; a warning is written at once, with what came before it.

mod text;

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::Clock;
use text::Text;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people and `journalctl`
    Text,
    /// One JSON object a line
    Json,
}

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

/// Lines wait at most so long.
const GATHER: Duration = Duration::from_millis(20);

/// Gathered lines are written when they are more than this.
const GATHER_BYTES: usize = 64 << 10;

/// The journal of this process, until it is dropped; what is gathered is written then.
pub(super) struct Journal {
    gathered: Arc<Gathered>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.gathered.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.gathered.write_out();
        }
    }
}

/// Begins the journal of this process.
pub(super) fn begin(form: Form, level: Level) -> Journal {
    let gathered = Arc::new(Gathered::default());
    let most = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
    };
    match form {
        Form::Json => tracing_subscriber::fmt()
            .with_max_level(most)
            .with_writer(Lines(gathered.clone()))
            .json()
            .flatten_event(true)
            .with_target(false)
            .init(),
        Form::Text => {
            let lines = gathered.clone();
            let text = Text {
                most,
                under_systemd: std::env::var_os("JOURNAL_STREAM").is_some(),
                clock: Clock::system(),
                take: move |line: &[u8], level| lines.add(line, is_urgent(level)),
            };
            text.init();
        }
    }
    let writer = gathered.clone();
    let thread = std::thread::Builder::new()
        .name("journal".into())
        .spawn(move || writer.run());
    if thread.is_err() {
        // Then each line is written as it comes.
        gathered.end();
    }
    Journal {
        gathered,
        thread: thread.ok(),
    }
}

#[derive(Default)]
struct Gathered {
    state: Mutex<State>,
    some: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Gathered {
    fn add(&self, line: &[u8], at_once: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.bytes.is_empty();
        state.bytes.extend_from_slice(line);
        let now = at_once || state.ended || state.bytes.len() >= GATHER_BYTES;
        let out = if now {
            std::mem::take(&mut state.bytes)
        } else {
            Vec::new()
        };
        drop(state);
        write(&out);
        if first && !now {
            self.some.notify_one();
        }
    }

    /// Writes what is gathered, some milliseconds after the first line of it.
    fn run(&self) {
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = |state: &mut State| state.bytes.is_empty() && !state.ended;
            let state = self
                .some
                .wait_while(state, idle)
                .unwrap_or_else(PoisonError::into_inner);
            let open = |state: &mut State| !state.ended;
            let waited = self.some.wait_timeout_while(state, GATHER, open);
            let ended = waited.unwrap_or_else(PoisonError::into_inner).0.ended;
            self.write_out();
            if ended {
                return;
            }
        }
    }

    fn write_out(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let out = std::mem::take(&mut state.bytes);
        drop(state);
        write(&out);
    }

    fn end(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended = true;
        self.some.notify_one();
    }
}

fn is_urgent(level: tracing::Level) -> bool {
    level != tracing::Level::INFO
}

/// A journal that can't be written must not stop deliveries.
fn write(bytes: &[u8]) {
    if !bytes.is_empty() {
        drop(io::stderr().lock().write_all(bytes));
    }
}

struct Lines(Arc<Gathered>);

struct Line {
    gathered: Arc<Gathered>,
    bytes: Vec<u8>,
    at_once: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            gathered: self.0.clone(),
            bytes: Vec::new(),
            at_once: true,
        }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Line {
        let at_once = is_urgent(*meta.level());
        Line {
            gathered: self.0.clone(),
            bytes: Vec::new(),
            at_once,
        }
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
        self.gathered.add(&self.bytes, self.at_once);
    }
}
