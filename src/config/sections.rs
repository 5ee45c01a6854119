//! The sections that are there once: outbox, socket, log, delivery, metrics.
//!
//! A section that is left out means its defaults, but for `[socket]` and `[metrics]`, which are then
//! off. Whether a file exists or a group is known is not asked here: the daemon finds out.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use super::size as sizes;
use super::{Delivery, Log, Metrics, Node, Outbox, Socket, Surroundings, server, span};
use crate::model::{Bodies, LogPlace, Server};

/// A century: far more is a slip of the keys.
const MAX_KEEP_DAYS: u32 = 36_500;

/// What is kept unless it is set.
const DEFAULT_KEEP_DAYS: u32 = 30;

/// The largest `data` of a row unless it is set, in bytes.
const DEFAULT_MAX_DATA_BYTES: u32 = 1_024 * 1_024;

/// The largest that can be asked for, in bytes: a row is held in memory whole, once in each dialect
/// that wants it.
const MAX_MAX_DATA_BYTES: u32 = 100 * 1_024 * 1_024;

/// Requests in flight in all unless it is set.
const DEFAULT_MAX_IN_FLIGHT: u32 = 4_096;

/// The most that can be asked for: each takes a descriptor and some 22 KiB, so 1.4 GiB in all.
const MAX_MAX_IN_FLIGHT: u32 = 65_536;

/// The smallest log that can be asked for, in bytes: a smaller one would be full of a second's work.
const LEAST_LOG_BYTES: u64 = 64_000_000;

/// The largest: a database of pages of 8 KiB ends at 35 TB.
const MOST_LOG_BYTES: u64 = 32_000_000_000_000;

/// Where the socket is when `[socket]` does not say.
pub(super) const SOCKET_PATH: &str = "/run/webhooksd/webhooksd.sock";

/// The longest path of a Unix socket, in bytes: `sun_path` less its end (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The longest name of a group, in bytes: `LOGIN_NAME_MAX` less its end.
const MAX_GROUP_BYTES: usize = 255;

impl Default for Socket {
    /// As a `[socket]` without keys says.
    fn default() -> Self {
        Self {
            path: PathBuf::from(SOCKET_PATH),
            mode: 0o660,
            group: None,
        }
    }
}

/// The paths that were typed, to be compared with each other at the end.
pub(super) type Paths = Vec<(&'static str, Given<PathBuf>)>;

/// The sections' reader: it keeps the folder and the paths it saw.
pub(super) struct Sections<'a> {
    pub(super) folder: &'a Path,
    pub(super) paths: Paths,
}

