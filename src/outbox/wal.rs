//! What webhooksd may do in a WAL (write-ahead log) that is the application's too: who copies it into
//! the file, and who makes it start over.
//!
//! SQLite 3.7.0 to 3.51.2, which the application may well have, can lose commits where a checkpoint
//! begins just as a commit of another connection makes the WAL start over: the checkpoint then writes
//! down that pages were copied which never were, and a later one leaves them out
//! (<https://sqlite.org/wal.html#walresetbug>). The fault is the checkpoint's, and ours is mended, so
//! ours are safe beside anybody's. Against theirs:
//!
//! - A commit of ours makes the WAL start over only while we hold the checkpoint lock: no checkpoint
//!   of anybody's is under way then, and none can begin.
//! - No connection of ours checkpoints after a commit as SQLite does by itself: that is left to the
//!   application. Only a WAL that nobody copies is copied here, when it is long or left alone.
//! - That is PASSIVE: it waits for nobody, nobody waits for it, and the WAL keeps its length.
//!
//! What an application's own connections do to each other stays its own affair.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle, Transaction, TransactionBehavior, ffi};

use super::{Error, connect};
use crate::model::Vfs;

/// A WAL of which so much is not in the file yet, 16 MiB of common pages, is copied after a commit of
/// ours. It is four times what an application's SQLite begins at by itself, so that it goes first.
const LONG_PAGES: i64 = 4_000;

/// The WAL's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// Pages in it since it last started over; 0 where there is no WAL.
    pages: i64,
    /// Those of them that are not in the file yet.
    left: i64,
}

/// A connection beside one that writes, which holds the checkpoint lock for it where that is needed.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    vfs: Vfs,
    /// `None` while a thread has it.
    connection: Option<Connection>,
    holding: Option<Holding>,
    /// The WAL was long when the last transaction began.
    long: bool,
}

/// The thread that holds the checkpoint lock until it is released.
///
/// SQLite has no call that takes the lock alone. A checkpoint of the kind that waits for writers takes
/// it first, and then asks the busy handler whether to wait for the writer, which is our own
/// transaction: the handler is where we stay. The checkpoint then gives up waiting, and is interrupted
/// before it copies what was just committed: else each commit would make the WAL start over.
struct Holding {
    release: SyncSender<()>,
    interrupt: InterruptHandle,
    thread: JoinHandle<Connection>,
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").finish_non_exhaustive()
    }
}

impl Keeper {
    /// For the database at `path`.
    pub(super) fn open(path: &Path, vfs: Vfs) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            vfs,
            connection: Some(open(path, vfs)?),
            holding: None,
            long: false,
        })
    }

    /// Begins a transaction of `writer` that writes. Where its first page would make the WAL start
    /// over, nobody can checkpoint from here to [`release`](Self::release), which comes after the
    /// commit.
    ///
    /// # Errors
    ///
    /// A busy one where another connection writes, or checkpoints, for so many tries 1 ms apart.
    pub(super) fn begin<'writer>(
        &mut self,
        writer: &'writer Connection,
        tries: u32,
    ) -> rusqlite::Result<Transaction<'writer>> {
        self.release();
        for _ in 0..tries {
            let begun = Transaction::new_unchecked(writer, TransactionBehavior::Immediate)?;
            if self.hold_if_needed()? {
                return Ok(begun);
            }
            // The checkpoint may wait for this very transaction.
            drop(begun);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Err(failure(ffi::SQLITE_BUSY))
    }

    /// Gives the checkpoint lock back, where it is held.
    pub(super) fn release(&mut self) {
        if let Some(holding) = self.holding.take() {
            holding.interrupt.interrupt();
            drop(holding.release);
            self.connection = holding.thread.join().ok();
        }
    }

    /// Whether no checkpoint can begin now, or none matters.
    ///
    /// Exact, since nobody else can commit meanwhile: a WAL of which something is left now was not
    /// whole in the file when the transaction began, and then SQLite does not let it start over.
    fn hold_if_needed(&mut self) -> rusqlite::Result<bool> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open(&self.path, self.vfs)
                .map_err(|_lost_with_its_thread| failure(ffi::SQLITE_CANTOPEN))?,
        };
        let state = state(self.connection.insert(connection))?;
        self.long = state.left >= LONG_PAGES;
        Ok(state.pages == 0 || state.left > 0 || self.hold()?)
    }

    /// Takes the checkpoint lock; false where somebody else has it.
    fn hold(&mut self) -> rusqlite::Result<bool> {
        let Some(mut connection) = self.connection.take() else {
            return Ok(false);
        };
        let (held, is_held) = sync_channel(1);
        let (release, released) = sync_channel(0);
        connection.busy_handler(Some(stay(held, released)))?;
        let interrupt = connection.get_interrupt_handle();
        let thread = std::thread::Builder::new()
            .name("outbox-wal".into())
            .spawn(move || {
                // It never ends well: it gives up, is interrupted, or somebody else has the lock.
                checkpoint(&connection, "PRAGMA main.wal_checkpoint(FULL)").ok();
                // What waits for the handler learns by its end that the lock was not to be had.
                connection.busy_handler(None::<fn(i32) -> bool>).ok();
                connection
            })
            .map_err(|_no_thread| failure(ffi::SQLITE_NOMEM))?;
        self.holding = Some(Holding {
            release,
            interrupt,
            thread,
        });
        let is_held = is_held.recv().is_ok();
        if !is_held {
            self.release();
        }
        Ok(is_held)
    }

    /// Copies the WAL where it was long when the last transaction began; to be called after the commit.
    pub(super) fn copy_if_long(&self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| self.long) {
            // What is not copied now is copied after the next commit, or by somebody else.
            passive(connection).ok();
        }
    }

    /// Lets the connection be closed without a checkpoint.
    pub(super) fn abandon(&self) {
        if let Some(connection) = &self.connection {
            let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            // It only ever fails for a wrong argument.
            drop(connection.set_db_config(config, true));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.release();
    }
}

