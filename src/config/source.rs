//! The text of a configuration by lines, for places and excerpts.
//!
//! Lines end with `\n`, a `\r` before it belongs to the ending, and both lines and columns are
//! counted from 1 for people. Offsets are bytes; one that lies outside of the text or inside of a
//! character is moved to the nearest place before it that does not.

use std::ops::Range;

/// A text with the starts of its lines.
#[derive(Debug)]
pub(super) struct Source<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Source<'t> {
    /// Finds the lines.
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// The number of the line that holds the offset, from 1.
    pub(super) fn line_number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// Line and column of an offset, from 1, the column in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let number = self.line_number(offset);
        let span = self.line_span(number);
        let before = self.slice(span.start..offset.min(span.end));
        (number, before.chars().count() + 1)
    }

    /// The span of a line, without its ending.
    pub(super) fn line_span(&self, number: usize) -> Range<usize> {
        let start = number
            .checked_sub(1)
            .and_then(|n| self.starts.get(n))
            .map_or(self.text.len(), |start| *start);
        let end = self
            .starts
            .get(number)
            .map_or(self.text.len(), |next| next - 1);
        let line = self.slice(start..end);
        start..start + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// The text of a line, without its ending.
    pub(super) fn line(&self, number: usize) -> &'t str {
        self.slice(self.line_span(number))
    }

    /// That part of the text.
    pub(super) fn slice(&self, span: Range<usize>) -> &'t str {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end);
        self.text.get(start..end).unwrap_or("")
    }

    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let source = Source::new("a\r\n\u{e4}b = 1\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(5), (2, 2));
        assert_eq!(source.position(10), (2, 7));
        assert_eq!(source.position(11), (3, 1));
        assert_eq!(source.position(99), (3, 1));
        assert_eq!(source.line(1), "a");
        assert_eq!(source.line(2), "\u{e4}b = 1");
        assert_eq!(source.line(3), "");
        assert_eq!(source.line(9), "");
    }
}
