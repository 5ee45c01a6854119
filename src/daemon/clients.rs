//! Who is answered: clients of the socket, scrapers, browsers. Each on the listener that was made for it.
//!
//! Left out: how they are answered (`api`, `page`), and the making of listeners.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::listen::{Listeners, OwnSocket};
use super::shown::Shown;
use super::{Error, limits};
use crate::api::{self, Api, Appending};
use crate::config::Config;
use crate::pipeline::Dispatch;
use crate::query;
use crate::transport::Client;

/// Orders to reload that wait; those behind them wait in their connections.
const RELOADS: usize = 16;

/// What answers clients.
pub(super) struct Clients {
    pub(super) served: JoinSet<()>,
    /// The thread that appends what clients send, where there are listeners.
    pub(super) appending: Option<Appending>,
    /// Becomes true when no connection is accepted any more.
    pub(super) closed: watch::Sender<bool>,
    pub(super) own_socket: Option<OwnSocket>,
    pub(super) reloads: mpsc::Receiver<api::Reload>,
    pub(super) shown: Arc<Shown>,
}

/// Begins to answer on the listeners that there are.
pub(super) fn serve(
    about: query::About,
    dispatch: &Arc<Dispatch<Client>>,
    config: &Arc<Config>,
    listeners: Listeners,
) -> Result<Clients, Error> {
    let (order, reloads) = mpsc::channel(RELOADS);
    let closed = watch::Sender::new(false);
    let (mut served, mut appending, mut shown) = (JoinSet::new(), None, Shown::default());
    if listeners.are_any() {
        let started_ms = about.started_ms;
        let (api, thread) = Api::new(dispatch.clone(), about, order).map_err(Error::Threads)?;
        appending = Some(thread);
        shown = Shown::of(api.clone(), dispatch.clock(), started_ms);
        shown.show(config, listeners.page);
        if let Some(socket) = listeners.socket {
            served.spawn(api::serve_socket(
                api.clone(),
                socket,
                limits::files(),
                closed.subscribe(),
            ));
        }
        if let Some(metrics) = listeners.metrics {
            served.spawn(api::serve_metrics(api, metrics, closed.subscribe()));
        }
    }
    Ok(Clients {
        served,
        appending,
        closed,
        own_socket: listeners.own,
        reloads,
        shown: Arc::new(shown),
    })
}
