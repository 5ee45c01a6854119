//! A PostgreSQL server and what is wanted of it, as a URL says it.
//!
//! Values alone: how a URL is read is `config`'s, how one connects `postgres`'s. No password is shown by any
//! of these.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Secret;

/// A server, or several of which one may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it has: `outbox` or `log`.
    pub whose: &'static str,
    /// At least one, in the order in which they are tried.
    pub hosts: Vec<ServerHost>,
    /// Who connects; `None`: the user that the process runs as.
    pub user: Option<String>,
    /// `None`: the one of the user's name.
    pub database: Option<String>,
    /// Its password, where one is given.
    pub password: Option<Secret>,
    /// How the connection is secured; `None`: it is not.
    pub tls: Option<ServerTls>,
    /// The outbox's trigger is to wake who sleeps.
    pub doorbell: bool,
    /// What the server shows of the connection.
    pub application_name: String,
    /// How long a host may take to answer.
    pub connect_timeout: Duration,
    /// The URL for people and the journal.
    pub shown: String,
}

/// One host of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHost {
    /// A name or an address; the folder of a Unix socket where it begins with `/`.
    pub host: String,
    /// The port, which is part of a Unix socket's name too.
    pub port: u16,
}

/// TLS to a server, which is always verified by its host's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// The only authorities that are trusted, PEM; `None`: the system's.
    pub authorities: Option<Vec<u8>>,
    /// The certificate to show, PEM, and its key.
    pub client: Option<(Vec<u8>, Secret)>,
}

/// Where a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// In SQLite: its file.
    File(PathBuf),
    /// In PostgreSQL, in the schema `webhooksd`.
    Server(Arc<Server>),
}

impl Default for LogPlace {
    /// No file.
    fn default() -> Self {
        Self::File(PathBuf::new())
    }
}

impl LogPlace {
    /// Its file, of one in SQLite.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Its server, of one in PostgreSQL.
    #[must_use]
    pub fn server(&self) -> Option<&Arc<Server>> {
        match self {
            Self::File(_) => None,
            Self::Server(server) => Some(server),
        }
    }

    /// For people and the journal.
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::File(path) => path.to_string_lossy(),
            Self::Server(server) => Cow::Borrowed(&server.shown),
        }
    }
}
