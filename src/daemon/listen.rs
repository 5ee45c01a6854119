//! The listening sockets: made by the configuration, or passed by systemd.
//!
//! A file under the path that is no socket is never touched; one that nobody answers at is a crash's
//! leftover and is replaced; a live one belongs to another daemon. The new file comes with no rights
//! for anybody but its owner and is opened up once it has its group. What systemd passed wins over
//! the configuration and is never removed; where they differ, the journal says so.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use listenfd::ListenFd;
use nix::unistd::{Gid, Group};
use rustix::fs::{Mode, fchmod};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use super::Error;
use super::shown::Shown;
use crate::config::{Config, Socket};

/// Connections that wait to be accepted: a burst of clients, none of which has to try again.
const BACKLOG: u32 = 1_024;

/// What the daemon listens on.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) socket: Option<UnixListener>,
    pub(super) metrics: Option<TcpListener>,
    pub(super) page: Option<TcpListener>,
    pub(super) own: Option<OwnSocket>,
}

impl Listeners {
    /// Whether somebody can connect.
    pub(super) fn are_any(&self) -> bool {
        self.socket.is_some() || self.metrics.is_some() || self.page.is_some()
    }
}

/// Device, inode and, where the file system tells it, time of birth, for inodes are given out again.
type Identity = (u64, u64, Option<SystemTime>);

/// The file of a socket that this process made. It goes with this, so that a start which fails
/// later, or ends by a signal, leaves no file that the next one would take for a crash's.
#[derive(Debug)]
pub(super) struct OwnSocket {
    path: PathBuf,
    identity: Identity,
}

impl Drop for OwnSocket {
    /// Removes the file, if it is still this process's.
    fn drop(&mut self) {
        let same = identity(&self.path).is_ok_and(|now| now == self.identity);
        if same && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(socket = &*self.path.to_string_lossy(), %error, "the socket's file stays");
        }
    }
}

/// Takes what systemd passed, and makes the rest by the configuration.
pub(super) async fn listen(config: &Config) -> Result<Listeners, Error> {
    let mut listeners = passed()?;
    match (&listeners.socket, &config.socket) {
        (Some(passed), socket) => compare(passed, socket.as_ref()),
        (None, Some(socket)) => {
            let (listener, own) = make(socket)?;
            (listeners.socket, listeners.own) = (Some(listener), Some(own));
        }
        (None, None) => {}
    }
    if let Some(metrics) = &config.metrics {
        if let Some(passed) = &listeners.metrics {
            let address = passed.local_addr().ok();
            if address != Some(metrics.listen) {
                tracing::warn!(passed = ?address, configured = %metrics.listen,
                    "systemd passed another address for the metrics than [metrics] listen; it wins");
            }
        } else {
            let bound = TcpListener::bind(metrics.listen).await;
            listeners.metrics = Some(bound.map_err(|source| Error::Metrics {
                address: metrics.listen,
                source,
            })?);
        }
    }
    listeners.page = Shown::default().listener(config)?;
    Ok(listeners)
}

/// The sockets that systemd passed: the first Unix one, and the first TCP one for the metrics.
fn passed() -> Result<Listeners, Error> {
    let failed = |source| Error::Passed { source };
    let mut listeners = Listeners::default();
    let mut all = ListenFd::from_env();
    for place in 0..all.len() {
        if let Ok(Some(socket)) = all.take_unix_listener(place) {
            socket.set_nonblocking(true).map_err(failed)?;
            let socket = UnixListener::from_std(socket).map_err(failed)?;
            if listeners.socket.replace(socket).is_some() {
                tracing::warn!("systemd passed more than one Unix socket: the last one is used");
            }
        } else if let Ok(Some(socket)) = all.take_tcp_listener(place) {
            socket.set_nonblocking(true).map_err(failed)?;
            let socket = TcpListener::from_std(socket).map_err(failed)?;
            listeners.metrics = Some(socket);
        } else {
            tracing::warn!(
                place,
                "systemd passed something that is no listening stream socket"
            );
        }
    }
    Ok(listeners)
}

