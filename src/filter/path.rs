//! The path of a rule: a part of `JSONPath` (RFC 9535), read whole or refused with the place and the reason.
//!
//! `$`, then any number of `.name`, `['name']`, `["name"]`, `[0]` and `[*]`, without blanks between them.
//! What more RFC 9535 has (filters, slices, `..`, negative indexes, lists of selectors) asks for a second
//! look at what was read, or for a search: that is refused, and never taken for something else.

use std::iter::Peekable;
use std::str::CharIndices;

use crate::model::{MAX_DEPTH, MAX_ID, Path, Step};

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathFault {
    /// The character where it stops to be one, from 1.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// Reads a path.
///
/// # Errors
/// Where it stops to be one, and why.
pub(crate) fn path(text: &str) -> Result<Path, PathFault> {
    let mut reader = Reader {
        text,
        rest: text.char_indices().peekable(),
    };
    reader.steps().map_or_else(
        |why| Err(reader.fault(why)),
        |steps| {
            Ok(Path {
                text: text.into(),
                steps: steps.into(),
            })
        },
    )
}

struct Reader<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

type Read<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn fault(&mut self, why: &'static str) -> PathFault {
        let at = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        let before = self.text.get(..at).unwrap_or_default();
        PathFault {
            at: before.chars().count() + 1,
            why,
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn steps(&mut self) -> Read<Vec<Step>> {
        if !self.take('$') {
            return Err("a path begins with $");
        }
        let mut steps = Vec::new();
        while let Some(next) = self.peek() {
            if steps.len() == MAX_DEPTH {
                return Err("a path has 1,000 steps at most, as data is so deep at most");
            }
            match next {
                '.' => steps.push(self.dotted()?),
                '[' => steps.push(self.bracketed()?),
                ' ' | '\t' | '\n' | '\r' => return Err("there are no blanks in a path"),
                _ => return Err("a step begins with . or ["),
            }
        }
        Ok(steps)
    }

    fn dotted(&mut self) -> Read<Step> {
        self.rest.next();
        match self.peek() {
            Some('.') => return Err("there is no .. here: name each step, with [*] for any"),
            Some('*') => return Err("for each element or member write [*]"),
            Some(first) if is_name_first(first) => {}
            Some('0'..='9') => {
                return Err(
                    "a name behind . begins with no digit: write ['...'], or [0] for an index",
                );
            }
            _ => return Err("behind . stands a name; other names are written ['...']"),
        }
        let mut name = String::new();
        while let Some((_, c)) = self
            .rest
            .next_if(|(_, c)| is_name_first(*c) || c.is_ascii_digit())
        {
            name.push(c);
        }
        Ok(Step::Name(name.into()))
    }

    fn bracketed(&mut self) -> Read<Step> {
        self.rest.next();
        let step = match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                self.rest.next();
                Step::Name(self.quoted(quote)?.into())
            }
            Some('*') => {
                self.rest.next();
                Step::Each
            }
            Some('0'..='9') => Step::Index(self.index()?),
            Some('-') => return Err("an index counts from the front: there are none below 0"),
            Some('?') => {
                return Err(
                    "there are no filters in a path: what is asked of the values is the rule's",
                );
            }
            Some(' ' | '\t' | '\n' | '\r') => return Err("there are no blanks in a path"),
            _ => return Err("in [ ] stands an index from 0, a name in quotes, or *"),
        };
        if self.take(']') {
            return Ok(step);
        }
        Err(match self.peek() {
            Some(',') => "there is one step in [ ]: write a rule more, or any",
            Some(':') => "there are no slices here: write an index, or [*] for each",
            Some(' ' | '\t' | '\n' | '\r') => "there are no blanks in a path",
            _ => "the step is to be closed with ]",
        })
    }

    fn index(&mut self) -> Read<u64> {
        let mut index: u64 = 0;
        let mut digits = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            if digits > 0 && index == 0 {
                return Err("an index has no zeros in front");
            }
            index = index.saturating_mul(10).saturating_add(u64::from(digit));
            if i64::try_from(index).map_or(true, |index| index > MAX_ID) {
                return Err("an index is 2^53 - 1 at most");
            }
            digits += 1;
            self.rest.next();
        }
        Ok(index)
    }

    fn quoted(&mut self, quote: char) -> Read<String> {
        let mut name = String::new();
        loop {
            match self.peek() {
                None => return Err("the name is not closed"),
                Some(c) if c < ' ' => return Err("a control character is written as an escape"),
                Some('\\') => {
                    self.rest.next();
                    name.push(self.escape(quote)?);
                }
                Some(c) => {
                    self.rest.next();
                    if c == quote {
                        return Ok(name);
                    }
                    name.push(c);
                }
            }
        }
    }

    fn escape(&mut self, quote: char) -> Read<char> {
        let plain = match self.peek() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(c @ ('/' | '\\')) => c,
            Some(c) if c == quote => c,
            Some('u') => {
                self.rest.next();
                return self.unicode();
            }
            _ => {
                return Err(
                    "the escapes are \\b \\f \\n \\r \\t \\/ \\\\ \\u0000 and the quote's own",
                );
            }
        };
        self.rest.next();
        Ok(plain)
    }

    fn unicode(&mut self) -> Read<char> {
        const HALF: &str = "half a surrogate pair is no character";
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(HALF);
        }
        if !(self.take('\\') && self.take('u')) {
            return Err(HALF);
        }
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(HALF);
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(HALF)
    }

    fn hex(&mut self) -> Read<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| c.to_digit(16));
            value = value * 16 + digit.ok_or("behind \\u stand four hexadecimal digits")?;
            self.rest.next();
        }
        Ok(value)
    }
}

