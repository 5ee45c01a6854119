//! Decimal numbers by their text, compared without loss.
//!
//! A reader of JSON may hold numbers as it likes, and many hold them as binary floats: 9007199254740993 is
//! then the same as its neighbour. A filter compares what was written instead, so 1.10 is 1.1 and 1e2 is
//! 100, and of any two numbers one is told from the other. Nothing is calculated with here.

use std::cmp::Ordering;
use std::fmt;

/// The furthest exponent of a number that may stand in a rule. What is written in `data` may go beyond it,
/// and is then beyond every rule's number, whatever its exponent.
const FURTHEST: i64 = 1_000_000_000_000;

/// Where an exponent in `data` stops to be followed. Far above [`FURTHEST`], also by the digits of the
/// largest `data` less.
const BEYOND: i64 = 1_000_000_000_000_000_000;

/// A number in the text that has it: 0.`head``tail` × 10^`point`, without zeros at either end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    head: &'a [u8],
    tail: &'a [u8],
    point: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a number as JSON or TOML writes one. Of a text that is none, some number.
    #[must_use]
    pub(crate) fn read(text: &'a [u8]) -> Self {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let exponent_at = text.iter().position(|b| matches!(b, b'e' | b'E'));
        let (text, exponent) = match exponent_at {
            Some(at) => (&text[..at], exponent(&text[at + 1..])),
            None => (text, 0),
        };
        let point_at = text.iter().position(|b| *b == b'.');
        let (whole, part) = match point_at {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &text[text.len()..]),
        };
        let head = &whole[zeros(whole.iter())..];
        let (tail, shift) = if head.is_empty() {
            let skipped = zeros(part.iter());
            (&part[skipped..], -count(skipped))
        } else {
            (part, count(head.len()))
        };
        let tail = &tail[..tail.len() - zeros(tail.iter().rev())];
        let head = if tail.is_empty() {
            &head[..head.len() - zeros(head.iter().rev())]
        } else {
            head
        };
        let is_zero = head.is_empty() && tail.is_empty();
        Self {
            negative: negative && !is_zero,
            head,
            tail,
            point: if is_zero { 0 } else { exponent + shift },
        }
    }

    /// Hands out what tells it from every other number, however it was written.
    pub(crate) fn spell(&self, take: &mut impl FnMut(&[u8])) {
        take(&self.point.to_le_bytes());
        take(&[u8::from(self.negative)]);
        take(self.head);
        take(self.tail);
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.head.iter().chain(self.tail)
    }

    fn sign(&self) -> i8 {
        match (self.negative, self.head.len() + self.tail.len()) {
            (_, 0) => 0,
            (true, _) => -1,
            (false, _) => 1,
        }
    }
}

fn zeros<'b>(digits: impl Iterator<Item = &'b u8>) -> usize {
    digits.take_while(|digit| **digit == b'0').count()
}

fn count(digits: usize) -> i64 {
    i64::try_from(digits).unwrap_or(i64::MAX).min(BEYOND)
}

/// The exponent, as far as it is followed.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let value = digits.iter().fold(0_i64, |value, digit| {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        value.saturating_mul(10).saturating_add(digit).min(BEYOND)
    });
    if negative { -value } else { value }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.sign().cmp(&other.sign());
        let by_size = || {
            let by_point = self.point.cmp(&other.point);
            by_point.then_with(|| self.digits().cmp(other.digits()))
        };
        by_sign.then_with(|| {
            if self.negative {
                by_size().reverse()
            } else {
                by_size()
            }
        })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

/// A number of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    negative: bool,
    digits: Box<[u8]>,
    point: i64,
}

impl Number {
    /// Reads a number as JSON or TOML writes one; `None` where it is further from one than 10^±(10^12).
    #[must_use]
    pub(crate) fn read(text: &str) -> Option<Self> {
        let read = Decimal::read(text.as_bytes());
        (-FURTHEST..=FURTHEST).contains(&read.point).then(|| Self {
            negative: read.negative,
            digits: read.digits().copied().collect(),
            point: read.point,
        })
    }

