//! Who holds a socket or a port that a start would want: our own daemon, systemd for it, or somebody else.
//!
//! Told from `/proc` (proc(5)) and not by connecting, for a connection would start the
//! service that systemd listens for. What this user may not see is unknown, and said to be.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::config;

/// Who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody listens there.
    Nobody,
    /// The daemon of this configuration, or systemd, which hands it on: process 1.
    Ours(u32),
    /// Another process.
    Other(u32),
    /// Somebody whose processes this user may not look at.
    Unseen,
}

/// Whose a process is.
pub(super) struct Own<'a> {
    /// The configuration that is asked about.
    pub(super) config: &'a Path,
    /// The process that holds the log.
    pub(super) daemon: Option<u32>,
}

/// Accepts connections: `__SO_ACCEPTCON` of the flags.
const LISTENS: u32 = 1 << 16;

/// `TCP_LISTEN` in `/proc/net/tcp`.
const TCP_LISTENS: &str = "0A";

/// Who listens on a Unix socket.
pub(super) fn of_socket(path: &Path, own: &Own<'_>) -> Holder {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let same = |bound: &Path| bound == path || same_file(bound, path);
    let listening = table.split(|b| *b == b'\n').filter_map(|line| {
        let (inode, bound) = listening_unix(line)?;
        same(&bound).then_some(inode)
    });
    holder(&listening.collect::<Vec<_>>(), own)
}

/// Whether who has these files open listens on a Unix socket with a name.
pub(super) fn serves_socket(open: &[PathBuf]) -> bool {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let mut listening = table.split(|b| *b == b'\n').filter_map(listening_unix);
    listening.any(|(inode, _)| open.contains(&link_of(inode)))
}

/// Inode and path of a line of `/proc/net/unix` that is a listening socket with a name.
fn listening_unix(line: &[u8]) -> Option<(u64, PathBuf)> {
    // The name is the rest of the line, whatever is in it, and the inode before it is padded.
    let mut rest = line;
    let mut fields: Vec<&str> = Vec::with_capacity(7);
    while fields.len() < 7 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| *b == b' ')?;
        fields.push(std::str::from_utf8(rest.get(..end)?).ok()?);
        rest = rest.get(end..)?;
    }
    let flags = u32::from_str_radix(fields[3], 16).ok()?;
    let name = rest.get(1..).filter(|name| name.starts_with(b"/"))?;
    let name = PathBuf::from(OsString::from_vec(name.to_vec()));
    (flags & LISTENS != 0).then_some((fields[6].parse().ok()?, name))
}

/// Whether two paths lead to one file, or would.
fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let folder = fs::canonicalize(path.parent()?).ok()?;
        Some(folder.join(path.file_name()?))
    };
    one.file_name() == other.file_name() && real(one).is_some_and(|one| real(other) == Some(one))
}

/// Who listens on a TCP port; at which of the machine's addresses is not asked.
pub(super) fn of_port(address: SocketAddr, own: &Own<'_>) -> Holder {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let listening = lines.filter_map(|line| listening_tcp(line, Some(address.port())));
    holder(&listening.collect::<Vec<_>>(), own)
}

/// Whether who has these files open listens on a TCP port, but for one.
pub(super) fn serves_port(open: &[PathBuf], but: Option<u16>) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let others = lines.filter(|line| but.is_none() || listening_tcp(line, but).is_none());
    let mut listening = others.filter_map(|line| listening_tcp(line, None));
    listening.any(|inode| open.contains(&link_of(inode)))
}

/// The inode of a line of `/proc/net/tcp` that listens, on that port if one is asked for.
fn listening_tcp(line: &str, port: Option<u16>) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (_, local) = fields.nth(1)?.rsplit_once(':')?;
    let listens = fields.nth(1)? == TCP_LISTENS;
    let local = u16::from_str_radix(local, 16).ok()?;
    let same = port.is_none_or(|port| port == local);
    (listens && same).then(|| fields.nth(5)?.parse().ok())?
}

/// What a descriptor of a socket leads to in /proc.
fn link_of(inode: u64) -> PathBuf {
    PathBuf::from(format!("socket:[{inode}]"))
}

