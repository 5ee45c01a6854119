//! Reads a log in PostgreSQL: one connection for each reader, one statement for each fact.
//!
//! A search looks through a bounded number of rows and says where it stopped, as in SQLite, and nothing is counted over
//! a table. Where an answer takes several statements, each sees what is committed when it begins.

mod answers;
mod attempts;
mod deliveries;
mod health;
mod nodes;
mod orders;
mod turns;

pub(super) use health::{PAUSES, pause};
pub(super) use orders::{REPLAY, replay};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::model::Server;
use crate::postgres::{Link, Trouble, Value};
use crate::store::Error;
use crate::store::read::Count;

/// Pending deliveries are counted up to so many.
const COUNTED: i64 = 100_000;

/// What waits for its turn is counted up to so many.
const HELD_COUNTED: i64 = 10_000;

/// A server of which a daemon says that it does not answer is given up after so long.
const PROMPT: Duration = Duration::from_secs(5);

/// A connection that reads.
pub(crate) struct Reader {
    link: Link,
}

/// A column, or why it can't be read.
type Read<T> = Result<T, tokio_postgres::Error>;

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("server", &self.link.server.shown)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Connects.
    ///
    /// # Errors
    /// The server is away, or does not take the user.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, Error> {
        let link = Link::open(server).map_err(Error::Server)?;
        Ok(Self { link })
    }

    /// Whether the server takes a connection, for who does not wait for it as long as [`Reader::open`] does.
    ///
    /// # Errors
    /// It does not, or not in time.
    pub(crate) fn meet(server: &Arc<Server>) -> Result<(), Error> {
        Link::within(server, PROMPT)
            .map(drop)
            .map_err(Error::Server)
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// What a statement finds.
    fn all<T>(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.link.rows(step, sql, values).map_err(Error::Server)?;
        let read: Read<Vec<T>> = rows.iter().map(of).collect();
        read.map_err(|error| Error::Server(Trouble::of_step(&self.link.server, step, error)))
    }

    /// The first row that a statement finds.
    fn first<T>(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
        of: impl Fn(&Row) -> Read<T>,
    ) -> Result<Option<T>, Error> {
        Ok(self.all(step, sql, values, of)?.into_iter().next())
    }

    /// The one value of a statement that has one.
    fn value<T: for<'r> FromSql<'r> + Default>(
        &self,
        step: &'static str,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<T, Error> {
        let found = self.first(step, sql, values, |row| row.try_get(0))?;
        Ok(found.unwrap_or_default())
    }
}

fn int(value: &i64) -> Value<'_> {
    (value, Type::INT8)
}

fn word<'v>(value: &'v &str) -> Value<'v> {
    (value, Type::TEXT)
}

/// Out of what a query counted that looked at one more than the limit.
fn up_to(limit: i64, counted: i64) -> Count {
    Count {
        count: counted.min(limit),
        more: counted > limit,
    }
}