impl Sections<'_> {
    /// `[outbox]`.
    pub(super) fn outbox(
        &mut self,
        section: &Section<'_, '_>,
        around: &Surroundings<'_>,
        found: &mut Findings,
    ) -> Outbox {
        let server = server::read(section, "outbox", around, found);
        let path = match &server {
            _ if section.has("url") && section.has("path") => {
                found.error(
                    section.key_at("path"),
                    "an outbox has one place: path and url are both given",
                    "keep path for SQLite, or url for PostgreSQL",
                );
                PathBuf::from("outbox.db")
            }
            Some(server) => {
                let (value, at) = (PathBuf::from(&server.shown), section.value_at("url"));
                let value = Given { value, at };
                self.paths.push(("outbox", value.clone()));
                value.value
            }
            None if section.has("url") => PathBuf::from("outbox.db"),
            None => self.path(section, "outbox", "outbox.db", found),
        };
        let why = "the largest row is held in memory whole";
        let max_data_bytes = section
            .number("max_data_bytes", 1..=MAX_MAX_DATA_BYTES, why, found)
            .map_or(DEFAULT_MAX_DATA_BYTES, |given| given.value);
        Outbox {
            path,
            server: server.map(Arc::new),
            keep_days: keep_days(section, found),
            max_data_bytes: size(max_data_bytes),
        }
    }

    /// `[log]`.
    pub(super) fn log(
        &mut self,
        section: &Section<'_, '_>,
        outbox: &Outbox,
        around: &Surroundings<'_>,
        found: &mut Findings,
    ) -> Log {
        Log {
            place: self.log_place(section, outbox, around, found),
            keep_days: keep_days(section, found),
            max_bytes: max_bytes(section, found),
            bodies: bodies(section, found),
        }
    }

    /// Where the log is: where it says, or with an outbox in PostgreSQL in the same database, or in a file.
    fn log_place(
        &mut self,
        section: &Section<'_, '_>,
        outbox: &Outbox,
        around: &Surroundings<'_>,
        found: &mut Findings,
    ) -> LogPlace {
        let server = server::read(section, "log", around, found).map(Arc::new);
        let given = section.has("url");
        if given && section.has("path") {
            found.error(
                section.key_at("path"),
                "a log has one place: path and url are both given",
                "keep path for SQLite, or url for PostgreSQL",
            );
        } else if given && server.is_some() && outbox.server.is_none() {
            // Nothing is asked of a server that is not to be used.
            found.error(
                section.key_at("url"),
                "a log in PostgreSQL is any node's, and an outbox in a file is one machine's",
                "give [outbox] a url too, or keep the log in SQLite: path = \"log.db\"",
            );
        }
        let server = match &outbox.server {
            _ if given => server,
            Some(server) if !section.has("path") => Some(Arc::new(Server {
                whose: "log",
                doorbell: false,
                ..(**server).clone()
            })),
            _ => None,
        };
        match server {
            Some(server) => {
                let (value, at) = (PathBuf::from(&server.shown), section.value_at("url"));
                // Of the same database as the outbox its key is the outbox's.
                let at = if given { at } else { 0..0 };
                if outbox.server.is_some() {
                    self.paths.push(("log", Given { value, at }));
                }
                LogPlace::Server(server)
            }
            None if given => LogPlace::File(PathBuf::from("log.db")),
            None => LogPlace::File(self.path(section, "log", "log.db", found)),
        }
    }

    /// `[socket]`.
    pub(super) fn socket(&mut self, section: &Section<'_, '_>, found: &mut Findings) -> Socket {
        let path = self.path(section, "socket", SOCKET_PATH, found);
        if path.as_os_str().as_bytes().len() > MAX_SOCKET_PATH_BYTES {
            found.error(
                section.key_at("path"),
                format!(
                    "a socket's path is at most {MAX_SOCKET_PATH_BYTES} bytes, its folder included"
                ),
                "choose a shorter one, such as /run/webhooksd/webhooksd.sock",
            );
            self.paths.retain(|(whose, _)| *whose != "socket");
        }
        let group = section.text("group", found).and_then(|group| {
            let right = |c: char| !c.is_control() && !c.is_whitespace() && c != ':';
            let length = 1..=MAX_GROUP_BYTES;
            if length.contains(&group.value.len()) && group.value.chars().all(right) {
                return Some(group.value.to_owned());
            }
            found.error(
                group.at,
                "this is no group's name",
                "write group = \"webhooksd\", or leave it out: the socket then has the service's own",
            );
            None
        });
        Socket {
            path,
            mode: mode(section, found),
            group,
        }
    }

    /// The path of a section's file, in the configuration's folder if it is relative.
    fn path(
        &mut self,
        section: &Section<'_, '_>,
        whose: &'static str,
        default: &str,
        found: &mut Findings,
    ) -> PathBuf {
        let mut path = self.folder.join(default);
        let mut at = section.key_at("path");
        if let Some(text) = section.text("path", found) {
            at = text.at;
            if text.value.is_empty() || text.value.contains('\0') || text.value.ends_with('/') {
                found.error(
                    at,
                    "path names no file",
                    format!("write path = \"{default}\""),
                );
                return path;
            }
            path = self.folder.join(text.value);
        }
        let value = normal(&path);
        for (other, seen) in &self.paths {
            let message = if seen.value == value {
                format!("[{whose}] and [{other}] name the same file")
            } else if is_beside(&value, other, &seen.value) {
                format!("[{whose}] names a file that is kept beside that of [{other}]")
            } else if is_beside(&seen.value, whose, &value) {
                format!("[{other}] names a file that is kept beside that of [{whose}]")
            } else {
                continue;
            };
            // Who has the name by default is not the one to give it up.
            let (at, whose, own) = if value == normal(&self.folder.join(default)) {
                (&seen.at, *other, default_of(other))
            } else {
                (&at, whose, default)
            };
            let fix = format!("give [{whose}] a file of its own, such as path = \"{own}\"");
            found.error(at.clone(), message, fix);
            break;
        }
        self.paths.push((whose, Given { value, at }));
        path
    }
}

/// `[delivery]`: the number as typed, for the webhooks' own limits are under it.
pub(super) fn max_in_flight(section: &Section<'_, '_>, found: &mut Findings) -> u32 {
    let why = "each request in flight takes a descriptor and some 22 KiB";
    section
        .number("max_in_flight", 1..=MAX_MAX_IN_FLIGHT, why, found)
        .map_or(DEFAULT_MAX_IN_FLIGHT, |given| given.value)
}

