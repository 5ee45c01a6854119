//! The claim on an outbox: its lock, kept on the database that is followed now.
//!
//! The lock is a file beside the outbox, so it can be removed with it (`rm app.db*`), or stay behind
//! beside the old database where a symbolic link is set to another one. So it is looked after each time
//! the outbox is opened, and at the slow poll: where it is not the lock of what is followed, it is taken
//! anew. Where somebody else has it by then, nothing is claimed, and nothing may be followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::lock::{self, Lock, Taken};
use crate::outbox;

/// The claim of one daemon. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<Mutex<Claimed>>);

#[derive(Debug, Default)]
struct Claimed {
    lock: Option<Lock>,
    /// Where no lock could be made, which the journal was told.
    without: Option<PathBuf>,
}

impl Claim {
    /// Sees to it that what the outbox's path leads to now is locked by this daemon.
    ///
    /// # Errors
    /// Another process has it; then this one has nothing.
    pub(super) fn hold(&self, outbox: &Path) -> Result<(), outbox::Error> {
        // Where there is no file, there is nothing to follow, and the lock waits for the next one.
        let Ok(real) = std::fs::canonicalize(outbox) else {
            return Ok(());
        };
        let mut claimed = self.0.lock();
        let place = lock::place_of(&real);
        if claimed.lock.as_mut().is_some_and(|lock| lock.is_of(&place)) {
            return Ok(());
        }
        match Lock::of_outbox(outbox) {
            Ok(lock) => {
                claimed.without = None;
                claimed.lock = Some(lock);
                Ok(())
            }
            Err(Taken::Held(pid)) => {
                claimed.lock = None;
                let path = outbox.to_owned();
                Err(outbox::Error::Held { path, pid })
            }
            Err(Taken::Failed(error)) => {
                claimed.lock = None;
                if claimed.without.as_ref() != Some(&place) {
                    tracing::warn!(step = "lock the outbox", lock = &*place.to_string_lossy(), %error,
                        "a second daemon on this outbox would not be noticed");
                    claimed.without = Some(place);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn held(result: &Result<(), outbox::Error>) -> bool {
        matches!(result, Err(outbox::Error::Held { pid: Some(_), .. }))
    }

    #[test]
    fn a_lock_that_was_removed_is_made_anew_unless_somebody_was_faster() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        fs::write(&path, "").unwrap();
        let place = lock::place_of(&path);
        let (one, other) = (Claim::default(), Claim::default());
        one.hold(&path).unwrap();
        assert!(held(&other.hold(&path)));
        fs::remove_file(&place).unwrap();
        one.hold(&path).unwrap();
        assert!(held(&other.hold(&path)), "made anew");
        fs::remove_file(&place).unwrap();
        other.hold(&path).unwrap();
        assert!(held(&one.hold(&path)), "the other one has it now");
        assert!(place.exists(), "only its own file goes with a lock");
        assert!(held(&Claim::default().hold(&path)));
        drop(other);
        one.hold(&path).unwrap();
        drop(one);
        assert!(!place.exists());
    }

    #[test]
    fn it_follows_the_link_to_another_database() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, link, new] =
            ["p1.db", "p2.db", "s.db", "n.db"].map(|name| folder.path().join(name));
        fs::write(&first, "").unwrap();
        fs::write(&second, "").unwrap();
        symlink(&first, &link).unwrap();
        let (one, other) = (Claim::default(), Claim::default());
        one.hold(&link).unwrap();
        other.hold(&second).unwrap();
        symlink(&second, &new).unwrap();
        fs::rename(&new, &link).unwrap();
        assert!(held(&one.hold(&link)));
        assert!(!lock::place_of(&first).exists(), "nobody follows it");
        drop(other);
        one.hold(&link).unwrap();
        assert!(held(&Claim::default().hold(&second)));
        // Its folder may get another name, with all that is in it.
        let (old, moved) = (folder.path().join("d"), folder.path().join("e"));
        fs::create_dir(&old).unwrap();
        fs::write(old.join("a.db"), "").unwrap();
        let claim = Claim::default();
        claim.hold(&old.join("a.db")).unwrap();
        fs::rename(&old, &moved).unwrap();
        claim.hold(&moved.join("a.db")).unwrap();
        drop(claim);
        assert!(!lock::place_of(&moved.join("a.db")).exists());
        fs::remove_file(&second).unwrap();
        one.hold(&link).unwrap();
        assert!(lock::place_of(&second).exists(), "kept for the next file");
    }
}
