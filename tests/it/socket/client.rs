//! Clients: one that does what curl does, a keep-alive connection of plain HTTP, and bare streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use super::http::{Request, exchange};
use crate::support::World;

pub(crate) use super::http::Reply;

/// No answer takes longer: the outbox's patience is 5 s, a test's 30 s.
const LIMIT: Duration = Duration::from_secs(40);

/// What `curl --unix-socket` does with a path and these options of its own, without the program.
#[track_caller]
pub(crate) fn curl(world: &World, path: &str, arguments: &[&str]) -> Reply {
    let mut request = Request {
        method: "GET",
        path,
        headers: Vec::new(),
        body: None,
    };
    let mut method = None;
    let mut words = arguments.iter();
    while let Some(option) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{option} of what?"));
        match *option {
            "-X" => method = Some(*value),
            "-H" => request.headers.push(value),
            "-d" | "--data-binary" => {
                request.method = "POST";
                request.body = Some(match value.strip_prefix('@') {
                    Some(file) => std::fs::read(file).unwrap(),
                    None => value.as_bytes().to_vec(),
                });
            }
            _ => panic!("{option}: the tests' client has no such option; see http.rs"),
        }
    }
    request.method = method.unwrap_or(request.method);
    exchange(stream(world), &request).unwrap_or_else(|e| panic!("{path}: {e}"))
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
        self.ask(content_type, body)?;
        self.answer()
    }

    /// Sends a POST of one event; `None` where the daemon is gone.
    pub(crate) fn ask(&mut self, content_type: &str, body: &[u8]) -> Option<()> {
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat()).ok()
    }

    /// Reads the answer; the status and the body, `None` where the daemon is gone.
    pub(crate) fn answer(&mut self) -> Option<(u16, String)> {
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
