//! What every part of the pipeline stands on: the log behind its lock, settings, counters, the matching of events, and where
//! to go on in the outbox.
//!
//! Imports nothing of the other parts; they all import this.

pub(crate) mod complaint;
pub(crate) mod counters;
mod evidence;
mod fan_out;
mod fingerprint;
mod hold;
mod log;
mod own;
mod resume;
mod running;
mod runtime;
mod settings;
mod signals;
pub(crate) mod standing;
mod waited;

pub(crate) use crate::model::chain;
pub(crate) use counters::Counters;
pub(crate) use fan_out::Routes;
pub(crate) use fingerprint::{hash, thin};
pub(crate) use hold::Patience;
pub(crate) use log::{Log, LogGuard};
pub(crate) use resume::{Resume, ResumeError, cursor_at, resolve_cursor};
pub(crate) use resume::{is_in_order, is_same, resolve_again};
pub(crate) use running::Running;
pub(crate) use runtime::Bounds;
pub(crate) use runtime::Runtime;
pub(crate) use settings::Applied;
pub use settings::{Pace, PipelineConfig, Retention};
pub(crate) use signals::Signals;
