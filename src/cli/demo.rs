//! `webhooksd demo`: the real daemon, seen at work, in a temporary folder.
//!
//! It starts this very binary with a configuration of five webhooks, writes events into the outbox with SQL as an
//! application would, receives the requests on loopback, checks each signature, and prints the log: as one daemon with
//! its databases in files ([`alone`]), or as two nodes that share a PostgreSQL ([`shared`]). An endpoint answers 500
//! first, so a retry is seen at its documented 10 seconds. `--page` keeps it open with the page on it. Success means:
//! everything delivered, every signature right.

mod alone;
mod child;
mod scene;
mod server;
mod shared;

use std::cell::Cell;

use tokio::signal::unix::{SignalKind, signal};

use super::{Ended, Failure};

/// Shows the whole thing at work, in a temporary folder
///
/// Starts the daemon with five webhooks against a receiver of its own, writes events, waits until
/// all are delivered (one endpoint fails first), prints the log, and leaves nothing behind.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd demo                     takes half a minute; exit code 0 if everything was delivered
  webhooksd demo --postgres          two daemons on a PostgreSQL, one of which is killed
  webhooksd demo --page              then the same in a browser, until Ctrl-C")]
pub(super) struct Arguments {
    /// Keeps daemon and receiver at the end, and shows the page, until Ctrl-C
    #[arg(long)]
    page: bool,
    /// Outbox and log in a PostgreSQL that it starts for itself, and two nodes on it
    #[arg(long)]
    postgres: bool,
}

pub(super) fn demo(arguments: &Arguments) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    let is_kept = Cell::new(false);
    runtime.block_on(async {
        let shown = async {
            if arguments.postgres {
                shared::show(arguments.page, &is_kept).await
            } else {
                alone::show(arguments.page, &is_kept).await
            }
        };
        tokio::select! {
            ended = shown => ended,
            interrupted = interrupted(&is_kept) => {
                interrupted?;
                Err(Failure::text("interrupted"))
            }
        }
    })
}

/// Waits for a signal that is not meant for the page, which ends by it in good order.
async fn interrupted(is_kept: &Cell<bool>) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            // Nobody is there to look any more.
            _ = hung_up.recv() => return Ok(()),
        }
        if !is_kept.get() {
            return Ok(());
        }
    }
}
