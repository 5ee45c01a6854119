//! How the daemon is, asked for the page.
//!
//! With ten thousand webhooks the daemon takes a tenth of a second to say it. So what it said is shown again for as long
//! as a new answer takes to come, unless it is old; whether the daemon is there and well is asked each time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::Failure;
use super::super::client::{Client, Error};
use crate::config::Config;
use crate::model::Clock;
use crate::query::{Health, Status};

/// An answer that took longer is not waited for where there is another.
const SOON: Duration = Duration::from_millis(10);

/// An answer is shown again for so long.
const OLD: Duration = Duration::from_secs(5);

/// Asks the daemon.
pub(super) struct Asking {
    config: Config,
    clock: Clock,
    kept: Mutex<Option<Kept>>,
    /// Held while a new answer is got.
    turn: Mutex<()>,
}

/// The last answer.
struct Kept {
    status: Status,
    at: Instant,
    took: Duration,
}

impl Asking {
    pub(super) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            clock: Clock::system(),
            kept: Mutex::new(None),
            turn: Mutex::new(()),
        })
    }

    /// How it is; an error is why it did not answer.
    pub(super) fn ask(self: &Arc<Self>) -> Result<Status, String> {
        let kept = self.kept.lock();
        let slow = kept.as_ref().filter(|kept| kept.took > SOON);
        let now = self.clock.instant();
        let Some(status) = slow.filter(|kept| now.duration_since(kept.at) < OLD) else {
            drop(kept);
            return self.anew();
        };
        let mut status = status.status.clone();
        drop(kept);
        match self.health()? {
            Some(health) => status.health = health,
            None => return self.anew(),
        }
        let asking = self.clone();
        std::thread::spawn(move || {
            // One at a time is enough.
            if let Some(_turn) = asking.turn.try_lock() {
                drop(asking.anew());
            }
        });
        Ok(status)
    }

    fn anew(&self) -> Result<Status, String> {
        let begun = self.clock.instant();
        let asked = Client::hurried(&self.config).map_err(Failure::from);
        let answered = asked.and_then(|client| client.get("/status")?.json::<Status>());
        let mut status = answered.map_err(|failure| failure.text)?;
        // Their state is the log's to say, and ten thousand of them are much to keep.
        status.webhooks = Vec::new();
        *self.kept.lock() = Some(Kept {
            status: status.clone(),
            at: self.clock.instant(),
            took: self.clock.instant().duration_since(begun),
        });
        Ok(status)
    }

    /// Whether it is well; `None` where it is not, for then all that it says is of use.
    fn health(&self) -> Result<Option<Health>, String> {
        let told = |error: Error| Failure::from(error).text;
        let client = Client::hurried(&self.config).map_err(told)?;
        let answer = client.get("/health").map_err(told)?;
        let is_well = answer.status == 200;
        let health = is_well.then(|| answer.json::<Health>());
        health.transpose().map_err(|failure| failure.text)
    }
}
