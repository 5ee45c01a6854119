//! What is wrong with an outbox, or will be: all of it at once, for `check`, the start and the health.
//!
//! A finding that is an error keeps `run` from following the outbox, or endangers events; the others
//! are worth somebody's time. Looking changes nothing and makes no file: not even a `-wal` or `-shm`,
//! which SQLite would make to read a database that is at rest.

use std::fmt;
use std::path::Path;

use rusqlite::Connection;

use super::connect::{self, open_error};
use super::definition::Definition;
use super::guards;
use super::{Error, other_name, table, traceless};

/// Something about an outbox that somebody should see to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it keeps events from being sent, or may.
    pub is_error: bool,
    /// What it is, with the file's name.
    pub text: String,
    /// What can be done about it: often SQL to run.
    pub hint: Option<String>,
}

impl Finding {
    /// What an error says, as a finding.
    #[must_use]
    pub fn of(error: &Error, is_error: bool) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        let hint = error.hint();
        Self {
            is_error,
            text,
            hint,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, ": {hint}"))
    }
}

/// Looks at the outbox at `path`. `is_made` says that `run` makes a missing one.
///
/// What `run` waits for is no error: no file, no table.
#[must_use]
pub(crate) fn inspect(path: &Path, is_made: bool) -> Vec<Finding> {
    match findings(path) {
        Ok(findings) => findings,
        Err(Error::Find { source, .. })
            if is_made && source.kind() == std::io::ErrorKind::NotFound =>
        {
            Vec::new()
        }
        Err(error) => vec![Finding::of(
            &error,
            !error.is_awaited() && !error.may_pass(),
        )],
    }
}

fn findings(path: &Path) -> Result<Vec<Finding>, Error> {
    connect::look_at_all(path)?;
    if let Some(how) = other_name(path) {
        let path = path.to_owned();
        return Err(Error::OtherName { path, how });
    }
    let Some(connection) = traceless::open(path)? else {
        return Ok(vec![Finding {
            is_error: false,
            text: format!(
                "the outbox {path:?} was not looked into: a crash left its -wal without its -shm, or a \
                 transaction half done"
            ),
            hint: Some("have the application open it once; a start does so, and finds out".into()),
        }]);
    };
    table::inspect(&connection, path)?;
    let definition = Definition::of(&connection).map_err(|source| open_error(path, source))?;
    of_guards(&connection, path, &definition)
}

/// The guards that are missing, as findings.
pub(super) fn of_guards(
    connection: &Connection,
    path: &Path,
    definition: &Definition,
) -> Result<Vec<Finding>, Error> {
    let missing = guards::missing(connection, definition)
        .map_err(|source| open_error(path, source))?
        .into_iter();
    let findings = missing.map(|missing| Finding {
        is_error: false,
        text: format!("the table of outbox {path:?} lacks {}", missing.guard),
        hint: Some(missing.sql),
    });
    Ok(findings.collect())
}