    /// The number, to compare it.
    #[must_use]
    pub(crate) fn as_decimal(&self) -> Decimal<'_> {
        Decimal {
            negative: self.negative,
            head: &self.digits,
            tail: &[],
            point: self.point,
        }
    }
}

/// The longest number that is written without an exponent, in digits before the point.
const WRITTEN_OUT: i64 = 40;

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let digits = str::from_utf8(&self.digits).unwrap_or_default();
        let point = usize::try_from(self.point).unwrap_or_default();
        if (1..=WRITTEN_OUT).contains(&self.point) {
            return match digits.split_at_checked(point) {
                Some((whole, "")) => f.write_str(whole),
                Some((whole, part)) => write!(f, "{whole}.{part}"),
                None => write!(f, "{digits:0<point$}"),
            };
        }
        if (-5..=0).contains(&self.point) {
            let zeros = usize::try_from(-self.point).unwrap_or_default();
            return write!(f, "0.{:0<zeros$}{digits}", "");
        }
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        write!(f, "{first}{dot}{rest}e{}", self.point - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(a: &str, b: &str) -> Ordering {
        Decimal::read(a.as_bytes()).cmp(&Decimal::read(b.as_bytes()))
    }

    #[test]
    fn what_is_the_same_number() {
        for (a, b) in [
            ("1", "1.0"),
            ("1.1", "1.10"),
            ("100", "1e2"),
            ("100", "0.1E+3"),
            ("-0.0", "0"),
            ("0e999999999999999999999", "0"),
            ("0.000", "-0e-5"),
            ("12.5", "125e-1"),
            ("1e400", "10e399"),
            ("+7", "7"),
            ("1000000000000000000000000", "1e24"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
            let (a, b) = (Number::read(a).unwrap(), Number::read(b).unwrap());
            assert_eq!((&a, a.to_string()), (&b, b.to_string()));
        }
    }

    #[test]
    fn what_is_less() {
        let ascending = [
            "-1e99999999999999999999",
            "-1e500",
            "-2",
            "-1.5",
            "-1",
            "-0.1",
            "-1e-99999999999999999999",
            "0",
            "1e-99999999999999999999",
            "1e-400",
            "0.5",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.000000000000000000000001",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "1.0000001e400",
            "1e99999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(Number::read("1e99999999999999999999"), None);
        assert_eq!(Number::read("1e-99999999999999999999"), None);
    }

    #[test]
    fn how_a_number_is_shown() {
        for text in [
            "0", "5", "-5", "1.5", "1200", "0.001", "-12.0625", "1.5e300", "1e-7",
        ] {
            assert_eq!(Number::read(text).unwrap().to_string(), text);
        }
    }

    proptest! {
        // Sixteen digits on either side of the point, as whole numbers: exact by other means.
        #[test]
        fn order_is_that_of_whole_numbers(
            a in any::<i64>(), b in any::<i64>(), near in any::<bool>(), shift in 0_i32..20,
        ) {
            let b = if near { a.wrapping_add(b % 3) } else { b };
            let whole = compare(&a.to_string(), &b.to_string());
            prop_assert_eq!(whole, a.cmp(&b));
            prop_assert_eq!(compare(&format!("{a}e{shift}"), &format!("{b}.000e+{shift}")), a.cmp(&b));
            let moved = |n: i64| {
                let (sign, digits) = (if n < 0 { "-" } else { "" }, n.unsigned_abs());
                let digits = format!("{digits:0>25}");
                let (whole, part) = digits.split_at(25 - shift.unsigned_abs() as usize);
                format!("{sign}{whole}.{part}e{shift}")
            };
            prop_assert_eq!(compare(&moved(a), &b.to_string()), a.cmp(&b));
        }

        #[test]
        fn what_is_shown_is_the_number(text in "[-+]?[0-9]{1,9}(\\.[0-9]{1,9})?([eE][-+]?[0-9]{1,14})?") {
            let read = Decimal::read(text.as_bytes());
            prop_assert_eq!(read, read);
            if let Some(number) = Number::read(&text) {
                prop_assert_eq!(number.as_decimal(), read);
                let shown = number.to_string();
                prop_assert_eq!(Decimal::read(shown.as_bytes()), read, "{}", shown);
            }
        }
    }
}
