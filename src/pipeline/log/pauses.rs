//! Pauses as the log has them: read where somebody else wrote into it, and ended when their time is over.
//!
//! The round of `refill` calls this, so a row by SQL is heeded at the next poll, and a pause ends on time.

use crate::pipeline::send::Dispatch;
use crate::pipeline::shared::LogGuard;
use crate::store;
use crate::transport::Transport;

impl<T: Transport> Dispatch<T> {
    /// Heeds the pauses in the log where they may have `changed`, or one is over.
    ///
    /// # Errors
    /// As of the log: then all is as it was, and a pause that is over is seen again.
    pub(super) fn look_at_pauses(
        &self,
        log: &mut LogGuard<'_>,
        changed: bool,
    ) -> Result<(), store::Error> {
        if changed || self.is_pause_over() || self.gates().is_stale() {
            let now_ms = self.clock().now_ms();
            let told = log
                .end_pauses(now_ms)
                .and_then(|()| log.tell_pauses(now_ms));
            self.look_for_own(log);
            told?;
            let pauses = log.pauses()?;
            self.heed_pauses(log, pauses);
        }
        Ok(())
    }

    /// Heeds what the attempts that were just recorded have changed: a webhook paused itself, was tried in
    /// vain, or goes on.
    pub(super) fn heed_recorded(&self, log: &mut LogGuard<'_>) {
        if !log.take_pauses_changed() {
            return;
        }
        match log.pauses() {
            Ok(pauses) => self.heed_pauses(log, pauses),
            // The attempts are in the log whatever becomes of this: the next round looks again.
            Err(_) => self.heed_later(),
        }
    }

    /// Whether the log is to be looked at now.
    pub(super) fn is_pause_due(&self) -> bool {
        self.is_pause_over() || self.gates().is_stale()
    }

    /// Whether a pause has ended by itself that is heeded yet.
    fn is_pause_over(&self) -> bool {
        let end_ms = self.gates().next_end_ms();
        end_ms.is_some_and(|end_ms| end_ms <= self.clock().now_ms())
    }
}