/// The busy handler: says that the checkpoint lock is held, and stays until it is to be given back.
fn stay(held: SyncSender<()>, released: Receiver<()>) -> impl FnMut(i32) -> bool + Send + 'static {
    move |_times| {
        if held.send(()).is_ok() {
            // Nothing is ever sent: the other end is dropped.
            released.recv().ok();
        }
        false
    }
}

/// Copies what can be copied of the WAL into the file at `path`, waiting for nobody, and closes the
/// connection: where it was the last, the WAL goes with it. Says whether the file is whole.
///
/// # Errors
///
/// [`Error::Open`]: the file can't be opened for writing, or the WAL not be copied.
pub(crate) fn backfill(path: &Path) -> Result<bool, Error> {
    let open_error = |source| connect::open_error(path, source);
    if !wal_of(path).exists() {
        return Ok(true);
    }
    let connection = open(path, Vfs::default())?;
    connect::look(&connection).map_err(open_error)?;
    let state = passive(&connection).map_err(open_error)?;
    Ok(state.left == 0)
}

/// The WAL beside the file that `path` leads to.
pub(super) fn wal_of(path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut wal = real.into_os_string();
    wal.push("-wal");
    wal.into()
}

/// A connection that only copies, and waits for nobody.
fn open(path: &Path, vfs: Vfs) -> Result<Connection, Error> {
    let connection = connect::to_write(path, vfs)?;
    connection
        .busy_timeout(Duration::ZERO)
        .map_err(|source| connect::open_error(path, source))?;
    Ok(connection)
}

fn state(connection: &Connection) -> rusqlite::Result<State> {
    let state = |connection| checkpoint(connection, "PRAGMA main.wal_checkpoint(NOOP)");
    match state(connection)? {
        Some(state) => Ok(state),
        // It may be that this connection has read nothing yet, and so knows of no WAL.
        None => {
            connect::look(connection)?;
            Ok(state(connection)?.unwrap_or(State { pages: 0, left: 0 }))
        }
    }
}

fn passive(connection: &Connection) -> rusqlite::Result<State> {
    let state = checkpoint(connection, "PRAGMA main.wal_checkpoint(PASSIVE)")?;
    // Somebody else is copying: what is left isn't told.
    Ok(state.unwrap_or(State { pages: 1, left: 1 }))
}

/// `None` where it knows of no WAL, or somebody else has the checkpoint lock.
fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<Option<State>> {
    let mut statement = connection.prepare_cached(pragma)?;
    // A row of busy, pages, copied pages.
    let (pages, copied): (i64, i64) =
        statement.query_row((), |row| Ok((row.get(1)?, row.get(2)?)))?;
    // An old SQLite's fault can leave more copied than there is: nothing is left then either.
    let left = (pages - copied).max(0);
    Ok((pages >= 0).then_some(State { pages, left }))
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
