//! One daemon for one log and for one outbox: locks on files beside them.
//!
//! The lock is the kernel's (flock), so it ends with the process however that ends; the log's file stays
//! and says the process id of the last holder, the outbox's goes with a clean end. It is a file of its own because opening a database by
//! other means than SQLite would drop SQLite's locks on it. It is found from another container that
//! has the same folder; not from another machine, nor where the folder can't be written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat};
use rustix::io::Errno;

use super::Error;
use crate::{outbox, store};

/// What the file of an outbox's lock is called, behind the outbox.
const OF_OUTBOX: &str = ".webhooksd.lock";

/// How long a look may hold the lock, and how many of them are waited for.
const A_LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 3;

/// The outbox's folder is the application's, who may put a link there to a file of the daemon's, which
/// would be emptied, or a pipe, which would be waited for.
const GUARDED: i32 = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// How often a lock is taken anew on a file that its last holder took away meanwhile.
const ANEW: u32 = 8;

/// The longest process id, and more.
const PID_BYTES: u64 = 32;

/// The lock, as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// What is taken away again, while the lock still holds: the folder is the application's.
    ours: Option<PathBuf>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Another one may be in its place by now, which is somebody else's.
        if let Some(path) = self.ours.as_ref().filter(|path| is_at(&self.file, path)) {
            // One that stays is used again.
            std::fs::remove_file(path).ok();
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// Another process has it, of that id.
    Held(Option<u32>),
    /// The file can't be made or locked.
    Failed(io::Error),
}

impl Lock {
    /// Takes the lock of a log, which must have one name only: others would have locks of their own.
    ///
    /// # Errors
    /// Another process has it, or the file can't be made.
    pub(crate) fn take(log: &Path) -> Result<Self, Error> {
        if let Some(how) = outbox::other_name(log) {
            let log = log.to_owned();
            return Err(Error::OtherName { log, how });
        }
        store::is_plain(log).map_err(Error::Store)?;
        let path = beside(log, ".lock");
        Self::of(&path, 0o660).map_err(|error| match error {
            Taken::Held(pid) => Error::Held {
                log: log.to_owned(),
                pid,
            },
            Taken::Failed(source) => Error::Lock { path, source },
        })
    }

    /// Takes the lock of an outbox, so that no second daemon with a log of its own sends the same
    /// events. A lock on the database itself would be in its application's way; the file beside it is
    /// nobody's concern. It can't be made in a folder that this user may not write or beside one that
    /// another user made: then a second daemon is not noticed, which the journal says.
    pub(super) fn of_outbox(outbox: &Path) -> Result<Self, Taken> {
        // Whatever link leads to it.
        let real = std::fs::canonicalize(outbox).unwrap_or_else(|_| outbox.to_owned());
        let path = place_of(&real);
        // Who may write the outbox may lock it, and nobody else.
        let writers = std::fs::metadata(&real).map_or(0, |file| file.mode() & 0o022);
        let mut lock = Self::of(&path, 0o600 | writers | writers << 1)?;
        lock.ours = Some(path);
        Ok(lock)
    }

    /// Whether it is the lock that others would meet there: its file may have been removed, or come
    /// there with its folder.
    pub(super) fn is_of(&mut self, place: &Path) -> bool {
        let is = is_at(&self.file, place);
        if is && self.ours.as_deref() != Some(place) {
            self.ours = Some(place.to_owned());
        }
        is
    }

    fn of(path: &Path, mode: u32) -> Result<Self, Taken> {
        let mut file = Self::lock(path, mode)?;
        let mut tries = 0;
        // The one before may have taken its file away between our opening it and our lock.
        while !is_at(&file, path) {
            tries += 1;
            if tries > ANEW {
                let error = io::Error::other("it is taken away again and again");
                return Err(Taken::Failed(error));
            }
            file = Self::lock(path, mode)?;
        }
        file.set_len(0).map_err(Taken::Failed)?;
        // On a disk that is full the lock holds as well without the number.
        match writeln!(file, "{}", std::process::id()) {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                return Err(Taken::Failed(error));
            }
            _ => {}
        }
        Ok(Self { file, ours: None })
    }

    fn lock(path: &Path, mode: u32) -> Result<File, Taken> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(GUARDED)
            .open(path)
            .map_err(Taken::Failed)?;
        is_a_lock(&file).map_err(Taken::Failed)?;
        // Whatever the umask: the service and a person of its group both take the lock. Only the
        // owner may change the mode; for the others it is as the owner made it.
        let mode = rustix::fs::Mode::from_raw_mode(mode);
        rustix::fs::fchmod(&file, mode)
            .or_else(|error| {
                if error == Errno::PERM {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|error| Taken::Failed(error.into()))?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Taken::Held(holder(&mut file))),
            Err(TryLockError::Error(source)) => return Err(Taken::Failed(source)),
        }
        Ok(file)
    }
}

/// Whether a daemon holds the lock of a log; which process it is, 0 where that can't be read. Nothing is
/// made, and nothing is kept.
pub(super) fn of_log(log: &Path) -> Option<u32> {
    look(&beside(log, ".lock"))
}

/// Whether a file of that name is an outbox's lock.
pub(super) fn is_of_outbox(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(OF_OUTBOX.as_bytes())
}

