//! Every refusal of a start is an error of `check`, with the same words and a place in the file.
//!
//! Each trial is a folder in which a start is refused. `check` is asked first and must leave the folder as
//! it was; then the start's own steps are taken. The lists of variants are exhaustive: a new one does not
//! compile before it is said here how `check` finds it, or why it can't.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::judge::{Asked, judge};
use super::*;
use crate::config::LoadError;
use crate::model::{Cursor, EventId};
use crate::outbox::{self, application};
use crate::pipeline::ResumeError;
use crate::store::Store;
use crate::transport;

/// What a trial keeps alive while it lasts.
type Kept = Box<dyn std::any::Any>;

/// Makes what is refused in a folder; says the rest of the configuration's text.
type Trial = fn(&Path) -> (String, Kept);

const TRIALS: [Trial; 34] = [
    |_| plain("[[webhook]]\nname = 'w'\nurl = 'https://a..b/'\nevents = ['*']\nactive = false"),
    |_| plain("[socket]\npath = 'no/s'"),
    |folder| {
        fs::create_dir(folder.join("l.db")).unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        pipe(&folder.join("k"));
        plain("[[webhook]]\nname = 'w'\nurl = 'https://a/'\nevents = ['*']\nsecret_file = 'k'")
    },
    |folder| {
        pipe(&folder.join("l.db"));
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        fs::create_dir(folder.join("l.db-wal")).unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        pipe(&folder.join("l.db-journal"));
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        pipe(&folder.join("l.db.lock"));
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        pipe(&folder.join("o.db"));
        plain("[outbox]\npath = 'o.db'")
    },
    |folder| {
        fs::create_dir(folder.join("o.db")).unwrap();
        plain("[outbox]\npath = 'o.db'")
    },
    |folder| {
        let (text, _) = outbox_of(folder, outbox::SCHEMA);
        pipe(&folder.join("o.db-journal"));
        plain(&text)
    },
    |folder| {
        fs::write(folder.join("s"), "precious").unwrap();
        plain("[socket]\npath = 's'")
    },
    |folder| {
        let held = UnixListener::bind(folder.join("s")).unwrap();
        ("[socket]\npath = 's'".into(), Box::new(held))
    },
    |_| plain("[socket]\npath = 's'\ngroup = 'no-such-group-here'"),
    |_| {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        (format!("[metrics]\nlisten = '{address}'"), Box::new(held))
    },
    |folder| {
        fs::write(folder.join("page.token"), "a token of sixteen bytes").unwrap();
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let text = format!("[page]\nlisten = '{address}'\ntoken_file = 'page.token'");
        (text, Box::new(held))
    },
    // A documentation address (RFC 5737), which no machine has.
    |_| plain("[metrics]\nlisten = '192.0.2.1:9464'"),
    |folder| {
        fs::create_dir(folder.join("l.db.lock")).unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |_| plain("[log]\npath = 'no/l.db'"),
    |folder| {
        std::os::unix::fs::symlink("nowhere/l.db", folder.join("l.db")).unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        garbage(&folder.join("l.db"));
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        application::run(&folder.join("l.db"), "CREATE TABLE other (x)");
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        fs::write(folder.join("l.db-wal"), "left alone").unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        drop(Store::open(&folder.join("l.db"), 0).unwrap());
        application::run(&folder.join("l.db"), "PRAGMA user_version = 9999");
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        garbage(&folder.join("file"));
        plain("[outbox]\npath = 'file/o.db'")
    },
    |folder| {
        let (text, _) = outbox_of(folder, outbox::SCHEMA);
        fs::hard_link(folder.join("o.db"), folder.join("other.db")).unwrap();
        plain(&text)
    },
    |folder| {
        let (text, _) = outbox_of(folder, outbox::SCHEMA);
        let held = Lock::of_outbox(&folder.join("o.db")).unwrap();
        (text, Box::new(held))
    },
    |folder| {
        drop(Store::open(&folder.join("l.db"), 0).unwrap());
        fs::hard_link(folder.join("l.db"), folder.join("other.db")).unwrap();
        plain("[log]\npath = 'l.db'")
    },
    |folder| {
        garbage(&folder.join("o.db"));
        plain("[outbox]\npath = 'o.db'")
    },
    |folder| outbox_of(folder, "CREATE VIEW outbox AS SELECT 1 AS id"),
    |folder| {
        outbox_of(
            folder,
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event)",
        )
    },
    |folder| {
        outbox_of(
            folder,
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY, event, data, time)",
        )
    },
    |folder| {
        let row = "INSERT INTO outbox (event, data, time) VALUES ('e', '1', 0)";
        outbox_of(folder, &format!("{} {row}", outbox::SCHEMA))
    },
    |folder| {
        let path = folder.join("l.db");
        let mut store = Store::open(&path, 0).unwrap();
        let known = Cursor {
            event_id: EventId::new(9),
            fingerprints: vec![
                (EventId::new(9), crate::model::print::Print::Whole([7; 16])),
                (EventId::new(8), crate::model::print::Print::Whole([7; 16])),
            ],
            ..Cursor::default()
        };
        store.set_cursor(&known, 60_000).unwrap();
        store.flush(0).unwrap();
        drop(store);
        let row = "INSERT INTO outbox (event, data, time) VALUES ('e', '1', 0)";
        let (text, kept) = outbox_of(folder, &format!("{} {row}; {row}", outbox::SCHEMA));
        (format!("{text}\n[log]\npath = 'l.db'"), kept)
    },
];

