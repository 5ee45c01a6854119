//! The show with its databases in files: one daemon, an outbox in SQLite, a log that `sqlite3` reads.

use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use super::super::{Ended, Failure, load, page, say};
use super::child::{Daemon, LOOK};
use super::scene::{self, DELIVERIES, EVENTS, Scene, WEBHOOKS};
use crate::model::LogPlace;
use crate::outbox::{self, Appender, NewEvent};
use crate::store;

/// Everything is over by then, or something is wrong.
const LIMIT: Duration = Duration::from_secs(55);

pub(super) async fn show(is_page: bool, is_kept: &Cell<bool>) -> Ended {
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::text(format!("{what}: {error}"));
    let folder = tempfile::Builder::new().prefix("webhooksd-demo-").tempdir();
    let folder = folder.map_err(failed("make a temporary folder"))?;
    let scene = Scene::begin(usize::MAX).await?;
    let config = folder.path().join("webhooks.toml");
    let socket = if is_page {
        "\n[socket]\npath = \"demo.sock\"\n"
    } else {
        ""
    };
    std::fs::write(&config, scene.configuration(socket)).map_err(failed("write webhooks.toml"))?;
    say(format_args!(
        "In {} there are now a configuration of {} webhooks,",
        folder.path().display(),
        WEBHOOKS.len()
    ))?;
    say(format_args!(
        "an outbox, and a daemon that follows it. An application writes {} rows:\n",
        EVENTS.len()
    ))?;
    let outbox = folder.path().join("outbox.db");
    outbox::create_if_missing(&outbox)?;
    let journal = folder.path().join("journal");
    let mut daemon = Daemon::start(&config, &[], &journal)?;
    write_events(&outbox)?;
    say(format_args!(
        "\nThe endpoint of \"newsletter\" answers 500 twice; bold-cms tries again after 10 seconds.\n"
    ))?;

    let log = LogPlace::File(folder.path().join("log.db"));
    let delivered = timeout(LIMIT, wait_until_done(&mut daemon, &log)).await;
    let rows = print_log(&log);
    if is_page && matches!(delivered, Ok(Ok(()))) {
        is_kept.set(true);
        say("")?;
        let source = page::own(load(&config)?, Some(config.clone()), false);
        page::shown(source, 0).await?;
    }
    let stopped = daemon.stop().await;
    let told = scene.told();
    rows?;
    match delivered {
        Ok(Ok(())) if told.wrong == 0 && (is_page || told.requests == told.expected) && stopped => {
            say(format_args!(
                "\n{DELIVERIES} deliveries, {} requests, every signature right in all four dialects. \
                 The folder is gone again.\nNext: webhooksd --help, and the comments of webhooks.toml.",
                told.requests
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::text(format!(
            "not everything was delivered and verified: {} requests of {}, {} with a wrong \
             signature; the daemon's journal:\n{}",
            told.requests,
            told.expected,
            told.wrong,
            std::fs::read_to_string(journal).unwrap_or_default()
        ))),
    }
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
async fn wait_until_done(daemon: &mut Daemon, log: &LogPlace) -> Result<(), Failure> {
    loop {
        daemon.runs()?;
        if log.file().is_some_and(Path::exists) {
            let reader = store::read_log(log);
            let delivered = reader.map(|reader| scene::ended_so(&*reader, "delivered"));
            // The daemon may be making the log just now; it is looked at again.
            if delivered.is_ok_and(|count| count == DELIVERIES) {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn print_log(log: &LogPlace) -> Result<(), Failure> {
    let reader = store::read_log(log)?;
    say(format_args!(
        "sqlite3 -readonly log.db 'SELECT time, webhook, event, attempt, outcome, status, error, duration_ms FROM log'\n"
    ))?;
    scene::print_log(&*reader)
}
