//! What a start would open, looked at without opening it for good: socket, port, log and outbox.
//!
//! Each look asks what the start's own step asks, and notes the same [`Error`]. Two things soften it. A
//! running daemon of this configuration holds its own socket, port and lock, which is as it should be. And
//! `check` may be run by another user than the service: that this user lacks a right is an error only
//! where nothing speaks for another user's daemon.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::found::read_for;
use super::holder::{self, Holder, Own};
use super::opening::{has_taken, owns_outbox};
use super::refusal::{OTHER, note};
use super::{Error, differs, listen, lock};
use crate::config::{Draft, Key};
use crate::model::{Clock, Cursor, LogPlace, Server};
use crate::outbox::{self, postgres};
use crate::pipeline::{self, chain};
use crate::store;

/// Folders in which systemd makes a service's own, and the setting that says so (systemd.exec(5)).
const MADE_BY_UNITS: [(&str, &str); 4] = [
    ("/run", "RuntimeDirectory"),
    ("/var/run", "RuntimeDirectory"),
    ("/var/lib", "StateDirectory"),
    ("/var/cache", "CacheDirectory"),
];

/// How far the log has taken the outbox, as far as a look tells.
pub(super) enum Known {
    /// To there; `None`: a log that is new.
    Cursor(Option<Cursor>),
    /// Nothing is known, or a running daemon knows better.
    Nothing,
}

