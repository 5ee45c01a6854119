//! The signature: HMAC-SHA256 (RFC 2104) over the exact bytes of the body, in lower-case hex.
//!
//! The three vendors sign the raw body and nothing else, keyed with the secret's bytes as they are:
//! no time, no id, no decoding of the key. The hex is written by hand, once, with what a dialect
//! puts before it, because this runs for every attempt. What Standard Webhooks signs
//! is in `standard.rs`.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::Secret;

/// The HMAC of these bytes, one behind the other.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("RFC 2104 takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `prefix` and the 64 hex digits of the body's HMAC.
pub(super) fn signature(prefix: &str, secret: &Secret, body: &Bytes) -> String {
    let mut out = String::with_capacity(prefix.len() + 64);
    out.push_str(prefix);
    for byte in mac(secret.bytes(), &[body]) {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    out
}

/// What is made of a secret and some words, in hex: nobody without the secret can make it, and it says nothing of it.
#[must_use]
pub(crate) fn derived(secret: &Secret, words: &str) -> String {
    signature("", secret, &Bytes::copy_from_slice(words.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(key: &[u8], body: &[u8]) -> String {
        signature("", &Secret::new(key), &Bytes::copy_from_slice(body))
    }

    // RFC 4231, cases 1, 2, 3, 4, 6 and 7 (5 is about a cut-off output).
    #[test]
    fn rfc_4231() {
        let counted: Vec<u8> = (1..=25).collect();
        let long = "This is a test using a larger than block-size key and a larger than block-size \
                    data. The key needs to be hashed before being used by the HMAC algorithm.";
        let cases: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &counted,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                long.as_bytes(),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, body, hex) in cases {
            assert_eq!(sign(key, body), hex);
        }
    }

    // printf '%s' BODY | openssl dgst -sha256 -hmac 'top secret key'
    #[test]
    fn as_openssl_signs() {
        let body = br#"{"v1":{"event":{"id":1024,"name":"story-submit","time":1619007030964},"data":{"a":1}}}"#;
        assert_eq!(
            sign(b"top secret key", body),
            "a3509d31da3c10bd9896bb583dad73d4ca33ef3063eae3b85a71e3452c53f934"
        );
    }

    #[test]
    fn an_empty_key_and_body_are_no_trouble() {
        assert_eq!(
            sign(b"", b""),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        );
    }
}
