//! What a `traceparent` header says (W3C Trace Context, version 00), and whose log it is made for.
//!
//! Left out: what the two ids are made of (`dialect`) and where the log's is kept (`store`).

use std::fmt;

/// What tells a log from every other: 16 bytes that it was given when it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogId(pub [u8; 16]);

/// A trace and the span in it that an attempt is. Neither is zero, which the grammar forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent {
    trace: u128,
    span: u64,
}

impl Traceparent {
    /// Of the bits of both; in place of zero stands one.
    #[must_use]
    pub fn new(trace: u128, span: u64) -> Self {
        Self {
            trace: trace.max(1),
            span: span.max(1),
        }
    }

    /// The trace's id, 32 digits in lower case.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// The header's value. The flag says that the attempt is recorded, which it is: in the log.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The grammar of the specification's section 3.2, as it is written there.
    fn is_right(value: &str) -> bool {
        let is_hex = |text: &str, digits: usize| {
            let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            text.len() == digits && text.bytes().all(lower)
        };
        let is_id = |text, digits| is_hex(text, digits) && text.bytes().any(|byte| byte != b'0');
        let parts: Vec<&str> = value.split('-').collect();
        matches!(parts[..], ["00", trace, span, flags]
            if is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2))
    }

    proptest! {
        #[test]
        fn every_value_is_of_the_grammar(trace in any::<u128>(), span in any::<u64>(), less in 0_u32..128) {
            let made = Traceparent::new(trace >> less, span >> less.min(63));
            prop_assert!(is_right(&made.to_string()), "{made}");
            prop_assert!(made.to_string().contains(&made.trace_id()));
        }
    }

    #[test]
    fn nothing_is_zero() {
        let value = "00-00000000000000000000000000000001-0000000000000001-01";
        assert_eq!(Traceparent::new(0, 0).to_string(), value);
        assert!(is_right(value) && !is_right(&value.replace('1', "0")));
    }
}
