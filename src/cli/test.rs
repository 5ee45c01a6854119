//! `webhooksd test`: one attempt through the running daemon, printed whole.
//!
//! The daemon makes it with its own secret, connections and time-outs, and writes it into the log
//! with the origin `test`; there is no retry. What is printed is what went over the wire, but for
//! the values of the user's own headers.

use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::Client;
use super::screen::{Look, Screen};
use super::{Ended, Failure, known_webhook, load, open_log, shown, text, when};
use crate::model::DeliveryId;

/// Fires a sample event at a webhook, and prints request, answer and timing
///
/// One attempt by the running daemon, without a retry, in the log. Ends with 1 when it failed. The
/// sample is the one of the dialect's documentation unless an event and data are given. A test that
/// can't begin in time, or whose command was interrupted, is cancelled; one that a crash left is sent
/// once the daemon runs.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd test search-index
  webhooksd test erp --event production.order.completed --data '{\"reference\":\"PO-1\"}'
  webhooksd test erp --data @order.json")]
pub(super) struct Arguments {
    /// The webhook's name; it must be active
    webhook: String,
    /// The event's name [default: the sample's]
    #[arg(long)]
    event: Option<String>,
    /// The event's data, JSON text, or @FILE [default: the sample's]
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

/// What is asked for. The data keeps its text.
#[derive(Serialize)]
struct Wanted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tested {
    delivery_id: DeliveryId,
    outcome: String,
    status: Option<i64>,
    error: Option<String>,
    note: Option<String>,
    url: String,
    duration_ms: f64,
    #[serde(default)]
    phases: Phases,
    peer: Option<String>,
    request_headers: String,
    request_body: Option<String>,
    response_headers: Option<String>,
    response_body: Option<String>,
}

#[derive(Default, Deserialize)]
struct Phases {
    name_ms: Option<f64>,
    connect_ms: Option<f64>,
    proxy_ms: Option<f64>,
    tls_ms: Option<f64>,
    head_ms: Option<f64>,
    body_ms: Option<f64>,
}

pub(super) fn test(path: &Path, arguments: &Arguments) -> Ended {
    let config = load(path)?;
    // The daemon may run with another configuration than the file's: only a clear mistake ends here.
    let log = open_log(&config).ok();
    known_webhook(&config, log.as_deref(), &arguments.webhook)?;
    let wanted = Wanted {
        event: arguments.event.as_deref(),
        data: arguments.data.as_deref().map(data_text).transpose()?,
    };
    let target = format!("/webhooks/{}/test", arguments.webhook);
    let answer = Client::of(&config)?.post(&target, &wanted)?;
    let tested: Tested = answer.json()?;
    shown(show(&tested))?;
    Ok(if tested.outcome == "delivered" {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn data_text(argument: &str) -> Result<Box<RawValue>, Failure> {
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::text(format!("read {file:?}: {error}")).code(2))?,
    };
    RawValue::from_string(text.trim().to_owned())
        .map_err(|error| Failure::text(format!("data is no JSON text: {error}")).code(2))
}

fn show(tested: &Tested) -> std::io::Result<()> {
    let mut screen = Screen::new();
    let url = text::line(&tested.url);
    let head = screen.paint(format!("POST {url}"), Look::Bold);
    screen.line(head)?;
    screen.write(text::block(&tested.request_headers, "> "))?;
    said(&mut screen, tested.request_body.as_deref(), "> ")?;
    screen.line("")?;
    let answered = tested.response_headers.is_some() || tested.status.is_some();
    if answered {
        let status = tested.status.map_or_else(String::new, |s| s.to_string());
        screen.line(format!("< {status}"))?;
        screen.write(text::block(
            tested.response_headers.as_deref().unwrap_or(""),
            "< ",
        ))?;
        said(&mut screen, tested.response_body.as_deref(), "< ")?;
        screen.line("")?;
    }
    let delivered = tested.outcome == "delivered";
    let look = if delivered { Look::Good } else { Look::Bad };
    let mut outcome = screen.paint(&tested.outcome, look);
    if let Some(error) = &tested.error {
        outcome.push_str(&format!(": {}", text::line(error)));
    } else if let Some(status) = tested.status {
        outcome.push_str(&format!(" {status}"));
    }
    screen.line(format!("{outcome}, {}", timing(tested)))?;
    if let Some(note) = &tested.note {
        screen.line(text::line(note))?;
    }
    screen.line(format!("in the log as delivery {}", tested.delivery_id))?;
    screen.flush()
}

/// A body after its headers.
fn said(screen: &mut Screen, body: Option<&str>, indent: &str) -> std::io::Result<()> {
    match body.filter(|body| !body.is_empty()) {
        None => Ok(()),
        Some(body) => {
            screen.line(indent.trim_end())?;
            screen.write(text::block(body, indent))
        }
    }
}

fn timing(tested: &Tested) -> String {
    let phases = &tested.phases;
    let told: Vec<String> = [
        ("name", phases.name_ms),
        ("tcp", phases.connect_ms),
        ("proxy", phases.proxy_ms),
        ("tls", phases.tls_ms),
        ("answer", phases.head_ms),
        ("body", phases.body_ms),
    ]
    .into_iter()
    .filter_map(|(name, ms)| Some(format!("{name} {}", when::took(ms?))))
    .collect();
    let mut timing = when::took(tested.duration_ms);
    if !told.is_empty() {
        timing.push_str(&format!(" ({})", told.join(", ")));
    }
    if let Some(peer) = &tested.peer {
        timing.push_str(&format!(", peer {}", text::line(peer)));
    }
    timing
}
