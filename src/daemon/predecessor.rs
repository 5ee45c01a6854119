//! The run before this one, where it ended without leaving: its part of a shared log is taken over at once.
//!
//! Another node waits for the time of a lease until it takes one for dead that says nothing. On this machine more can be
//! known. A file beside the socket names the row that a process has in the log, and the process holds a lock on that file
//! (flock) until the kernel has ended it: who gets the lock and reads a row there knows that nobody goes on by it. No name
//! is trusted, nor that a path is the same: the file says of which boot of which machine it is, and of which file, so that
//! a copy, an image of a container or a folder of another machine's says nothing. Left out: what such a row means to
//! others (`pipeline/nodes`).

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::store::NodeId;

/// A boot of a kernel; no two have the same.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// More than a file of ours has.
const MOST_BYTES: u64 = 1_024;

/// Nobody puts a link there to a file that would be written over, or a pipe.
const GUARDED: i32 = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// The file, locked until the process has ended: closing it would let go of the lock.
#[derive(Debug)]
pub(super) struct Successor {
    file: ManuallyDrop<File>,
    path: PathBuf,
    here: String,
}

impl Successor {
    /// Takes the file beside a socket, and reads which row nobody goes on by. `None`: nothing can be known here, for the
    /// folder can't be written or another process has the file.
    pub(super) fn of(socket: &Path) -> Option<(Self, Option<NodeId>)> {
        let mut path = OsString::from(socket);
        path.push(".node");
        Self::at(path.into(), &std::fs::read_to_string(BOOT).ok()?)
    }

    fn at(path: PathBuf, boot: &str) -> Option<(Self, Option<NodeId>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(GUARDED)
            .open(&path)
            .ok()?;
        file.try_lock().ok()?;
        // One that was taken away or put in its place meanwhile is another's.
        if !is_at(&file, &path) {
            return None;
        }
        let made = file.metadata().ok()?;
        let here = format!("{} {} {}", boot.trim(), made.dev(), made.ino());
        let mut text = String::new();
        (&mut file).take(MOST_BYTES).read_to_string(&mut text).ok();
        let ended = text
            .strip_prefix(&*here)
            .and_then(|rest| rest.strip_prefix('\n'))
            .and_then(|rest| rest.strip_suffix('\n'))
            .filter(|id| !id.is_empty())
            .map(NodeId::from);
        let file = ManuallyDrop::new(file);
        Some((Self { file, path, here }, ended))
    }

    /// A clean stop leaves no file; the lock stays.
    pub(super) fn leave(&self) {
        if is_at(&self.file, &self.path) {
            std::fs::remove_file(&self.path).ok();
        }
    }

    /// Names the row of this process.
    pub(super) fn name(&mut self, id: &NodeId) {
        let text = format!("{}\n{id}\n", self.here);
        let file = &mut *self.file;
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        // Half of it names nothing, and the next one waits.
        written.ok();
    }
}

/// Whether a file is the one at that path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |data: std::fs::Metadata| (data.dev(), data.ino());
    let (open, there) = (file.metadata(), std::fs::symlink_metadata(path));
    open.ok().map(identity) == there.ok().map(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel does at a process's end.
    fn end(successor: Successor) {
        drop(ManuallyDrop::into_inner(successor.file));
    }

    fn named(path: &Path, boot: &str, id: &str) -> Successor {
        let (mut successor, _) = Successor::at(path.to_owned(), boot).unwrap();
        successor.name(&id.into());
        successor
    }

    #[test]
    fn the_row_of_a_process_that_has_ended_is_known_and_of_one_that_lives_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.node");
        let (first, before) = Successor::at(path.clone(), "boot").unwrap();
        assert_eq!(before, None);
        first.leave();
        assert!(!path.exists(), "a clean stop leaves nothing");
        let second = named(&path, "boot", "a-row");
        assert!(Successor::at(path.clone(), "boot").is_none(), "it lives");
        end(second);
        let (third, before) = Successor::at(path.clone(), "boot").unwrap();
        assert_eq!(before.as_deref(), Some("a-row"));
        // It has not said its own yet.
        end(third);
        assert!(Successor::at(path, "boot").is_some());
    }

    #[test]
    fn another_boot_a_copy_and_half_a_file_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        end(named(&at("a"), "boot", "a-row"));
        std::fs::copy(at("a"), at("copy")).unwrap();
        let of = |name: &str, boot: &str| {
            let (successor, before) = Successor::at(at(name), boot).unwrap();
            end(successor);
            before
        };
        assert_eq!(of("copy", "boot"), None);
        assert_eq!(of("a", "another"), None);
        assert_eq!(of("a", "boot").as_deref(), Some("a-row"));
        let text = std::fs::read_to_string(at("a")).unwrap();
        for cut in [text.trim_end(), text.lines().next().unwrap(), "", "\n\n"] {
            std::fs::write(at("a"), cut).unwrap();
            assert_eq!(of("a", "boot"), None, "{cut:?}");
        }
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        assert!(Successor::at(at("link"), "boot").is_none());
    }
}
