//! One daemon for one log: a lock on a file beside it.
//!
//! The lock is the kernel's (flock), so it ends with the process however that ends; the file stays
//! and says the process id of the last holder. It is a file of its own because opening the log by
//! other means than SQLite would drop SQLite's locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Error;

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
        let mut path = log.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
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
                if error == rustix::io::Errno::PERM {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|error| failed(error.into()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(Error::Held {
                    log: log.to_owned(),
                    pid,
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
        drop(first);
        Lock::take(&log).unwrap();
    }
}
