//! `webhooksd demo`: the real daemon, seen at work, in a temporary folder.
//!
//! It starts this very binary as a daemon with a configuration of five webhooks, writes events
//! into the outbox with SQL as an application would, receives the requests on loopback, checks
//! each signature, and prints the log. One endpoint answers 500 twice, so a retry is seen at its
//! documented 10 seconds. `--page` keeps it open with the page on it. Success means: everything delivered, every signature right.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::receiver::{self, Received, Reply, Signature};
use super::{Ended, Failure, say, table};
use crate::model::{Clock, Dialect, LogPlace, Secret};
use crate::outbox::{self, Appender, NewEvent};
use crate::store;

/// Shows the whole thing at work, in a temporary folder
///
/// Starts the daemon with five webhooks against a receiver of its own, writes events, waits until
/// all are delivered (one endpoint fails twice first), prints the log, and leaves nothing behind.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  webhooksd demo                     takes half a minute; exit code 0 if everything was delivered
  webhooksd demo --page              then the same in a browser, until Ctrl-C")]
pub(super) struct Arguments {
    /// Keeps daemon and receiver at the end, and shows the page, until Ctrl-C
    #[arg(long)]
    page: bool,
}

/// Everything is over by then, or something is wrong.
const LIMIT: Duration = Duration::from_secs(55);

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(100);

const SECRET: &str = "a-secret-of-the-demo-only";

/// Webhooks of the demo: name, dialect, pattern, and how often the endpoint fails first.
const WEBHOOKS: [(&str, Dialect, &str, usize); 5] = [
    ("search-index", Dialect::BoldCms, "story-*", 0),
    ("newsletter", Dialect::BoldCms, "story-submit", 2),
    ("erp", Dialect::BoldFactory, "production.*", 0),
    ("warehouse", Dialect::OpenboxesLift, "stockMovement.*", 0),
    ("billing", Dialect::StandardWebhooks, "invoice.*", 0),
];

const EVENTS: [(&str, &str); 5] = [
    (
        "story-submit",
        r#"{"headline": "Rain at last", "sections": ["weather"]}"#,
    ),
    ("story-approve", r#"{"headline": "Rain at last"}"#),
    (
        "production.order.completed",
        r#"{"reference": "PO-2024-00412", "status": "completed"}"#,
    ),
    (
        "stockMovement.shipped",
        r#"{"identifier": "SM-00142", "status": "SHIPPED"}"#,
    ),
    ("invoice.paid", r#"{"number": "2026-00118"}"#),
];

/// One delivery for each event and webhook that match: two for the first story, then one each.
const DELIVERIES: usize = 6;

#[derive(Default)]
struct Tally {
    requests: HashMap<String, usize>,
    wrong: usize,
}

/// A child that does not outlive the demo.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

pub(super) fn demo(arguments: &Arguments) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::new(&error))?;
    let is_kept = Cell::new(false);
    runtime.block_on(async {
        tokio::select! {
            ended = show(arguments.page, &is_kept) => ended,
            () = interrupted(&is_kept) => Err(Failure::text("interrupted")),
        }
    })
}

/// Waits for a Ctrl-C that is not meant for the page, which ends by it in good order.
async fn interrupted(is_kept: &Cell<bool>) {
    loop {
        drop(tokio::signal::ctrl_c().await);
        if !is_kept.get() {
            return;
        }
    }
}

