//! Whole numbers as text, put straight at the end of a line or a body.
//!
//! `to_string` makes a text of its own for each number and `write!` goes through a formatter; a
//! delivery has a dozen numbers. Left out: anything but plain decimal.

/// The longest, `-9223372036854775808` and `18446744073709551615`, in characters.
const MAX_CHARS: usize = 20;

/// Appends `number` as `to_string` would write it.
pub fn push_i64(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    push_u64(out, number.unsigned_abs());
}

/// Appends `number` as `to_string` would write it.
pub fn push_u64(out: &mut String, number: u64) {
    let (mut text, mut left, mut at) = ([b'0'; MAX_CHARS], number, MAX_CHARS);
    for place in text.iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&text[at..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(number: i64) -> String {
        let mut out = String::new();
        push_i64(&mut out, number);
        out
    }

    #[test]
    fn the_extremes() {
        for number in [0, 9, 10, -1, 100, i64::MAX, i64::MIN] {
            assert_eq!(signed(number), number.to_string());
        }
        let mut out = String::from("=");
        push_u64(&mut out, u64::MAX);
        assert_eq!(out, format!("={}", u64::MAX));
    }

    proptest! {
        #[test]
        fn as_std_writes_them(number: i64, bits in 0..64_u32) {
            let number = number >> bits;
            prop_assert_eq!(signed(number), number.to_string());
        }
    }
}
