//! The kinds of trouble, with what a server or the client says of each.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::model::chain;

/// What it was.
#[derive(Debug)]
pub(crate) enum What {
    /// Nobody answers, or the connection was lost.
    Away(Cause),
    /// No answer came in time.
    Silent(&'static str, Duration),
    /// No connection is free, for this user or at all.
    Crowded(Cause),
    /// The user, its password or its certificate is not taken.
    Denied(Cause),
    /// No TLS is spoken, or not as it is wanted.
    Tls(Cause),
    /// The server's certificate is not accepted.
    Certificate(Unaccepted),
    /// What TLS needs can't be used.
    Keys(String),
    /// The database is not there.
    NoDatabase(Cause),
    /// Something that is no PostgreSQL, or too old a one; what it says of itself.
    Engine(String),
    /// The database's text is not UTF-8; what it is.
    Encoding(String),
    /// A standby, which gives no transaction a number.
    Standby,
    /// Nothing may be written: by a standby, or by how the user or the database is set.
    ReadOnly(&'static str),
    /// There is no table `outbox`.
    NoTable,
    /// The table lacks a column.
    NoColumn(&'static str),
    /// The user may not read the table.
    NoRight,
    /// Another server answers than the one that was connected to.
    Exchanged,
    /// This node's row of the log is not as it left it: it was taken for dead, or a server took over that lacks its last
    /// commits.
    Unknown,
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
    Forbidden(&'static str, Cause),
    /// The user may not do that with what is named: what a look at its rights finds.
    Lacks(&'static str),
    /// Single rights to what is named, which such a look finds to be missing.
    Withheld(String),
    /// Another transaction holds what a statement needs; whose, where that was asked.
    Locked(&'static str, Option<String>),
    /// Another transaction has changed the same meanwhile.
    Raced(&'static str),
    /// The server's disk has no room.
    Full(&'static str, Cause),
    /// A statement was ended by the server, for the time that it took.
    Ended(&'static str, Cause),
    /// A rule of the table's, of which the server repeats the row: what it says without that.
    Rule(&'static str, String),
    /// The same, where a value has to be the only one.
    Twice(&'static str, String),
    /// A statement failed.
    Step(&'static str, Cause),
    /// The runtime of a connection can't be made.
    Runtime(io::Error),
}

/// What the server or the client says, on one line and without a server's details: these repeat rows.
#[derive(Debug)]
pub(crate) struct Cause(String);

impl Cause {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self(chain(error));
        };
        let mut text = said.message().to_owned();
        // What hangs on a table is no row.
        if let (Some("2B"), Some(detail)) = (said.code().code().get(..2), said.detail()) {
            text = format!("{text}: {}", detail.replace('\n', "; "));
        }
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// Why a server's certificate is not accepted.
#[derive(Debug)]
pub(crate) enum Unaccepted {
    /// Its time is over, so many seconds ago.
    Expired(Option<u64>),
    /// Its time begins in so many seconds.
    NotYet(Option<u64>),
    /// It is of other names than the host's; these.
    Name(Vec<String>),
    /// Nobody that is trusted has signed it.
    Issuer,
    /// Anything else.
    Other(String),
}