impl Delivery {
    pub(super) fn new(max_in_flight: u32) -> Self {
        Self {
            max_in_flight: size(max_in_flight),
        }
    }
}

/// The lease unless it is set: six looks, half a second apart.
const DEFAULT_LEASE_MS: i64 = 3_000;

/// The longest: for so long nobody sends for the webhooks of a node that died.
const MOST_LEASE_MS: i64 = 60_000;

/// `[node]`.
pub(super) fn node(section: Option<&Section<'_, '_>>, log: &Log, found: &mut Findings) -> Node {
    let lease = section.and_then(|section| span::read(section, "lease", found));
    if let Some(section) = section {
        if lease.is_some_and(|ms| ms > MOST_LEASE_MS) {
            found.error(
                section.value_at("lease"),
                "lease is 1s to 1m: so long nobody sends for the webhooks of a node that died",
                "write lease = \"3s\", or leave it out",
            );
        } else if log.place.server().is_none() {
            found.warning(
                Some(section.at()),
                "a log in a file has one node, and [node] says nothing to it",
                "leave it out, or give [outbox] and [log] a url",
            );
        }
    }
    Node {
        lease_ms: lease.unwrap_or(DEFAULT_LEASE_MS),
    }
}

/// `[metrics]`.
pub(super) fn metrics(section: &Section<'_, '_>, found: &mut Findings) -> Option<Metrics> {
    let default = SocketAddr::from(([127, 0, 0, 1], 9_464));
    if !section.has("listen") {
        return Some(Metrics { listen: default });
    }
    let text = section.text("listen", found)?;
    if let Ok(listen) = text.value.parse() {
        return Some(Metrics { listen });
    }
    found.error(
        text.at,
        "listen must be an IP address and a port",
        format!("write listen = \"{default}\" or, for IPv6, \"[::1]:9464\""),
    );
    None
}

fn keep_days(section: &Section<'_, '_>, found: &mut Findings) -> u32 {
    let why = "days, and 0 keeps everything";
    section
        .number("keep_days", 0..=MAX_KEEP_DAYS, why, found)
        .map_or(DEFAULT_KEEP_DAYS, |given| given.value)
}

fn max_bytes(section: &Section<'_, '_>, found: &mut Findings) -> Option<u64> {
    let range = LEAST_LOG_BYTES..=MOST_LOG_BYTES;
    let why = "the log and its -wal together";
    sizes::size(section, "max_size", range, why, found).map(|given| given.value)
}

fn bodies(section: &Section<'_, '_>, found: &mut Findings) -> Bodies {
    let Some(text) = section.text("bodies", found) else {
        return Bodies::default();
    };
    let known = Bodies::ALL.into_iter().find(|b| b.name() == text.value);
    known.unwrap_or_else(|| {
        found.error(
            text.at,
            "bodies must be \"all\" or \"failed\"",
            "write bodies = \"failed\" to keep none of what was delivered, or leave it out",
        );
        Bodies::default()
    })
}

fn mode(section: &Section<'_, '_>, found: &mut Findings) -> u32 {
    const DEFAULT_MODE: u32 = 0o660;
    let Some(text) = section.text("mode", found) else {
        return DEFAULT_MODE;
    };
    let digits = text.value.strip_prefix('0').unwrap_or(text.value);
    let octal = digits.len() == 3 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| octal);
    let Some(mode) = mode else {
        found.error(
            text.at,
            "mode must be three octal digits, with or without a 0 before them",
            "write mode = \"0660\"",
        );
        return DEFAULT_MODE;
    };
    if mode & 0o002 != 0 {
        found.warning(
            Some(text.at),
            "every user of this machine can send events and give orders with this mode",
            "write mode = \"0660\", and put who may into the socket's group",
        );
    }
    mode
}

/// The file's name in a section that does not say.
fn default_of(section: &str) -> &'static str {
    match section {
        "outbox" => "outbox.db",
        "log" => "log.db",
        _ => SOCKET_PATH,
    }
}

/// Whether the daemon or SQLite keeps that file beside the one of a section.
fn is_beside(path: &Path, section: &str, of: &Path) -> bool {
    let suffixes: &[&str] = match section {
        "outbox" => &["-wal", "-shm", "-journal", ".webhooksd.lock"],
        "log" => &["-wal", "-shm", "-journal", ".lock"],
        _ => &[],
    };
    let mut names = suffixes.iter().map(|suffix| {
        let mut name = of.as_os_str().to_owned();
        name.push(suffix);
        name
    });
    names.any(|name| path.as_os_str() == name)
}

/// The path without `.`, and without `..` as far as names tell: enough to see a file named twice.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
