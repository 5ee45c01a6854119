//! A log in PostgreSQL, in a database of its own of a server that the tests start.

use std::time::{Duration, Instant};

use super::engine::Engine;
use super::need::missing;
use super::*;
use crate::model::{Secret, Server, ServerHost};
use crate::postgres::Link;
use crate::store::postgres::{Reader as ServerReader, Writer as ServerWriter};
use installed::{Database, Postgres};

// The server that the tests of the program start too.
#[path = "../../../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "they ask more of it")]
mod installed;

pub(super) use installed::postgres;

/// How long a server may take to start.
const SOON: Duration = Duration::from_secs(40);

/// Waits until something holds.
#[expect(clippy::disallowed_methods, reason = "a server starts in real time")]
fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(last) = condition() {
        assert!(start.elapsed() < limit, "{what}: last seen: {last}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `Ok` where `holds`, otherwise the reason.
fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A log in a database of its own. Who opens it first makes it.
pub(super) struct ServerLog {
    database: Database,
    pub(super) server: Arc<Server>,
}

impl ServerLog {
    pub(super) fn new(on: &Postgres) -> Self {
        let database = on.database();
        let server = Server {
            whose: "log",
            hosts: vec![ServerHost {
                host: on.host(),
                port: 5432,
            }],
            user: Some("postgres".into()),
            database: Some(database.name.clone()),
            password: None::<Secret>,
            tls: None,
            doorbell: false,
            application_name: "webhooksd".into(),
            connect_timeout: SOON,
            shown: database.url(),
        };
        Self {
            database,
            server: Arc::new(server),
        }
    }
}

impl ServerLog {
    /// The database's name, which no other on this server has.
    pub(super) fn name(&self) -> &str {
        &self.database.name
    }
}

impl Engine for ServerLog {
    fn open(&self) -> Box<dyn LogWriter> {
        Box::new(ServerWriter::open(&self.server, "test", NOW).unwrap())
    }

    fn reads(&self) -> Box<dyn LogReader> {
        Box::new(ServerReader::open(&self.server).unwrap())
    }

    fn by_hand(&self, sql: &str) -> bool {
        let link = Link::open(&self.server).unwrap();
        link.batch("by hand", &format!("SET search_path = webhooksd; {sql}"))
            .is_ok()
    }
}
