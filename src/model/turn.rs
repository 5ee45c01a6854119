//! Order: deliveries of one webhook, or of one value that is found in `data`, that go one at a time.
//!
//! The values alone: where in `data` one is found is `filter`'s, whose turn it is the log's.

use super::{BatchRule, Decimal, Path};

/// Where a held delivery stands among the due times: behind all that any look at due work reaches, so that
/// however many are held, nobody comes upon them.
pub(crate) const HELD_MS: i64 = i64::MAX;

/// `in_order` of a webhook, with its `if_failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where in `data` the value stands whose deliveries go one at a time; `None`: all of the webhook do.
    pub(crate) by: Option<Path>,
    /// Whether a delivery that was given up holds what is behind it.
    pub(crate) holds: bool,
}

/// What the log knows of a webhook's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnRule {
    /// Whether a delivery that was given up holds what is behind it.
    pub(crate) holds: bool,
    /// What goes in one POST has one turn.
    pub(crate) together: Option<BatchRule>,
}

/// The line that a delivery stands in: a hash of the value that was found in its event's data. What is the same by
/// `eq` of a `where` has the same; two values that share one by chance are ordered together, which breaks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn(i64);

impl Turn {
    /// The one line of a webhook whose deliveries all go one at a time.
    pub(crate) const WHOLE: Self = Self(0);

    /// The line of a string, without its escapes.
    #[must_use]
    pub(crate) fn of_text(text: &[u8]) -> Self {
        Hash::begun(b's').add(text).turn()
    }

    /// The line of a number, as it is written.
    #[must_use]
    pub(crate) fn of_number(text: &[u8]) -> Self {
        let mut hash = Hash::begun(b'n');
        Decimal::read(text).spell(&mut |part| hash.take(part));
        hash.turn()
    }

    /// The line of `true` or `false`.
    #[must_use]
    pub(crate) fn of_truth(truth: bool) -> Self {
        Hash::begun(if truth { b't' } else { b'f' }).turn()
    }

    /// As the log keeps it.
    #[must_use]
    pub(crate) const fn get(self) -> i64 {
        self.0
    }
}

/// FNV-1a of 64 bits, with its bits mixed at the end. It stands in the log, so it may never change.
struct Hash(u64);

impl Hash {
    fn begun(kind: u8) -> Self {
        Self(0xcbf2_9ce4_8422_2325).add(&[kind])
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add(mut self, bytes: &[u8]) -> Self {
        self.take(bytes);
        self
    }

    fn turn(self) -> Turn {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Turn((mixed ^ (mixed >> 32)).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_stands_in_one_line_and_what_is_not_in_others() {
        let number = |text: &str| Turn::of_number(text.as_bytes());
        for same in ["1.0", "1e0", "10e-1", "0.1E1", "1.000"] {
            assert_eq!(number("1"), number(same), "{same}");
        }
        assert_eq!(number("-0.0"), number("0"));
        let mut others = vec![
            number("1"),
            number("-1"),
            number("10"),
            number("0"),
            number("0.1"),
            number("9007199254740993"),
            number("9007199254740992"),
            Turn::of_text(b"1"),
            Turn::of_text(b""),
            Turn::of_text(b"true"),
            Turn::of_truth(true),
            Turn::of_truth(false),
            Turn::WHOLE,
        ];
        let count = others.len();
        others.sort_by_key(|turn| turn.get());
        others.dedup();
        assert_eq!(others.len(), count);
    }

    // What stands in a log is compared with what comes after an upgrade.
    #[test]
    fn the_hash_of_a_value_never_changes() {
        assert_eq!(Turn::of_text(b"loc-001").get(), HASH_OF_LOC_001);
    }

    const HASH_OF_LOC_001: i64 = -1_908_175_744_012_855_294;
}
