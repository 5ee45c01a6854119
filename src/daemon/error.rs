//! Why the daemon did not start, or ended.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::model::clock::utc;
use crate::pipeline::{IntakeError, ResumeError};
use crate::{config, outbox, store, transport};

/// Why the daemon did not start, or ended.
#[derive(Debug)]
pub(crate) enum Error {
    /// The configuration can't be read or has errors.
    Config(config::LoadError),
    /// The lock file can't be made or locked.
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the log.
    Held {
        /// The log.
        log: PathBuf,
        /// The process id in the lock file.
        pid: Option<u32>,
    },
    /// The log has another name, and so another `-wal` and another lock.
    OtherName {
        /// The log.
        log: PathBuf,
        /// How.
        how: outbox::OtherName,
    },
    /// The outbox can't be used.
    Outbox(outbox::Error),
    /// The log can't be used.
    Store(store::Error),
    /// An endpoint can't be made.
    Endpoint {
        /// The webhook's name.
        webhook: String,
        /// Why.
        source: transport::Error,
    },
    /// The socket can't be made.
    Socket {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is no socket is where the socket would be.
    NoSocket {
        /// Its path.
        path: PathBuf,
    },
    /// Another process serves the socket.
    Live {
        /// Its file.
        path: PathBuf,
    },
    /// The socket's group is not known here.
    Group {
        /// Its name.
        name: String,
        /// Why, where it could not be asked for.
        source: Option<io::Error>,
    },
    /// A socket that systemd passed can't be used.
    Passed {
        /// Why.
        source: io::Error,
    },
    /// The metrics' address can't be listened on.
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The page's address can't be listened on.
    Page {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A person has to decide where to begin.
    Refused(ResumeError),
    /// The runtime or a signal can't be set up.
    Runtime(io::Error),
    /// The system does not give the threads that are needed.
    Threads(io::Error),
    /// A part of the pipeline panicked; the panic's own line is in the journal.
    Panicked,
    /// The log did not take the last results.
    Unrecorded,
    /// Requests in flight did not end, though all of their time-outs were over.
    Undrained {
        /// How many.
        in_flight: usize,
    },
    /// A second signal cut the stop short.
    Interrupted {
        /// Requests that were in flight.
        in_flight: usize,
    },
}

impl Error {
    /// What keeps events from being taken in.
    pub(super) fn of_intake(error: IntakeError) -> Self {
        match error {
            IntakeError::Outbox(error) => Self::Outbox(error),
            IntakeError::Store(error) => Self::Store(error),
            IntakeError::Thread(error) => Self::Threads(error),
            IntakeError::Refused(refusal) => Self::Refused(refusal),
        }
    }

    /// The process's exit code: 2 where the configuration or a decision is needed, else 1.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Refused(_)
            | Self::Endpoint { .. }
            | Self::NoSocket { .. }
            | Self::OtherName { .. }
            | Self::Group { .. } => 2,
            Self::Outbox(error) if error.hint().is_some() && !error.may_pass() => 2,
            Self::Store(error) if error.needs_a_person() => 2,
            _ => 1,
        }
    }

