//! What many commands begin with: the configuration, the log, a webhook by its name.

use std::path::Path;

use super::failure::Failure;
use crate::config::{self, Config, SecretsWanted};
use crate::query;
use crate::store::LogReader;
use crate::transport;

/// Reads the configuration for commands that send nothing: without secrets.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    let config = config::load(path, SecretsWanted::Skip, &transport::check_ca);
    Ok(config.map_err(crate::daemon::Error::Config)?)
}

/// Opens the log for reading.
pub(super) fn open_log(config: &Config) -> Result<Box<dyn LogReader>, Failure> {
    query::log(config)?.ok_or_else(|| {
        let text = format!("there is no log yet at {:?}", config.log.place.shown());
        Failure::text(text).hint(Some("the daemon makes it: `webhooksd run`"))
    })
}

/// Refuses the name of a webhook that neither the configuration nor the log knows.
pub(super) fn known_webhook(
    config: &Config,
    log: Option<&dyn LogReader>,
    name: &str,
) -> Result<(), Failure> {
    let mut names = query::webhook_names(config, log)?;
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    names.truncate(NAMES_SHOWN);
    let failure = Failure::text(format!("no webhook is called {name:?}")).code(2);
    Err(failure.hint((!names.is_empty()).then(|| format!("there are {}", names.join(", ")))))
}

/// Names of webhooks in a hint; there may be ten thousand.
const NAMES_SHOWN: usize = 20;
