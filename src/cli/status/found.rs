//! What is shown: what the log says, and what the daemon answered, if there is one.
//!
//! Left out: how it looks (`show`, `json`).

use std::collections::HashMap;

use crate::query;
use crate::store::WebhookHealth;

/// Whether there is a daemon.
pub(super) enum Daemon {
    Answered(Box<query::Status>),
    /// It runs, but there is no socket to ask it over.
    Unasked {
        pid: u32,
    },
    /// Why there is none, or none that answers.
    Silent(String),
}

/// All that is shown.
pub(super) struct Status {
    pub(super) now_ms: i64,
    pub(super) log_bytes: u64,
    pub(super) wal_bytes: u64,
    /// By the daemon, where one answers, and else by the file of today.
    pub(super) max_bytes: Option<u64>,
    pub(super) oldest_ms: Option<i64>,
    pub(super) daemon: Daemon,
    pub(super) webhooks: Vec<WebhookHealth>,
    /// How many requests may begin in a second, of those that have such a limit, by the file of today.
    pub(super) rates: HashMap<String, f64>,
}

impl Status {
    pub(super) fn failing(&self) -> usize {
        self.webhooks.iter().filter(|w| w.is_failing()).count()
    }

    pub(super) fn is_well(&self) -> bool {
        let daemon = match &self.daemon {
            Daemon::Answered(answered) => answered.health.healthy,
            Daemon::Unasked { .. } => true,
            Daemon::Silent(_) => false,
        };
        daemon && self.failing() == 0
    }

    /// How many requests of a webhook may begin in a second, where there is a limit: by the daemon, where one
    /// answers, and else by the file of today.
    pub(super) fn max_per_second(&self, webhook: &str) -> Option<f64> {
        match &self.daemon {
            Daemon::Answered(answered) => {
                let mut each = answered.webhooks.iter();
                each.find(|w| w.name == webhook)?.max_per_second
            }
            Daemon::Unasked { .. } | Daemon::Silent(_) => self.rates.get(webhook).copied(),
        }
    }

    pub(super) fn in_flight(&self) -> Option<HashMap<&str, usize>> {
        let Daemon::Answered(answered) = &self.daemon else {
            return None;
        };
        let each = answered.webhooks.iter();
        Some(each.map(|w| (w.name.as_str(), w.in_flight)).collect())
    }
}
