//! What a start would be refused with, noted in the draft of its configuration.
//!
//! Left out: what is looked at, and by whom (`judge`, `look`).

use super::Error;
use crate::config::{Draft, Key};
use crate::pipeline::chain;

/// Notes what a start would be refused with, or would wait for.
pub(super) fn note(draft: &mut Draft, key: Key, error: &Error) {
    let fix = error.hint().unwrap_or_else(|| OTHER.to_owned());
    if error.may_pass() {
        let message = format!("{}: a start waits for that to pass", chain(error));
        return draft.warning(key, message, fix);
    }
    draft.error(key, chain(error), fix);
}

/// What helps where nothing more is known.
pub(super) const OTHER: &str = "correct the path, or what is there";
