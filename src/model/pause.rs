//! A pause: from when on a webhook begins no attempt, and for how long.
//!
//! Left out: who heeds it (`pipeline/send/gate.rs`), and where it stands (`store/pause.rs`).

use std::sync::Arc;

/// The longest pause that is asked for by its span: what is longer than a year was meant as something else,
/// or as one without an end.
pub(crate) const LONGEST_PAUSE_MS: i64 = 366 * 86_400_000;

/// A webhook's pause, as the table `pause` of the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The webhook's name.
    pub webhook: Arc<str>,
    /// When it began, UNIX milliseconds.
    pub since_ms: i64,
    /// When it ends by itself, UNIX milliseconds; `None`: it does not.
    pub until_ms: Option<i64>,
    /// Why, in words, where somebody said so.
    pub reason: Option<Arc<str>>,
    /// When its oldest delivery is tried next, UNIX milliseconds, where the webhook paused itself; `None`:
    /// somebody else paused it, and nothing is tried.
    pub next_try_ms: Option<i64>,
}

impl Pause {
    /// Whether it has ended by itself by then.
    #[must_use]
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }
}
