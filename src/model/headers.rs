//! The headers of an answer, as they came: names and values, in one text that is also the log's.
//!
//! Thousands of answers a second are logged and few are asked for one of their headers, so they are
//! kept as the lines that the log wants, and a header is found by reading them. Left out: what a header means.

/// Bytes of header lines that are kept.
const HEADER_BYTES: usize = 16 * 1024;

/// Lines of `name: value`, names in lower case; what is no header is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    /// Whether something was left out already.
    is_full: bool,
}

impl Headers {
    /// None so far, with room for some that take so many bytes.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes.min(HEADER_BYTES)),
            is_full: false,
        }
    }

    /// Adds a header whose bytes were found to be proper: no control character is among them.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        if self.begin_line() {
            let start = self.text.len();
            self.text.push_str(name);
            if let Some(name) = self.text.get_mut(start..) {
                name.make_ascii_lowercase();
            }
            self.text.push_str(": ");
            match std::str::from_utf8(value) {
                Ok(value) => self.text.push_str(value),
                Err(_) => push_text(&mut self.text, value),
            }
            self.clip();
        }
    }

    /// Adds what should be a header.
    pub fn push_odd(&mut self, name: &[u8], value: &[u8]) {
        if self.begin_line() {
            push_text(&mut self.text, &name.to_ascii_lowercase());
            self.text.push_str(": ");
            push_text(&mut self.text, value);
            self.clip();
        }
    }

    /// Adds a line that is no header.
    pub fn push_line(&mut self, line: &[u8]) {
        if self.begin_line() {
            push_text(&mut self.text, line);
            self.clip();
        }
    }

    /// Adds to the last line.
    pub fn go_on(&mut self, more: &[u8]) {
        if !self.is_full {
            self.text.push(' ');
            push_text(&mut self.text, more);
            self.clip();
        }
    }

    /// The values of a header, in their order. The name is in lower case.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text.split('\n').filter_map(move |line| {
            let value = line.strip_prefix(name)?;
            value.strip_prefix(": ")
        })
    }

    /// The lines for the log.
    #[must_use]
    pub fn lines(&self) -> &str {
        &self.text
    }

    fn begin_line(&mut self) -> bool {
        if !self.text.is_empty() && !self.is_full {
            self.text.push('\n');
        }
        !self.is_full
    }

    fn clip(&mut self) {
        if self.text.len() > HEADER_BYTES {
            self.is_full = true;
            let mut end = HEADER_BYTES;
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            self.text.truncate(end);
        }
    }
}

impl From<&str> for Headers {
    fn from(lines: &str) -> Self {
        let mut headers = Self::default();
        for line in lines.lines() {
            headers.push_line(line.as_bytes());
        }
        headers
    }
}

/// Adds what people can read, and a sign for what they can't.
fn push_text(text: &mut String, bytes: &[u8]) {
    let readable = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.extend(String::from_utf8_lossy(bytes).chars().map(readable));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_and_written_down() {
        let mut headers = Headers::default();
        headers.push("Server", b"x");
        headers.push("X-Odd", b"a\xffb\tc");
        headers.push_line(b"no colon");
        headers.push_odd(b"X-\x1bodd", b"\x1b");
        headers.push("x-odd", b"");
        headers.go_on(b"folded");
        let lines =
            "server: x\nx-odd: a\u{fffd}b\tc\nno colon\nx-\u{fffd}odd: \u{fffd}\nx-odd:  folded";
        assert_eq!(headers.lines(), lines);
        let all: Vec<_> = headers.get_all("x-odd").collect();
        assert_eq!(all, ["a\u{fffd}b\tc", " folded"]);
        for other in ["x", "server: x", "no colon", "odd", ""] {
            assert_eq!(headers.get_all(other).next(), None, "{other}");
        }
        assert_eq!(Headers::from(lines), headers);
    }

    #[test]
    fn what_is_kept_is_bounded_and_nothing_follows_a_gap() {
        let mut headers = Headers::default();
        headers.push("a", b"b");
        headers.push("x-long", "\u{e9}".repeat(20_000).as_bytes());
        let length = headers.lines().len();
        assert!(length <= HEADER_BYTES && length > HEADER_BYTES - 4);
        headers.push("c", b"d");
        headers.push_odd(b"c", b"d");
        headers.push_line(b"e");
        headers.go_on(b"f");
        assert_eq!(headers.lines().len(), length);
    }
}
