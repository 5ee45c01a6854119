//! A start that waits for what may pass: a while for a disk that is full or a database that others hold, and as long
//! as it takes for a server that is away.
//!
//! Without it a service manager would start the daemon thirty times in half a minute and then give
//! up, and nobody would be there once the disk has room again. With it each start takes so long that
//! it never gives up. What a person must see to fails at once.

use std::time::Duration;

use super::{Error, notify};
use crate::model::Clock;

/// How long a start waits: a service manager that starts a daemon again after each failure does so
/// ten times in five minutes then, a third of what the unit allows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// Between two lines about what is waited for.
const SAY: Duration = Duration::from_secs(60);

/// One start's patience; what is left of it is for all of its steps.
pub(super) struct StartupRetry {
    clock: Clock,
    begun: tokio::time::Instant,
    said: Option<tokio::time::Instant>,
}

impl StartupRetry {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            begun: clock.instant(),
            said: None,
        }
    }

    /// Tries a step until it is done, fails for good, or patience is at an end.
    pub(super) async fn until_done<T>(
        &mut self,
        mut step: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let error = match step().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let now = self.clock.instant();
            let waited = now.saturating_duration_since(self.begun);
            if !error.may_pass() || (waited >= PATIENCE && !error.is_waited_for()) {
                return Err(error);
            }
            if self.said.is_none_or(|said| now >= said + SAY) {
                self.said = Some(now);
                say(&error);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Tells the journal, and systemd, which may give a start less time.
fn say(error: &Error) {
    let (text, hint) = (crate::pipeline::chain(error), error.hint());
    notify::waiting(&text);
    if error.is_waited_for() {
        tracing::warn!(error = text, hint, "the start waits until that has passed");
    } else {
        let longest = PATIENCE.as_secs();
        tracing::warn!(error = text, hint, "the start waits, {longest} s at most");
    }
}