fn holder(inodes: &[u64], own: &Own<'_>) -> Holder {
    if inodes.is_empty() {
        return Holder::Nobody;
    }
    let names: Vec<PathBuf> = inodes.iter().copied().map(link_of).collect();
    let mut found = Holder::Unseen;
    for pid in processes() {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let links = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        if links.into_iter().any(|link| names.contains(&link)) {
            if pid == 1 || own.is(pid) {
                return Holder::Ours(pid);
            }
            found = Holder::Other(pid);
        }
    }
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

impl Own<'_> {
    /// Whether who holds a lock is the daemon of this configuration; 0 is one that did not say.
    pub(super) fn is_of(&self, holder: u32) -> bool {
        holder == 0 && self.daemon.is_some() || self.is(holder)
    }

    /// The daemon of this configuration that runs.
    pub(super) fn running(&self) -> Option<u32> {
        let known = self.daemon.filter(|pid| *pid > 0);
        known.or_else(|| processes().find(|pid| self.has_config(*pid) == Some(true)))
    }

    /// Whether a process is the daemon of this configuration: it holds the log, or was started with the
    /// same file, whose `[log] path` was another one then.
    fn is(&self, pid: u32) -> bool {
        self.daemon == Some(pid) || self.has_config(pid).unwrap_or(false)
    }

    fn has_config(&self, pid: u32) -> Option<bool> {
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line
            .split(|b| *b == 0)
            .map(|word| OsString::from_vec(word.to_vec()));
        let program = words.next()?;
        if Path::new(&program).file_name()? != env!("CARGO_PKG_NAME") {
            return None;
        }
        let words: Vec<OsString> = words.collect();
        if !words.iter().any(|word| word == "run") {
            return None;
        }
        let named = named_config(&words).or_else(|| {
            let defaults = config::DEFAULT_FILES.iter().map(|file| folder.join(file));
            defaults.into_iter().find(|file| file.exists())
        });
        let file = fs::canonicalize(folder.join(named?)).ok()?;
        Some(file == fs::canonicalize(self.config).ok()?)
    }
}

/// The file that the words of a command line name with `--config FILE` and its like.
fn named_config(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let word = word.to_str()?;
        if word == "--config" || word == "-c" {
            return words.next().map(PathBuf::from);
        }
        let joined = word
            .strip_prefix("--config=")
            .or_else(|| word.strip_prefix("-c"));
        if let Some(file) = joined.filter(|_| !word.starts_with("--c") || word.contains('=')) {
            return Some(file.strip_prefix('=').unwrap_or(file).into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(daemon: Option<u32>) -> Own<'static> {
        let config = Path::new("/nonexistent");
        Own { config, daemon }
    }

    #[test]
    fn sockets_and_ports_have_their_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        assert_eq!(of_socket(&path, &own(None)), Holder::Nobody);
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let me = std::process::id();
        assert_eq!(of_socket(&path, &own(None)), Holder::Other(me));
        let around = folder.path().join(".").join("a b");
        assert_eq!(of_socket(&around, &own(None)), Holder::Other(me));
        let ours = own(Some(me));
        assert_eq!(of_socket(&path, &ours), Holder::Ours(me));
        drop(socket);
        assert_eq!(of_socket(&path, &ours), Holder::Nobody);
        // The first is nobody else's, so that nobody is given the port once it is free.
        for address in ["127.77.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6; the first is everywhere.
            let Ok(port) = std::net::TcpListener::bind(address) else {
                assert!(address.starts_with('['), "{address}");
                continue;
            };
            let address = port.local_addr().unwrap();
            assert_eq!(of_port(address, &own(None)), Holder::Other(me));
            drop(port);
            assert_eq!(of_port(address, &ours), Holder::Nobody);
        }
    }

    #[test]
    fn a_command_line_names_its_file() {
        let named = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            named_config(&words)
        };
        for line in [
            "run --config a.toml",
            "--config=a.toml run",
            "run -c a.toml",
            "-ca.toml run",
            "run -c=a.toml",
        ] {
            assert_eq!(named(line), Some("a.toml".into()), "{line}");
        }
        assert_eq!(named("run --level warn"), None);
    }
}
