//! What nodes of one log know of each other: a row for each that is there, and who owns which slot.
//!
//! Every call is a compare-and-set in one statement, so that two who call at once leave one of them with nothing. No
//! clock is in any of it: a node that lives counts its beat up, and who sees the same beat for long enough buries it.
//! Left out: when to do what (`pipeline/nodes`).

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Error;

/// The slot of whoever takes events in; those of webhooks are above it.
pub(crate) const LEAD: i32 = 0;

/// A node's id: new with each start, and with each time that it was declared dead.
pub(crate) type NodeId = Arc<str>;

/// Who this node is at the moment, for all connections of the process.
#[derive(Clone, Debug)]
pub struct Me {
    id: Arc<Mutex<NodeId>>,
    /// By which people know it.
    pub(crate) name: Arc<str>,
}

impl Me {
    pub(crate) fn new(id: NodeId, name: Arc<str>) -> Self {
        Self {
            id: Arc::new(Mutex::new(id)),
            name,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id.lock().clone()
    }

    /// It was declared dead, and is there anew.
    pub(crate) fn become_anew(&self, id: NodeId) {
        *self.id.lock() = id;
    }
}

/// A node, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The digest of its configuration, once it has said it.
    pub(crate) config: Option<String>,
    pub(crate) beat: i64,
}

/// A node, and what part of the log is its own, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeShare {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) version: String,
    /// How many webhooks of the configuration it sends for.
    pub(crate) webhooks: i64,
    /// Whether it takes events in.
    pub(crate) leads: bool,
}

/// A slot that somebody may own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotRow {
    pub(crate) slot: i32,
    pub(crate) owner: Option<NodeId>,
    /// How many webhooks of the configuration are in it.
    pub(crate) webhooks: i64,
}

impl SlotRow {
    /// Whether there is something to do for whoever owns it.
    pub(crate) fn is_used(&self) -> bool {
        self.slot == LEAD || self.webhooks > 0
    }
}

/// All that there is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodesLook {
    pub(crate) nodes: Vec<NodeRow>,
    pub(crate) slots: Vec<SlotRow>,
    /// Another one where a webhook came, went or became another slot's.
    pub(crate) stamp: String,
    /// The server's: another one where a standby has taken over.
    pub(crate) timeline: String,
    /// The server's clock, UNIX milliseconds; `None`: it was not asked.
    pub(crate) server_ms: Option<i64>,
    /// On which timeline nodes last agreed on who owns what, as the log has it noted.
    pub(crate) agreed: Option<String>,
}

/// The tables of nodes and slots.
///
/// # Errors
/// Every call fails where the log can't be read or written, and with nothing else.
pub(crate) trait Roster: Debug + Send {
    /// Counts the node's beat up, and looks at all. `None`: it was declared dead.
    fn beat(&mut self, me: &NodeId) -> Result<Option<NodesLook>, Error>;

    /// A row for a node that is there. Returns its id.
    fn register(&mut self, name: &str) -> Result<NodeId, Error>;

    /// Says by which configuration this node goes: a digest of it.
    fn tell(&mut self, me: &NodeId, config: &str) -> Result<(), Error>;

    /// Removes a node whose beat is still that one, and frees its slots. Whether it did.
    fn bury(&mut self, dead: &NodeId, beat: i64) -> Result<bool, Error>;

    /// Takes those of the slots that are free, and frees before those whose owner is not there.
    fn take(&mut self, me: &NodeId, slots: &[i32]) -> Result<Vec<i32>, Error>;

    /// Lets go of slots.
    fn give(&mut self, me: &NodeId, slots: &[i32]) -> Result<(), Error>;

    /// Leaves: its row goes, and its slots are free.
    fn leave(&mut self, me: &NodeId) -> Result<(), Error>;

    /// Notes that what nodes agree on is agreed on by that timeline.
    fn agree(&mut self, timeline: &str) -> Result<(), Error>;

    /// The webhooks of these slots, each with whether it is active.
    fn webhooks(&mut self, slots: &[i32]) -> Result<Vec<(i32, Arc<str>, bool)>, Error>;
}
