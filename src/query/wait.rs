//! What a pending delivery waits for beside its own time: its turn, what its endpoint asked for, and its webhook's
//! pace with those before it.
//!
//! Asked for the deliveries of one event alone, for it is counted.

use std::collections::HashMap;

use super::reason::{Fate, OfWebhook, Wait};
use crate::config::Config;
use crate::store::{DeliveryTrace, Error, LogReader};

/// Fills in what the deliveries wait for at that time.
///
/// # Errors
/// The log can't be read.
pub(super) fn fill_in(
    webhooks: &mut [OfWebhook],
    config: &Config,
    log: &dyn LogReader,
    now_ms: i64,
) -> Result<(), Error> {
    let held = log.held(now_ms)?;
    for webhook in webhooks {
        if let Fate::Delivery { trace, waits, .. } = &mut webhook.fate
            && trace.state == "pending"
        {
            *waits = of(trace, config, (log, &held), now_ms)?;
        }
    }
    Ok(())
}

/// What one of them waits for. `held`: until when webhooks are left alone.
pub(super) fn of(
    delivery: &DeliveryTrace,
    config: &Config,
    (log, held): (&dyn LogReader, &HashMap<String, i64>),
    now_ms: i64,
) -> Result<Option<Wait>, Error> {
    if delivery.due_at_ms.is_none()
        && let Some(by) = log.held_by(delivery.id)?
    {
        return Ok(Some(Wait::Turn(by)));
    }
    if let Some(until_ms) = held.get(&delivery.webhook)
        && delivery.due_at_ms <= Some(*until_ms)
        && delivery.origin != "test"
    {
        return Ok(Some(Wait::Hold(*until_ms)));
    }
    let mut webhooks = config.webhooks.iter();
    let webhook = webhooks.find(|w| *w.name == *delivery.webhook);
    let rate = webhook.and_then(|webhook| webhook.max_per_second);
    let due_ms = delivery.due_at_ms.filter(|due_ms| *due_ms <= now_ms);
    let (Some(rate), Some(due_ms)) = (rate, due_ms) else {
        return Ok(None);
    };
    let before = log.pending_before(&delivery.webhook, due_ms, delivery.id)?;
    Ok(Some(Wait::Pace { before, rate }))
}