/// What a name without quotes may begin with, by RFC 9535.
fn is_name_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c >= '\u{80}'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Step> {
        path(text).unwrap().steps.into_vec()
    }

    fn name(text: &str) -> Step {
        Step::Name(text.into())
    }

    #[test]
    fn what_a_path_is() {
        assert_eq!(steps("$"), []);
        let expected = [name("origin"), name("id")];
        for text in ["$.origin.id", "$['origin'].id", "$[\"origin\"]['id']"] {
            assert_eq!(steps(text), expected, "{text}");
        }
        let (zero, large) = (Step::Index(0), Step::Index(9_007_199_254_740_991));
        assert_eq!(steps("$[0][9007199254740991]"), [zero, large]);
        assert_eq!(steps("$.a[*].b"), [name("a"), Step::Each, name("b")]);
        for (text, expected) in [
            ("$._a1", "_a1"),
            ("$.\u{263a}", "\u{263a}"),
            ("$['']", ""),
            ("$[' a.b[*] ']", " a.b[*] "),
            ("$['\\'\"']", "'\""),
            ("$[\"\\\"'\"]", "\"'"),
            ("$['\\b\\f\\n\\r\\t\\/\\\\']", "\u{8}\u{c}\n\r\t/\\"),
            ("$['\\u00E9\\u263a']", "\u{e9}\u{263a}"),
            ("$['\\uD83D\\uDE00']", "\u{1f600}"),
            ("$['\u{7f}']", "\u{7f}"),
        ] {
            assert_eq!(steps(text), [name(expected)], "{text}");
        }
        assert_eq!(steps(&format!("${}", "[0]".repeat(1_000))).len(), 1_000);
    }

    #[test]
    fn what_is_no_path_is_refused_at_its_place() {
        for (text, at, why) in [
            ("", 1, "begins with $"),
            ("a.b", 1, "begins with $"),
            (" $", 1, "begins with $"),
            ("$ ", 2, "blanks"),
            ("$.a .b", 4, "blanks"),
            ("$. a", 3, "behind . stands"),
            ("$.", 3, "behind . stands"),
            ("$..a", 3, "no .."),
            ("$.*", 3, "write [*]"),
            ("$.1", 3, "no digit"),
            ("$.a-b", 4, "begins with . or ["),
            ("$.\u{e9}\u{e9}&", 5, "begins with . or ["),
            ("$a", 2, "begins with . or ["),
            ("$[", 3, "in [ ] stands"),
            ("$[]", 3, "in [ ] stands"),
            ("$[a]", 3, "in [ ] stands"),
            ("$[0", 4, "closed with ]"),
            ("$[ 0]", 3, "blanks"),
            ("$[0 ]", 4, "blanks"),
            ("$[01]", 4, "zeros in front"),
            ("$[00]", 4, "zeros in front"),
            ("$[-1]", 3, "from the front"),
            ("$[9007199254740992]", 18, "2^53 - 1"),
            ("$[99999999999999999999]", 18, "2^53 - 1"),
            ("$[0,1]", 4, "one step"),
            ("$['a','b']", 6, "one step"),
            ("$[0:1]", 4, "slices"),
            ("$[?@.a]", 3, "filters"),
            ("$['a]", 6, "not closed"),
            ("$['a\"]", 7, "not closed"),
            ("$['\\\"']", 5, "the escapes are"),
            ("$[\"\\'\"]", 5, "the escapes are"),
            ("$['\\x']", 5, "the escapes are"),
            ("$['\\u12']", 8, "four hexadecimal"),
            ("$['\\ud800']", 10, "surrogate"),
            ("$['\\ud800\\n']", 11, "surrogate"),
            ("$['\\ud800\\u0041']", 16, "surrogate"),
            ("$['\\udc00']", 10, "surrogate"),
            ("$['\n']", 4, "control"),
        ] {
            let fault = path(text).unwrap_err();
            assert!(fault.why.contains(why), "{text}: {fault:?}");
            assert_eq!(fault.at, at, "{text}: {fault:?}");
        }
        let fault = path(&format!("${}", ".a".repeat(1_001))).unwrap_err();
        assert_eq!(fault.at, 2_002);
    }
}
