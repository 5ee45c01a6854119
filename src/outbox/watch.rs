//! Waiting until something happens to the outbox's files, or somebody wakes us.
//!
//! The files are watched for writes, and the folder for files that come and go, as `-wal` and
//! `-journal` do with the application: writes in the whole folder would be told of too, and the log,
//! which often lies beside the outbox, is written thousands of times a second. Where the path is a
//! link, the real file and its folder are watched, for SQLite keeps the companions there. An event only says that it is worth looking; what has changed, and for how long
//! to look again, is for [`Tail`](super::Tail) and [`Burst`](super::Burst). Reading the clock is
//! left to the kernel: a timer descriptor ends the wait, to the microsecond.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::Error;

/// Some 60 events at a time; the rest is read with the next call of the kernel.
const EVENT_BYTES: usize = 4_096;

/// The events of a file that can mean a commit. ATTRIB is not among them: as root, SQLite changes the
/// owner of what it opens, so that our own reads would wake us.
const WRITES: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::CLOSE_WRITE);

/// The events of a folder that can mean a commit.
const COMINGS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_TO);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// One of the outbox's files was touched, or events were lost.
    File,
    /// A [`Waker`] was used.
    Woken,
    /// Nothing, for as long as was asked.
    Quiet,
}

/// Ends the wait of its [`Watch`] from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the wait that is on, or the next one.
    pub(crate) fn wake(&self) {
        // It only fails where so many wakes are pending already that they no longer can be counted.
        rustix::io::write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }
}

/// A watch on the folder of an outbox. Who may not watch it has one that is blind, and polls.
#[derive(Debug)]
pub(crate) struct Watch {
    events: Option<OwnedFd>,
    folders: Vec<Folder>,
    wakes: Arc<OwnedFd>,
    timer: OwnedFd,
}

/// A folder and the names of the outbox's files in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    names: Vec<OsString>,
}

impl Folder {
    fn of(file: &Path) -> Self {
        let (path, name) = place(file);
        let names = companions(&name);
        Self { path, names }
    }

    fn has(&self, name: &OsStr) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Watches the folder, and those of its files that are there.
    fn watch(&self, events: &OwnedFd) -> rustix::io::Result<()> {
        inotify::add_watch(events, &self.path, COMINGS)?;
        for name in &self.names {
            self.watch_file(events, name)?;
        }
        Ok(())
    }

    /// Watches one file for writes; where only that can't be done, all writes in the folder.
    fn watch_file(&self, events: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
        match inotify::add_watch(events, self.path.join(name), WRITES) {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(_) => inotify::add_watch(events, &self.path, COMINGS.union(WRITES)).map(drop),
        }
    }
}

impl Watch {
    /// Watches the folder of the outbox at `path`.
    #[cfg(test)]
    pub(crate) fn new(path: &Path) -> Result<(Self, Waker), Error> {
        let (mut watch, waker) = Self::blind()?;
        watch.see(path)?;
        Ok((watch, waker))
    }

    /// Watches the folder of the outbox at `path` from now on, and nothing else: after
    /// [`Tail::replaced`](super::Tail::replaced) it may be another.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`]; the watch is blind then.
    pub(crate) fn see(&mut self, path: &Path) -> Result<(), Error> {
        self.events = None;
        self.folders = vec![Folder::of(path)];
        if let Ok(real) = std::fs::canonicalize(path) {
            self.folders.push(Folder::of(&real));
        }
        let watch_error = |error: Errno, folder: &Path| Error::Watch {
            folder: folder.to_owned(),
            source: error.into(),
        };
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|error| watch_error(error, path))?;
        for folder in &self.folders {
            folder
                .watch(&events)
                .map_err(|error| watch_error(error, &folder.path))?;
        }
        self.events = Some(events);
        Ok(())
    }

    /// A watch that sees no file, only its [`Waker`]: for where folders can't be watched.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`].
    pub(crate) fn blind() -> Result<(Self, Waker), Error> {
        let wait_error = |error: Errno| Error::Wait {
            source: error.into(),
        };
        let wakes = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map(Arc::new)
            .map_err(wait_error)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(wait_error)?;
        let waker = Waker(Arc::clone(&wakes));
        let watch = Self {
            events: None,
            folders: Vec::new(),
            wakes,
            timer,
        };
        Ok((watch, waker))
    }

    /// Whether no file is seen, so that only polling finds new rows.
    #[must_use]
    pub(crate) fn is_blind(&self) -> bool {
        self.events.is_none()
    }

    /// Waits for a wake, an event or `longest`, whatever comes first.
    ///
    /// Events of other files in the folder, the log's for instance, neither end nor prolong it. A
    /// wake goes before an event; the other of the two ends the next wait.
    ///
    /// # Errors
    ///
    /// [`Error::Wait`].
    pub(crate) fn wait(&mut self, longest: Duration) -> Result<Wake, Error> {
        self.wait_for(longest).map_err(|error| Error::Wait {
            source: io::Error::from(error),
        })
    }

    fn wait_for(&self, longest: Duration) -> rustix::io::Result<Wake> {
        self.set_timer(longest)?;
        loop {
            let mut polled = vec![
                PollFd::new(&self.wakes, PollFlags::IN),
                PollFd::new(&self.timer, PollFlags::IN),
            ];
            polled.extend(
                self.events
                    .iter()
                    .map(|events| PollFd::new(events, PollFlags::IN)),
            );
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            let ready = |at: usize| polled.get(at).is_some_and(|fd| !fd.revents().is_empty());
            if ready(0) && drain(&self.wakes)? {
                return Ok(Wake::Woken);
            }
            if ready(2) && self.touched()? {
                return Ok(Wake::File);
            }
            if ready(1) {
                return Ok(Wake::Quiet);
            }
        }
    }

    /// One wait, on the kernel's clock. A timer set to zero would never ring.
    fn set_timer(&self, longest: Duration) -> rustix::io::Result<()> {
        let forever = Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        };
        let it_value = Timespec::try_from(longest.max(Duration::from_nanos(1))).unwrap_or(forever);
        let it_interval = Timespec::default();
        let once = Itimerspec {
            it_interval,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).map(drop)
    }

    /// A file of that name came or went. True where it is one of the outbox's, which is then watched
    /// before anybody looks at it, so that no write in between is missed.
    fn came(&self, events: &OwnedFd, name: &OsStr) -> bool {
        let mut known = false;
        for folder in self.folders.iter().filter(|folder| folder.has(name)) {
            // It only fails where the folder is going as well, which is an event of its own.
            folder.watch_file(events, name).ok();
            known = true;
        }
        known
    }

    /// Takes all pending events and says whether one of them concerns the outbox.
    fn touched(&self) -> rustix::io::Result<bool> {
        let Some(events) = &self.events else {
            return Ok(false);
        };
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = Reader::new(events, &mut buffer);
        let mut touched = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    touched |= match event.file_name() {
                        Some(name) => self.came(events, OsStr::from_bytes(name.to_bytes())),
                        // An event without a name is of a file that is watched, or of a folder
                        // that may be gone, or says that events were lost.
                        None => true,
                    };
                }
                Err(Errno::AGAIN) => return Ok(touched),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes the pending wakes and says whether there were any.
