//! The share: which webhooks this node sends for, where several nodes have one log.
//!
//! Without others a node has all of them, and nothing here is asked but one flag. With others it has those that the
//! log says are its own, until then: whoever does not hear from the log in time begins nothing, for another may have
//! taken over by then. A lane of another's is shut as a paused one is (`gate`), and what comes for it is in the log.
//! One node leads: it takes events in, and does what is done once for a log. Left out: who owns what (`store`), and
//! what a node does about it (`pipeline/nodes`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::model::Clock;

/// The names of webhooks.
pub(crate) type Names = HashSet<Arc<str>>;

/// A node, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// By which the log knows it.
    pub id: Arc<str>,
    /// By which people know it.
    pub name: String,
    /// Of its program.
    pub version: String,
    /// The digest of its configuration; `None`: it has not said it yet.
    pub config: Option<String>,
    /// How many webhooks it sends for.
    pub webhooks: i64,
    /// For how many milliseconds its beat has stood still, as far as this node has looked.
    pub last_beat_ms: i64,
    /// Whether it is this one.
    pub me: bool,
    /// Whether it takes events in.
    pub leads: bool,
    /// Whether its configuration is another one than that of who leads, as far as that can be told.
    pub differs: bool,
    /// Whether another node of the same name lives beside it.
    pub is_double: bool,
}

/// What this node has.
pub(crate) struct Share {
    /// `None`: all.
    pub(super) names: RwLock<Option<Arc<Names>>>,
    /// Whether it takes events in, and does what is done once for a log.
    leads: AtomicBool,
    /// Milliseconds of the clock that goes on while a machine sleeps: until then attempts may begin.
    until_ms: AtomicI64,
    /// The nodes, as they were seen last.
    nodes: Mutex<Vec<Node>>,
    /// The digest of this node's configuration; `None` where nobody compares it.
    config: Mutex<Option<Arc<str>>>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            names: RwLock::default(),
            leads: AtomicBool::new(true),
            until_ms: AtomicI64::new(i64::MAX),
            nodes: Mutex::default(),
            config: Mutex::default(),
        }
    }
}

impl Share {
    /// Whether a webhook's deliveries are this node's to send.
    pub(crate) fn has(&self, webhook: &str) -> bool {
        let names = self.names.read();
        names.as_ref().is_none_or(|names| names.contains(webhook))
    }

    /// Whether every webhook is its own: no other node is known.
    pub(crate) fn has_all(&self) -> bool {
        self.names.read().is_none()
    }

    /// Whether this node takes events in, and does what is done once for a log.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// Whether attempts may begin.
    pub(super) fn lasts(&self, clock: &Clock) -> bool {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        until_ms == i64::MAX || clock.boot_ms() < until_ms
    }

    /// Attempts may begin until then.
    pub(crate) fn extend(&self, until_ms: i64) {
        self.until_ms.store(until_ms, Ordering::Release);
    }

    /// The nodes, this one among them; none where the log is in a file.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.nodes.lock().clone()
    }

    /// Takes note of the nodes that are there.
    pub(crate) fn see(&self, nodes: Vec<Node>) {
        *self.nodes.lock() = nodes;
    }

    /// The digest of this node's configuration.
    pub(crate) fn config(&self) -> Option<Arc<str>> {
        self.config.lock().clone()
    }

    /// Has other nodes compare this digest from now on.
    pub(crate) fn configure(&self, config: Arc<str>) {
        *self.config.lock() = Some(config);
    }

    /// Says whether this node leads.
    pub(crate) fn lead(&self, leads: bool) {
        self.leads.store(leads, Ordering::Release);
    }
}
