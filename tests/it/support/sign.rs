//! Signatures made without the product's code: by another implementation of the HMAC, and by
//! `openssl` as a receiver's author would; by the product's crates where many are made.

use std::io::Write;
use std::process::{Command, Stdio};

use hmac::{Hmac, KeyInit, Mac};

use super::need;

/// HMAC-SHA256 in lower-case hex, by the crates.
pub(crate) fn hmac_hex(key: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

/// HMAC-SHA256 in lower-case hex as OpenSSL makes it: by ring, which has its code from there, and
/// where the `openssl` program is installed it has to say the same.
pub(crate) fn openssl_hmac_hex(key: &str, body: &[u8]) -> String {
    let by_ring = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    let by_ring = hex(ring::hmac::sign(&by_ring, body).as_ref());
    if need("openssl") {
        assert_eq!(by_openssl(key, body), by_ring);
    }
    by_ring
}

/// Base64 with its padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4_u32 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize % 64];
            let is_there = place as usize <= three.len();
            text.push(if is_there { char::from(digit) } else { '=' });
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn by_openssl(key: &str, body: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit(' ').next().unwrap().to_owned()
}
