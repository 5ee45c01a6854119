//! The show in PostgreSQL: outbox and log in one database, two nodes, and one of them killed with a retry ahead of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::super::{Ended, Failure, load, page, say, table};
use super::child::{Daemon, LOOK};
use super::scene::{self, DELIVERIES, EVENTS, Scene, WEBHOOKS};
use super::server::{self, DATABASE, Running, USER};
use crate::model::{Clock, LogPlace, Server};
use crate::outbox;
use crate::postgres::{Link, Trouble};
use crate::store::{self, LogReader};

/// What is waited for has come by then, or something is wrong.
const LIMIT: Duration = Duration::from_secs(55);

/// Whose retry is ahead when its node is killed.
const FAILS: &str = "newsletter";

const NODES: [&str; 2] = ["one", "two"];

/// The application's own table, beside the outbox.
const INVOICES: &str = "CREATE TABLE invoice (number text PRIMARY KEY, state text NOT NULL);
INSERT INTO invoice VALUES ('2026-00118', 'open')";

/// The event that this changes together with its row.
const PAID: &str = "invoice.paid";
const PAYS: &str = "\n  UPDATE invoice SET state = 'paid' WHERE number = '2026-00118';\n ";

/// What an application thought better of.
const UNDONE: &str = "BEGIN; INSERT INTO outbox (event, data) VALUES ('invoice.paid', '{\"number\": \"2026-00119\"}'); ROLLBACK;";

const COLUMNS: &str = "time, webhook, event, attempt, outcome, status, error, duration_ms";

/// Whose each webhook is.
type Owners = BTreeMap<String, String>;

/// What is there while it is shown; it ends in this order.
struct Stage {
    nodes: Vec<(&'static str, Daemon)>,
    scene: Scene,
    server: Running,
    version: String,
    app: Arc<Server>,
    folder: TempDir,
}

pub(super) async fn show(is_page: bool, is_kept: &Cell<bool>) -> Ended {
    let mut stage = Stage::set(is_page).await?;
    let mut shown = stage.play().await;
    if let (Ok(killed), true) = (&shown, is_page) {
        // There are two to look at.
        stage.start(killed)?;
        shown = stage.shared_out().await.map(|_| *killed);
    }
    if shown.is_ok() && is_page {
        is_kept.set(true);
        say("")?;
        let config = stage.config();
        page::shown(page::own(load(&config)?, Some(config), false), 0).await?;
    }
    let journals = stage.journals();
    let told = stage.scene.told();
    let stopped = stage.stop().await;
    let is_right = told.wrong == 0 && (is_page || told.requests == told.expected) && stopped;
    let why = match shown {
        Ok(_) if is_right => {
            say(format_args!(
                "\n{DELIVERIES} deliveries, {} requests, every signature right and nothing sent twice. Server and folder are \
                 gone again.\nNext: [outbox] url in webhooks.toml, and webhooksd.service(8).",
                told.requests
            ))?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(_) => "not everything was delivered and verified".to_owned(),
        Err(failure) => failure.text,
    };
    Err(Failure::text(format!(
        "{why}: {} requests of {}, {} with a wrong signature; what was said:\n{journals}",
        told.requests, told.expected, told.wrong
    )))
}

impl Stage {
    /// The server with its tables, and both nodes.
    async fn set(is_page: bool) -> Result<Self, Failure> {
        let failed = |what: &'static str| {
            move |error: std::io::Error| Failure::text(format!("{what}: {error}"))
        };
        let installed = server::installed()?;
        let version = installed.version.clone();
        let folder = tempfile::Builder::new().prefix("webhooksd-demo-").tempdir();
        let folder = folder.map_err(failed("make a temporary folder"))?;
        let mut server = blocking(move || server::start(&installed)).await?;
        let scene = Scene::begin(1).await?;
        let host = server.folder().display();
        let mut sections =
            format!("\n[outbox]\nurl = \"postgres://{USER}@/{DATABASE}?host={host}\"\n");
        if is_page {
            sections.push_str("\n[socket]\npath = \"one.sock\"\n");
        }
        let config = folder.path().join("webhooks.toml");
        std::fs::write(&config, scene.configuration(&sections))
            .map_err(failed("write webhooks.toml"))?;
        let place = load(&config)?.log.place;
        let app = place.server().cloned();
        let app = app.ok_or_else(|| Failure::text("the demo's log is not on its server"))?;
        server.ready(&app).await?;
        let mut stage = Self {
            nodes: Vec::new(),
            scene,
            server,
            version,
            app,
            folder,
        };
        let tables = [outbox::postgres::SCHEMA, INVOICES].map(str::to_owned);
        stage.run(tables.to_vec()).await?;
        for name in NODES {
            stage.start(name)?;
        }
        Ok(stage)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("webhooks.toml")
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("journal-{name}"))
    }

