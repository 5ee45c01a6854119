//! Base64 (RFC 4648, section 4): of signatures, and of the secrets that Standard Webhooks writes as `whsec_...`.
//!
//! Decoding is strict, for of the receivers' libraries some drop what they do not know and so come to another
//! key: only the standard alphabet, padding whole or none at all, and no bit behind the last byte. Left out:
//! the URL-safe alphabet, which is told by name, and lines.

use std::borrow::Cow;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a secret in base64 begins with.
const PREFIX: &[u8] = b"whsec_";

/// The key that a secret stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// Its bytes.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether it was base64 without the `=` at its end, which some receivers refuse.
    pub(crate) lacks_padding: bool,
}

/// Why a text that begins with `whsec_` is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// Nothing follows.
    Empty,
    /// `-` or `_`: the other alphabet of base64.
    UrlSafe,
    /// A newline is in it.
    Newline,
    /// Another character that is none of the 64.
    Character,
    /// The padding is not what the length asks for, or stands in the middle.
    Padding,
    /// No number of bytes has this length, or bits are left over.
    Cut,
}

/// The key of a secret: of `whsec_...` what it encodes, else the secret's own bytes.
pub(crate) fn key(secret: &[u8]) -> Result<Key<'_>, NoKey> {
    let Some(text) = secret.strip_prefix(PREFIX) else {
        return Ok(Key {
            bytes: Cow::Borrowed(secret),
            lacks_padding: false,
        });
    };
    // What stands behind the padding is no matter of padding.
    let is_stray = |byte: &&u8| **byte != b'=' && !ALPHABET.contains(byte);
    if let Some(stray) = text.iter().find(is_stray) {
        return Err(match stray {
            b'-' | b'_' => NoKey::UrlSafe,
            b'\n' | b'\r' => NoKey::Newline,
            _ => NoKey::Character,
        });
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let (digits, _) = text
        .split_at_checked(text.len() - padding)
        .unwrap_or_default();
    if digits.is_empty() {
        return Err(NoKey::Empty);
    }
    let bytes = decode(digits)?;
    if padding > 0 && (padding > 2 || text.len() % 4 != 0) {
        return Err(NoKey::Padding);
    }
    Ok(Key {
        bytes: bytes.into(),
        lacks_padding: text.len() % 4 != 0,
    })
}

fn decode(digits: &[u8]) -> Result<Vec<u8>, NoKey> {
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = ALPHABET.iter().position(|known| known == digit);
        let value = value.ok_or(NoKey::Padding)?;
        bits = bits << 6 | u32::try_from(value).unwrap_or_default();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    match (count, bits) {
        (6, _) => Err(NoKey::Cut),
        (_, 0) => Ok(bytes),
        _ => Err(NoKey::Cut),
    }
}

/// Adds bytes as base64 with its padding.
pub(super) fn push(out: &mut String, bytes: &[u8]) {
    for three in bytes.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(three.get(place).copied().unwrap_or_default());
        }
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = String::new();
        push(&mut out, bytes);
        out
    }

    // RFC 4648, section 10.
    #[test]
    fn as_the_standard_has_it() {
        for (bytes, text) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text);
            let secret = format!("whsec_{text}");
            let key = key(secret.as_bytes()).unwrap();
            assert_eq!(&*key.bytes, bytes.as_bytes());
            assert!(!key.lacks_padding);
        }
        assert_eq!(encoded(b""), "");
        assert_eq!(encoded(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn what_is_no_whsec_is_its_own_bytes() {
        for plain in ["", "a key", "WHSEC_Zg==", " whsec_Zg==", "Zm9v"] {
            let key = key(plain.as_bytes()).unwrap();
            assert_eq!(&*key.bytes, plain.as_bytes());
            assert!(!key.lacks_padding);
        }
    }

    #[test]
    fn strictly_or_not_at_all() {
        for (text, why) in [
            ("", NoKey::Empty),
            ("==", NoKey::Empty),
            ("Zm9-", NoKey::UrlSafe),
            ("Zm9_", NoKey::UrlSafe),
            ("Zm9v\n", NoKey::Newline),
            ("Zm9v\r\nZm9v", NoKey::Newline),
            ("Zm8=\n", NoKey::Newline),
            ("Zg==\nZg==", NoKey::Newline),
            ("Zm8= ", NoKey::Character),
            ("Zm8= whsec_Zm8=", NoKey::Character),
            ("Zm9v Zm9v", NoKey::Character),
            ("Zg=", NoKey::Padding),
            ("Zg===", NoKey::Padding),
            ("Zm9v=", NoKey::Padding),
            ("Zm9v====", NoKey::Padding),
            ("Zg==Zg==", NoKey::Padding),
            ("Z", NoKey::Cut),
            ("Zm9vZ", NoKey::Cut),
            ("Zh==", NoKey::Cut),
            ("Zm9=", NoKey::Cut),
        ] {
            let secret = format!("whsec_{text}");
            assert_eq!(key(secret.as_bytes()).err(), Some(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            let padded = format!("whsec_{}", encoded(&bytes));
            let found = key(padded.as_bytes()).unwrap();
            prop_assert_eq!(&*found.bytes, &*bytes);
            prop_assert!(!found.lacks_padding);
            let bare = padded.trim_end_matches('=');
            let found = key(bare.as_bytes()).unwrap();
            prop_assert_eq!(&*found.bytes, &*bytes);
            prop_assert_eq!(found.lacks_padding, bare.len() < padded.len());
        }
    }
}
