//! A PostgreSQL of the demo's own, in a temporary folder: started from what is installed, on a Unix socket alone.
//!
//! It refuses to run as root, so it is another user's where the demo is. A shell beside it waits for the end of the
//! demo, however that comes, and then ends the server and empties the folder. Left out: every setting that is not about where
//! it is.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::super::Failure;
use super::child::LOOK;
use crate::model::Server;
use crate::postgres::Link;

/// Where Debian installs each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The oldest version that an outbox or a log may be in.
const OLDEST: u32 = 15;

/// Its superuser, and the database for outbox and log.
pub(super) const USER: &str = "webhooksd";
pub(super) const DATABASE: &str = "app";

/// A server that has not begun to answer by then does not.
const READY: Duration = Duration::from_secs(30);

/// The longest path of a Unix socket, bytes.
const MOST_SOCKET: usize = 107;

/// Waits for the end of its input, which the demo holds.
const BESIDE: &str = r#"folder=$1; shift
"$@" >>"$folder/journal" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
case $folder in */webhooksd-demo-*) rm -rf "$folder"/* ;; esac"#;

/// What is installed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// The folder of its programs.
    programs: PathBuf,
    /// Its major version.
    major: u32,
    /// Its version in full.
    pub(super) version: String,
}

/// It runs until this is dropped.
pub(super) struct Running {
    folder: TempDir,
    beside: Child,
    /// Its end ends the server.
    input: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.beside.wait());
    }
}

/// The newest version that is installed: as Debian does, as `pg_config` says, or in the path.
///
/// # Errors
/// There is none that is new enough.
pub(super) fn installed() -> Result<Installed, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest(&folders(Path::new(DEBIAN), &path)).ok_or_else(|| {
        let text = format!(
            "no PostgreSQL {OLDEST} or newer is installed: `apt-get install postgresql` brings one"
        );
        Failure::text(text).code(2)
    })
}

/// Where its programs may be.
fn folders(debian: &Path, path: &OsStr) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    for folder in std::env::split_paths(path) {
        let program = folder.join("pg_config");
        if program.exists() {
            folders.extend(said(&program, "--bindir").map(PathBuf::from));
        }
        folders.push(folder);
    }
    folders
}

fn newest(folders: &[PathBuf]) -> Option<Installed> {
    let found = folders.iter().filter_map(|programs| {
        let (initdb, server) = (programs.join("initdb"), programs.join("postgres"));
        if !initdb.exists() || !server.exists() {
            return None;
        }
        // `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
        let version = said(&server, "--version")?;
        let version = version.split_whitespace().nth(2)?.to_owned();
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        let major = digits.parse().ok()?;
        Some(Installed {
            programs: programs.clone(),
            major,
            version,
        })
    });
    let fits = found.filter(|installed| installed.major >= OLDEST);
    fits.max_by_key(|installed| installed.major)
}

/// The line that a program prints.
fn said(program: &Path, word: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg(word).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Makes a server and starts it; it may not answer yet.
///
/// # Errors
/// What the server's own programs say.
pub(super) fn start(installed: &Installed) -> Result<Running, Failure> {
    let failed =
        |what: &'static str| move |error: std::io::Error| Failure::text(format!("{what}: {error}"));
    let folder = tempfile::Builder::new().prefix("webhooksd-demo-").tempdir();
    let folder = folder.map_err(failed("make a temporary folder"))?;
    // What the server names its socket is behind it.
    let socket = folder.path().join(".s.PGSQL.5432");
    if socket.as_os_str().len() > MOST_SOCKET {
        let text = format!("the path {socket:?} is too long for a Unix socket");
        return Err(Failure::text(text).hint(Some("set TMPDIR to a shorter folder, as /tmp is")));
    }
    let owner = owner()?;
    if let Some((user, group)) = owner {
        let given = std::os::unix::fs::chown(folder.path(), Some(user), Some(group));
        given.map_err(failed("give the server its folder"))?;
    }
    let mut initdb = as_owner(Command::new(installed.programs.join("initdb")), owner);
    initdb.args(["--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C"]);
    initdb
        .args(["-U", USER, "-D"])
        .arg(folder.path().join("data"));
    initdb.current_dir(folder.path()).stdin(Stdio::null());
    let made = initdb.output().map_err(|error| {
        let is_shut = owner.is_some() && error.kind() == std::io::ErrorKind::PermissionDenied;
        let hint = "the server is another user's than root: set TMPDIR to a folder that everybody may enter, as /tmp is";
        failed("run initdb")(error).hint(is_shut.then_some(hint))
    })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        return Err(Failure::text(format!("initdb made no server: {said}")));
    }
    let mut command = as_owner(Command::new("sh"), owner);
    command.args(["-c", BESIDE, "sh"]).arg(folder.path());
    command.arg(installed.programs.join("postgres"));
    command.arg("-D").arg(folder.path().join("data"));
    let socket = format!("unix_socket_directories={}", folder.path().display());
    for setting in ["listen_addresses=", "fsync=off", &socket] {
        command.arg("-c").arg(setting);
    }
    command.current_dir(folder.path()).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut beside = command.spawn().map_err(failed("start the server"))?;
    let input = beside.stdin.take();
    Ok(Running {
        folder,
        beside,
        input,
    })
}

/// A program of that user's, which a Ctrl-C in the terminal is not told to: the demo ends it.
fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.process_group(0);
    command
}

/// The user and group that a server of root's runs as; `None`: whoever runs the demo.
fn owner() -> Result<Option<(u32, u32)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = user(&users, "postgres").or_else(|| user(&users, "nobody"));
    found.map(Some).ok_or_else(|| {
        Failure::text("PostgreSQL does not run as root, and there is no user postgres or nobody")
    })
}

fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut lines = users.lines().map(|line| line.split(':'));
    let mut fields =
        lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let user = fields.nth(1)?.parse().ok()?;
    Some((user, fields.next()?.parse().ok()?))
}

impl Running {
    /// Where its socket is, and all else.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it said.
    pub(super) fn journal(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default()
    }

    /// Waits until it answers, and makes the database.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn ready(&mut self, app: &Arc<Server>) -> Result<(), Failure> {
        let first = Arc::new(Server {
            database: Some("postgres".to_owned()),
            ..Server::clone(app)
        });
        let answers = async {
            while matches!(self.beside.try_wait(), Ok(None)) {
                let first = first.clone();
                let made = move || {
                    let link = Link::open(&first)?;
                    link.batch("make the database", &format!("CREATE DATABASE {DATABASE}"))
                };
                if matches!(tokio::task::spawn_blocking(made).await, Ok(Ok(()))) {
                    return true;
                }
                tokio::time::sleep(LOOK).await;
            }
            false
        };
        if timeout(READY, answers).await == Ok(true) {
            return Ok(());
        }
        let text = format!(
            "the server does not answer; its journal:\n{}",
            self.journal()
        );
        Err(Failure::text(text))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder with the programs of a version.
    fn version(folder: &Path, version: &str) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        for name in ["initdb", "postgres"] {
            let program = folder.join(name);
            let text = format!("#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian)'\n");
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder.to_owned()
    }

    #[test]
    fn the_newest_that_is_new_enough_is_found_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let debian = at("debian");
        let path = std::env::join_paths([at("path")]).unwrap();
        let found =
            || newest(&folders(&debian, &path)).map(|found| (found.programs, found.version));
        assert_eq!(found(), None);
        version(&debian.join("13/bin"), "13.9");
        assert_eq!(found(), None, "too old");
        let nine = version(&debian.join("15/bin"), "15.18");
        assert_eq!(found(), Some((nine, "15.18".into())));
        // By number, and not by name; one that is not released is one too.
        let in_path = version(&at("path"), "100beta1");
        assert_eq!(found(), Some((in_path, "100beta1".into())));
        // A folder that has no server says nothing.
        std::fs::create_dir_all(debian.join("200/bin")).unwrap();
        assert_eq!(found().unwrap().1, "100beta1");
    }

    #[test]
    fn pg_config_says_where_its_programs_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let elsewhere = version(&at("elsewhere"), "16.1");
        std::fs::create_dir(at("path")).unwrap();
        let program = at("path").join("pg_config");
        std::fs::write(
            &program,
            format!("#!/bin/sh\necho {}\n", elsewhere.display()),
        )
        .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = newest(&folders(&at("none"), at("path").as_os_str()));
        assert_eq!(found.unwrap().programs, elsewhere);
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:1:1::/:\npostgres:x:105:110::/:\n";
        assert_eq!(user(users, "postgres"), Some((105, 110)));
        assert_eq!(user(users, "nobody"), None);
    }
}