/// The file of the lock of an outbox, whose path is one without links.
pub(super) fn place_of(real: &Path) -> PathBuf {
    beside(real, OF_OUTBOX)
}

/// The same of an outbox.
pub(super) fn of_outbox(outbox: &Path) -> Option<u32> {
    let real = std::fs::canonicalize(outbox).unwrap_or_else(|_| outbox.to_owned());
    look(&beside(&real, OF_OUTBOX))
}

fn look(path: &Path) -> Option<u32> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).custom_flags(GUARDED).open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut file).unwrap_or(0)),
        _ => None,
    }
}

/// Whether the file of a log's lock can be opened, where there is one.
pub(super) fn may_open(log: &Path) -> Result<(), Error> {
    let path = beside(log, ".lock");
    let source: io::Error = match std::fs::metadata(&path) {
        Ok(data) if data.is_dir() => Errno::ISDIR.into(),
        Ok(data) if !is_one(&data) => io::Error::other(NOT_ONE),
        Ok(_) => match accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(()),
            Err(error) => error.into(),
        },
        // Its folder is the log's, which is looked at too.
        Err(_) => return Ok(()),
    };
    Err(Error::Lock { path, source })
}

/// What a start says that can't make the lock of a log.
pub(super) fn failed(log: &Path, source: io::Error) -> Error {
    let path = beside(log, ".lock");
    Error::Lock { path, source }
}

/// Takes the lock; who only looks whether somebody has it is in the way for a moment.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(A_LOOK),
            other => return other,
        }
    }
    file.try_lock()
}

/// Whether that file is still the one under the path.
fn is_at(file: &File, path: &Path) -> bool {
    let of = |data: std::fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(file), Ok(there)) => of(file) == of(there),
        _ => false,
    }
}

/// Whether it is a file that a lock may be, and no other name of another one.
fn is_a_lock(file: &File) -> io::Result<()> {
    if is_one(&file.metadata()?) {
        return Ok(());
    }
    Err(io::Error::other(NOT_ONE))
}

fn is_one(data: &std::fs::Metadata) -> bool {
    data.is_file() && data.nlink() <= 1
}

const NOT_ONE: &str = "it is no plain file with one name";

/// The process that wrote its number into the file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let read = file.take(PID_BYTES).read_to_string(&mut text);
    read.ok().and_then(|_| text.trim().parse().ok())
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_second_is_told_the_first_ones_process() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        let first = Lock::take(&log).unwrap();
        match Lock::take(&log) {
            Err(Error::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        assert_eq!(of_log(&log), Some(std::process::id()));
        drop(first);
        assert_eq!(of_log(&log), None);
        Lock::take(&log).unwrap();
        assert_eq!(of_log(&folder.path().join("none.db")), None);
    }

    #[test]
    fn an_outbox_has_one_daemon_whatever_link_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        std::fs::write(&path, "").unwrap();
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (mode, expected) in [(0o644, 0o600), (0o664, 0o660), (0o666, 0o666)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let held = Lock::of_outbox(&link).unwrap();
            let lock = std::fs::metadata(folder.path().join("app.db.webhooksd.lock")).unwrap();
            assert_eq!(lock.mode() & 0o777, expected, "{mode:o}");
            drop(held);
            assert!(!beside(&path, OF_OUTBOX).exists(), "the folder is not ours");
        }
        let first = Lock::of_outbox(&link).unwrap();
        let error = Lock::of_outbox(&path).unwrap_err();
        assert!(matches!(error, Taken::Held(Some(_))));
        drop(first);
        Lock::of_outbox(&path).unwrap();
        let nowhere = folder.path().join("none/app.db");
        assert!(matches!(Lock::of_outbox(&nowhere), Err(Taken::Failed(_))));
    }

    #[test]
    fn what_somebody_put_in_the_locks_place_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("app.db"), folder.path().join("victim"));
        let lock = beside(&path, OF_OUTBOX);
        std::fs::write(&path, "").unwrap();
        std::fs::write(&victim, "precious").unwrap();
        std::fs::set_permissions(&victim, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&victim, &lock).unwrap();
        assert!(matches!(Lock::of_outbox(&path), Err(Taken::Failed(_))));
        std::fs::remove_file(&lock).unwrap();
        std::fs::hard_link(&victim, &lock).unwrap();
        assert!(matches!(Lock::of_outbox(&path), Err(Taken::Failed(_))));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        let mode = std::fs::metadata(&victim).unwrap().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(of_outbox(&path), None);
    }

    /// Each takes the file away as it ends, and nobody holds a lock on a file that nobody finds.
    #[test]
    fn of_many_one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        std::fs::write(&path, "").unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(lock) = Lock::of_outbox(&path) {
                            assert_eq!(inside.fetch_add(1, order), 0, "two have it");
                            inside.fetch_sub(1, order);
                            drop(lock);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_log_with_two_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.db");
        std::fs::write(&log, "").unwrap();
        std::fs::hard_link(&log, folder.path().join("copy.db")).unwrap();
        let error = Lock::take(&log).unwrap_err();
        assert!(matches!(error, Error::OtherName { .. }), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