async fn show(page: bool, is_kept: &Cell<bool>) -> Ended {
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::text(format!("{what}: {error}"));
    let folder = tempfile::Builder::new().prefix("webhooksd-demo-").tempdir();
    let folder = folder.map_err(failed("make a temporary folder"))?;
    let (listener, address) = receiver::bind(0)
        .await
        .map_err(failed("listen on loopback"))?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let counting = tally.clone();
    let answer = Arc::new(move |received: &Received| Reply::status(answer(received, &counting)));
    let receiver = tokio::spawn(receiver::serve(
        listener,
        [Secret::new(SECRET.as_bytes())].into(),
        Clock::system(),
        answer,
    ));

    let config = folder.path().join("webhooks.toml");
    std::fs::write(&config, configuration(address, page)).map_err(failed("write webhooks.toml"))?;
    say(format_args!(
        "In {} there are now a configuration of {} webhooks,",
        folder.path().display(),
        WEBHOOKS.len()
    ))?;
    say(format_args!(
        "an outbox, and a daemon that follows it. An application writes {} rows:\n",
        EVENTS.len()
    ))?;
    let mut daemon = start(&config, folder.path())?;
    write_events(&folder.path().join("outbox.db"))?;
    say(format_args!(
        "\nThe endpoint of \"newsletter\" answers 500 twice; bold-cms tries again after 10 seconds.\n"
    ))?;

    let log = folder.path().join("log.db");
    let delivered = timeout(LIMIT, wait_until_done(&mut daemon, &log)).await;
    let rows = print_log(&log);
    if page && matches!(delivered, Ok(Ok(()))) {
        is_kept.set(true);
        say("")?;
        let source = super::page::own(super::load(&config)?, Some(config.clone()), false);
        super::page::shown(source, 0).await?;
    }
    let stopped = stop(&mut daemon).await;
    receiver.abort();
    let journal = std::fs::read_to_string(folder.path().join("journal")).unwrap_or_default();
    let tally = tally.lock();
    let requests: usize = tally.requests.values().sum();
    let expected = DELIVERIES + WEBHOOKS.iter().map(|w| w.3).sum::<usize>();
    rows?;
    match delivered {
        Ok(Ok(())) if tally.wrong == 0 && (page || requests == expected) && stopped => {
            say(format_args!(
                "\n{DELIVERIES} deliveries, {requests} requests, every signature right in all four dialects. \
                 The folder is gone again.\nNext: webhooksd --help, and the comments of webhooks.toml."
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::text(format!(
            "not everything was delivered and verified: {requests} requests of {expected}, {} with a wrong \
             signature; the daemon's journal:\n{journal}",
            tally.wrong
        ))),
    }
}

/// What the receiver answers: 401 to a wrong signature, 500 as often as the webhook is to fail.
fn answer(received: &Received, tally: &Mutex<Tally>) -> u16 {
    let mut tally = tally.lock();
    let name = received.path.trim_start_matches('/').to_owned();
    let seen = tally.requests.entry(name.clone()).or_default();
    *seen += 1;
    let seen = *seen;
    let Some((_, dialect, _, fails)) = WEBHOOKS.iter().find(|webhook| webhook.0 == name) else {
        return 404;
    };
    if received.signatures != [Signature::Right(*dialect)] {
        tally.wrong += 1;
        return 401;
    }
    if seen <= *fails { 500 } else { 200 }
}

fn configuration(address: std::net::SocketAddr, has_socket: bool) -> String {
    let mut text = String::from("tenant = \"acme\"\n");
    if has_socket {
        text.push_str("\n[socket]\npath = \"demo.sock\"\n");
    }
    for (name, dialect, pattern, _) in WEBHOOKS {
        let dialect_name = dialect.name();
        text.push_str(&format!(
            "\n[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/{name}\"\nevents = [\"{pattern}\"]\n\
             dialect = \"{dialect_name}\"\nsecret = \"{SECRET}\"\n"
        ));
        if dialect != Dialect::BoldCms {
            text.push_str("insecure_http = true\n");
        }
    }
    text
}

fn start(config: &Path, folder: &Path) -> Result<Daemon, Failure> {
    let failed = |error: std::io::Error| Failure::text(format!("start the daemon: {error}"));
    outbox::create_if_missing(&folder.join("outbox.db"))?;
    let journal = std::fs::File::create(folder.join("journal")).map_err(failed)?;
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("run")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(journal)
        .spawn();
    Ok(Daemon(child.map_err(failed)?))
}

fn write_events(path: &Path) -> Result<(), Failure> {
    let mut appender = Appender::open(path, 1 << 20)?;
    for (event, data) in EVENTS {
        say(format_args!(
            "  INSERT INTO outbox (event, data) VALUES ('{event}', '{data}');"
        ))?;
        let (event, data) = (event.to_owned(), data.to_owned());
        let event = NewEvent {
            event,
            data,
            time_ms: None,
            tenant: None,
            key: None,
        };
        appender
            .append(&[event])
            .map_err(|error| Failure::new(&error))?;
    }
    Ok(())
}

/// Waits until the log says that everything was delivered.
async fn wait_until_done(daemon: &mut Daemon, log: &Path) -> Result<(), Failure> {
    loop {
        if let Ok(Some(status)) = daemon.0.try_wait() {
            return Err(Failure::text(format!("the daemon ended: {status}")));
        }
        if log.exists() {
            let rows =
                store::read_log(&LogPlace::File(log.to_owned())).and_then(|reader| reader.log(100));
            let delivered = |row: &&store::LogRow| row.outcome == "delivered";
            // The daemon may be making the log just now; it is looked at again.
            if rows.is_ok_and(|rows| rows.iter().filter(delivered).count() == DELIVERIES) {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn print_log(log: &Path) -> Result<(), Failure> {
    let mut rows = store::read_log(&LogPlace::File(log.to_owned()))?.log(100)?;
    rows.sort_by_key(|row| row.id);
    say(format_args!(
        "sqlite3 -readonly log.db 'SELECT time, webhook, event, attempt, outcome, status, error, duration_ms FROM log'\n"
    ))?;
    let cells: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.time,
                row.webhook,
                row.event.unwrap_or_default(),
                row.attempt.to_string(),
                row.outcome,
                row.status
                    .map_or_else(String::new, |status| status.to_string()),
                format!("{:.1} ms", row.duration_ms),
                row.error.unwrap_or_default(),
            ]
        })
        .collect();
    let heads = [
        "time", "webhook", "event", "attempt", "outcome", "status", "duration", "error",
    ];
    say(table::align(&heads, &cells).trim_end_matches('\n'))
}

/// Stops the daemon as systemd would; true when it said that all went well.
async fn stop(daemon: &mut Daemon) -> bool {
    let pid = i32::try_from(daemon.0.id()).ok().and_then(Pid::from_raw);
    if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
        return false;
    }
    let ended = async {
        loop {
            match daemon.0.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(_) => return false,
            }
        }
    };
    timeout(Duration::from_secs(10), ended)
        .await
        .unwrap_or(false)
}
