//! Lines from standard input, read ahead by a thread of their own, in bounded memory.
//!
//! Lines that have come together are handed over together. A line that is longer than any event may
//! be is not read to its end, for it may have none; it is the last that is looked at. So is one that
//! is no UTF-8.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::vec::IntoIter;

use crate::cli::Failure;

/// Bytes that are asked of standard input at a time: a pipe's.
const READ_BYTES: usize = 64 << 10;

/// Bytes of lines that are handed over together, and one line more.
const GROUP_BYTES: usize = 256 << 10;

/// Groups that wait to be written: one is ready while one is made.
const GROUPS: usize = 2;

/// A line, or why it is none that can be an event.
pub(super) type Line = Result<String, String>;

/// What comes next.
pub(super) enum Next {
    /// A line.
    Line(Line),
    /// Nothing is there yet.
    Wait,
    /// There are no more.
    End,
    /// Standard input can't be read.
    Failed(io::Error),
}

/// The lines of standard input.
pub(super) struct Lines {
    groups: Receiver<io::Result<Vec<Line>>>,
    group: IntoIter<Line>,
}

impl Lines {
    /// Begins to read. No line may be longer than `longest_bytes`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn of_stdin(longest_bytes: usize) -> Result<Self, Failure> {
        let (send, groups) = sync_channel(GROUPS);
        let reading = move || {
            let mut from = BufReader::with_capacity(READ_BYTES, io::stdin().lock());
            loop {
                let group = next_group(&mut from, longest_bytes);
                let last = !matches!(&group, Ok(lines) if lines.last().is_some_and(Result::is_ok));
                if send.send(group).is_err() || last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().spawn(reading);
        thread.map_err(|error| Failure::text(format!("start a thread: {error}")))?;
        let group = Vec::new().into_iter();
        Ok(Self { groups, group })
    }

    /// The next line; where there is none yet, waits for it if told to.
    pub(super) fn next(&mut self, wait: bool) -> Next {
        loop {
            if let Some(line) = self.group.next() {
                return Next::Line(line);
            }
            let group = if wait {
                self.groups.recv().map_err(TryRecvError::from)
            } else {
                self.groups.try_recv()
            };
            match group {
                Ok(Ok(group)) => self.group = group.into_iter(),
                Ok(Err(error)) => return Next::Failed(error),
                Err(TryRecvError::Empty) => return Next::Wait,
                Err(TryRecvError::Disconnected) => return Next::End,
            }
        }
    }
}

/// The lines that are there, at least one but at the end, up to the first that is none.
fn next_group(from: &mut BufReader<impl Read>, longest_bytes: usize) -> io::Result<Vec<Line>> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while group.is_empty() || bytes < GROUP_BYTES && from.buffer().contains(&b'\n') {
        let Some(line) = next_line(from, longest_bytes)? else {
            break;
        };
        let bad = line.is_err();
        bytes += line.as_ref().map_or(0, String::len);
        group.push(line);
        if bad {
            break;
        }
    }
    Ok(group)
}

/// The next line without its end; `None` behind the last.
fn next_line(from: &mut impl BufRead, longest_bytes: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    // With its end, of which one octet may be the line's own.
    let limit = u64::try_from(longest_bytes).unwrap_or(u64::MAX);
    let read = from
        .take(limit.saturating_add(2))
        .read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    line.pop_if(|last| *last == b'\n');
    line.pop_if(|last| *last == b'\r');
    if line.len() > longest_bytes {
        let reason =
            format!("longer than {longest_bytes} bytes: max_data_bytes allows no such event");
        return Ok(Some(Err(reason)));
    }
    Ok(Some(String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        format!("not UTF-8 from byte {at} on")
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &[u8], longest_bytes: usize) -> Vec<Vec<Line>> {
        let mut from = BufReader::with_capacity(16, text);
        let mut groups = Vec::new();
        loop {
            let group = next_group(&mut from, longest_bytes).unwrap();
            if group.is_empty() {
                return groups;
            }
            groups.push(group);
        }
    }

    #[test]
    fn lines_that_are_there_come_together_and_the_last_needs_no_end() {
        let found = groups(b"a\r\nb\n\ncc", 100);
        let line = |text: &str| Ok(text.to_owned());
        assert_eq!(
            found,
            [vec![line("a"), line("b"), line("")], vec![line("cc")]]
        );
        assert_eq!(groups(b"", 100), Vec::<Vec<Line>>::new());
    }

    #[test]
    fn a_line_that_is_none_ends_its_group() {
        let found = groups(b"a\n\xff\nb\n", 100);
        assert_eq!(found[0][1], Err("not UTF-8 from byte 1 on".to_owned()));
        assert_eq!(found[0].len(), 2);
    }

    #[test]
    fn of_a_line_that_is_too_long_no_more_is_read_than_shows_it() {
        let mut from = BufReader::with_capacity(16, io::repeat(b'x'));
        let group = next_group(&mut from, 1_000).unwrap();
        assert!(matches!(&group[..], [Err(reason)] if reason.contains("longer than 1000 bytes")));
        assert_eq!(groups(b"12345\n", 5), [vec![Ok("12345".to_owned())]]);
        assert!(groups(b"123456\n", 5)[0][0].is_err());
    }
}
