//! The configuration: text, then typed values with their places, then what is meant; or every
//! diagnostic at once.
//!
//! [`parse`] is pure: files and the environment are reached only through [`Surroundings`], so that a
//! test can script them; [`load`] is the thin part that brings the real ones. What is read here is
//! complete: defaults are filled in, secrets and CA files are read, paths have their folder.
//! Deliberately absent: whether the outbox exists, a group is known or an address can be bound, and
//! what a reload may change; who looks for that notes it in the [`Draft`]. Invariant: no secret, no header's value and no URL with a password is
//! ever in a diagnostic.

mod abridged;
mod addresses;
mod batch;
mod client_cert;
mod diagnose;
mod diagnostic;
mod draft;
mod excerpt;
mod file;
mod form;
mod headers;
mod keys;
mod order;
mod page;
mod pgpass;
mod proxy;
mod read;
mod rules;
mod secret;
mod section;
mod sections;
mod server;
mod size;
mod source;
mod span;
mod standard;
#[cfg(test)]
mod tests;
mod unclosed;
mod url;
mod visible;
mod webhook;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Bodies, LogPlace, Secret, Server, Webhook};

pub(crate) use abridged::Abridged;
pub use diagnostic::{Diagnostic, Report, Severity};
pub(crate) use draft::{Draft, Key};
pub(crate) use file::{
    DEFAULT_FILES, LoadError, default_file, load, load_draft, meant, socket_path, text_of, with,
};
pub(crate) use read::draft;
pub use read::parse;

/// Which secrets (and CA files) are read, and what it means where one is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsWanted {
    /// All; one that is missing is an error. For the daemon.
    Read,
    /// All, but a missing file that may be a systemd credential is only a warning where
    /// `$CREDENTIALS_DIRECTORY` is not set. For `check`.
    Check,
    /// None: no file is read and every `secret` is `None`. For commands that send nothing.
    Skip,
}

/// Everything outside of the text that a configuration's meaning depends on.
pub struct Surroundings<'a> {
    /// The configuration file's own folder: relative paths are relative to it.
    pub folder: &'a Path,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<&'a Path>,
    /// Reads a file; it may stop behind the first 2 MiB, for nothing larger is accepted.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Looks a variable of the environment up.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Says why a PEM text is of no use as trusted certificates.
    pub check_ca: &'a dyn Fn(&[u8]) -> Result<(), String>,
    /// What becomes of secrets.
    pub secrets: SecretsWanted,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("folder", &self.folder)
            .field("credentials", &self.credentials)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// A configuration without errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The `tenantId` of openboxes-lift for rows that name no tenant; always there where a webhook has
    /// that dialect.
    pub tenant: Option<String>,
    /// Where events come from.
    pub outbox: Outbox,
    /// The Unix socket; `None`: there is none.
    pub socket: Option<Socket>,
    /// Where deliveries are kept.
    pub log: Log,
    /// Limits of sending.
    pub delivery: Delivery,
    /// Prometheus over TCP; `None`: there is none.
    pub metrics: Option<Metrics>,
    /// The page; `None`: nothing is said of it, and it is on the socket alone.
    pub page: Option<Page>,
    /// This node among others.
    pub node: Node,
    /// The webhooks in the order of the file; their names are unique.
    pub webhooks: Vec<Arc<Webhook>>,
    /// What may not be as it was meant.
    pub warnings: Vec<Diagnostic>,
}

/// `[outbox]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The database's file; of one in PostgreSQL its URL, to be shown.
    pub path: PathBuf,
    /// The server, of an outbox in PostgreSQL.
    pub server: Option<Arc<Server>>,
    /// How many days dispatched rows are kept after they were taken; 0: for ever.
    pub keep_days: u32,
    /// The largest `data`, in bytes; a larger row is set aside.
    pub max_data_bytes: usize,
}

/// `[socket]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The socket's file, at most 107 bytes.
    pub path: PathBuf,
    /// Its permissions, at most 0o777.
    pub mode: u32,
    /// The group it is given to; `None`: the process's own.
    pub group: Option<String>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The database: never the outbox's file.
    pub place: LogPlace,
    /// How many days rows are kept; 0: for ever, as for the outbox.
    pub keep_days: u32,
    /// The size in bytes, its WAL's among it, beyond which the oldest finished work goes before its
    /// time; `None`: there is no such size.
    pub max_bytes: Option<u64>,
    /// Whose bodies stay.
    pub bodies: Bodies,
}

/// `[delivery]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Requests in flight in all, at least 1; no webhook's own limit is above it.
    pub max_in_flight: usize,
}

/// `[metrics]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The address that scrapers connect to.
    pub listen: SocketAddr,
}

/// `[node]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// For how long a node may give no sign of life, milliseconds.
    pub lease_ms: i64,
}

/// `[page]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The address that browsers connect to; `None`: the page is on the socket alone.
    pub listen: Option<SocketAddr>,
    /// What a browser shows to be let in there: text without controls. `None` without `listen`, and where no
    /// secret is read.
    pub token: Option<Secret>,
    /// Whether it shows without buttons.
    pub read_only: bool,
    /// The names by which it may be asked for beside `localhost` and the loopback addresses, in lower case.
    pub hosts: Vec<String>,
}
