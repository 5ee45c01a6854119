//! What can go wrong with an outbox or a log in PostgreSQL: what passes by itself, and what a person has to mend.
//!
//! A server that is away, starts, stops or has no room is waited for. Who is refused, or connected to what is no outbox,
//! needs somebody: [`Trouble::hint`] says what to do. No password and no text of an event is in any of it. Left out:
//! what an error of the client or a code of the server means (`kind`), the kinds that there are (`what`), and what people
//! read of it (`words`).

mod kind;
mod what;
mod words;

use std::error::Error;

use crate::model::Server;
pub(crate) use what::{Unaccepted, What};

/// A step that failed, with its server.
#[derive(Debug)]
pub struct Trouble {
    /// What is there: `outbox` or `log`.
    whose: &'static str,
    /// The URL, as it may be shown.
    server: String,
    what: What,
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
        Self::new(server, kind::of_connecting(error))
    }

    /// What a failed statement means.
    pub(crate) fn of_step(
        server: &Server,
        step: &'static str,
        error: tokio_postgres::Error,
    ) -> Self {
        Self::new(server, kind::of_step(step, error, server.whose))
    }

    /// Whether it passes by itself: one waits and connects anew. What is refused may be so by a person's doing, who
    /// undoes it.
    #[must_use]
    pub(crate) fn may_pass(&self) -> bool {
        self.is_waited_for() || self.is_refused()
    }

    /// Whether a start waits for it, however long: nobody has to change what it was told or may do.
    #[must_use]
    pub(crate) fn is_waited_for(&self) -> bool {
        matches!(
            self.what,
            What::Away(_)
                | What::Silent(..)
                | What::Crowded(_)
                | What::Exchanged
                | What::Unknown
                | What::Locked(..)
                | What::Raced(_)
                | What::Full(..)
                | What::Ended(..)
                | What::Runtime(_)
        )
    }

    /// Whether it is the user's rights, or how it is set: where that is so at a start, a person has to see to it.
    #[must_use]
    pub(crate) fn is_of_rights(&self) -> bool {
        matches!(
            self.what,
            What::Forbidden(..) | What::Lacks(_) | What::Withheld(_) | What::ReadOnly(_)
        )
    }

    /// Whether nobody can have anything done now, whatever it is.
    #[must_use]
    pub(crate) fn is_away(&self) -> bool {
        !matches!(
            self.what,
            What::Step(..) | What::Forbidden(..) | What::Rule(..) | What::Twice(..)
        )
    }

    /// Whether another transaction is in the way of it.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(
            self.what,
            What::Locked(..) | What::Raced(_) | What::Silent(..)
        )
    }

    /// Whether a statement failed by what it names: it is not there any more, or another one is changing it.
    #[must_use]
    pub(crate) fn is_of_what_was_there(&self) -> bool {
        matches!(self.what, What::NoLog | What::Step(..))
    }

    /// Whether it is of the statement and its rows: the connection goes on.
    #[must_use]
    pub(crate) fn is_of_the_statement(&self) -> bool {
        matches!(self.what, What::Locked(..) | What::Raced(_)) || self.is_refused()
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
            What::Step(..)
                | What::Forbidden(..)
                | What::Lacks(_)
                | What::Withheld(_)
                | What::Rule(..)
                | What::Twice(..)
                | What::ReadOnly(_)
                | What::Full(..)
                | What::Ended(..)
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
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.what {
            What::Away(cause)
            | What::Crowded(cause)
            | What::Denied(cause)
            | What::Tls(cause)
            | What::NoDatabase(cause)
            | What::Forbidden(_, cause)
            | What::Full(_, cause)
            | What::Ended(_, cause)
            | What::Step(_, cause) => Some(cause),
            What::Certificate(unaccepted) => Some(unaccepted),
            What::Runtime(error) => Some(error),
            _ => None,
        }
    }
}
