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

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::client::Client;
use super::{Ended, Failure, load, note, open_log, say};
use crate::config::Config;
use crate::model::Clock;
use crate::page::{CHANCE_BYTES, Door, GiveOrder, Order, Page, Question, Shared, Source, serve};
use crate::store;

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

/// What shows a log meanwhile whose configuration has errors.
const WITHOUT_IT: &str =
    "`webhooksd page --log FILE` shows a log that is in a file without its configuration";

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
            store::read_copy(log)?;
            Source::Copy(log.clone())
        }
        None => {
            let file = path()?;
            let config = load(&file).map_err(|failure| match failure.hint {
                None => failure.hint(Some(WITHOUT_IT)),
                Some(_) => failure,
            })?;
            open_log(&config)?;
            own(config, Some(file), arguments.read_only)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    let ended = runtime.block_on(shown(source, arguments.port));
    // A question that the daemon has not answered is not waited for.
    runtime.shutdown_background();
    ended
}

/// The log of a configuration, and its daemon.
pub(super) fn own(config: Config, file: Option<PathBuf>, read_only: bool) -> Source {
    let config = Arc::new(config);
    let (asked, ordered) = (config.clone(), config.clone());
    let give = move |path: &str, body: &Value| give(&ordered, path, body);
    Source::Own {
        config,
        file,
        ask: Question::new(move || ask::ask(&asked)),
        give: (!read_only).then(|| Box::new(give) as GiveOrder),
    }
}

/// Shows that on a port of loopback, until Ctrl-C.
pub(super) async fn shown(source: Source, port: u16) -> Ended {
    let door = Door::new(&chance().map_err(|error| Failure::new(&error))?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| {
        let text = format!("listen on 127.0.0.1:{port}: {error}");
        Failure::text(text).hint(Some("--port 0 takes any port that is free"))
    })?;
    let address = listener.local_addr()?;
    let mut terminated = signal(SignalKind::terminate())?;
    say(format_args!("http://{address}/?token={}", door.token()))?;
    note("open this address in a browser; it is good until Ctrl-C");
    let pages = watch::Sender::new(Arc::new(Page {
        door: Some(Arc::new(door)),
        hosts: Vec::new(),
        source,
        clock: Clock::system(),
        shared: Arc::new(Shared::default()),
        order: Order::default(),
    }));
    tokio::select! {
        () = serve(pages.subscribe(), listener) => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the daemon carry an order out.
fn give(config: &Config, path: &str, body: &Value) -> Result<Value, String> {
    let client = Client::of(config).map_err(Failure::from);
    let answered = client.and_then(|client| client.post(path, body)?.json::<Value>());
    answered.map_err(|failure| match failure.hint {
        Some(hint) => format!("{}\n{hint}", failure.text),
        None => failure.text,
    })
}

/// Chance from the kernel.
fn chance() -> std::io::Result<[u8; CHANCE_BYTES]> {
    let mut bytes = [0; CHANCE_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
