//! What is shown: what the log says, and what the daemon answered, if there is one.
//!
//! Left out: how it looks (`show`, `json`).

use std::collections::HashMap;

use serde::Serialize;

use crate::query::{self, NodeStatus, WebhookStatus};
use crate::store::{NodeShare, WebhookHealth};

/// Whether there is a daemon.
pub(super) enum Daemon {
    Answered(Box<query::Status>),
    /// There is no socket to ask it over; whether it runs is known of a log in a file.
    Unasked {
        pid: Option<u32>,
    },
    /// It is there, and gives no answer of use: why, and what to do.
    Mute {
        pid: Option<u32>,
        why: String,
    },
    /// Why there is none.
    Silent(String),
}

/// A node of a log that several share.
#[derive(Serialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// How many webhooks it sends for.
    pub(super) webhooks: i64,
    /// For how long it gave no sign of life; `None`: no daemon said it.
    pub(super) last_beat_ms: Option<i64>,
    /// Whether it is the daemon that was asked.
    pub(super) me: bool,
    /// Whether it takes events in.
    pub(super) leads: bool,
    /// Whether it goes by another file than who does; `None`: no daemon said it.
    pub(super) config_differs: Option<bool>,
}

impl From<&NodeStatus> for Node {
    fn from(told: &NodeStatus) -> Self {
        Self {
            id: told.id.clone(),
            name: told.name.clone(),
            version: told.version.clone(),
            webhooks: told.webhooks,
            last_beat_ms: Some(told.last_beat_ms),
            me: told.me,
            leads: told.leads,
            config_differs: Some(told.config_differs),
        }
    }
}

/// By the log alone.
impl From<NodeShare> for Node {
    fn from(share: NodeShare) -> Self {
        Self {
            id: share.id.to_string(),
            name: share.name,
            version: share.version,
            webhooks: share.webhooks,
            last_beat_ms: None,
            me: false,
            leads: share.leads,
            config_differs: None,
        }
    }
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
    /// Why nothing of the log is shown, and what to do.
    pub(super) log_problem: Option<String>,
    /// By the daemon, where one answers, and else by the log; none of a log in a file.
    pub(super) nodes: Vec<Node>,
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
            Daemon::Unasked { pid } => pid.is_some(),
            Daemon::Mute { .. } | Daemon::Silent(_) => false,
        };
        daemon && self.log_problem.is_none() && self.failing() == 0
    }

    /// How many requests of a webhook may begin in a second, where there is a limit: by the daemon, where one
    /// answers, and else by the file of today.
    pub(super) fn max_per_second(&self, webhook: &str) -> Option<f64> {
        match self.of_daemon() {
            Some(webhooks) => {
                let mut each = webhooks.iter();
                each.find(|w| w.name == webhook)?.max_per_second
            }
            None => self.rates.get(webhook).copied(),
        }
    }

    /// What a daemon has in hand of webhooks; `None` where none says it: one that was kept from it has said the rest.
    fn of_daemon(&self) -> Option<&[WebhookStatus]> {
        match &self.daemon {
            Daemon::Answered(answered) => {
                Some(&*answered.webhooks).filter(|webhooks| !webhooks.is_empty())
            }
            Daemon::Unasked { .. } | Daemon::Mute { .. } | Daemon::Silent(_) => None,
        }
    }

    pub(super) fn in_flight(&self) -> Option<HashMap<&str, usize>> {
        let each = self.of_daemon()?.iter();
        Some(each.map(|w| (w.name.as_str(), w.in_flight)).collect())
    }
}
