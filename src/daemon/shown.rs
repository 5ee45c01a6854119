//! The page of the daemon: on its port by a token, and on the socket for whoever has the right to that.
//!
//! Each configuration that is taken in makes new pages. A browser stays let in while the token stays the same and the
//! daemon runs; another token lets everybody out. Left out: everything that is seen.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Error;
use crate::api::Api;
use crate::config::{self, Config};
use crate::model::Clock;
use crate::page::{self, Door, Page, Shared};

/// The pages of a daemon; without what answers clients there are none.
#[derive(Default)]
pub(super) struct Shown {
    of: Mutex<Option<Of>>,
    port: Mutex<Option<Port>>,
}

/// What all pages of a daemon share.
struct Of {
    api: Arc<Api>,
    clock: Clock,
    /// What tells this run from others.
    run: String,
    shared: Arc<Shared>,
}

/// The page on a port. It is served for as long as this is there.
struct Port {
    address: SocketAddr,
    door: Arc<Door>,
    pages: watch::Sender<Arc<Page>>,
}

impl Shown {
    /// The pages of a daemon that started then.
    pub(super) fn of(api: Arc<Api>, clock: &Clock, started_ms: i64) -> Self {
        let run = format!("{started_ms} {}", std::process::id());
        Self {
            of: Mutex::new(Some(Of {
                api,
                clock: clock.clone(),
                run,
                shared: Arc::default(),
            })),
            port: Mutex::default(),
        }
    }

    /// Whether there can be any.
    pub(super) fn can(&self) -> bool {
        self.of.lock().is_some()
    }

    /// The listener that a configuration wants and that is not there yet.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub(super) fn listener(&self, config: &Config) -> Result<Option<TcpListener>, Error> {
        let wanted = config.page.as_ref().and_then(|page| page.listen);
        let address = wanted.filter(|address| self.address() != Some(*address));
        let listener = address.map(|address| {
            let failed = |source| Error::Page { address, source };
            let listener = std::net::TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            TcpListener::from_std(listener).map_err(failed)
        });
        listener.transpose()
    }

    /// Where the page is now, but for the socket.
    fn address(&self) -> Option<SocketAddr> {
        self.port.lock().as_ref().map(|port| port.address)
    }

    /// Shows what a configuration says, on that listener where it is a new one.
    pub(super) fn show(&self, config: &Arc<Config>, listener: Option<TcpListener>) {
        let of = self.of.lock();
        let Some(of) = &*of else { return };
        let said = config.page.clone().unwrap_or_default();
        of.api.show(of.page(config, &said, None));
        let mut port = self.port.lock();
        let (Some(address), Some(token)) = (said.listen, &said.token) else {
            *port = None;
            return;
        };
        let before = port.take();
        if before.as_ref().is_some_and(|port| !port.door.is_of(token)) {
            of.shared.cut();
        }
        let kept = before.as_ref().filter(|port| port.door.is_of(token));
        let door = kept.map_or_else(
            || Arc::new(Door::of(token, &of.run)),
            |port| port.door.clone(),
        );
        let page = Arc::new(of.page(config, &said, Some(door.clone())));
        let pages = match (listener, before) {
            (None, Some(before)) => {
                before.pages.send_replace(page);
                before.pages
            }
            (None, None) => return,
            (Some(listener), _) => {
                let pages = watch::Sender::new(page);
                tokio::spawn(page::serve(pages.subscribe(), listener));
                tracing::info!(%address, "the page is served");
                pages
            }
        };
        *port = Some(Port {
            address,
            door,
            pages,
        });
    }

    /// Serves no page any more, and keeps nothing that answers from ending.
    pub(super) fn end(&self) {
        if let Some(of) = self.of.lock().take() {
            of.shared.end();
        }
        *self.port.lock() = None;
    }
}

impl Of {
    fn page(&self, config: &Arc<Config>, said: &config::Page, door: Option<Arc<Door>>) -> Page {
        Page {
            door,
            hosts: said.hosts.clone(),
            source: self.api.page_source(config, said.read_only),
            clock: self.clock.clone(),
            shared: self.shared.clone(),
            order: page::Order::default(),
        }
    }
}
