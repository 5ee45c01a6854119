//! The lines that wait to be written, and the thread that writes them.
//!
//! Who reads standard error may stop: a pipe is full, a terminal is stopped, journald hangs. That must
//! cost lines and nothing else, so nobody but the thread here waits for the reader. What does not fit
//! is dropped and counted, and the count is told where the dropped lines would have stood. Lines of
//! single attempts have half of the room: a warning finds a place where they have none left.
//!
//! Lines are gathered for a few milliseconds, since a write for each would cost more than the
//! attempt's record; a warning is written at once, with what came before it. Standard error is not
//! made non-blocking: it is shared with whoever started the daemon.

use std::io::{self, Write};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

use super::repeats::Repeats;
use super::voice::Voice;

/// Lines wait at most so long for others.
const GATHER: Duration = Duration::from_millis(20);

/// Gathered lines are written when they are more than this.
const GATHER_BYTES: usize = 64 << 10;

/// Lines of attempts wait up to this for a reader: a tenth of a second of the highest rate, seconds
/// of a common one.
const ATTEMPT_BYTES: usize = 2 << 20;

/// All lines wait up to this.
const BYTES: usize = 4 << 20;

/// What the writer keeps of a buffer.
const KEPT_BYTES: usize = 4 * GATHER_BYTES;

/// Lines that nobody will read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    lines: u64,
    warnings: u64,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// What is gathered is to be written now.
    hurry: bool,
    lost: Lost,
    ended: bool,
    written: bool,
    /// There is no thread that writes.
    direct: bool,
}

/// The lines that wait.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    some: Condvar,
    done: Condvar,
}

/// What the writer took.
struct Taken {
    lost: Lost,
    ended: bool,
}

impl Queue {
    /// Adds a line with its end. Never waits for who reads.
    pub(super) fn add(&self, line: &[u8], urgent: bool) {
        let mut state = self.lock();
        if state.direct {
            drop(state);
            // Without a thread there is no other way.
            drop(io::stderr().lock().write_all(line));
            return;
        }
        let room = if urgent { BYTES } else { ATTEMPT_BYTES };
        // Once lines of attempts were dropped, no later one stands before the place that says so.
        let behind_lost = !urgent && state.lost.lines > 0;
        if behind_lost || state.bytes.len() + line.len() > room {
            state.lost.lines += 1;
            state.lost.warnings += u64::from(urgent);
            return;
        }
        let first = state.bytes.is_empty();
        state.bytes.extend_from_slice(line);
        let hurry = urgent || state.bytes.len() >= GATHER_BYTES;
        let wake = first || (hurry && !state.hurry);
        state.hurry |= hurry;
        drop(state);
        if wake {
            self.some.notify_one();
        }
    }

    /// Adds last lines, for which there is always room.
    pub(super) fn insist(&self, lines: &[u8]) {
        let mut state = self.lock();
        if state.direct {
            drop(state);
            drop(io::stderr().lock().write_all(lines));
            return;
        }
        state.bytes.extend_from_slice(lines);
        state.hurry = true;
        drop(state);
        self.some.notify_one();
    }

    /// Has each line written by who adds it.
    pub(super) fn write_at_once(&self) {
        self.lock().direct = true;
    }

    /// Says that no line comes any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.some.notify_one();
    }

    /// Waits until all is written, but no longer than that.
    pub(super) fn wait_written(&self, limit: Duration) {
        let mut state = self.lock();
        let unwritten = |state: &mut State| !state.written;
        self.done.wait_while_for(&mut state, unwritten, limit);
    }

    /// Writes lines until the end.
    pub(super) fn write_to(&self, sink: &mut impl Sink, voice: &Voice, repeats: &Repeats) {
        let mut out = Out {
            sink,
            mid_line: false,
            lost: Lost::default(),
        };
        let mut lines = Vec::new();
        loop {
            let taken = self.take(&mut lines, repeats.closes_in());
            out.write(&lines);
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            if taken.ended || repeats.closes_in().is_some_and(|left| left.is_zero()) {
                for summary in repeats.close(voice) {
                    out.write(&summary);
                }
            }
            out.lost.lines += taken.lost.lines;
            out.lost.warnings += taken.lost.warnings;
            out.tell_lost(voice);
            if taken.ended {
                self.lock().written = true;
                self.done.notify_all();
                return;
            }
        }
    }

    /// Waits for lines, no longer than `limit`, and swaps them for an empty buffer.
    fn take(&self, lines: &mut Vec<u8>, limit: Option<Duration>) -> Taken {
        let idle = |state: &mut State| state.bytes.is_empty() && !state.ended;
        let open = |state: &mut State| !state.hurry && !state.ended;
        let mut state = self.lock();
        match limit {
            None => self.some.wait_while(&mut state, idle),
            Some(limit) => drop(self.some.wait_while_for(&mut state, idle, limit)),
        }
        if !state.bytes.is_empty() {
            self.some.wait_while_for(&mut state, open, GATHER);
        }
        std::mem::swap(&mut state.bytes, lines);
        state.hurry = false;
        Taken {
            lost: std::mem::take(&mut state.lost),
            ended: state.ended,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Where lines go.
pub(super) trait Sink: Write {
    /// Waits until it may take something, where it just would not.
    fn wait(&mut self);
}

impl Sink for io::Stderr {
    /// Whoever shares it may have made it non-blocking.
    fn wait(&mut self) {
        let mut writable = [PollFd::new(&*self, PollFlags::OUT)];
        // Interrupted or not, the next write tells.
        poll(&mut writable, None).unwrap_or_default();
    }
}

struct Out<'a, S> {
    sink: &'a mut S,
    /// What was written ends within a line.
    mid_line: bool,
    /// Not told yet.
    lost: Lost,
}

impl<S: Sink> Out<'_, S> {
    /// Writes lines; those that can't be written are lost.
    fn write(&mut self, lines: &[u8]) -> bool {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => break,
                Ok(length) => {
                    let (written, left) = rest.split_at(length);
                    self.mid_line = written.last() != Some(&b'\n');
                    rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.sink.wait(),
                // A journal that can't be written must not stop deliveries.
                Err(_) => break,
            }
        }
        let ends = rest.iter().filter(|byte| **byte == b'\n').count();
        self.lost.lines += ends as u64;
        rest.is_empty()
    }

    fn tell_lost(&mut self, voice: &Voice) {
        let Lost { lines, warnings } = self.lost;
        if lines == 0 {
            return;
        }
        let mut note = if self.mid_line {
            vec![b'\n']
        } else {
            Vec::new()
        };
        let text = format!(
            "{lines} lines were dropped here, {warnings} of them warnings: nobody took them from \
             standard error; what was delivered and what was not is in the log"
        );
        let fields = [("lines", json!(lines)), ("warnings", json!(warnings))];
        note.extend(voice.warning(&text, &fields));
        let lost = std::mem::take(&mut self.lost);
        if !self.write(&note) {
            self.lost = lost;
        }
    }
}

#[cfg(test)]
mod tests;