    /// Whether the same start may succeed soon without anybody's doing.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Outbox(error) => error.may_pass(),
            Self::Store(error) => error.may_pass(),
            // The folder is not made, or not mounted, yet.
            Self::Lock { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether a start waits for it, however long that takes: a server of the log that is away comes back.
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_waited_for())
    }

    /// What a person can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint().map(|hint| hint.to_string()),
            Self::Held { .. } => Some("one daemon serves one log; stop the other one first".into()),
            Self::OtherName { log, how } => Some(how.hint(log)),
            Self::Lock { .. } => Some("the log's folder must exist and be writable".into()),
            Self::Outbox(error) => error.hint().map(|hint| hint.to_string()),
            Self::Store(error) => error.hint().map(|hint| hint.to_string()),
            Self::Refused(_) => Some(
                "`webhooksd start-from beginning` sends them all, `webhooksd start-from now` none \
                 of them; an id or a time starts there"
                    .into(),
            ),
            Self::Unrecorded | Self::Undrained { .. } | Self::Interrupted { .. } => {
                Some("those are sent again at the next start".into())
            }
            Self::Socket { .. } => {
                Some("the socket's folder must exist and be writable for this user".into())
            }
            Self::NoSocket { .. } => {
                Some("it is never removed: give [socket] path another name".into())
            }
            Self::Live { .. } => Some("give each daemon a socket of its own".into()),
            Self::Group { .. } => Some("make the group, or leave [socket] group out".into()),
            Self::Metrics { .. } => Some("give [metrics] listen a free address".into()),
            Self::Page { .. } => Some("give [page] listen a free address".into()),
            Self::Threads(_) => Some(
                "raise the limit of processes for this user, or the unit's TasksMax=: a few threads \
                 are needed"
                    .into(),
            ),
            Self::Endpoint { .. } | Self::Passed { .. } | Self::Runtime(_) | Self::Panicked => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Lock { path, .. } => write!(f, "lock {path:?}"),
            Self::Held {
                log,
                pid: Some(pid),
            } => {
                write!(f, "log {log:?} is in use by process {pid}")
            }
            Self::Held { log, pid: None } => write!(f, "log {log:?} is in use by another process"),
            Self::OtherName { log, how } => write!(f, "log {log:?} {how}"),
            Self::Outbox(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Endpoint { webhook, .. } => write!(f, "webhook {webhook:?}"),
            Self::Socket { path, .. } => write!(f, "make socket {path:?}"),
            Self::NoSocket { path } => write!(f, "make socket {path:?}: a file is there"),
            Self::Live { path } => write!(f, "make socket {path:?}: another process serves it"),
            Self::Group { name, .. } => write!(f, "no group is called {name:?}"),
            Self::Passed { .. } => f.write_str("use the socket that systemd passed"),
            Self::Metrics { address, .. } | Self::Page { address, .. } => {
                write!(f, "listen on {address}")
            }
            Self::Refused(refusal) => refused(*refusal, f),
            Self::Runtime(_) => f.write_str("set up the runtime"),
            Self::Threads(_) => f.write_str("start the daemon's threads"),
            Self::Panicked => f.write_str("a part of the pipeline panicked; its line is above"),
            Self::Unrecorded => f.write_str("the log did not take the last results"),
            Self::Undrained { in_flight } => {
                write!(
                    f,
                    "{in_flight} in flight did not end within their time-outs"
                )
            }
            Self::Interrupted { in_flight } => {
                write!(
                    f,
                    "ended at once by a second signal with {in_flight} in flight"
                )
            }
        }
    }
}

fn refused(refusal: ResumeError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match refusal {
        ResumeError::OldEvents { count, oldest_ms } => write!(
            f,
            "the log is new, but the outbox holds {count} events since {}",
            utc(oldest_ms)
        ),
        ResumeError::Foreign {
            count,
            oldest_ms,
            cursor,
            since_ms,
            counter,
        } => {
            write!(
                f,
                "the outbox is not the one that the log followed up to event {cursor}: it holds {count} events"
            )?;
            oldest_ms.map_or(Ok(()), |ms| write!(f, " since {}", utc(ms)))?;
            if let Some(counter) = counter {
                write!(f, ", its counter was set back to {counter}")?;
            }
            write!(
                f,
                ", none of them is known, and some are older than {}, when the log last followed it",
                utc(since_ms)
            )
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Lock { source, .. }
            | Self::Runtime(source)
            | Self::Threads(source)
            | Self::Socket { source, .. }
            | Self::Passed { source }
            | Self::Metrics { source, .. }
            | Self::Page { source, .. } => Some(source),
            Self::Group { source, .. } => source.as_ref().map(|source| source as _),
            Self::Outbox(error) => error.source(),
            Self::Store(error) => error.source(),
            Self::Endpoint { source, .. } => Some(source),
            _ => None,
        }
    }
}
