//! The queue against readers that stop, come back, fail, or take a byte at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::*;
use crate::cli::journal::Form;
use crate::model::Clock;

/// What a write does.
enum Does {
    Take(usize),
    Fail(io::ErrorKind),
}

/// A reader that takes nothing until it is told to, and then so much of each write.
struct Reader {
    go: Receiver<()>,
    going: bool,
    script: VecDeque<Does>,
    read: Arc<Mutex<Vec<u8>>>,
    waited: usize,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.going {
            // It goes on as well where nobody is left to tell it.
            self.go.recv().unwrap_or_default();
            self.going = true;
        }
        let length = match self.script.pop_front() {
            None => bytes.len(),
            Some(Does::Take(length)) => length.min(bytes.len()),
            Some(Does::Fail(kind)) => return Err(kind.into()),
        };
        self.read.lock().extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Reader {
    fn wait(&mut self) {
        self.waited += 1;
    }
}

/// A queue with its writer, the reader's reins, and what it has read.
struct Scene {
    queue: Arc<Queue>,
    go: Sender<()>,
    read: Arc<Mutex<Vec<u8>>>,
    writer: JoinHandle<usize>,
}

fn scene(script: impl IntoIterator<Item = Does>) -> Scene {
    let (go, told) = channel();
    let (queue, read) = (Arc::new(Queue::default()), Arc::default());
    let mut reader = Reader {
        go: told,
        going: false,
        script: script.into_iter().collect(),
        read: Arc::clone(&read),
        waited: 0,
    };
    let lines = Arc::clone(&queue);
    let writer = std::thread::spawn(move || {
        let voice = Voice {
            form: Form::Text,
            under_systemd: true,
            clock: Clock::system(),
        };
        lines.write_to(&mut reader, &voice, &Repeats::new(Clock::system()));
        reader.waited
    });
    Scene {
        queue,
        go,
        read,
        writer,
    }
}

impl Scene {
    /// Waits until the writer has what was added in hand, and is stuck with it.
    fn taken(&self) {
        until(|| self.queue.lock().bytes.is_empty());
    }

    /// Lets the reader read to the end; what it read, and how often it was waited for.
    fn end(self) -> (String, usize) {
        self.queue.end();
        drop(self.go);
        let waited = self.writer.join().unwrap();
        let bytes = std::mem::take(&mut *self.read.lock());
        (String::from_utf8(bytes).unwrap(), waited)
    }
}

fn line(number: usize) -> String {
    format!("{number:>0width$}\n", width = 1_023)
}

/// The reader is stuck with the first line; then come twice as many lines as there is room for.
#[test]
fn lines_that_nobody_takes_are_dropped_and_told_where_they_would_stand() {
    let scene = scene([]);
    let attempts = 2 * BYTES / 1_024;
    scene.queue.add(line(0).as_bytes(), false);
    scene.taken();
    for number in 1..attempts {
        scene.queue.add(line(number).as_bytes(), false);
    }
    let warnings = 100;
    for number in attempts..attempts + warnings {
        scene.queue.add(line(number).as_bytes(), true);
    }
    scene.queue.add(b"too late\n", false);
    let (read, _) = scene.end();
    let mut lines: Vec<&str> = read.lines().collect();
    let told = lines.pop().unwrap();
    let numbers: Vec<usize> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let kept = numbers.len() - warnings;
    assert_eq!(kept, 1 + ATTEMPT_BYTES / 1_024, "one is in hand");
    let dropped = attempts - kept + 1;
    assert!(
        told.starts_with(&format!("<4>{dropped} lines were dropped here, 0 of them")),
        "{told}"
    );
    assert!(numbers.is_sorted(), "in order");
    assert!(
        numbers[kept..]
            .iter()
            .copied()
            .eq(attempts..attempts + warnings),
        "no warning is lost"
    );
}

#[test]
fn warnings_are_counted_where_even_they_have_no_room() {
    let scene = scene([]);
    scene.queue.add(line(0).as_bytes(), true);
    scene.taken();
    for number in 1..2 * BYTES / 1_024 {
        scene.queue.add(line(number).as_bytes(), true);
    }
    scene.queue.insist(b"last words\n");
    let (read, _) = scene.end();
    let lines: Vec<&str> = read.lines().collect();
    let dropped = 2 * BYTES / 1_024 - (lines.len() - 2);
    assert!(dropped > 0);
    let told = format!("<4>{dropped} lines were dropped here, {dropped} of them warnings");
    assert!(
        lines[lines.len() - 1].starts_with(&told),
        "{:?}",
        lines.last()
    );
    assert_eq!(lines[lines.len() - 2], "last words");
}

#[test]
fn lines_come_whole_from_a_reader_that_takes_them_in_pieces() {
    let scene = scene([
        Does::Take(1),
        Does::Fail(io::ErrorKind::WouldBlock),
        Does::Take(3),
        Does::Fail(io::ErrorKind::Interrupted),
        Does::Fail(io::ErrorKind::WouldBlock),
    ]);
    scene.queue.add(b"one line\n", true);
    scene.go.send(()).unwrap();
    scene.queue.add(b"another\n", false);
    assert_eq!(scene.end(), ("one line\nanother\n".to_owned(), 2));
}

#[test]
fn lines_that_can_not_be_written_are_told_once_they_can() {
    let scene = scene([
        Does::Take(4),
        Does::Fail(io::ErrorKind::StorageFull),
        // The note about it.
        Does::Fail(io::ErrorKind::StorageFull),
    ]);
    scene.queue.add(b"one line\n", true);
    scene.go.send(()).unwrap();
    scene.taken();
    scene.queue.add(b"another\n", true);
    let (read, _) = scene.end();
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines[0], "one another", "as far as it came");
    assert!(
        lines[1].starts_with("<4>1 lines were dropped here"),
        "{read}"
    );
}

/// Waits for another thread.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

#[test]
fn the_end_waits_for_a_stuck_reader_only_so_long() {
    let scene = scene([]);
    scene.queue.add(b"line\n", true);
    scene.queue.end();
    scene.queue.wait_written(Duration::from_millis(20));
    assert!(!scene.queue.lock().written);
    assert_eq!(scene.end().0, "line\n");
}