/// Looks for one configuration.
pub(super) struct Looking<'a> {
    own: Own<'a>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(config: &'a Path, daemon: Option<u32>) -> Self {
        Self {
            own: Own { config, daemon },
        }
    }

    /// The socket: its group, its folder, what is under its path.
    pub(super) fn socket(&mut self, draft: &mut Draft) {
        let Some(socket) = draft.config().socket.clone() else {
            return;
        };
        if let Some(group) = &socket.group {
            match listen::group_id(group) {
                Err(error) => note(draft, Key::SocketGroup, &error),
                Ok(id) if listen::may_give_to(id) => {}
                Ok(_) => {
                    let message = format!(
                        "this user is not in the group {group:?}, and can't give it the socket"
                    );
                    lacking(
                        draft,
                        Key::SocketGroup,
                        folder_of(&socket.path),
                        message,
                        GROUP,
                    );
                }
            }
        }
        if !draft.is_sound(Key::SocketPath) {
            return;
        }
        let path = &socket.path;
        let failed = |source| Error::Socket {
            path: path.clone(),
            source,
        };
        let is_there = match listen::is_there(path) {
            Ok(is_there) => is_there,
            Err(error @ Error::NoSocket { .. }) => return note(draft, Key::SocketPath, &error),
            Err(_) => false,
        };
        let holder = if is_there {
            holder::of_socket(path, &self.own)
        } else {
            Holder::Nobody
        };
        match holder {
            Holder::Nobody => makeable(draft, Key::SocketPath, path, &failed),
            Holder::Ours(_) => {}
            Holder::Other(_) => note(draft, Key::SocketPath, &Error::Live { path: path.clone() }),
            Holder::Unseen => draft.warning(
                Key::SocketPath,
                format!("somebody serves the socket {path:?}, and this user may not see who"),
                "right if it is this configuration's own daemon, or systemd for it; root sees more",
            ),
        }
    }

    /// What the daemon that runs would not take in by a reload.
    pub(super) fn running(&self, draft: &mut Draft) {
        differs::note(draft, &self.own);
    }

    /// The ports of metrics and page.
    pub(super) fn ports(&mut self, draft: &mut Draft) {
        let config = draft.config();
        let metrics = config.metrics.map(|metrics| metrics.listen);
        let page = config.page.as_ref().and_then(|page| page.listen);
        if let Some(address) = metrics {
            self.port(draft, Key::Metrics, address, |source| Error::Metrics {
                address,
                source,
            });
        }
        if let Some(address) = page {
            self.port(draft, Key::Page, address, |source| Error::Page {
                address,
                source,
            });
        }
    }

    fn port(
        &self,
        draft: &mut Draft,
        key: Key,
        address: SocketAddr,
        failed: impl Fn(io::Error) -> Error,
    ) {
        let Err(source) = listen::may_listen(address) else {
            return;
        };
        let in_use = source.kind() == io::ErrorKind::AddrInUse;
        match holder::of_port(address, &self.own) {
            Holder::Ours(_) if in_use => {}
            Holder::Unseen if in_use => draft.warning(
                key,
                format!("{address} is in use, and this user may not see by whom"),
                "right if it is this configuration's own daemon, or systemd for it; root sees more",
            ),
            _ => note(draft, key, &failed(source)),
        }
    }

    /// The log and its lock.
    pub(super) fn log(&mut self, draft: &mut Draft) -> Known {
        if !draft.is_sound(Key::Log) {
            return Known::Nothing;
        }
        let path = match draft.config().log.place.clone() {
            LogPlace::File(path) => path,
            LogPlace::Server(server) => return self.log_server(draft, &server),
        };
        let failed = |source| lock::failed(&path, source);
        if let Some(how) = outbox::other_name(&path) {
            let log = path.clone();
            note(draft, Key::Log, &Error::OtherName { log, how });
        }
        if let Err(error) = lock::may_open(&path) {
            let denied = matches!(&error, Error::Lock { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied);
            if denied {
                lacking(draft, Key::Log, &path, chain(&error), RIGHT);
            } else {
                note(draft, Key::Log, &error);
            }
        }
        match store::look(&path) {
            Ok(store::Look::New) => {
                makeable(draft, Key::Log, &path, &failed);
                self.known(None)
            }
            Ok(look) => {
                let may = may(&path, Access::READ_OK | Access::WRITE_OK);
                if !may || !may_use(folder_of(&path)) {
                    let message = format!("this user may not write the log {path:?} or its folder");
                    lacking(draft, Key::Log, &path, message, RIGHT);
                }
                match look {
                    store::Look::Log(cursor) => self.known(cursor),
                    store::Look::New | store::Look::Closed => Known::Nothing,
                }
            }
            Err(error) if !may(&path, Access::READ_OK) && !error.needs_a_person() => {
                let message = chain(&Error::Store(error));
                lacking(draft, Key::Log, &path, message, RIGHT);
                Known::Nothing
            }
            Err(error) => {
                note(draft, Key::Log, &Error::Store(error));
                Known::Nothing
            }
        }
    }

    /// A log in PostgreSQL: its server, and whether what is there is a log that is known here.
    fn log_server(&self, draft: &mut Draft, server: &Arc<Server>) -> Known {
        match store::look_at(server) {
            Ok(cursor) => self.known(cursor),
            // One that is away is waited for by a start, but who checks wants to know that it can be reached.
            Err(error) => {
                let fix = error.hint().unwrap_or_else(|| OTHER.to_owned());
                draft.error(Key::Log, chain(&Error::Store(error)), fix);
                Known::Nothing
            }
        }
    }

    fn known(&self, cursor: Option<Cursor>) -> Known {
        match self.own.daemon {
            None => Known::Cursor(cursor),
            Some(_) => Known::Nothing,
        }
    }

    /// The outbox: its file, its table and guards, who follows it, and whether its events are those that
    /// the log followed.
    pub(super) fn outbox(&mut self, draft: &mut Draft, known: Known) {
        if !draft.is_sound(Key::Outbox) {
            return;
        }
        let of = draft.config().outbox.clone();
        if let Some(server) = &of.server {
            return self.server(draft, (server, of.max_data_bytes, of.keep_days), known);
        }
        let path = &of.path;
        let is_made = owns_outbox(draft.config());
        let tail = match outbox::look(path, of.max_data_bytes) {
            Ok(outbox::Look::Missing) if is_made && has_taken(draft.config()) => {
                let message = format!(
                    "there is no outbox at {path:?}, and the log has taken events of one: a start waits \
                     for it"
                );
                let fix = format!(
                    "correct the path; or for a new one: webhooksd schema outbox | sqlite3 '{}'",
                    path.display()
                );
                return draft.warning(Key::Outbox, message, fix);
            }
            Ok(outbox::Look::Missing) if is_made => {
                let failed = |source| {
                    Error::Outbox(outbox::Error::Make {
                        path: path.clone(),
                        source,
                    })
                };
                return makeable(draft, Key::Outbox, path, &failed);
            }
            Ok(outbox::Look::Missing) => {
                let (path, source) = (path.clone(), io::ErrorKind::NotFound.into());
                return self.awaited(draft, &outbox::Error::Find { path, source });
            }
            Err(error) if error.is_awaited() => return self.awaited(draft, &error),
            Ok(outbox::Look::Table(tail)) => Some(tail),
            Err(error) if is_other_users(&error, path) => {
                let error = Error::Outbox(error);
                let hint = error.hint().unwrap_or_else(|| RIGHT.to_owned());
                return lacking(draft, Key::Outbox, path, chain(&error), &hint);
            }
            Ok(outbox::Look::Closed) | Err(_) => None,
        };
        self.follower(draft, path);
        for finding in outbox::inspect(path, is_made) {
            let fix = finding.hint.unwrap_or_else(|| OTHER.to_owned());
            if finding.is_error {
                draft.error(Key::Outbox, finding.text, fix);
            } else {
                draft.warning(Key::Outbox, finding.text, fix);
            }
        }
        let Some(mut tail) = tail else { return };
        if !may(path, Access::WRITE_OK) {
            let message =
                format!("this user may not write the outbox {path:?}: old rows would stay");
            draft.warning(Key::Outbox, message, RIGHT);
        }
        let Known::Cursor(cursor) = known else { return };
        match pipeline::resolve_cursor(&mut tail, cursor, Clock::system().now_ms()) {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => note(draft, Key::Outbox, &Error::Refused(refusal)),
            Err(error) => note(draft, Key::Outbox, &Error::Outbox(error)),
        }
    }

    /// An outbox in PostgreSQL: its server, its table, and whether it is the one that the log followed.
    fn server(
        &self,
        draft: &mut Draft,
        (server, max_data_bytes, keep_days): (&Arc<Server>, usize, u32),
        known: Known,
    ) {
        let mut tail = match postgres::Tail::open(server, max_data_bytes) {
            Ok(tail) => tail,
            // One that is away is waited for by a start, but who checks wants to know that it can be reached.
            Err(error) => {
                let fix = error.hint().unwrap_or_else(|| OTHER.to_owned());
                return draft.error(Key::Outbox, chain(&error), fix);
            }
        };
        for finding in tail.findings(keep_days > 0) {
            let fix = finding.hint.unwrap_or_else(|| OTHER.to_owned());
            draft.warning(Key::Outbox, finding.text, fix);
        }
        // The daemon of this configuration is none other.
        let own = read_for(draft.config(), server);
        if let Ok(Some(pid)) = tail.others(&own.application_name) {
            let other = postgres::another(server, pid);
            let fix = other.hint.unwrap_or_else(|| OTHER.to_owned());
            draft.warning(Key::Outbox, other.text, fix);
        }
        let Known::Cursor(cursor) = known else { return };
        let settled = pipeline::settle(&mut tail, server, cursor);
        if let Err(error) = settled {
            note(draft, Key::Outbox, &Error::of_intake(error));
        }
    }

    /// Another daemon that follows the outbox.
    fn follower(&self, draft: &mut Draft, path: &Path) {
        if let Some(pid) = lock::of_outbox(path).filter(|pid| !self.own.is_of(*pid)) {
            let (path, pid) = (path.to_owned(), Some(pid).filter(|pid| *pid > 0));
            let held = outbox::Error::Held { path, pid };
            note(draft, Key::Outbox, &Error::Outbox(held));
        }
    }

    /// An outbox, or its table, that the application has not made yet.
    fn awaited(&self, draft: &mut Draft, error: &outbox::Error) {
        let path = draft.config().outbox.path.clone();
        self.follower(draft, &path);
        let message = format!(
            "{}: a start would wait for the application to make it",
            chain(error)
        );
        let fix = error.hint().unwrap_or_else(|| OTHER.to_owned());
        draft.warning(Key::Outbox, message, fix);
    }
}