/// Warns where a socket that was passed is not the one of the configuration.
fn compare(passed: &UnixListener, socket: Option<&Socket>) {
    let address = passed.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    let Some(socket) = socket else {
        tracing::warn!(
            ?path,
            "systemd passed a socket, but the configuration has no [socket]: it is served"
        );
        return;
    };
    if path != Some(&socket.path) {
        tracing::warn!(passed = ?path, configured = &*socket.path.to_string_lossy(),
            "systemd passed another socket than [socket] path; it wins");
    }
    let Some(data) = path.and_then(|path| std::fs::metadata(path).ok()) else {
        return;
    };
    let mode = data.mode() & 0o777;
    if mode != socket.mode {
        tracing::warn!(
            passed = format!("{mode:04o}"),
            configured = format!("{:04o}", socket.mode),
            "the socket that systemd passed has another mode than [socket] mode; it wins"
        );
    }
    if let Some(group) = &socket.group
        && !matches!(group_id(group), Ok(id) if id == data.gid())
    {
        tracing::warn!(
            passed = data.gid(),
            configured = group,
            "the socket that systemd passed has another group than [socket] group; it wins"
        );
    }
}

/// Makes the socket of the configuration.
fn make(socket: &Socket) -> Result<(UnixListener, OwnSocket), Error> {
    let path = &socket.path;
    let failed = |source| Error::Socket {
        path: path.clone(),
        source,
    };
    let group = socket.group.as_deref().map(group_id).transpose()?;
    make_room(path)?;
    let stream = UnixSocket::new_stream().map_err(failed)?;
    // Linux gives the file the mode of the socket less the umask (unix(7), "Pathname socket
    // ownership and permissions"; bind in net/unix/af_unix.c).
    fchmod(&stream, Mode::RUSR | Mode::WUSR).map_err(|error| failed(error.into()))?;
    stream.bind(path).map_err(failed)?;
    let own = OwnSocket {
        path: path.clone(),
        identity: identity(path).map_err(failed)?,
    };
    let open_up = || {
        if let Some(group) = group {
            std::os::unix::fs::chown(path, None, Some(group))?;
        }
        std::fs::set_permissions(path, Permissions::from_mode(socket.mode))?;
        stream.listen(BACKLOG)
    };
    match open_up() {
        Ok(listener) => Ok((listener, own)),
        Err(source) => Err(failed(source)),
    }
}

/// Whether a socket's file is under the path; what is there and is no socket is refused.
pub(super) fn is_there(path: &Path) -> Result<bool, Error> {
    let path = path.to_owned();
    match std::fs::symlink_metadata(&path) {
        Ok(data) if data.file_type().is_socket() => Ok(true),
        Ok(_) => Err(Error::NoSocket { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Socket { path, source }),
    }
}

/// Whether an address can be listened on. It is bound for that and never listened on, so nobody can
/// connect meanwhile, and whoever wants to listen can.
pub(super) fn may_listen(address: SocketAddr) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

/// Whether this process may give a file of its own to a group.
pub(super) fn may_give_to(group: u32) -> bool {
    let group = rustix::process::Gid::from_raw(group);
    rustix::process::geteuid().is_root()
        || rustix::process::getegid() == group
        || rustix::process::getgroups().is_ok_and(|mine| mine.contains(&group))
}

/// Removes the leftover of a crash.
fn make_room(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Socket {
        path: path.to_owned(),
        source,
    };
    if !is_there(path)? {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(Error::Live {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(
                socket = &*path.to_string_lossy(),
                "a crash left the socket's file: replaced"
            );
            std::fs::remove_file(path).map_err(failed)
        }
        // A full backlog, for one, is somebody's.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Live {
            path: path.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn group_id(name: &str) -> Result<u32, Error> {
    let unknown = |source| Error::Group {
        name: name.to_owned(),
        source,
    };
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Gid::as_raw(group.gid)),
        Ok(None) => Err(unknown(None)),
        Err(error) => Err(unknown(Some(error.into()))),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let data = std::fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino(), data.created().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(path: PathBuf) -> Socket {
        Socket {
            path,
            mode: 0o620,
            group: None,
        }
    }

    #[tokio::test]
    async fn made_replaced_refused_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, own) = make(&socket(path.clone())).unwrap();
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o620);
        let live = make(&socket(path.clone())).unwrap_err();
        assert!(matches!(live, Error::Live { .. }), "{live:?}");
        drop(listener);
        let (_listener, second) = make(&socket(path.clone())).unwrap();
        drop(own);
        assert!(path.exists(), "that one is another's");
        drop(second);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        let no_socket = make(&socket(path.clone())).unwrap_err();
        assert!(matches!(no_socket, Error::NoSocket { .. }), "{no_socket:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_file_begins_with_its_owners_rights_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let stream = UnixSocket::new_stream().unwrap();
        fchmod(&stream, Mode::RUSR | Mode::WUSR).unwrap();
        stream.bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o177, 0, "{mode:o}");
    }

    #[test]
    fn an_unknown_group_is_named() {
        let error = group_id("no-such-group-here").unwrap_err();
        assert!(error.to_string().contains("no-such-group-here"));
    }
}
