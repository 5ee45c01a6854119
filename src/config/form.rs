//! What a secret may be: any bytes, or as Standard Webhooks writes it.
//!
//! It is checked here and its bytes are kept as typed, for a delivery that was made in another dialect is signed with
//! them too. Left out: where a secret comes from (`secret`).

use std::ops::Range;

use super::diagnostic::Findings;
use super::section::Given;
use crate::dialect::{NoKey, key};

/// The fewest bytes of a key, by the specification: 192 bits.
const FEWEST_BYTES: usize = 24;

/// What a secret may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Any bytes.
    Vendor,
    /// What a browser shows, and nothing is signed with.
    Token,
    /// Any bytes, or `whsec_` and base64.
    Standard,
}

/// Whether a secret's bytes are what its form asks for; what is wrong is noted, and shows nothing of it.
pub(super) fn check(
    bytes: &[u8],
    (what, form): (&str, Form),
    given: &Given<&str>,
    found: &mut Findings,
) -> bool {
    if form != Form::Standard {
        return true;
    }
    let key = match key(bytes) {
        Ok(key) => key,
        Err(why) => {
            let (message, fix) = words(why);
            found.error(given.at.clone(), format!("{what} {message}"), fix);
            return false;
        }
    };
    let at: Range<usize> = given.at.clone();
    if bytes.starts_with(b"whsk_") || bytes.starts_with(b"whpk_") {
        found.warning(
            Some(at.clone()),
            format!("{what} looks like a key of the scheme v1a, and is signed with as text by v1"),
            "webhooksd signs by v1 (HMAC-SHA256): use a secret whsec_...",
        );
    }
    if let Some((message, fix)) = mistaken_for_text(bytes) {
        found.warning(Some(at.clone()), format!("{what} {message}"), fix);
    }
    if key.bytes.len() < FEWEST_BYTES {
        found.warning(
            Some(at.clone()),
            format!(
                "{what} is a key of {} bytes, and Standard Webhooks asks for {FEWEST_BYTES} to 64",
                key.bytes.len()
            ),
            "use whsec_ and the output of openssl rand -base64 32, at both ends",
        );
    }
    if key.lacks_padding {
        found.warning(
            Some(at),
            format!("{what} has no padding at its end: some receivers refuse it as it is"),
            "add the = or == that its length asks for; the key is the same",
        );
    }
    true
}

/// What is taken as text and was hardly meant so: then the receiver's library has another key.
fn mistaken_for_text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const PREFIX: &[u8] = b"whsec_";
    if bytes.starts_with(PREFIX) || bytes.starts_with(b"whpk_") || bytes.starts_with(b"whsk_") {
        return None;
    }
    let mut windows = bytes.windows(PREFIX.len());
    if windows.any(|some| some.eq_ignore_ascii_case(PREFIX)) {
        return Some((
            "has whsec_ in it and does not begin with it: all of it is the key, as text",
            "begin with whsec_, in lower case, with no name, quote or blank before it",
        ));
    }
    let is_base64 = key(&[PREFIX, bytes].concat()).is_ok();
    (is_base64 && bytes.len() >= FEWEST_BYTES).then_some((
        "may be base64, and is the key as text without whsec_: receivers' libraries decode it, to another key",
        "write whsec_ before it, unless the receiver takes it as text too",
    ))
}

fn words(why: NoKey) -> (&'static str, &'static str) {
    const ANEW: &str = "write whsec_ and the output of openssl rand -base64 32";
    match why {
        NoKey::Empty => ("is whsec_ and nothing behind it", ANEW),
        NoKey::UrlSafe => (
            "is in the URL-safe alphabet of base64 (- and _), which receivers read in different ways",
            "write + in place of - and / in place of _: the key is the same",
        ),
        NoKey::Newline => (
            "has a newline in its base64; only one at a file's end is dropped",
            "write it in one line: openssl rand -base64 breaks lines after 48 bytes",
        ),
        NoKey::Character => ("is whsec_ and something that is no base64", ANEW),
        NoKey::Padding => (
            "has padding (=) that does not fit its length",
            "end it as it was given to you, or leave all of the = at its end out",
        ),
        NoKey::Cut => (
            "is base64 that ends in the middle of a byte: a part of it is lost",
            "copy it once more, to its end",
        ),
    }
}
