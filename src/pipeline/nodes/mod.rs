//! Nodes: several of them on one log, of which each sends for its own webhooks and one takes events in.
//!
//! [`member`] decides, [`tenure`] has the dispatch heed it, and tells of files that differ ([`differ`]) and of nodes that
//! nobody can tell apart ([`namesakes`]). Where the log is in SQLite nothing of this is there.

mod differ;
mod likeness;
mod member;
mod namesakes;
#[cfg(test)]
mod simulated;
mod skew;
mod tenure;

pub(crate) use likeness::digest;
pub(crate) use member::Member;
pub(crate) use tenure::{Named, Tenure};
