//! What can go wrong with an outbox or a log in PostgreSQL: what passes by itself, and what a person has to mend.
//!
//! A server that is away, starts, stops or has no room for a connection is waited for. Who is refused, or
//! connected to what is no outbox, needs somebody: [`Trouble::hint`] says what to do. No password and no
//! text of an event is in any of it.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::model::Server;

/// A step that failed, with its server.
#[derive(Debug)]
pub struct Trouble {
    /// What is there: `outbox` or `log`.
    whose: &'static str,
    /// The URL, as it may be shown.
    server: String,
    what: What,
}

/// What it was.
#[derive(Debug)]
pub(crate) enum What {
    /// Nobody answers, or the connection was lost.
    Away(tokio_postgres::Error),
    /// No answer came in time.
    Silent(&'static str, Duration),
    /// The user, its password or its certificate is not taken.
    Denied(tokio_postgres::Error),
    /// No certificate of the server's is known, or no TLS is spoken.
    Tls(tokio_postgres::Error),
    /// What TLS needs can't be used.
    Keys(String),
    /// The database is not there.
    NoDatabase(tokio_postgres::Error),
    /// Something that is no PostgreSQL, or too old a one; what it says of itself.
    Engine(String),
    /// The database's text is not UTF-8; what it is.
    Encoding(String),
    /// A standby, which gives no transaction a number.
    Standby,
    /// There is no table `outbox`.
    NoTable,
    /// The table lacks a column.
    NoColumn(&'static str),
    /// The user may not read the table.
    NoRight,
    /// Another server answers than the one that was connected to.
    Exchanged,
    /// Not the server or database that the log followed.
    Elsewhere,
    /// Rows of another server's transactions, as a dump has them that was put back.
    Restored,
    /// There is no log.
    NoLog,
    /// The schema `webhooksd` is there, and what is in it is no log.
    NoLogEither,
    /// The log is of a version above those that are known here.
    Newer(i32, i32),
    /// The log is of a version below those that are written here.
    Older(i32, i32),
    /// A log that is to be taken over by this one comes too late.
    NotEmpty,
    /// The user lacks a right that a statement needs.
    Forbidden(&'static str, tokio_postgres::Error),
    /// Another transaction holds what a statement needs.
    Locked(&'static str),
    /// A rule of the table's, of which the server repeats the row: what it says without that.
    Rule(&'static str, String),
    /// The same, where a value has to be the only one.
    Twice(&'static str, String),
    /// A statement failed.
    Step(&'static str, tokio_postgres::Error),
    /// The runtime of a connection can't be made.
    Runtime(io::Error),
}

impl Trouble {
    /// What is wrong with a server.
    pub(crate) fn new(server: &Server, what: What) -> Self {
        Self {
            whose: server.whose,
            server: server.shown.clone(),
            what,
        }
    }

    /// What a failure to connect means.
    pub(crate) fn of_connecting(server: &Server, error: tokio_postgres::Error) -> Self {
        let code = error.code().cloned();
        let what = match code {
            Some(code) if is_passing(&code) => What::Away(error),
            Some(code) if code == SqlState::INVALID_CATALOG_NAME => What::NoDatabase(error),
            Some(_) => What::Denied(error),
            None if is_tls(&error) => What::Tls(error),
            // A password is asked for and there is none, or SCRAM was not what was said.
            None if error.to_string().starts_with("invalid configuration")
                || error.to_string().starts_with("authentication error") =>
            {
                What::Denied(error)
            }
            None => What::Away(error),
        };
        Self::new(server, what)
    }

    /// What a failed statement means.
    pub(crate) fn of_step(
        server: &Server,
        step: &'static str,
        error: tokio_postgres::Error,
    ) -> Self {
        let what = match error.code() {
            None => What::Away(error),
            Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => What::Locked(step),
            Some(code) if is_passing(code) => What::Away(error),
            Some(code) if *code == SqlState::UNDEFINED_TABLE && server.whose == "log" => {
                What::NoLog
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => What::Forbidden(step, error),
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => What::Twice(step, said(&error)),
            Some(code) if matches!(class(code), "22" | "23") => What::Rule(step, said(&error)),
            Some(code) if *code == SqlState::UNDEFINED_TABLE => What::NoTable,
            Some(_) => What::Step(step, error),
        };
        Self::new(server, what)
    }

    /// Whether it passes by itself: one waits and connects anew.
    #[must_use]
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self.what,
            What::Away(_) | What::Silent(..) | What::Exchanged | What::Locked(_) | What::Runtime(_)
        ) || self.is_refused()
    }

    /// Whether nobody can have anything done now, whatever it is.
    #[must_use]
    pub(crate) fn is_away(&self) -> bool {
        !self.is_refused()
    }

    /// Whether another transaction is in the way of it.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.what, What::Locked(_) | What::Silent(..))
    }

    /// Whether a statement failed by what it names: it is not there any more, or another one is changing it.
    #[must_use]
    pub(crate) fn is_of_what_was_there(&self) -> bool {
        matches!(self.what, What::NoLog | What::Step(..))
    }

    /// Whether it is of the statement and its rows: the connection goes on.
    #[must_use]
    pub(crate) fn is_of_the_statement(&self) -> bool {
        matches!(self.what, What::Locked(_)) || self.is_refused()
    }

    /// Whether a value has to be the only one, and is there already.
    #[must_use]
    pub(crate) fn is_twice(&self) -> bool {
        matches!(self.what, What::Twice(..))
    }

    /// Whether the server answered that it does not do what it was told.
    #[must_use]
    pub(crate) fn is_refused(&self) -> bool {
        matches!(
            self.what,
            What::Step(..) | What::Forbidden(..) | What::Rule(..) | What::Twice(..)
        )
    }

    /// Whether the log followed another server or database, so that a person decides where to begin.
    #[must_use]
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.what, What::Elsewhere)
    }

    /// The trouble of who finds that out.
    #[must_use]
    pub(crate) fn elsewhere(server: &Server) -> Self {
        Self::new(server, What::Elsewhere)
    }

    /// What an operator can do about it.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        let one = match self.whose {
            "outbox" => "an outbox",
            _ => "a log",
        };
        let hint = self.advice()?.replace("{whose}", self.whose);
        Some(hint.replace("{a}", one))
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match &self.what {
            What::Away(_) | What::Silent(..) => {
                "it is waited for; if it should be there, see [{whose}] url and the server's own log"
            }
            What::Denied(_) => {
                "see the user in [{whose}] url, [{whose}] password_file or PGPASSFILE, and the server's pg_hba.conf"
            }
            What::Tls(_) => {
                "the server needs a certificate for the host's name in [{whose}] url; ?sslrootcert=FILE names the \
                 authority that signed it"
            }
            What::Keys(_) => "see sslrootcert, sslcert and sslkey in [{whose}] url",
            What::NoDatabase(_) => {
                "correct the database's name in [{whose}] url, or make it: createdb"
            }
            What::Engine(_) => "{a} needs PostgreSQL 15 or newer",
            What::Encoding(_) => "{a} needs a database made with ENCODING 'UTF8'",
            What::Standby => {
                "name the primary in [{whose}] url; several hosts and target_session_attrs=read-write find it"
            }
            What::NoTable => {
                "put `webhooksd schema outbox --postgres` into the application's migrations, or pipe it to psql"
            }
            What::NoColumn(_) => {
                "`webhooksd schema outbox --postgres` prints the table that is expected"
            }
            What::NoRight => {
                "as the table's owner: GRANT SELECT, DELETE ON outbox TO the user of [{whose}] url"
            }
            What::NoLog => "the daemon makes it: `webhooksd run`",
            What::NoLogEither => {
                "give [log] url a database whose schema webhooksd is the log's alone; where there is none it is made"
            }
            What::Newer(..) => "run the version that wrote it, or a newer one",
            What::Older(..) => {
                "run `webhooksd migrate` once; nodes of the version before may go on meanwhile"
            }
            What::Forbidden(..) if self.whose == "log" => {
                "the user of [log] url owns the schema webhooksd: as the database's owner, GRANT CREATE ON DATABASE to \
                 it, or CREATE SCHEMA webhooksd AUTHORIZATION it"
            }
            What::Elsewhere => {
                "correct [{whose}] url; or say where to begin: `webhooksd start-from now`, `beginning`, an id or a time"
            }
            What::Restored => {
                "once, with the daemon stopped: UPDATE outbox SET xid = pg_current_xact_id(); then say where to begin by \
                 `webhooksd start-from`, a time or an id"
            }
            What::NotEmpty => {
                "another log is taken over by an empty one alone: name another database, or, where all that is in it \
                 may go, with every daemon of it stopped: DROP SCHEMA webhooksd CASCADE"
            }
            What::Forbidden(..) if self.whose == "outbox" => {
                "as the table's owner: GRANT SELECT, DELETE ON outbox TO the user of [{whose}] url; who adds events needs \
                 INSERT too, and USAGE ON SEQUENCE outbox_id"
            }
            What::Locked(_) => {
                "a transaction that is open has the same key, or the table for itself: see pg_stat_activity and pg_locks"
            }
            What::Exchanged
            | What::Forbidden(..)
            | What::Rule(..)
            | What::Twice(..)
            | What::Step(..)
            | What::Runtime(_) => return None,
        })
    }
}

