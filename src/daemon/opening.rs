//! Opening the outbox: now, or once the application has made it.
//!
//! A missing outbox is made where it would be webhooksd's own: in the folder of the log, or in the
//! state folder that the service manager names, and while the log has taken no event of one: else it is
//! lost, or its path a slip of the keys, and an empty one would hide that. Anywhere else, and wherever a file is there already,
//! it is an application's, and is waited for: the file and the table are for the application to make.
//! An outbox is followed by one daemon only; the lock is on a file beside it, taken before it is read.

use std::path::{Path, PathBuf};

use super::claim::Claim;
use crate::config::Config;
use crate::model::{Cursor, EventId, Generation};
use crate::outbox::{self, Tail};
use crate::pipeline::{self, IntakeError, Resume};
use crate::store::{self, LogWriter};

/// Where the service manager has the service keep its files (`systemd.exec(5)`).
const STATE_FOLDERS: &str = "STATE_DIRECTORY";

/// Makes a missing outbox where it would be webhooksd's own, and says whether it did.
///
/// # Errors
/// It can't be made.
pub(crate) fn make_own_outbox(config: &Config) -> Result<bool, outbox::Error> {
    if owns_outbox(config) && !(is_missing(config) && may_have_taken(config)) {
        outbox::create_if_missing(&config.outbox.path)
    } else {
        Ok(false)
    }
}

/// Whether a start would make the outbox.
#[must_use]
pub(crate) fn makes_outbox(config: &Config) -> bool {
    is_missing(config) && owns_outbox(config) && !may_have_taken(config)
}

fn is_missing(config: &Config) -> bool {
    if config.outbox.server.is_some() {
        return false;
    }
    std::fs::symlink_metadata(&config.outbox.path).is_err()
}

/// Whether the log has taken events of an outbox, as far as a look tells.
pub(super) fn has_taken(config: &Config) -> bool {
    looked(config).unwrap_or(false)
}

/// As [`has_taken`], but a log that can't be read may have.
fn may_have_taken(config: &Config) -> bool {
    looked(config).unwrap_or(true)
}

fn looked(config: &Config) -> Result<bool, store::Error> {
    // Of a log in PostgreSQL the outbox is there too, and nobody's to make.
    let Some(log) = config.log.place.file() else {
        return Ok(false);
    };
    Ok(match store::look(log)? {
        store::Look::Log(cursor) => cursor.is_some_and(|known| {
            (known.generation, known.event_id) != (Generation::FIRST, EventId::NONE)
        }),
        // There is one, and nobody knows better.
        store::Look::Closed => true,
        store::Look::New => false,
    })
}

/// Whether a missing outbox would be webhooksd's own.
#[must_use]
pub(crate) fn owns_outbox(config: &Config) -> bool {
    if config.outbox.server.is_some() {
        return false;
    }
    let folders = std::env::var_os(STATE_FOLDERS).unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    folders.retain(|folder| folder.is_absolute());
    let log = config.log.place.file();
    folders.extend(log.and_then(Path::parent).map(|folder| {
        if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        }
    }));
    outbox::is_own(&config.outbox.path, &folders)
}

/// Opens one outbox, as often as it takes.
#[derive(Clone)]
pub(super) struct Opening {
    config: Config,
    claim: Claim,
}

impl Opening {
    pub(super) fn new(config: &Config) -> Self {
        let mut config = config.clone();
        // What a reload replaces is not kept here.
        (config.webhooks, config.page) = (Vec::new(), None);
        Self {
            config,
            claim: Claim::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.config.outbox.path
    }

    /// The outbox, locked.
    pub(super) fn open(&self) -> Result<Tail, outbox::Error> {
        let path = &self.config.outbox.path;
        if make_own_outbox(&self.config)? {
            tracing::warn!(
                outbox = &*path.to_string_lossy(),
                "there was no outbox: an empty one was made"
            );
        }
        let tail = Tail::open(path, self.config.outbox.max_data_bytes)?;
        self.claim.hold(path)?;
        Ok(tail)
    }

    /// What keeps the outbox locked while it is followed.
    pub(super) fn keep(&self) -> pipeline::Claim {
        let (claim, path) = (self.claim.clone(), self.config.outbox.path.clone());
        Box::new(move || claim.hold(&path))
    }
}

/// Settles with the log where to go on.
pub(super) fn resolve_cursor(
    tail: &mut Tail,
    store: &mut dyn LogWriter,
    now_ms: i64,
) -> Result<Cursor, IntakeError> {
    let known = store.cursor().map_err(IntakeError::Store)?;
    let was = known
        .as_ref()
        .map_or(EventId::NONE, |cursor| cursor.event_id);
    let settled = pipeline::resolve_cursor(tail, known, now_ms)
        .map_err(IntakeError::Outbox)?
        .map_err(IntakeError::Refused)?;
    if !matches!(settled, Resume::Same(_)) {
        let cursor = settled.cursor();
        store
            .set_cursor(cursor, settled.known_ms(now_ms))
            .map_err(IntakeError::Store)?;
        pipeline::log_resume(&settled, was);
    }
    Ok(settled.cursor().clone())
}