fn drain(wakes: &OwnedFd) -> rustix::io::Result<bool> {
    let mut count = [0_u8; 8];
    match rustix::io::read(wakes, &mut count) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folder and the name of a file.
fn place(path: &Path) -> (PathBuf, OsString) {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default();
    (folder.to_owned(), name.to_owned())
}

fn companions(name: &OsStr) -> Vec<OsString> {
    ["", "-wal", "-journal"]
        .iter()
        .map(|suffix| {
            let mut companion = name.to_owned();
            companion.push(suffix);
            companion
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Far longer than any wait that ends by itself.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    fn outbox() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        fs::write(&path, "").unwrap();
        (folder, path)
    }

    #[test]
    fn the_file_and_its_companions_end_a_wait_and_nothing_else_does() {
        let (folder, path) = outbox();
        let (mut watch, _waker) = Watch::new(&path).unwrap();
        for name in [
            "outbox.db-shm",
            "log.db",
            "log.db-wal",
            "outbox.db.bak",
            "xoutbox.db",
        ] {
            fs::write(folder.path().join(name), "1").unwrap();
            assert_eq!(watch.wait(SHORT).unwrap(), Wake::Quiet, "{name}");
        }
        for name in ["outbox.db", "outbox.db-wal", "outbox.db-journal"] {
            fs::write(folder.path().join(name), "1").unwrap();
            assert_eq!(watch.wait(LONG).unwrap(), Wake::File, "{name}");
            assert_eq!(watch.wait(SHORT).unwrap(), Wake::Quiet, "{name}");
        }
        fs::remove_file(folder.path().join("outbox.db-journal")).unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
        fs::rename(folder.path().join("log.db"), &path).unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
    }

    #[test]
    fn a_link_is_watched_at_both_ends() {
        let (folder, path) = outbox();
        let links = tempfile::tempdir().unwrap();
        let link = links.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (mut watch, _waker) = Watch::new(&link).unwrap();
        fs::write(folder.path().join("outbox.db-wal"), "1").unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
        fs::remove_file(&link).unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
    }

    #[test]
    fn a_waker_ends_the_wait_before_events_do_and_loses_none() {
        let (_folder, path) = outbox();
        let (mut watch, waker) = Watch::new(&path).unwrap();
        fs::write(&path, "1").unwrap();
        waker.wake();
        waker.clone().wake();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::Woken);
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
        assert_eq!(watch.wait(Duration::ZERO).unwrap(), Wake::Quiet);
        let thread = std::thread::spawn(move || watch.wait(Duration::MAX).unwrap());
        waker.wake();
        assert_eq!(thread.join().unwrap(), Wake::Woken);
    }

    #[test]
    fn a_blind_watch_is_woken_and_ends() {
        let (mut watch, waker) = Watch::blind().unwrap();
        assert!(watch.is_blind());
        assert_eq!(watch.wait(SHORT).unwrap(), Wake::Quiet);
        waker.wake();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::Woken);
    }

    #[test]
    fn a_folder_that_goes_is_noticed() {
        let (folder, path) = outbox();
        let (mut watch, _waker) = Watch::new(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
        folder.close().unwrap();
        assert_eq!(watch.wait(LONG).unwrap(), Wake::File);
        assert!(matches!(Watch::new(&path), Err(Error::Watch { .. })));
    }
}
