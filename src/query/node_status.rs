//! A node of a log that several share, as `status` tells of it.

use serde::{Deserialize, Serialize};

use crate::pipeline::Node;

/// A node, as this one sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    /// By which the log knows it, until it starts anew.
    #[serde(default)]
    pub id: String,
    /// By which people know it.
    pub name: String,
    /// Of its program.
    pub version: String,
    /// How many webhooks it sends for.
    pub webhooks: i64,
    /// For how many milliseconds it has given no sign of life, as far as this one has looked.
    pub last_beat_ms: i64,
    /// Whether it is the one that says this.
    pub me: bool,
    /// Whether it takes events in, and does what is done once for a log.
    #[serde(default)]
    pub leads: bool,
    /// Whether its configuration is another one than that of the node that takes events in.
    #[serde(default)]
    pub config_differs: bool,
}

impl From<&Node> for NodeStatus {
    fn from(node: &Node) -> Self {
        Self {
            id: node.id.to_string(),
            name: node.name.clone(),
            version: node.version.clone(),
            webhooks: node.webhooks,
            last_beat_ms: node.last_beat_ms,
            me: node.me,
            leads: node.leads,
            config_differs: node.differs,
        }
    }
}
