//! `webhooksd page`: the log in a browser, for whoever may read it, with the daemon running or not.
//!
//! The port is one of loopback, which every user of the machine can reach: so the address has a token that is made
//! anew for each run.

mod ask;

use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::{Ended, Failure, load, note, open_log, say};
use crate::config::Config;
use crate::model::Clock;
use crate::page::{CHANCE_BYTES, Done, Door, GiveOrder, Order, Page, Source, serve};
use crate::store::Reader;
use ask::Asking;

/// Shows the log in a browser, until Ctrl-C
///
/// Prints an address on loopback with a token that is good for this run: webhooks, attempts by a
/// search, and each delivery with its requests and answers. It needs no daemon; where one runs and may be asked
/// over its socket, buttons pause, resume, test, send again, cancel and reload.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd page
  webhooksd page --port 0            any port that is free
  webhooksd page --log backup.db     a copy of a log, without a configuration
  ssh -L 8480:localhost:8480 host    then `webhooksd page` there: the address it prints works here")]
pub(super) struct Arguments {
    /// The port of loopback; 0 is any that is free
    #[arg(long, value_name = "N", default_value_t = 8480)]
    port: u16,
    /// This log, or copy of one, instead of the configuration's
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Shows without buttons
    #[arg(long)]
    read_only: bool,
}

pub(super) fn page(
    path: impl FnOnce() -> Result<PathBuf, Failure>,
    arguments: &Arguments,
) -> Ended {
    let source = match &arguments.log {
        Some(log) => {
            if matches!(log.try_exists(), Ok(false)) {
                return Err(Failure::text(format!("there is no log at {log:?}")));
            }
            // What is wrong with it is said now, and not in the browser.
            Reader::open_copy(log)?;
            Source::Copy(log.clone())
        }
        None => {
            let config = load(&path()?)?;
            open_log(&config)?;
            let (asking, ordered) = (Asking::new(config.clone()), config.clone());
            let give = move |order: &Order| give(&ordered, order);
            Source::Own {
                config: Box::new(config),
                ask: Box::new(move || asking.ask()),
                give: (!arguments.read_only).then(|| Box::new(give) as GiveOrder),
            }
        }
    };
    let door = Door::new(&chance().map_err(|error| Failure::new(&error))?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKS)
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    runtime.block_on(shown(source, door, arguments.port))
}

/// Looks into the log at a time; more wait for their turn.
const LOOKS: usize = 4;

async fn shown(source: Source, door: Door, port: u16) -> Ended {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| {
        let text = format!("listen on 127.0.0.1:{port}: {error}");
        Failure::text(text).hint(Some("--port 0 takes any port that is free"))
    })?;
    let address = listener.local_addr()?;
    let mut terminated = signal(SignalKind::terminate())?;
    say(format_args!("http://{address}/?token={}", door.token()))?;
    note("open this address in a browser; it is good until Ctrl-C");
    let page = Arc::new(Page {
        door,
        source,
        clock: Clock::system(),
    });
    tokio::select! {
        () = serve(page, listener) => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the daemon carry an order out.
fn give(config: &Config, order: &Order) -> Result<Done, String> {
    let (path, body) = match order {
        Order::Test(webhook) => (format!("/webhooks/{webhook}/test"), json!({})),
        Order::Pause(webhook, for_ms) => (
            "/pause".to_owned(),
            json!({ "webhook": webhook, "for_ms": for_ms }),
        ),
        Order::Resume(webhook) => ("/resume".to_owned(), json!({ "webhook": webhook })),
        Order::Redeliver(id) => (format!("/deliveries/{id}/redeliver"), json!({})),
        Order::Cancel(id) => (format!("/deliveries/{id}/cancel"), json!({})),
        Order::Reload => ("/reload".to_owned(), json!({})),
    };
    let client = Client::of(config).map_err(Failure::from);
    let answered = client.and_then(|client| client.post(&path, &body)?.json::<Value>());
    answered
        .map(|answer| done(order, &answer))
        .map_err(|failure| match failure.hint {
            Some(hint) => format!("{}\n{hint}", failure.text),
            None => failure.text,
        })
}

/// What the daemon's answer says.
fn done(order: &Order, answer: &Value) -> Done {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let mut done = Done {
        well: true,
        delivery: answer["delivery_id"].as_i64(),
        ..Done::default()
    };
    done.told = match order {
        Order::Test(webhook) => {
            let outcome = text("outcome");
            done.well = outcome == "delivered";
            match (answer["error"].as_str(), answer["status"].as_i64()) {
                (Some(error), _) => format!("{webhook}: {outcome}: {error}"),
                (None, Some(status)) => format!("{webhook}: {outcome} {status}"),
                (None, None) => format!("{webhook}: {outcome}"),
            }
        }
        Order::Pause(webhook, _) => match answer["paused_until"].as_str() {
            Some(until) => format!("{webhook} is paused until {until}; what comes meanwhile waits"),
            None => format!("{webhook} is paused until it is resumed; what comes meanwhile waits"),
        },
        Order::Resume(webhook) if answer["resumed"] == true => {
            format!("{webhook} is resumed: what waited goes, the oldest first")
        }
        Order::Resume(webhook) => format!("{webhook} was not paused"),
        Order::Redeliver(id) => format!("delivery {id} is sent again"),
        Order::Cancel(id) => format!("delivery {id} is cancelled"),
        Order::Reload => format!(
            "the configuration was taken in: {} webhooks",
            answer["webhooks"]
        ),
    };
    done
}

/// Chance from the kernel.
fn chance() -> std::io::Result<[u8; CHANCE_BYTES]> {
    let mut bytes = [0; CHANCE_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
