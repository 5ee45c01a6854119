//! Writes webhooks.toml for the daemon under measurement.
//!
//! Every webhook has a secret, so that every request is signed, and keeps its connections unless a
//! row measures the opposite.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A webhook of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) event: String,
    pub(crate) keep_alive: bool,
    pub(crate) max_in_flight: usize,
    pub(crate) ca_file: Option<PathBuf>,
    /// `where`, as TOML.
    pub(crate) rules: Option<String>,
    pub(crate) dialect: &'static str,
    /// `batch`, as TOML.
    pub(crate) batch: Option<String>,
    /// `in_order`, as TOML.
    pub(crate) order: Option<String>,
}

impl Webhook {
    pub(crate) fn new(name: &str, url: impl Into<String>, event: &str) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            event: event.into(),
            keep_alive: true,
            max_in_flight: 64,
            ca_file: None,
            rules: None,
            dialect: "bold-cms",
            batch: None,
            order: None,
        }
    }
}

/// The page of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) listen: String,
    pub(crate) token: &'static str,
}

/// What a row asks of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) max_in_flight: usize,
    pub(crate) socket: bool,
    pub(crate) page: Option<Page>,
    /// The PostgreSQL of outbox and log.
    pub(crate) server: Option<Server>,
}

/// A database, and whether its doorbell is listened to.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) doorbell: bool,
}

impl Config {
    pub(crate) fn new(webhooks: Vec<Webhook>) -> Self {
        Self {
            webhooks,
            max_in_flight: 4_096,
            socket: false,
            page: None,
            server: None,
        }
    }

    /// Writes `webhooks.toml` into a folder.
    pub(crate) fn write(&self, folder: &Path) {
        let mut text = String::from("tenant = \"bench\"\n");
        match &self.server {
            None => text += "[outbox]\npath = \"outbox.db\"\n[log]\npath = \"log.db\"\n",
            Some(server) => {
                writeln!(text, "[outbox]\nurl = {:?}", server.url).unwrap();
                if server.doorbell {
                    text += "doorbell = true\n";
                }
            }
        }
        writeln!(text, "[delivery]\nmax_in_flight = {}", self.max_in_flight).unwrap();
        if self.socket {
            writeln!(text, "[socket]\npath = \"s\"").unwrap();
        }
        if let Some(page) = &self.page {
            std::fs::write(folder.join("page.token"), page.token).unwrap();
            writeln!(
                text,
                "[page]\nlisten = {:?}\ntoken_file = \"page.token\"",
                page.listen
            )
            .unwrap();
        }
        for webhook in &self.webhooks {
            writeln!(
                text,
                "[[webhook]]\nname = {:?}\nurl = {:?}\nevents = [{:?}]\nsecret = \"of-the-bench\"\nkeep_alive = {}\nmax_in_flight = {}",
                webhook.name, webhook.url, webhook.event, webhook.keep_alive, webhook.max_in_flight
            )
            .unwrap();
            if let Some(file) = &webhook.ca_file {
                writeln!(text, "ca_file = {:?}", file.display().to_string()).unwrap();
            }
            if let Some(rules) = &webhook.rules {
                writeln!(text, "where = {rules}").unwrap();
            }
            if webhook.dialect != "bold-cms" {
                writeln!(
                    text,
                    "dialect = {:?}\ninsecure_http = true",
                    webhook.dialect
                )
                .unwrap();
            }
            if let Some(order) = &webhook.order {
                writeln!(text, "in_order = {order}").unwrap();
            }
            if let Some(batch) = &webhook.batch {
                writeln!(text, "batch = {batch}").unwrap();
            }
        }
        std::fs::write(folder.join("webhooks.toml"), text).unwrap();
    }
}
