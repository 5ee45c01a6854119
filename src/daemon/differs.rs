//! What a running daemon would not take in by a reload, for `check`: the settings that need a restart.
//!
//! Told from what its process has open (`/proc/PID/fd`), so that nobody is asked and nothing started. A
//! setting that can't be told so, or a process that this user may not look at, is passed over: `reload`
//! itself compares them exactly. A restart takes these settings, so they are warnings.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::holder::{self, Holder, Own};
use super::{listen, lock};
use crate::config::{Draft, Key, Socket};

/// Notes what differs from the daemon of this configuration that runs, if one does.
pub(super) fn note(draft: &mut Draft, own: &Own<'_>) {
    let Some(pid) = own.running() else { return };
    let Some(open) = open_files(pid) else { return };
    let config = draft.config();
    let mut found = Vec::new();
    // A connection does not say where it leads.
    let outbox = (config.outbox.server.is_none()).then_some(&*config.outbox.path);
    let databases = [
        (Key::Outbox, "[outbox] path", outbox),
        (Key::Log, "[log] path", config.log.place.file()),
    ];
    for (key, name, path) in databases {
        let Some(path) = path else { continue };
        let is_open = fs::canonicalize(path).ok().map(|real| open.contains(&real));
        let differs = match key {
            // What holds the lock holds the log, even where that was moved away under it.
            Key::Log => own.daemon.is_none() && is_open != Some(true),
            // One that is not there yet may be what the daemon waits for, unless it follows another.
            _ => is_open.map_or_else(|| follows_another(path, &open), |is_open| !is_open),
        };
        if differs {
            found.push((key, name));
        }
    }
    match &config.socket {
        Some(socket) => found.extend(of_socket(socket, own)),
        None if holder::serves_socket(&open) => found.push((Key::SocketPath, "[socket] path")),
        None => {}
    }
    // A reload moves the page.
    let page = config.page.as_ref().and_then(|page| page.listen);
    let page = page.map(|address| address.port());
    match &config.metrics {
        Some(metrics) if holder::of_port(metrics.listen, own) == Holder::Nobody => {
            found.push((Key::Metrics, "[metrics] listen"));
        }
        None if holder::serves_port(&open, page) => found.push((Key::Metrics, "[metrics] listen")),
        _ => {}
    }
    for (key, name) in found {
        draft.warning(
            key,
            format!("{name} is another one than that of the running daemon (process {pid})"),
            "restart the service to change it: a reload refuses that",
        );
    }
}

/// Whether a daemon with these files open has the lock of an outbox, and not of the missing one.
fn follows_another(missing: &Path, open: &[PathBuf]) -> bool {
    let folder = missing.parent().and_then(|f| fs::canonicalize(f).ok());
    let (Some(folder), Some(name)) = (folder, missing.file_name()) else {
        return open.iter().any(|path| lock::is_of_outbox(path));
    };
    let place = lock::place_of(&folder.join(name));
    let mut locks = open.iter().filter(|path| lock::is_of_outbox(path));
    !missing.is_symlink() && locks.next().is_some_and(|lock| *lock != place)
}

fn of_socket(socket: &Socket, own: &Own<'_>) -> Vec<(Key, &'static str)> {
    match holder::of_socket(&socket.path, own) {
        Holder::Nobody => return vec![(Key::SocketPath, "[socket] path")],
        // What systemd made has the rights that its unit says.
        Holder::Ours(pid) if pid != 1 => {}
        _ => return Vec::new(),
    }
    let mut found = Vec::new();
    let Ok(file) = fs::metadata(&socket.path) else {
        return found;
    };
    if file.permissions().mode() & 0o777 != socket.mode {
        found.push((Key::SocketMode, "[socket] mode"));
    }
    let group = socket.group.as_deref().map(listen::group_id);
    if group.is_some_and(|id| id.is_ok_and(|id| id != file.gid())) {
        found.push((Key::SocketGroup, "[socket] group"));
    }
    found
}

/// What a process has open; `None` where this user may not see it.
fn open_files(pid: u32) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = entries.flatten().map(|entry| fs::read_link(entry.path()));
    Some(links.filter_map(Result::ok).collect())
}
