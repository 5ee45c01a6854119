//! `webhooksd reload`: has the running daemon take the configuration in, and waits for its answer.
//!
//! The daemon reads its own file, which may be another one than this command's: it is only asked
//! here, over the socket that this command's file names.

use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::{Ended, Failure, load, note, say, text};
use crate::config;

/// Has the daemon take the configuration in, without dropping a delivery
///
/// Waits until it has. A file with an error changes nothing: the errors are printed, the running
/// configuration stays, and the exit code is 2. Where there is no [socket]: `systemctl reload
/// webhooksd`, or SIGHUP; the journal then tells.
#[derive(clap::Args)]
#[expect(
    rustdoc::broken_intra_doc_links,
    reason = "the help text: a section of the file, no link"
)]
#[command(after_help = "Example:
  webhooksd reload && webhooksd status")]
pub(super) struct Arguments {}

#[derive(Deserialize)]
struct Reloaded {
    webhooks: i64,
    #[serde(default)]
    cancelled: Vec<Cancelled>,
}

#[derive(Deserialize)]
struct Cancelled {
    webhook: String,
    count: i64,
    /// They went in order.
    #[serde(default)]
    in_order: bool,
}

pub(super) fn reload(path: &Path) -> Ended {
    let client = match load(path) {
        Ok(config) => Client::of(&config)?,
        Err(errors) => return refused(path, errors),
    };
    let reloaded: Reloaded = client.post("/reload", &json!({}))?.json()?;
    let webhooks = text::counted(reloaded.webhooks, "webhook");
    say(format!("reloaded: {webhooks}"))?;
    for cancelled in &reloaded.cancelled {
        note(format_args!(
            "{}: {} cancelled, for the webhook is inactive or left the configuration; \
             `webhooksd redeliver --cancelled --webhook {}` brings them back{}",
            text::line(&cancelled.webhook),
            text::deliveries(cancelled.count),
            text::line(&cancelled.webhook),
            if cancelled.in_order {
                ", but all at once and in no order, which in_order had kept: to keep it, `webhooksd redeliver ID` for \
                 each once the one before is delivered"
            } else {
                ""
            }
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file has errors: the daemon is asked all the same, so that its journal and status tell, and
/// its own words are printed. Where it can't be asked, the errors are.
fn refused(path: &Path, errors: Failure) -> Ended {
    let socket = config::socket_path(path).filter(|socket| socket.exists());
    let answer = socket.map(|socket| Client::at(&socket).post("/reload", &json!({})));
    match answer {
        Some(Ok(answer)) => {
            let reloaded: Reloaded = answer.json()?;
            // Its file is another one than this command's, or was mended in between.
            let webhooks = text::counted(reloaded.webhooks, "webhook");
            say(format!("reloaded: {webhooks}"))?;
            Ok(ExitCode::SUCCESS)
        }
        None | Some(Err(_)) => Err(errors),
    }
}
