//! A folder with a configuration, an outbox and a log of known content, and a daemon made of answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::Printed;

/// 2026-03-01T12:00:00Z.
pub(super) const NOON_MS: i64 = 1_772_366_400_000;

const CONFIGURATION: &str = r#"tenant = "acme"

[outbox]
path = "outbox.db"

[socket]
path = "daemon.sock"

[log]
path = "log.db"

[[webhook]]
name = "search-index"
url = "https://search.example.com/hooks/story"
events = ["story-*"]
secret = "marker-hunter2"

[[webhook]]
name = "erp"
url = "https://erp.example.com/"
events = ["production.*", "story-submit"]
dialect = "bold-factory"
max_attempts = 5

[[webhook]]
name = "late"
url = "https://late.example.com/"
events = ["*"]

[[webhook]]
name = "newsletter"
url = "https://news.example.com/"
events = ["story-*"]
active = false

[[webhook]]
name = "other-tenant"
url = "https://other.example.com/"
events = ["*"]
tenants = ["globex", "initech"]
"#;

/// A folder of one test.
pub(super) struct Scene {
    folder: TempDir,
}

/// One attempt with its delivery.
pub(super) struct Tried<'a> {
    pub(super) event_id: i64,
    pub(super) event: &'a str,
    pub(super) webhook: &'a str,
    pub(super) outcome: &'a str,
    pub(super) number: i64,
    pub(super) time_ms: i64,
    pub(super) status: Option<i64>,
    pub(super) error: Option<&'a str>,
}

