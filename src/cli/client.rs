//! Talks to the daemon: HTTP over its Unix socket, without an async runtime.
//!
//! One request after the other, each with a limit on every step, so that a daemon that hangs is told
//! from one that works. What an answer means is the commands'; an error that the daemon words itself
//! is passed on as it stands.

mod lock;
mod socket;

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::{Failure, text};
use crate::config::Config;
use crate::pipeline::TEST_WAIT;
pub(super) use lock::holder;
use lock::{held_by, lock_of};
use socket::{NoNames, UnixConnector};

/// A daemon that is there takes a connection at once.
const CONNECT: Duration = Duration::from_secs(3);

/// The longest that the daemon may be silent: a test is waited for, and a reload reads every secret and
/// makes every endpoint anew.
const SILENCE: Duration = TEST_WAIT.saturating_mul(2);

/// Status is made from memory, but for the outbox, which is waited for up to 5 s while its application
/// holds it: longer than that, or a busy daemon would be called one that is not there.
const STATUS_SILENCE: Duration = Duration::from_secs(8);

/// What the daemon says of itself it says within a second, for so long may its log keep it: who is silent for longer
/// stands still.
pub(super) const BRISK: Duration = Duration::from_secs(2);

/// The longest answer that is read whole: a test's bodies of 1 MiB and 64 KiB, escaped.
const ANSWER_BYTES: u64 = 256 << 20;

/// The longest line of a streamed answer.
const LINE_BYTES: u64 = 1 << 20;

/// Why the daemon gave no answer that is of use.
#[derive(Debug)]
pub(super) enum Error {
    /// The configuration has no `[socket]`.
    NoSection,
    /// Nobody takes a connection there.
    Connect {
        path: PathBuf,
        source: io::Error,
        /// The process that has the log all the same.
        daemon: Option<u32>,
    },
    /// It took the connection and did not answer as it should.
    Talk { path: PathBuf, source: ureq::Error },
    /// It answered something else than it should.
    Odd { path: PathBuf, what: String },
}

impl Error {
    /// Whether nobody is there: the socket is not, or nobody listens, and no process is known to have the log.
    pub(super) fn is_of_nobody(&self) -> bool {
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        match self {
            Self::NoSection => true,
            Self::Connect { source, daemon, .. } => {
                daemon.is_none() && nobody.contains(&source.kind())
            }
            Self::Talk { .. } | Self::Odd { .. } => false,
        }
    }

    /// Whether it took the connection, and has said nothing in time.
    pub(super) fn is_late(&self) -> bool {
        let source = match self {
            Self::Talk { source, .. } => source,
            Self::NoSection | Self::Connect { .. } | Self::Odd { .. } => return false,
        };
        matches!(source, ureq::Error::Timeout(_))
    }

    /// What a person can do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSection => {
                "add [socket] with a path to the configuration and restart the daemon: this \
                 command asks it over that socket"
            }
            Self::Connect { source, daemon, .. } => match (source.kind(), daemon) {
                (io::ErrorKind::PermissionDenied, _) => {
                    "run the command as the service's user, or as a member of the socket's group"
                }
                (_, Some(pid)) => {
                    return Some(format!(
                        "process {pid} has the log: it was started with another [socket], or its \
                         socket was removed; restart the service"
                    ));
                }
                _ => "start the daemon: `webhooksd run`, or `systemctl start webhooksd`",
            },
            Self::Talk { .. } => "its journal may say more",
            Self::Odd { .. } => {
                "the daemon may be of another version than this command: restart it"
            }
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSection => f.write_str("the configuration has no [socket]"),
            Self::Connect { path, .. } => write!(f, "no daemon answers at {path:?}"),
            Self::Talk { path, .. } => write!(f, "talk to the daemon at {path:?}"),
            Self::Odd { path, what } => write!(f, "the daemon at {path:?} answered {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. } => Some(source),
            Self::Talk { source, .. } => Some(source),
            Self::NoSection | Self::Odd { .. } => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

/// A way to the daemon.
pub(super) struct Client {
    agent: Agent,
    path: PathBuf,
    /// The file that the same daemon has locked, where it is known.
    lock: Option<PathBuf>,
}

/// What the daemon answered: a status and a body that is not read yet.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    body: Body,
    path: PathBuf,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    hint: Option<String>,
}

impl Client {
    /// To the daemon of that configuration; nothing is connected yet.
    pub(super) fn of(config: &Config) -> Result<Self, Error> {
        let socket = config.socket.as_ref().ok_or(Error::NoSection)?;
        Ok(Self::to(&socket.path, SILENCE).with(config))
    }

    /// As [`Client::of`], but for questions that are answered at once.
    pub(super) fn hurried(config: &Config) -> Result<Self, Error> {
        let socket = config.socket.as_ref().ok_or(Error::NoSection)?;
        Ok(Self::to(&socket.path, STATUS_SILENCE).with(config))
    }

    /// As [`Client::of`], but for what the daemon says of itself.
    pub(super) fn brisk(config: &Config) -> Result<Self, Error> {
        let socket = config.socket.as_ref().ok_or(Error::NoSection)?;
        Ok(Self::to(&socket.path, BRISK).with(config))
    }

    fn with(mut self, config: &Config) -> Self {
        self.lock = lock_of(config);
        self
    }