/// Whether it is only that this user lacks a right.
fn is_other_users(error: &outbox::Error, path: &Path) -> bool {
    let lacks = fs::metadata(path).is_ok() && !may(path, Access::READ_OK);
    let unseen = matches!(error, outbox::Error::Find { source, .. }
        if source.kind() == io::ErrorKind::PermissionDenied);
    matches!(error, outbox::Error::Companions { .. }) || lacks || unseen
}

/// Notes what keeps a file from being made: its folder is missing, or not this user's to write.
fn makeable(draft: &mut Draft, key: Key, path: &Path, failed: &dyn Fn(io::Error) -> Error) {
    let folder = folder_of(path);
    match fs::metadata(folder) {
        Ok(data) if !data.is_dir() => note(draft, key, &failed(Errno::NOTDIR.into())),
        Ok(_) if may_use(folder) => {}
        Ok(_) => {
            let error = failed(Errno::ACCESS.into());
            let hint = error.hint().unwrap_or_else(|| RIGHT.to_owned());
            lacking(draft, key, folder, chain(&error), &hint);
        }
        Err(error) => {
            let unit = MADE_BY_UNITS
                .iter()
                .find_map(|(made_in, setting)| Some((folder.strip_prefix(made_in).ok()?, setting)));
            if let (io::ErrorKind::NotFound, Some((name, setting))) = (error.kind(), unit) {
                let name = name.display();
                let message = format!("the folder {folder:?} does not exist");
                let fix = format!("right if the service's unit has {setting}={name}; else make it");
                draft.warning(key, message, fix);
            } else {
                // A start waits for a folder for a while, and is refused in the end.
                let error = failed(error);
                let fix = error.hint().unwrap_or_else(|| OTHER.to_owned());
                draft.error(key, chain(&error), fix);
            }
        }
    }
}

/// Notes that this user lacks a right: an error, unless the file or folder is another user's, whose
/// daemon may well have it.
fn lacking(draft: &mut Draft, key: Key, whose: &Path, message: String, fix: &str) {
    let owner = fs::metadata(whose).or_else(|_| fs::metadata(folder_of(whose)));
    let mine = [0, geteuid().as_raw()];
    match owner {
        Ok(data) if !mine.contains(&data.uid()) => {
            let fix =
                format!("right if the daemon is another user's: check as that user. Else: {fix}");
            draft.warning(key, message, fix);
        }
        _ => draft.error(key, message, fix),
    }
}

const RIGHT: &str = "this user needs the right to write the file and its folder";
const GROUP: &str =
    "run webhooksd as root or as a member of the group, or leave [socket] group out";

fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

/// Whether files can be made in a folder.
fn may_use(folder: &Path) -> bool {
    may(folder, Access::WRITE_OK | Access::EXEC_OK)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
