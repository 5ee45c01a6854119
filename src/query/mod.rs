//! What people ask of outbox and log, answered as values: what became of an event and why, which
//! attempts were made, how the webhooks and the daemon are doing.
//!
//! The commands render these answers as text and JSON; whatever else shows them asks here too, so
//! that no two of them differ. Nothing here prints, and nothing here writes: every question goes
//! through read-only connections, beside the daemon and after it stopped.

mod about;
mod attempts;
mod event;
mod files;
mod health;
mod identity;
mod known;
mod log;
mod reason;
mod status;

pub use about::About;
pub use attempts::{Attempts, Fresh};
pub use event::{Explained, RowState, Story, Unknown, explain};
pub use files::{Files, Pending, Reading, size};
pub use health::{NEW, webhook_names, webhooks};
pub use known::Remark;
pub use log::log;
pub use reason::{Fate, OfWebhook, Reason};
pub use status::{Health, Inside, Log, Outbox, Process, Status, WebhookStatus};
