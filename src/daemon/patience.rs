//! A start that waits a while for what may pass: a disk that is full, a database that others hold.
//!
//! Without it a service manager would start the daemon thirty times in half a minute and then give
//! up, and nobody would be there once the disk has room again. With it each start takes so long that
//! it never gives up. What a person must see to fails at once.

use std::time::Duration;

use super::Error;
use crate::model::Clock;

/// How long a start waits: a service manager that starts a daemon again after each failure does so
/// ten times in five minutes then, a third of what the unit allows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// One start's patience; what is left of it is for all of its steps.
pub(super) struct StartupRetry {
    clock: Clock,
    begun: tokio::time::Instant,
    waited: bool,
}

impl StartupRetry {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            begun: clock.instant(),
            waited: false,
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
            let waited = self.clock.instant().saturating_duration_since(self.begun);
            if !error.may_pass() || waited >= PATIENCE {
                return Err(error);
            }
            if !std::mem::replace(&mut self.waited, true) {
                let (hint, error) = (error.hint(), crate::pipeline::chain(&error));
                tracing::warn!(
                    error,
                    hint,
                    "the start waits, {} s at most",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
