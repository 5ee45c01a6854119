//! Filters: whether what an event says is what a webhook asked for by `where`.
//!
//! How a path is read (`path`), how the rules of all webhooks become one matcher (`matcher`: a tree of paths
//! in `trie`, the tests at its nodes in `probes`) and how `data` is read once for all of them (`scan`), and
//! what a rule found that does not hold (`found`). The whole matching rule, `where` included, is [`wants`].
//! Left out: what the rules are written as, which is the configuration's.

mod found;
mod matcher;
mod path;
mod probes;
mod scan;
#[cfg(test)]
mod tests;
mod trie;

pub(crate) use found::found;
pub(crate) use matcher::{Judge, Matcher, Scratch, first_failing};
pub(crate) use path::path;

use crate::model::{Event, Unwanted, Webhook};

/// The matching rule: whether the event is for this webhook. Fan-out and replay ask it for many webhooks at
/// once (`Routes`), the explanation of what was not sent here.
///
/// # Errors
/// The first reason why it is not.
pub fn wants(webhook: &Webhook, event: &Event) -> Result<(), Unwanted> {
    webhook.wants(&event.name, event.tenant.as_deref())?;
    first_failing(&webhook.rules, &event.data).map_or(Ok(()), |place| Err(Unwanted::Rule(place)))
}
