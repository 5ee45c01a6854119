//! How the daemon is, asked for the page: what it says of itself, without its webhooks, whose state is the log's to say.

use super::super::Failure;
use super::super::client::Client;
use crate::config::Config;
use crate::query::Status;

/// Asks the daemon how it is; an error is why it did not answer.
pub(super) fn ask(config: &Config) -> Result<Status, String> {
    let asked = Client::hurried(config).map_err(Failure::from);
    let answered = asked.and_then(|client| client.get("/status?brief")?.json::<Status>());
    answered.map_err(|failure| failure.text)
}