fn plain(text: &str) -> (String, Kept) {
    (text.to_owned(), Box::new(()))
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

fn garbage(path: &Path) {
    fs::write(
        path,
        "this is no database, and long enough for one".repeat(100),
    )
    .unwrap();
}

fn outbox_of(folder: &Path, text: &str) -> (String, Kept) {
    application::run(&folder.join("o.db"), text);
    plain("[outbox]\npath = 'o.db'")
}

/// How the start's own steps end: the same ones as in `start`, in the same order.
async fn refusal(path: &Path) -> Option<Error> {
    let client = Client::new(Clock::system());
    let judged = match judge(path, &Asked::Start(None), &client) {
        Ok(judged) => judged,
        Err(error) => return Some(error),
    };
    let _lock = match Lock::take(judged.config.log.place.file().unwrap()) {
        Ok(lock) => lock,
        Err(error) => return Some(error),
    };
    if let Err(error) = listen::listen(&judged.config).await {
        return Some(error);
    }
    let opening = Opening::new(&judged.config);
    let opened = found::open(
        &judged.config,
        &Given::default(),
        &opening,
        &Clock::system(),
    )
    .await;
    opened.err()
}

/// The name of a refusal that `check` finds; `None` where it can't, for the reason beside it.
fn of_start(error: &Error) -> Option<&'static str> {
    match error {
        Error::Config(LoadError::Report(_)) => Some("configuration"),
        // What `check` ends with as well, before it looks at anything.
        Error::Config(LoadError::Read { .. } | LoadError::Nowhere) => None,
        Error::Lock { .. } => Some("lock"),
        // It is this configuration's own daemon.
        Error::Held { .. } => None,
        Error::OtherName { .. } => Some("log of two names"),
        Error::Outbox(error) => of_outbox(error),
        Error::Store(error) => of_store(error),
        // A judged configuration's endpoints can be made: `of_endpoint` has them.
        Error::Endpoint { source, .. } => of_endpoint(source),
        Error::Socket { .. } => Some("socket"),
        Error::NoSocket { .. } => Some("no socket"),
        Error::Live { .. } => Some("live socket"),
        Error::Group { .. } => Some("group"),
        // Only systemd passes one.
        Error::Passed { .. } => None,
        Error::Metrics { .. } => Some("metrics"),
        Error::Page { .. } => Some("page"),
        Error::Refused(ResumeError::OldEvents { .. }) => Some("old events"),
        Error::Refused(ResumeError::Foreign { .. }) => Some("foreign events"),
        // The machine's state at that moment. The threads are asked for by `check`, too.
        Error::Runtime(_) | Error::Threads(_) => None,
        // Ends of a daemon that did start.
        Error::Panicked
        | Error::Unrecorded
        | Error::Undrained { .. }
        | Error::Interrupted { .. } => None,
    }
}

fn of_outbox(error: &outbox::Error) -> Option<&'static str> {
    use outbox::Error as E;
    match error {
        E::Find { .. } => Some("outbox not found"),
        E::Open { .. } => Some("outbox not opened"),
        E::OtherName { .. } => Some("outbox of two names"),
        E::Held { .. } => Some("outbox followed"),
        // What a start waits for; `check` warns of it.
        E::NoTable { .. } => None,
        E::NotTable { .. } => Some("not a table"),
        E::NoColumn { .. } => Some("no column"),
        E::NotAutoincrement { .. } => Some("no AUTOINCREMENT"),
        // Only for a user who is not root: `tests/it/check.rs` has it.
        E::Companions { .. } | E::Make { .. } => None,
        // A disk that fails or is full just then, or what comes after the start.
        E::Fill { .. } | E::Unlinked { .. } | E::Read { .. } | E::Append { .. } => None,
        E::Prune { .. } | E::Watch { .. } | E::Wait { .. } => None,
        // It takes a server: `tests/it/postgres/check.rs` has it.
        E::Server(_) => None,
    }
}