    fn start(&mut self, name: &'static str) -> Result<(), Failure> {
        let socket = self.folder.path().join(format!("{name}.sock"));
        let socket = socket.to_string_lossy();
        let words = ["--node", name, "--socket", &socket];
        let daemon = Daemon::start(&self.config(), &words, &self.journal(name))?;
        self.nodes.push((name, daemon));
        Ok(())
    }

    /// What there is to see. Returns who was killed.
    async fn play(&mut self) -> Result<&'static str, Failure> {
        say(format_args!(
            "In {} a PostgreSQL {} runs for this alone.",
            self.server.folder().display(),
            self.version
        ))?;
        say(format_args!(
            "Outbox and log are in its database {DATABASE:?}, and two daemons share the {} webhooks:\n",
            WEBHOOKS.len()
        ))?;
        let owners = self.shared_out().await?;
        print_owners(&owners)?;
        say("\nAn application writes events, in the transactions that they tell of:\n")?;
        self.write_events().await?;
        let sent = |log: &dyn LogReader| {
            let of = |outcome| scene::ended_so(log, outcome);
            (of("delivered"), of("retry")) == (DELIVERIES - 1, 1)
        };
        self.wait("not everything was sent", move |log| {
            sent(log).then_some(())
        })
        .await?;
        let owner = owners.get(FAILS).cloned().unwrap_or_default();
        let killed = self.kill(&owner)?;
        let died = Clock::system();
        let died_ms = died.boot_ms();
        let without = move |log: &dyn LogReader| {
            let owners = owners_in(log)?;
            owners.values().all(|name| *name != owner).then_some(owners)
        };
        let owners = self.wait("nobody takes over", without).await?;
        let tenths = (died.boot_ms() - died_ms) / 100;
        say(format_args!(
            "The other one saw that its beat stood still, and has all of them {}.{} s after the kill:\n",
            tenths / 10,
            tenths % 10
        ))?;
        print_owners(&owners)?;
        self.wait("the retry was not made", |log| {
            (scene::ended_so(log, "delivered") == DELIVERIES).then_some(())
        })
        .await?;
        self.print_log().await?;
        Ok(killed)
    }

    /// Waits until both nodes have webhooks.
    async fn shared_out(&mut self) -> Result<Owners, Failure> {
        let by_both = |log: &dyn LogReader| {
            let owners = owners_in(log)?;
            let has = |name: &str| owners.values().any(|owner| owner == name);
            NODES.iter().all(|name| has(name)).then_some(owners)
        };
        self.wait("the nodes do not share the webhooks", by_both)
            .await
    }

    async fn write_events(&self) -> Result<(), Failure> {
        let mut events = EVENTS;
        // The one that shows most comes first.
        events.sort_by_key(|(event, _)| *event != PAID);
        let mut transactions = Vec::new();
        for (event, data) in events {
            let insert = format!("INSERT INTO outbox (event, data) VALUES ('{event}', '{data}');");
            transactions.push(match event {
                PAID => format!("BEGIN;{PAYS} {insert}\nCOMMIT;"),
                _ => format!("BEGIN; {insert} COMMIT;"),
            });
        }
        transactions.push(UNDONE.to_owned());
        for transaction in &transactions {
            for line in transaction.lines() {
                say(format_args!("  {line}"))?;
            }
        }
        self.run(transactions).await
    }

    /// Runs statements, each for itself.
    async fn run(&self, statements: Vec<String>) -> Result<(), Failure> {
        let app = self.app.clone();
        let run = move || {
            let link = Link::open(&app)?;
            let mut statements = statements.iter();
            statements.try_for_each(|sql| link.batch("do what an application does", sql))
        };
        blocking(move || run().map_err(|error: Trouble| Failure::new(&error))).await
    }

    fn kill(&mut self, owner: &str) -> Result<&'static str, Failure> {
        let at = self.nodes.iter().position(|(name, _)| *name == owner);
        let at = at.ok_or_else(|| Failure::text(format!("{FAILS} is no node's")))?;
        let (name, daemon) = self.nodes.remove(at);
        say(format_args!(
            "\nThe endpoint of {FAILS:?} answered 500, and bold-cms tries again after 10 seconds. Now its node {name:?} is \
             killed:\n\n  kill -9 {}\n",
            daemon.pid()
        ))?;
        daemon.kill()?;
        Ok(name)
    }

    /// Waits until the log says it.
    async fn wait<T: Send + 'static>(
        &mut self,
        otherwise: &str,
        of: impl Fn(&dyn LogReader) -> Option<T> + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        let place = LogPlace::Server(self.app.clone());
        let seen = async {
            loop {
                for (_, daemon) in &mut self.nodes {
                    daemon.runs()?;
                }
                let (of, place) = (of.clone(), place.clone());
                // A node may be making the log just now.
                let look = move || store::read_log(&place).ok().and_then(|log| of(&*log));
                if let Ok(Some(seen)) = tokio::task::spawn_blocking(look).await {
                    return Ok(seen);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let seen = timeout(LIMIT, seen).await;
        seen.unwrap_or_else(|_| Err(Failure::text(otherwise)))
    }

    async fn print_log(&self) -> Result<(), Failure> {
        say(format_args!(
            "\nIt made the retry too. The log:\n\n  psql -h {} -U {USER} {DATABASE} -c 'SELECT {COLUMNS} FROM webhooksd.log'\n",
            self.server.folder().display()
        ))?;
        let place = LogPlace::Server(self.app.clone());
        blocking(move || scene::print_log(&*store::read_log(&place)?)).await
    }

    /// What nodes and server said.
    fn journals(&self) -> String {
        let read = |name| std::fs::read_to_string(self.journal(name)).unwrap_or_default();
        format!("{}{}", NODES.map(read).concat(), self.server.journal())
    }

    /// Stops the nodes; true where each said that all went well.
    async fn stop(&mut self) -> bool {
        let mut stopped = true;
        for (_, daemon) in &mut self.nodes {
            stopped &= daemon.stop().await;
        }
        stopped
    }
}

/// What waits for a server, beside what is waited for here.
async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(what).await;
    done.unwrap_or_else(|error| Err(Failure::new(&error)))
}

/// Whose each webhook is; `None` unless each is somebody's.
fn owners_in(log: &dyn LogReader) -> Option<Owners> {
    let names = WEBHOOKS.map(|webhook| webhook.0.to_owned());
    let owners: Owners = log.owners(&names).ok()?.into_iter().collect();
    (owners.len() == WEBHOOKS.len()).then_some(owners)
}

fn print_owners(owners: &Owners) -> Result<(), Failure> {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (webhook, node) in owners {
        nodes.entry(node).or_default().push(webhook);
    }
    let cells: Vec<Vec<String>> = nodes
        .into_iter()
        .map(|(node, webhooks)| vec![format!("  {node}"), webhooks.join(", ")])
        .collect();
    say(table::align(&["  node", "webhooks"], &cells).trim_end_matches('\n'))
}
