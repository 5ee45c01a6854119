//! The settings that only a restart changes, and which of them a new configuration would change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Key, Socket};
use crate::model::{LogPlace, Server};

/// What only a restart changes: files, and who may connect to what.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    outbox: PathBuf,
    server: Option<Arc<Server>>,
    log: LogPlace,
    socket: Option<Socket>,
    metrics: Option<SocketAddr>,
    /// Where the page is: a reload may move it, and looks whether it can.
    page: Option<SocketAddr>,
    has_clients: bool,
    /// The socket that the command line names.
    named_socket: Option<PathBuf>,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            outbox: config.outbox.path.clone(),
            server: config.outbox.server.clone(),
            log: config.log.place.clone(),
            socket: config.socket.clone(),
            metrics: config.metrics.map(|metrics| metrics.listen),
            page: config.page.as_ref().and_then(|page| page.listen),
            has_clients: true,
            named_socket: None,
        }
    }

    /// The settings of a start, after which somebody can connect or nobody; with the socket that was named, if one was.
    pub(super) fn at_start(config: &Config, has_clients: bool, socket: Option<&Path>) -> Self {
        Self {
            has_clients,
            named_socket: socket.map(Path::to_owned),
            ..Self::of(config)
        }
    }

    /// The page has moved.
    pub(super) fn moved(&mut self, config: &Config) {
        self.page = Self::of(config).page;
    }

    /// The socket that the command line names.
    pub(super) fn named_socket(&self) -> Option<&Path> {
        self.named_socket.as_deref()
    }

    /// Where the page is.
    pub(super) fn page(&self) -> Option<SocketAddr> {
        self.page
    }

    /// Whether there is what answers clients.
    pub(super) fn has_clients(&self) -> bool {
        self.has_clients
    }

    /// The settings that are other ones there.
    pub(super) fn differing(&self, new: &Self) -> impl Iterator<Item = (Key, &'static str)> {
        let of = |fixed: &Self| {
            let socket = fixed.socket.clone();
            socket.map_or((None, None, None), |s| {
                (Some(s.path), Some(s.mode), s.group)
            })
        };
        let (was, is) = (of(self), of(new));
        let settings = [
            (
                Key::Outbox,
                "[outbox] path",
                self.outbox == new.outbox || self.server.is_some(),
            ),
            (Key::Outbox, "[outbox] url", self.server == new.server),
            (
                Key::Log,
                match self.log {
                    LogPlace::File(_) => "[log] path",
                    LogPlace::Server(_) => "[log] url",
                },
                self.log == new.log,
            ),
            (Key::SocketPath, "[socket] path", was.0 == is.0),
            (Key::SocketMode, "[socket] mode", was.1 == is.1),
            (Key::SocketGroup, "[socket] group", was.2 == is.2),
            (
                Key::Metrics,
                "[metrics] listen",
                self.metrics == new.metrics,
            ),
        ];
        settings
            .into_iter()
            .filter_map(|(key, name, same)| (!same).then_some((key, name)))
    }
}
