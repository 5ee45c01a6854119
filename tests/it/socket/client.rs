//! Clients: curl, a keep-alive connection of plain HTTP, and bare streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::World;

/// No answer takes longer: the outbox's patience is 5 s, a test's 30 s.
const LIMIT: Duration = Duration::from_secs(40);

/// What curl got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The words of an error, which must be JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// Holds that it has that status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The lines of an answer of NDJSON.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).unwrap();
        self.body.lines().map(line).collect()
    }
}

/// `curl --unix-socket` to a path, with more arguments.
#[track_caller]
pub(crate) fn curl(world: &World, path: &str, arguments: &[&str]) -> Reply {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "60", "--unix-socket"])
        .arg(world.path("s.sock"))
        .arg(format!("http://localhost{path}"))
        .args(arguments)
        .output()
        .expect("the tests need the curl program");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rest = text.as_str();
    // An interim answer stands before the one that counts.
    let (head, body) = loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or_else(|| {
            panic!(
                "{path}: {text:?} {}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        if !head.contains(" 100 ") {
            break (head, body);
        }
        rest = body;
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// POSTs a body.
#[track_caller]
pub(crate) fn post(world: &World, path: &str, body: &str) -> Reply {
    curl(world, path, &["--data-binary", body])
}

/// A stream to the socket.
#[track_caller]
pub(crate) fn stream(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.path("s.sock")).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends plain lines, closes this side, and returns the answers.
#[track_caller]
pub(crate) fn lines(world: &World, text: &str) -> Vec<String> {
    let mut stream = stream(world);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers.lines().map(str::to_owned).collect()
}

/// One connection that makes one request after another.
pub(crate) struct Connection(BufReader<UnixStream>);

impl Connection {
    pub(crate) fn new(world: &World) -> Self {
        Self(BufReader::new(stream(world)))
    }

    /// POSTs one event; the status and the body, `None` where the daemon is gone.
    pub(crate) fn post(&mut self, content_type: &str, body: &[u8]) -> Option<(u16, String)> {
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status == 0 {
                status = line.split(' ').nth(1)?.parse().ok()?;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8(body).ok()?))
    }

    /// POSTs one event and returns its id; `None` where it was not answered with 202.
    pub(crate) fn event(&mut self, event: &str) -> Option<i64> {
        let (status, body) = self.post("application/json", event.as_bytes())?;
        let json: Value = serde_json::from_str(&body).ok()?;
        (status == 202).then(|| json["ids"][0].as_i64())?
    }
}
