//! Which process the daemon is, where it can't be asked: the one that holds its lock.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The file that the daemon of a configuration holds a lock on for as long as its process lives: beside a log in a file,
/// and for one in PostgreSQL beside the socket.
pub(super) fn lock_of(config: &Config) -> Option<PathBuf> {
    let socket = config.socket.as_ref().map(|socket| &*socket.path);
    let (place, ending) = match config.log.place.file() {
        Some(log) => (log, ".lock"),
        None => (socket?, ".node"),
    };
    let mut path = place.as_os_str().to_owned();
    path.push(ending);
    Some(path.into())
}

/// The process of the daemon, where it is known.
pub(crate) fn holder(config: &Config) -> Option<u32> {
    held_by(&lock_of(config)?)
}

/// The process that holds a lock, by the kernel's own list: the lock file is not opened.
pub(super) fn held_by(lock: &Path) -> Option<u32> {
    let inode = std::fs::metadata(lock).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4242 08:01:131077 0 EOF
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let kind = words.next()?;
        let pid = words.nth(2)?.parse().ok()?;
        let place: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (kind == "FLOCK" && place == inode).then_some(pid)
    })
}
