//! Who shares the log, and whose each webhook is: the log says it, and the daemon that is asked what it has heard of them.

use std::collections::HashMap;

use super::{Page, Trouble};
use crate::query::{NodeStatus, Status};
use crate::store::{LogReader, NodeShare};

/// Nodes that are listed; the log's slots are 257.
const MOST: usize = 300;

/// A node of a log that several share.
pub(in crate::page) struct NodeSeen {
    /// What the log says of it.
    pub share: NodeShare,
    /// What the daemon says of it; `None`: nothing.
    pub heard: Option<NodeStatus>,
}

/// Whose webhooks are, by their names.
pub(in crate::page) struct Owners(HashMap<String, String>);

impl Owners {
    /// The node's name; `None`: nobody's at the moment.
    pub(in crate::page) fn of(&self, webhook: &str) -> Option<&str> {
        self.0.get(webhook).map(String::as_str)
    }
}

impl Page {
    /// Whether it is asked who shares the log at all.
    fn is_shared(&self) -> bool {
        self.place().server().is_some()
    }

    /// The nodes; none of a log that one process has for itself.
    pub(super) fn nodes(
        &self,
        reader: &dyn LogReader,
        daemon: Option<&Status>,
    ) -> Result<Vec<NodeSeen>, Trouble> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        let heard: HashMap<&str, &NodeStatus> = daemon
            .into_iter()
            .flat_map(|status| &status.nodes)
            .map(|node| (&*node.id, node))
            .collect();
        let seen = |share: NodeShare| NodeSeen {
            heard: heard.get(&*share.id).map(|node| (*node).clone()),
            share,
        };
        Ok(reader.nodes()?.into_iter().take(MOST).map(seen).collect())
    }

    /// Whose these webhooks are; `None` in a log that one process has for itself.
    pub(super) fn owners(
        &self,
        reader: &dyn LogReader,
        names: &[String],
    ) -> Result<Option<Owners>, Trouble> {
        if !self.is_shared() {
            return Ok(None);
        }
        Ok(Some(Owners(reader.owners(names)?)))
    }
}
