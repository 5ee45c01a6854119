//! What there is to say of an event beside its newest delivery to a webhook: that one holds others, and that the one
//! made when the event came is still pending while a later one, of a replay, was sent.
//!
//! Left out: the newest delivery itself (`reason`), and the words.

use std::collections::{HashMap, HashSet};

use super::reason::Wait;
use super::wait;
use crate::config::Config;
use crate::model::DeliveryId;
use crate::store::{Count, DeliveryTrace, Error, LogReader};

/// What is to be said of one webhook.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The delivery that was given up and holds its line, and how many are behind it.
    pub holds: Option<(DeliveryId, Count)>,
    /// The delivery that was made when the event came and is pending still, and what it waits for.
    pub own: Option<(Box<DeliveryTrace>, Option<Wait>)>,
}

/// By webhook; `deliveries` are those of the event, the newest first.
///
/// # Errors
/// The log can't be read.
pub(super) fn of(
    deliveries: &[DeliveryTrace],
    config: &Config,
    log: &dyn LogReader,
    now_ms: i64,
) -> Result<HashMap<String, Beside>, Error> {
    let mut all: HashMap<String, Beside> = HashMap::new();
    let mut told: HashSet<&str> = HashSet::new();
    for delivery in deliveries {
        let is_newest = told.insert(&delivery.webhook);
        if delivery.origin != "event" {
            continue;
        }
        if delivery.state == "failed"
            && let Some(behind) = log.behind(delivery.id)?
        {
            let beside = all.entry(delivery.webhook.clone()).or_default();
            beside.holds = Some((delivery.id, behind));
        }
        if delivery.state == "pending" && !is_newest {
            let waits = wait::of(delivery, config, (log, &log.held(now_ms)?), now_ms)?;
            let beside = all.entry(delivery.webhook.clone()).or_default();
            beside.own = Some((Box::new(delivery.clone()), waits));
        }
    }
    Ok(all)
}
