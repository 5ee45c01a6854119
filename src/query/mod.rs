//! What people ask of outbox and log, answered as values: what became of an event and why, which
//! attempts were made, how the webhooks and the daemon are doing, what a webhook would get.
//!
//! The commands render these answers as text and JSON; whatever else shows them asks here too, so
//! that no two of them differ. Nothing here prints, and nothing here writes: every question goes
//! through read-only connections, beside the daemon and after it stopped.

mod about;
mod attempts;
mod beside;
mod event;
mod files;
mod health;
mod identity;
mod ids;
mod known;
mod log;
mod node_status;
mod own;
mod reason;
mod search;
mod status;
mod trial;
mod wait;
mod words;

pub use about::About;
pub(crate) use attempts::Attempts;
pub(crate) use event::{RowState, Story, Unknown, explain};
pub(crate) use files::{Files, Reading};
pub(crate) use health::{NEW, by_need, closely, webhook_names, webhooks};
pub(crate) use known::Remark;
pub(crate) use log::{lag, log};
pub(crate) use node_status::NodeStatus;
pub(crate) use reason::{Fate, Reason};
pub(crate) use search::{KEYS, search};
pub(crate) use status::{Health, Inside, Process, Status, WebhookStatus};
pub(crate) use trial::{Asked, Group, Trial, TrialError, trial};
pub(crate) use words::{Tone, words};
