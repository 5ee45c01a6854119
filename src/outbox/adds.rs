//! Adding events to an outbox, whatever engine has it.

use std::path::Path;
use std::sync::Arc;

use super::append::{AppendError, Appended, Appender, NewEvent};
use super::{Error, postgres};
use crate::model::Server;

/// A connection that adds events. What its calls promise is said of [`Appender`].
pub(crate) trait Adds {
    /// [`Appender::append`].
    fn append(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError>;

    /// [`Appender::append_all`].
    fn append_all(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError>;

    /// [`Appender::check`].
    fn check(&self, event: &NewEvent) -> Result<(), (&'static str, String)>;
}

/// Opens an outbox to add events: that of the server, or else the file.
///
/// # Errors
/// It can't be opened, or is none.
pub(crate) fn to_add(
    server: Option<&Arc<Server>>,
    path: &Path,
    max_data_bytes: usize,
) -> Result<Box<dyn Adds>, Error> {
    Ok(match server {
        Some(server) => Box::new(postgres::Appender::open(server, max_data_bytes)?),
        None => Box::new(Appender::open(path, max_data_bytes)?),
    })
}

impl Adds for Appender {
    fn append(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        Self::append(self, events)
    }

    fn append_all(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        Self::append_all(self, events)
    }

    fn check(&self, event: &NewEvent) -> Result<(), (&'static str, String)> {
        Self::check(self, event)
    }
}

impl Adds for postgres::Appender {
    fn append(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        self.add(events, false)
    }

    fn append_all(&mut self, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        self.add(events, true)
    }

    fn check(&self, event: &NewEvent) -> Result<(), (&'static str, String)> {
        Self::check(self, event)
    }
}
