//! How the webhooks are doing: those that the log knows, and those of the configuration that it does
//! not know yet.

use crate::config::Config;
use crate::store::{Count, Error, Lately, Reader, WebhookHealth};

/// The state of a webhook that the daemon does not know yet.
pub(crate) const NEW: &str = "new";

/// Every webhook, by name.
///
/// # Errors
/// The log can't be read.
pub(crate) fn webhooks(
    config: &Config,
    log: Option<&Reader>,
    now_ms: i64,
) -> Result<Vec<WebhookHealth>, Error> {
    let mut webhooks = match log {
        Some(log) => log.health(now_ms)?,
        None => Vec::new(),
    };
    for webhook in &config.webhooks {
        if webhooks.iter().all(|known| known.name != *webhook.name) {
            webhooks.push(new(&webhook.name));
        }
    }
    webhooks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(webhooks)
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
pub(crate) fn webhook_names(config: &Config, log: Option<&Reader>) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = config.webhooks.iter().map(|w| w.name.to_string()).collect();
    if let Some(log) = log {
        names.extend(log.webhooks()?.into_iter().map(|webhook| webhook.name));
    }
    names.sort();
    names.dedup();
    Ok(names)
}
