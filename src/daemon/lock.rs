//! One daemon for one log: a lock on a file beside it.
//!
//! The lock is the kernel's (flock), so it ends with the process however that ends; the file stays
//! and says the process id of the last holder. It is a file of its own because opening the log by
//! other means than SQLite would drop SQLite's locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::Error;

/// How long a look may hold the lock, and how many of them are waited for.
const A_LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 3;

/// The lock, as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a log.
    ///
    /// # Errors
    /// Another process has it, or the file can't be made.
    pub fn take(log: &Path) -> Result<Self, Error> {
        let path = beside(log);
        let failed = |source| Error::Lock {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .open(&path)
            .map_err(failed)?;
        // Whatever the umask: the service and a person of its group both take the lock. Only the
        // owner may change the mode; for the others it is as the owner made it.
        let mode = rustix::fs::Mode::from_raw_mode(0o660);
        rustix::fs::fchmod(&file, mode)
            .or_else(|error| {
                if error == Errno::PERM {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|error| failed(error.into()))?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Held {
                    log: log.to_owned(),
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        // On a disk that is full the lock holds as well without the number.
        match writeln!(file, "{}", std::process::id()) {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(failed(error)),
            _ => {}
        }
        Ok(Self { _file: file })
    }
}

/// Whether a daemon holds the lock of a log; which process it is, 0 where that can't be read. Nothing is
/// made, and nothing is kept.
pub(super) fn look(log: &Path) -> Option<u32> {
    let mut file = File::open(beside(log)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut file).unwrap_or(0)),
        _ => None,
    }
}

/// Whether the file of a log's lock can be opened, where there is one.
pub(super) fn may_open(log: &Path) -> Result<(), Error> {
    let path = beside(log);
    let source: io::Error = match std::fs::metadata(&path) {
        Ok(data) if data.is_dir() => Errno::ISDIR.into(),
        Ok(_) => match accessat(CWD, &path, Access::WRITE_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(()),
            Err(error) => error.into(),
        },
        // Its folder is the log's, which is looked at too.
        Err(_) => return Ok(()),
    };
    Err(Error::Lock { path, source })
}

/// Takes the lock; who only looks whether somebody has it is in the way for a moment.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(A_LOOK),
            other => return other,
        }
    }
    file.try_lock()
}

fn beside(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

/// The process that wrote its number into the file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    read.ok().and_then(|_| text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(look(&log), Some(std::process::id()));
        drop(first);
        assert_eq!(look(&log), None);
        Lock::take(&log).unwrap();
        assert_eq!(look(&folder.path().join("none.db")), None);
    }
}