    /// To the daemon behind that socket.
    pub(super) fn at(path: &Path) -> Self {
        Self::to(path, SILENCE)
    }

    fn to(path: &Path, silence: Duration) -> Self {
        let connect = CONNECT.min(silence);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(connect))
            .timeout_send_request(Some(silence))
            .timeout_send_body(Some(silence))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        let connector = UnixConnector::new(path, connect);
        Self {
            agent: Agent::with_parts(config, connector, NoNames),
            path: path.to_owned(),
            lock: None,
        }
    }

    pub(super) fn get(&self, target: &str) -> Result<Answer, Error> {
        let sent = self.agent.get(uri(target)).call();
        self.answered(sent)
    }

    pub(super) fn post(&self, target: &str, body: &impl Serialize) -> Result<Answer, Error> {
        // Structs of strings and numbers can't fail to be JSON.
        let body = serde_json::to_string(body).unwrap_or_default();
        let request = self
            .agent
            .post(uri(target))
            .header("content-type", "application/json");
        self.answered(request.send(body))
    }

    fn answered(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Answer, Error> {
        let path = self.path.clone();
        match sent {
            Ok(response) => Ok(Answer {
                status: response.status().as_u16(),
                body: response.into_body(),
                path,
            }),
            Err(error) => Err(match socket::connect_error(error) {
                Ok(source) => {
                    let daemon = self.lock.as_deref().and_then(held_by);
                    Error::Connect {
                        path,
                        source,
                        daemon,
                    }
                }
                Err(source) => Error::Talk { path, source },
            }),
        }
    }
}

fn uri(target: &str) -> String {
    format!("http://localhost{target}")
}

impl Answer {
    /// The answer as it should be; a refusal becomes a failure in the daemon's own words.
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let Self { status, body, path } = self;
        let read = body.into_with_config().limit(ANSWER_BYTES).read_to_string();
        let text = read.map_err(|source| Error::Talk {
            path: path.clone(),
            source,
        })?;
        if !(200..300).contains(&status) {
            return Err(refused(status, &text));
        }
        serde_json::from_str(&text).map_err(|error| {
            let what = format!("what this command does not understand: {}", words(&error));
            Error::Odd { path, what }.into()
        })
    }

    /// The lines of a streamed answer, each given to `take` as it comes.
    pub(super) fn lines<T: DeserializeOwned>(
        self,
        mut take: impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !(200..300).contains(&self.status) {
            return self.json::<Value>().map(drop);
        }
        let Self { body, path, .. } = self;
        let mut lines = BufReader::new(body.into_reader());
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut lines, LINE_BYTES);
            let read = limited.read_until(b'\n', &mut line);
            let read = read.map_err(|error| Error::Talk {
                path: path.clone(),
                source: ureq::Error::Io(error),
            })?;
            if read == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            take(serde_json::from_slice(&line).map_err(|error| Error::Odd {
                path: path.clone(),
                what: format!(
                    "a line that this command does not understand: {}",
                    words(&error)
                ),
            })?)?;
        }
    }
}

/// Why an answer could not be read. What is JSON and of another shape is said without the types of our
/// code, which mean nothing to who reads it.
fn words(error: &serde_json::Error) -> String {
    if error.is_data() {
        return "it has another shape; is the daemon of another version?".into();
    }
    error.to_string()
}

/// A refusal in the daemon's own words; what is wrong with the request or the configuration ends
/// with 2, the rest with 1.
fn refused(status: u16, body: &str) -> Failure {
    let (words, hint) = serde_json::from_str::<Refusal>(body).map_or_else(
        |_| (format!("the daemon refused: it answered {status}"), None),
        |refusal| {
            let words = text::block(&refusal.error, "").trim_end().to_owned();
            (words, refusal.hint.map(|hint| text::line(&hint)))
        },
    );
    // By SQLite's words: the answer has no others.
    let is_locked = words.contains("database is locked");
    let hint = hint.filter(|_| !is_locked).or(is_locked.then(|| {
        "another program holds a write transaction open in it: try again, or see which has it open"
            .to_owned()
    }));
    Failure::text(words)
        .hint(hint)
        .code(if matches!(status, 400 | 404 | 422) {
            2
        } else {
            1
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Asks a daemon that does as `listener` does.
    fn ask(path: &Path) -> Error {
        let client = Client::to(path, Duration::from_millis(100));
        match client.get("/status") {
            Ok(answer) => panic!("answered {}", answer.status),
            Err(error) => error,
        }
    }

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let error = ask(&path);
        let timed_out = matches!(
            error,
            Error::Talk {
                source: ureq::Error::Timeout(_),
                ..
            }
        );
        assert!(timed_out, "{error:?}");
        drop(listener);
        let error = ask(&path);
        assert!(
            matches!(&error, Error::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused),
            "{error:?}"
        );
    }

    #[test]
    fn an_answer_that_breaks_off_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            use std::io::Write;
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"a\":")
                .unwrap();
        });
        let client = Client::to(&path, Duration::from_secs(20));
        let answer = client
            .get("/status")
            .unwrap_or_else(|error| panic!("{error}"));
        let failure = answer.json::<Value>().err().unwrap();
        assert!(
            failure.text.starts_with("talk to the daemon at "),
            "{}",
            failure.text
        );
        daemon.join().unwrap();
    }
}
