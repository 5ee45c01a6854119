//! How the webhooks are doing: those that the log knows, and those of the configuration that it does
//! not know yet.

use std::collections::HashSet;

use crate::config::Config;
use crate::store::{Closely, Count, Error, HourCounts, Lately, LogReader, WebhookHealth};

/// The state of a webhook that the daemon does not know yet.
pub(crate) const NEW: &str = "new";

/// Every webhook, by name.
///
/// # Errors
/// The log can't be read.
pub(crate) fn webhooks(
    config: &Config,
    log: Option<&dyn LogReader>,
    now_ms: i64,
) -> Result<Vec<WebhookHealth>, Error> {
    let mut webhooks = match log {
        Some(log) => log.health(now_ms)?,
        None => Vec::new(),
    };
    let known: HashSet<String> = webhooks.iter().map(|known| known.name.clone()).collect();
    for webhook in &config.webhooks {
        if !known.contains(&*webhook.name) {
            webhooks.push(new(&webhook.name));
        }
    }
    webhooks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(webhooks)
}

/// The names of all webhooks, those first that somebody should look at, then those that the daemon does not know yet.
///
/// # Errors
/// The log can't be read.
pub(crate) fn by_need(
    config: Option<&Config>,
    log: &dyn LogReader,
    now_ms: i64,
) -> Result<Vec<String>, Error> {
    let mut names = log.by_need(now_ms)?;
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let configured = config.iter().flat_map(|config| &config.webhooks);
    let unknown = configured.filter(|webhook| !known.contains(&*webhook.name));
    let mut unknown: Vec<String> = unknown.map(|webhook| webhook.name.to_string()).collect();
    unknown.sort();
    names.append(&mut unknown);
    Ok(names)
}

/// These webhooks, in this order; those that the daemon does not know are new.
///
/// # Errors
/// The log can't be read.
pub(crate) fn closely(
    log: &dyn LogReader,
    names: &[String],
    now_ms: i64,
) -> Result<Vec<Closely>, Error> {
    let mut known = log.closely(names, now_ms)?.into_iter().peekable();
    let all = names.iter().map(|name| {
        let known = known.next_if(|known| known.health.name == *name);
        known.unwrap_or_else(|| Closely {
            health: new(name),
            oldest_pending_ms: None,
            days: [HourCounts::default(); 30],
        })
    });
    Ok(all.collect())
}

fn new(name: &str) -> WebhookHealth {
    WebhookHealth {
        name: name.to_owned(),
        state: NEW.to_owned(),
        pending: Count::default(),
        last_success_ms: None,
        last_failure_ms: None,
        last_error: None,
        hour: Lately::default(),
        day: Lately::default(),
        hours: Default::default(),
        given_up: 0,
        held_until_ms: None,
        held: None,
        pause: None,
    }
}

/// The names of all webhooks that the configuration or the log knows, sorted.
///
/// # Errors
/// The log can't be read.
pub(crate) fn webhook_names(
    config: &Config,
    log: Option<&dyn LogReader>,
) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = config.webhooks.iter().map(|w| w.name.to_string()).collect();
    if let Some(log) = log {
        names.extend(log.webhooks()?.into_iter().map(|webhook| webhook.name));
    }
    names.sort();
    names.dedup();
    Ok(names)
}