fn of_store(error: &store::Error) -> Option<&'static str> {
    use store::Error as E;
    match error {
        // A missing folder is met at the lock already.
        E::Create { .. } => None,
        E::Open { .. } => Some("log not opened"),
        E::NotPlain { .. } => Some("log of no file"),
        E::Foreign { .. } => Some("foreign log"),
        E::Emptied { .. } => Some("emptied log"),
        E::Newer { .. } => Some("newer log"),
        // A disk that fails or is full just then, or what comes after the start.
        E::Migrate { .. } | E::Step { .. } | E::Unlinked { .. } | E::NoBody { .. } => None,
        // No log is there yet.
        E::Server(_) | E::Overtaken => None,
        // A copy's.
        E::Earlier { .. } => None,
    }
}

/// A URL that was read has a host that TLS can use, a CA file that was read has certificates, and the
/// library takes its own defaults; a client certificate is judged where endpoints are made, by both; that a system trusts nobody is tried in `tests/it/check.rs`.
fn of_endpoint(error: &transport::Error) -> Option<&'static str> {
    match error {
        transport::Error::ServerName { .. } | transport::Error::Ca { .. } => None,
        transport::Error::NoRoots { .. } | transport::Error::Tls { .. } => None,
        transport::Error::Client { .. } => None,
    }
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn every_refusal_of_a_start_is_an_error_of_check() {
    let mut seen = BTreeSet::new();
    for (number, trial) in TRIALS.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (text, _kept) = trial(folder.path());
        let path = folder.path().join("webhooks.toml");
        fs::write(&path, &text).unwrap();
        let before = names(folder.path());
        let checked = check(&path);
        assert_eq!(names(folder.path()), before, "{text}");
        let Some(error) = refusal(&path).await else {
            panic!("trial {number} starts: {text}");
        };
        // The step and the object; a cause may name what only a start makes.
        let words = error.to_string();
        match checked {
            Err(Error::Config(LoadError::Report(report))) => {
                assert!(report.to_string().contains(&words), "{words}\n--\n{report}");
                assert!(
                    report.diagnostics.iter().any(|one| one.place.is_some()),
                    "{report}"
                );
            }
            Ok(config) => {
                let told = config
                    .warnings
                    .iter()
                    .any(|one| one.message.contains(&words));
                assert!(
                    error.may_pass() && told,
                    "{text}: {words}: {:?}",
                    config.warnings
                );
            }
            Err(other) => panic!("{text}: {other:?}"),
        }
        let name = of_start(&error);
        seen.insert(name.unwrap_or_else(|| panic!("trial {number}: {error:?}")));
    }
    let all = [
        "configuration",
        "lock",
        "outbox not found",
        "outbox not opened",
        "outbox of two names",
        "outbox followed",
        "log of two names",
        "log of no file",
        "not a table",
        "no column",
        "no AUTOINCREMENT",
        "log not opened",
        "foreign log",
        "emptied log",
        "newer log",
        "socket",
        "no socket",
        "live socket",
        "group",
        "metrics",
        "page",
        "old events",
        "foreign events",
    ];
    assert_eq!(seen, BTreeSet::from(all), "a refusal without a trial");
}

#[test]
fn all_that_is_wrong_is_one_report_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.toml");
    garbage(&folder.path().join("o.db"));
    let text = "[outbox]\npath = 'o.db'\n[socket]\npath = 'no/s'\ngroup = 'no-such-group-here'\n\
                [log]\npath = 'no/l.db'\n[metrics]\nlisten = '192.0.2.1:1'\n\
                [[webhook]]\nname = 'w'\nurl = 'https://127.1/'\nevents = []\n";
    fs::write(&path, text).unwrap();
    let Err(Error::Config(LoadError::Report(report))) = check(&path) else {
        panic!("no report");
    };
    let lines: Vec<usize> = (report.diagnostics.iter())
        .map(|one| one.place.map_or(0, |(line, _)| line))
        .collect();
    assert_eq!(lines, [2, 4, 5, 7, 9, 12, 13], "{report}");
}
