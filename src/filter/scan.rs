//! Reads JSON once, front to back, and hands out the values that the paths of a tree lead to.
//!
//! The text was found to be JSON when the event was read (`outbox::json`), so nothing is checked again and
//! nothing is built: what no path leads to is skipped, however deep, and the stack is a list. Of a text
//! that isn't JSON some values are found, or none.
//!
//! Why not `serde_json`: it hands numbers over as integers and floats of 64 bits, or else (by a feature
//! that changes all its users here) as texts in a map; it goes one frame of the stack down for each step;
//! and it reads what is skipped as if it had to be checked. Strings with escapes are left to it.

use std::fmt;

use serde::Deserializer as _;
use serde::de::Visitor;

use super::trie::{ROOT, Trie};

/// A value that was found. Of an object or array its members come later, where a path leads to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Null,
    Truth(bool),
    /// As written.
    Number(&'a [u8]),
    /// Without its escapes. Half a surrogate pair has the three octets that no UTF-8 has.
    Text(&'a [u8]),
    Array,
    Object,
}

/// What a scan needs besides its text, kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The nodes of every open container, and behind them those of the value that is next.
    nodes: Vec<usize>,
    frames: Vec<Frame>,
    /// A string without its escapes.
    text: Vec<u8>,
}

/// An open object or array.
#[derive(Debug)]
struct Frame {
    /// Its nodes in `Room::nodes`.
    from: usize,
    to: usize,
    /// The number of the next element; `None` in an object.
    next: Option<u64>,
}

/// Hands each value that a path leads to to `sink`, with the path's node: a value that several paths lead to
/// once for each of them.
pub(super) fn scan(
    trie: &Trie,
    data: &str,
    room: &mut Room,
    sink: &mut impl FnMut(usize, Found<'_>),
) {
    room.nodes.clear();
    room.frames.clear();
    room.nodes.push(ROOT);
    let mut reader = Reader {
        text: data.as_bytes(),
        at: 0,
    };
    let mut from = 0;
    loop {
        value(trie, &mut reader, room, from, sink);
        match next(trie, &mut reader, room) {
            Some(next) => from = next,
            None => return,
        }
    }
}

/// Reads the value whose nodes are those from `from`; of one that a path enters, its bracket.
fn value(
    trie: &Trie,
    reader: &mut Reader<'_>,
    room: &mut Room,
    from: usize,
    sink: &mut impl FnMut(usize, Found<'_>),
) {
    let first = reader.peek();
    let found = match first {
        b'"' => Found::Text(unescaped(reader.string(), &mut room.text)),
        b'{' => Found::Object,
        b'[' => Found::Array,
        b't' => Found::Truth(true),
        b'f' => Found::Truth(false),
        b'n' => Found::Null,
        _ => Found::Number(reader.scalar()),
    };
    for node in &room.nodes[from..] {
        sink(*node, found);
    }
    match found {
        Found::Object | Found::Array => {
            let is_array = found == Found::Array;
            let to = room.nodes.len();
            let enters = |node: &usize| match is_array {
                true => trie.enters_arrays(*node),
                false => trie.enters_objects(*node),
            };
            if room.nodes[from..].iter().any(enters) {
                reader.at += 1;
                let next = is_array.then_some(0);
                room.frames.push(Frame { from, to, next });
            } else {
                reader.skip_container();
            }
        }
        Found::Truth(_) | Found::Null => {
            reader.scalar();
        }
        Found::Number(_) | Found::Text(_) => {}
    }
}

/// Goes to the next value that a path leads to; `None` where there is none.
fn next(trie: &Trie, reader: &mut Reader<'_>, room: &mut Room) -> Option<usize> {
    loop {
        let frame = room.frames.last_mut()?;
        let (from, to) = (frame.from, frame.to);
        room.nodes.truncate(to);
        match reader.peek() {
            0 => return None,
            b',' | b':' => {
                reader.at += 1;
                continue;
            }
            b']' | b'}' => {
                reader.at += 1;
                room.nodes.truncate(from);
                room.frames.pop();
                continue;
            }
            _ => {}
        }
        match &mut frame.next {
            Some(next) => {
                let index = *next;
                *next += 1;
                for at in from..to {
                    room.nodes.extend(trie.element(room.nodes[at], index));
                }
            }
            None => {
                let name = unescaped(reader.name(), &mut room.text);
                for at in from..to {
                    room.nodes.extend(trie.member(room.nodes[at], name));
                }
                reader.colon();
            }
        }
        if room.nodes.len() > to {
            return Some(to);
        }
        reader.skip();
    }
}

/// A place in the text.
struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    /// The next octet that is no blank, which stays; 0 at the end.
    fn peek(&mut self) -> u8 {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    fn colon(&mut self) {
        if self.peek() == b':' {
            self.at += 1;
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> &'t [u8] {
        let from = self.at;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                None => self.at = self.text.len(),
                Some(found) if rest[found] == b'"' => self.at += found + 1,
                Some(found) => {
                    self.at += found + 2;
                    continue;
                }
            }
            self.at = self.at.min(self.text.len());
            return &self.text[from..self.at];
        }
    }

    /// The name of a member with its quotes; something else where there is none.
    fn name(&mut self) -> &'t [u8] {
        match self.peek() {
            b'"' => self.string(),
            _ => self.scalar(),
        }
    }

    /// A number or a word: up to what can't belong to it. One octet at least, so that reading goes on.
    fn scalar(&mut self) -> &'t [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length.max(1).min(rest.len());
        &rest[..length]
    }

    /// Goes behind the value.
    fn skip(&mut self) {
        match self.peek() {
            b'"' => {
                self.string();
            }
            b'{' | b'[' => self.skip_container(),
            _ => {
                self.scalar();
            }
        }
    }

    /// Goes behind the object or array that begins here.
    fn skip_container(&mut self) {
        let mut open = 0_usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return;
            }
        }
    }
}

/// A string without its quotes and escapes.
fn unescaped<'a>(quoted: &'a [u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = match quoted {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return inner;
    }
    text.clear();
    let mut reader = serde_json::Deserializer::from_slice(quoted);
    // As octets: as a text, half a surrogate pair would be an error.
    match reader.deserialize_bytes(Octets(text)) {
        Ok(()) => text,
        Err(_) => inner,
    }
}

struct Octets<'a>(&'a mut Vec<u8>);

impl Visitor<'_> for Octets<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, octets: &[u8]) -> Result<(), E> {
        self.0.extend_from_slice(octets);
        Ok(())
    }
}