impl Scene {
    /// A folder with the configuration only.
    pub(super) fn bare() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(scene.path("webhooks.toml"), CONFIGURATION).unwrap();
        scene
    }

    /// The same with an empty log and an empty outbox.
    pub(super) fn new() -> Self {
        let scene = Self::bare();
        let made = scene.run(&["start-from", "now"], None);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        scene
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes `[socket]` out of the configuration.
    pub(super) fn without_socket(&self) {
        let text = CONFIGURATION.replace("[socket]\npath = \"daemon.sock\"\n", "");
        std::fs::write(self.path("webhooks.toml"), text).unwrap();
    }

    pub(super) fn log(&self) -> Connection {
        Connection::open(self.path("log.db")).unwrap()
    }

    pub(super) fn outbox(&self) -> Connection {
        Connection::open(self.path("outbox.db")).unwrap()
    }

    /// Runs statements on the log.
    pub(super) fn sql(&self, sql: &str) {
        self.log().execute_batch(sql).unwrap();
    }

    /// Writes an attempt with a delivery and a payload of its own.
    pub(super) fn tried(&self, tried: &Tried<'_>) {
        let mut log = self.log();
        // As the daemon does: whoever looks sees all of it or nothing.
        let log = log.transaction().unwrap();
        let body = format!(
            "{{\"v1\":{{\"event\":{{\"id\":{}}},\"data\":\"\u{1b}[31m\u{9b}\"}}}}",
            tried.event_id
        );
        log.execute(
            "INSERT OR IGNORE INTO webhook_name (name) VALUES (?1)",
            [tried.webhook],
        )
        .unwrap();
        let ask = |sql: &str| log.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let sql = "SELECT id FROM webhook_name WHERE name = ?1";
        let webhook_id: i64 = log
            .query_row(sql, [tried.webhook], |row| row.get(0))
            .unwrap();
        let id = ask("SELECT coalesce(max(id), 0) + 1 FROM delivery");
        log.execute(
            "INSERT INTO payload (id, generation, event_id, event, dialect, size, body) VALUES (?1, 0, ?2, ?3, 0, ?4, ?5)",
            params![id, tried.event_id, tried.event, i64::try_from(body.len()).unwrap(), body],
        )
        .unwrap();
        let outcome = match tried.outcome {
            "retry" => {
                log.execute(
                    "INSERT INTO parked (id, webhook_id, payload_id, origin, attempts, due_at, created_at)
                     VALUES (?1, ?2, ?1, 0, ?3, ?4, ?5)",
                    params![id, webhook_id, tried.number, tried.time_ms + 10_000, tried.time_ms],
                )
                .unwrap();
                0
            }
            "delivered" => 1,
            other => {
                log.execute(
                    "INSERT INTO ended (id, webhook_id, payload_id, origin, state, attempts, created_at, finished_at)
                     VALUES (?1, ?2, ?1, 0, ?3, ?4, ?5, ?5 + 12)",
                    params![id, webhook_id, i64::from(other == "cancelled"), tried.number, tried.time_ms],
                )
                .unwrap();
                2
            }
        };
        log.execute(
            "INSERT INTO attempt (delivery_id, payload_id, webhook_id, origin, number, time, waited, took, outcome, status,
                                  duration_us, name_us, connect_us, tls_us, head_us, body_us, error, peer, url,
                                  request_headers, response_truncated, response_headers, response_body)
             VALUES (?1, ?1, ?2, 0, ?3, ?4, 0, 12, ?5, ?6, 12345, 100, 1000, NULL, 11000, 245, ?7,
                     '192.0.2.7:443', 'https://search.example.com/hooks/story',
                     'Host: search.example.com' || char(10) || 'X-Team: [redacted]', 0, ?8, ?9)",
            params![
                id, webhook_id, tried.number, tried.time_ms, outcome, tried.status, tried.error,
                tried.status.map(|_| "x-evil: \u{1b}]0;title\u{7}\ncontent-type: text/plain"),
                tried.status.map(|_| b"first\r\n\x1b[2J\xff last".to_vec()),
            ],
        )
        .unwrap();
        log.execute(
            "INSERT OR IGNORE INTO seen SELECT ?1, max(id) / 1024 FROM attempt",
            [webhook_id],
        )
        .unwrap();
        log.commit().unwrap();
    }

    /// Runs the command to its end.
    pub(super) fn run(&self, arguments: &[&str], columns: Option<usize>) -> Printed {
        let output = self.command(arguments, columns).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let printed = Printed {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!printed.whole_unchecked().contains("marker-hunter2"));
        printed
    }

    /// The command, not run yet.
    pub(super) fn command(&self, arguments: &[&str], columns: Option<usize>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhooksd"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("webhooks.toml"))
            .current_dir(self.folder.path())
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        if let Some(columns) = columns {
            command.env("COLUMNS", columns.to_string());
        }
        command
    }

    /// The text without this folder's path.
    pub(super) fn plain(&self, text: &str) -> String {
        let real = std::fs::canonicalize(self.folder.path()).unwrap();
        text.replace(real.to_str().unwrap(), "FOLDER")
            .replace(self.folder.path().to_str().unwrap(), "FOLDER")
    }

    /// Has a daemon answer on the socket: for each `METHOD PATH` a status and a body.
    pub(super) fn daemon(&self, answers: &[(&str, u16, &str)]) -> Asked {
        let listener = UnixListener::bind(self.path("daemon.sock")).unwrap();
        let answers: Vec<(String, u16, String)> = answers
            .iter()
            .map(|(line, status, body)| ((*line).to_owned(), *status, (*body).to_owned()))
            .collect();
        let asked = Asked::default();
        let heard = asked.clone();
        // The thread ends with the process; each test has a socket of its own.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), &answers, &heard);
            }
        });
        asked
    }
}

impl Printed {
    fn whole_unchecked(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// What the daemon was asked: request lines and bodies.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Vec<(String, String)>>>);

impl Asked {
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }
}

fn answer(stream: &UnixStream, answers: &[(String, u16, String)], asked: &Asked) {
    let mut lines = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let first = first.trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    loop {
        let header = line().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    asked
        .0
        .lock()
        .unwrap()
        .push((first.clone(), String::from_utf8(body).unwrap()));
    let found = answers.iter().find(|(line, _, _)| *line == first);
    let (status, body) = found.map_or((404, r#"{"error":"no such path"}"#), |(_, s, b)| (*s, b));
    let text = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    // A command that has heard enough may be gone.
    drop((&mut &*stream).write_all(text.as_bytes()));
}

/// UNIX milliseconds now.
#[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}
