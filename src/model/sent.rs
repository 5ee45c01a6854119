//! The headers of a request as the log keeps them: lines of `Name: value`, of which all attempts of a webhook
//! share all but the length and the signature.
//!
//! A place holder stands for each of the two in the lines that are shared, and the log's view puts the
//! values in. The headers of Standard Webhooks follow the vendor's signature at once: from its value to theirs
//! all is one text then. A block that holds such words by itself, or whose values would not come back to the byte,
//! is kept whole. Left out: how they are made (`dialect`) and where they are stored (`store`).

use std::borrow::Cow;
use std::sync::Arc;

/// Hexadecimal digits of a signature.
const DIGITS: usize = 64;

/// Stands for the body's length.
const LENGTH: &str = "{length}";

/// Stands for the signature's digits.
const SIGNATURE: &str = "{signature}";

/// What of a request's headers is its own, but for the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The bytes of a signature in hexadecimal digits.
    Digest([u8; 32]),
    /// Text of several lines.
    Run(Box<str>),
}

impl Signed {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Digest(bytes) => Cow::Owned(bytes.iter().map(hex).collect()),
            Self::Run(text) => Cow::Borrowed(text),
        }
    }
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentHeaders {
    /// Lines that other requests have as well.
    Shared {
        /// The lines with their place holders.
        lines: Arc<str>,
        /// The body's length, bytes.
        length: usize,
        /// The signature.
        signature: Option<Signed>,
    },
    /// Lines that are not told apart.
    Whole(String),
}

impl SentHeaders {
    /// Tells apart what a block shares and what is its own: `known`, or else the digits of a signature.
    #[must_use]
    pub fn of(block: String, known: Option<&Signed>) -> Self {
        if block.contains('{') {
            return Self::Whole(block);
        }
        let mut lines = String::with_capacity(block.len());
        let (mut rest, mut length) = (&*block, 0);
        if let Some((before, value, after)) = around_value(&block, "Content-Length: ")
            && let Some(bytes) = whole_number(value)
        {
            lines.push_str(before);
            lines.push_str(LENGTH);
            (rest, length) = (after, bytes);
        }
        let signed = match known {
            Some(Signed::Run(run)) => rest
                .split_once(&**run)
                .map(|(before, after)| (before, Signed::Run(run.clone()), after)),
            _ => around_signature(rest)
                .map(|(before, digest, after)| (before, Signed::Digest(digest), after)),
        };
        let signature = match signed {
            Some((before, signature, after)) => {
                lines.push_str(before);
                lines.push_str(SIGNATURE);
                lines.push_str(after);
                Some(signature)
            }
            None => {
                lines.push_str(rest);
                None
            }
        };
        Self::Shared {
            lines: lines.into(),
            length,
            signature,
        }
    }

    /// The lines as they were sent.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Whole(block) => Cow::Borrowed(block),
            Self::Shared {
                lines,
                length,
                signature,
            } => {
                let signed = signature.as_ref().map(Signed::text).unwrap_or_default();
                let text = lines.replacen(LENGTH, &length.to_string(), 1);
                Cow::Owned(text.replacen(SIGNATURE, &signed, 1))
            }
        }
    }

    /// The memory that nobody else holds, bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        match self {
            Self::Whole(block) => block.len(),
            Self::Shared {
                signature: Some(Signed::Run(run)),
                ..
            } => run.len(),
            Self::Shared { .. } => 0,
        }
    }
}

/// The bytes of a signature: exactly 64 lower-case hexadecimal digits.
#[must_use]
pub(crate) fn signature_of(digits: &str) -> Option<[u8; 32]> {
    let pairs = digits.as_bytes().as_chunks().0;
    if digits.len() != DIGITS || !digits.bytes().all(|byte| is_digit(&byte)) {
        return None;
    }
    let mut value = [0; 32];
    for (byte, [high, low]) in value.iter_mut().zip(pairs) {
        *byte = nibble(*high) << 4 | nibble(*low);
    }
    Some(value)
}

/// A header's value by its name with what follows that, between what stands before and behind it.
#[must_use]
pub(crate) fn around_value<'a>(block: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut at = 0;
    for line in block.split('\n') {
        if let Some(value) = line.strip_prefix(name) {
            let (before, rest) = block.split_at_checked(at + name.len())?;
            let (value, after) = rest.split_at_checked(value.len())?;
            return Some((before, value, after));
        }
        at += line.len() + 1;
    }
    None
}

/// A number that is written as we would write it.
fn whole_number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The first run of 64 lower-case hexadecimal digits, no more and no less: its bytes, between what
/// stands before and behind it.
fn around_signature(text: &str) -> Option<(&str, [u8; 32], &str)> {
    let mut at = 0;
    for run in text.as_bytes().split(|byte| !is_digit(byte)) {
        if run.len() == DIGITS {
            let (before, rest) = text.split_at_checked(at)?;
            let (digits, after) = rest.split_at_checked(DIGITS)?;
            return Some((before, signature_of(digits)?, after));
        }
        at += run.len() + 1;
    }
    None
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.wrapping_sub(b'a').wrapping_add(10),
    }
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "a3509d31da3c10bd9896bb583dad73d4ca33ef3063eae3b85a71e3452c53f934";

    fn block(length: &str, signature: &str) -> String {
        format!("Host: h\nContent-Length: {length}\nX-Sig: sha256={signature}\nX-Team: [redacted]")
    }

    #[test]
    fn a_request_shares_all_but_its_length_and_its_signature() {
        for (length, signature, shared, own) in [
            ("86", HEX, block(LENGTH, SIGNATURE), true),
            ("86", "", block(LENGTH, ""), false),
            ("8 6", "", block("8 6", ""), false),
            ("086", "", block("086", ""), false),
        ] {
            let sent = SentHeaders::of(block(length, signature), None);
            let SentHeaders::Shared {
                lines, signature, ..
            } = &sent
            else {
                panic!("{sent:?}");
            };
            assert_eq!((&**lines, signature.is_some()), (&*shared, own));
            let signature = if own { HEX } else { "" };
            assert_eq!(sent.text(), block(length, signature));
        }
    }

    #[test]
    fn what_is_no_signature_stays_in_the_lines() {
        for odd in [
            format!("{HEX}0"),
            HEX.to_uppercase(),
            HEX.chars().skip(1).collect(),
        ] {
            let sent = SentHeaders::of(block("86", &odd), None);
            assert!(
                matches!(&sent, SentHeaders::Shared { signature: None, lines, .. } if lines.contains(&odd))
            );
            assert_eq!(sent.text(), block("86", &odd));
            assert_eq!(signature_of(&odd), None);
        }
        let bytes = signature_of(HEX).unwrap();
        assert_eq!((bytes[0], bytes[31]), (0xa3, 0x34));
    }

    #[test]
    fn a_block_that_looks_like_a_shared_one_is_kept_whole() {
        let block = "Host: {length}\nContent-Length: 7".to_owned();
        assert_eq!(
            SentHeaders::of(block.clone(), None),
            SentHeaders::Whole(block)
        );
    }
}