/// The first two letters of a code.
fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

/// What the server says, without the details: these repeat the row.
fn said(error: &tokio_postgres::Error) -> String {
    let said = error.as_db_error().map(|error| error.message().to_owned());
    said.unwrap_or_default()
}

/// Too many connections, a server that starts or stops, one that was told to let go of us.
fn is_passing(code: &SqlState) -> bool {
    matches!(class(code), "08" | "53" | "57" | "58" | "40" | "55")
}

/// Whether the other side's certificate or its lack of TLS is what is wrong, and not the network.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    let mut lost = false;
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            lost = io.kind() != io::ErrorKind::InvalidData;
        }
        source = cause.source();
    }
    error
        .to_string()
        .starts_with("error performing TLS handshake")
        && !lost
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, server) = (self.whose, &self.server);
        match &self.what {
            What::Away(_) => write!(f, "the server of {whose} {server:?} is away"),
            What::Silent(step, patience) => write!(
                f,
                "{step} of {whose} {server:?}: no answer in {} s",
                patience.as_secs()
            ),
            What::Locked(step) => write!(
                f,
                "{step} of {whose} {server:?}: another transaction is in the way"
            ),
            What::Rule(step, said) | What::Twice(step, said) => {
                write!(f, "{step} of {whose} {server:?}: {said}")
            }
            What::Denied(_) => write!(f, "connect to {whose} {server:?}"),
            What::Tls(_) => write!(f, "secure the connection to {whose} {server:?}"),
            What::Keys(why) => write!(f, "secure the connection to {whose} {server:?}: {why}"),
            What::NoDatabase(_) => write!(f, "open {whose} {server:?}"),
            What::Engine(said) => write!(f, "{whose} {server:?} is on {said}"),
            What::Encoding(what) => {
                write!(f, "the database of {whose} {server:?} is encoded as {what}")
            }
            What::Standby => write!(f, "the server of {whose} {server:?} is a standby"),
            What::NoTable => write!(f, "{whose} {server:?} has no table \"outbox\""),
            What::NoColumn(column) => {
                write!(
                    f,
                    "the table of {whose} {server:?} has no column {column:?}"
                )
            }
            What::NoRight => write!(f, "this user may not read the table of {whose} {server:?}"),
            What::Exchanged => write!(f, "another server took over {whose} {server:?}"),
            What::Elsewhere => write!(
                f,
                "{whose} {server:?} is not in the database that the log followed"
            ),
            What::Restored => write!(
                f,
                "{whose} {server:?} has rows of another server's transactions: a dump was put back"
            ),
            What::NoLog => write!(f, "there is no log yet in {server:?}"),
            What::NoLogEither => write!(f, "the schema webhooksd of {server:?} is no log"),
            What::Newer(version, known) => write!(
                f,
                "the log in {server:?} is of version {version}, and this webhooksd knows none above {known}"
            ),
            What::Older(version, needed) => write!(
                f,
                "the log in {server:?} is of version {version}, and this webhooksd writes none below {needed}"
            ),
            What::NotEmpty => write!(f, "{whose} {server:?} is not empty"),
            What::Step(step, _) | What::Forbidden(step, _) => {
                write!(f, "{step} of {whose} {server:?}")
            }
            What::Runtime(_) => write!(f, "make a connection to {whose} {server:?}"),
        }
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.what {
            What::Away(error)
            | What::Denied(error)
            | What::Tls(error)
            | What::NoDatabase(error)
            | What::Forbidden(_, error)
            | What::Step(_, error) => Some(error),
            What::Runtime(error) => Some(error),
            _ => None,
        }
    }
}
