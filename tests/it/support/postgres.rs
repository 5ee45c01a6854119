//! Debian's PostgreSQL, started by the tests: a server for all of a run, and a database of its own for each test.
//!
//! It listens on a Unix socket in a temporary folder, as another user where the tests run as root. A shell beside it
//! waits for the end of the tests, however that comes, and then ends the server and removes the folder. Left out:
//! every client but `psql`, which is what an application's migration is run by.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{SOON, eventually, missing};

/// Set where a missing server is a failure.
const REQUIRED: &str = "WEBHOOKSD_TEST_POSTGRES";

/// Waits for the end of its input, which the tests hold.
const BESIDE: &str = r#"folder=$1; shift
"$@" >>"$folder/server.log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
case $folder in */webhooksd-pg-*) [ -e "$folder/keep" ] || rm -rf "$folder" ;; esac"#;

/// What a server says and ends by, while a process of the one before it is there.
const MEMORY: &str = "pre-existing shared memory block";

/// A server.
pub(crate) struct Postgres {
    pub(super) folder: PathBuf,
    programs: PathBuf,
    settings: Vec<String>,
    running: Option<(Child, ChildStdin)>,
    databases: AtomicU32,
}

/// A database of a server, with the outbox's table.
pub(crate) struct Database {
    pub(crate) name: String,
    folder: PathBuf,
    /// Of the server as it was then.
    port: String,
}

/// The server of this run. Where none is installed the test leaves out what is about it, and says so.
#[track_caller]
pub(crate) fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    let server = SERVER
        .get_or_init(|| Postgres::start(&["fsync=off"]))
        .as_ref();
    if server.is_none() {
        skipped();
    }
    server
}

#[track_caller]
fn skipped() {
    let required = std::env::var_os(REQUIRED).is_some_and(|value| value == "required");
    assert!(
        !required,
        "PostgreSQL is not installed, and {REQUIRED} says that it is"
    );
    missing("PostgreSQL");
}

/// The programs of the newest version that is installed as Debian does.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders
        .filter(|folder| folder.join("initdb").exists())
        .max()
}

impl Postgres {
    /// A server of a test's own, with these settings; `None` where none is installed, which is said.
    #[track_caller]
    pub(crate) fn own(settings: &[&str]) -> Option<Self> {
        let server = Self::start(settings);
        if server.is_none() {
            skipped();
        }
        server
    }

    /// One of which there is nothing but a folder.
    fn made(programs: PathBuf, settings: Vec<String>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("webhooksd-pg-")
            .tempdir()
            .unwrap();
        let folder = folder.keep();
        if let Some((user, group)) = owner() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        Self {
            folder,
            programs,
            settings,
            running: None,
            databases: AtomicU32::new(0),
        }
    }

    /// A standby of this server, which follows it.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::made(self.programs.clone(), self.settings.clone());
        let made = standby
            .program("pg_basebackup")
            .args(["-U", "postgres", "-c", "fast", "-X", "stream", "-R", "-h"])
            .arg(&self.folder)
            .arg("-D")
            .arg(standby.folder.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        standby.up();
        standby
    }

    /// Has a standby follow nobody any more.
    pub(crate) fn detach(&self) {
        self.psql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
        self.psql("postgres", "SELECT pg_reload_conf()");
        eventually("the standby follows nobody", SOON, || {
            let receivers = self.psql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver");
            super::check(receivers == "0", || receivers)
        });
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote()"), "t");
    }

    fn start(settings: &[&str]) -> Option<Self> {
        let programs = programs()?;
        let settings = settings.iter().map(|&setting| setting.to_owned());
        let mut server = Self::made(programs, settings.collect());
        let data = server.folder.join("data");
        let made = server
            .program("initdb")
            .args([
                "--no-sync",
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.up();
        server.psql("postgres", "CREATE DATABASE outbox_template");
        server.psql("outbox_template", &schema());
        Some(server)
    }

    /// One of the server's programs, as the user that it runs as.
    pub(crate) fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match owner() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"));
                command.arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn up(&mut self) {
        let mut begun = self.begin();
        let port = self.port().to_owned();
        eventually("PostgreSQL answers", SOON, || {
            let mut asks = self.program("pg_isready");
            asks.args(["-q", "-p", &port, "-h"]).arg(&self.folder);
            if asks.status().unwrap().success() {
                return Ok(());
            }
            let log = self.log();
            // One that was killed has a process left for a moment, which has its memory.
            if log.get(begun..).is_some_and(|new| new.contains(MEMORY)) {
                self.end_keeping();
                begun = self.begin();
            }
            Err(log)
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Starts it. Returns how long its log was before.
    fn begin(&mut self) -> usize {
        let before = self.log().len();
        let server = self.program("postgres");
        let mut command = Command::new("sh");
        command.args(["-c", BESIDE, "sh"]).arg(&self.folder);
        command.arg(server.get_program()).args(server.get_args());
        command.arg("-D").arg(self.folder.join("data"));
        for setting in ["listen_addresses=", "max_connections=200", "timezone=UTC"] {
            command.arg("-c").arg(setting);
        }
        let socket = format!("unix_socket_directories={}", self.folder.display());
        command.arg("-c").arg(socket);
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.current_dir(&self.folder).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        self.running = Some((child, input));
        before
    }

    /// Sends its processes a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        // Its processes too, or the next server finds their memory still in use.
        let own = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let own = own.unwrap_or_default();
        for pid in std::iter::once(&*pid).chain(own.split_whitespace()) {
            // One of them may have ended by itself meanwhile.
            Command::new("sh")
                .args(["-c", "kill -\"$1\" \"$0\"", pid, name])
                .stderr(Stdio::null())
                .status()
                .unwrap();
        }
    }

    /// Kills it, as a crash of its machine does; what is in its folder stays.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        self.end_keeping();
    }

    /// Waits for its end; what is in its folder stays.
    pub(super) fn end_keeping(&mut self) {
        std::fs::write(self.folder.join("keep"), "").unwrap();
        self.ended();
        std::fs::remove_file(self.folder.join("keep")).unwrap();
    }

    fn ended(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            child.wait().unwrap();
        }
    }

    /// Starts it anew with these settings beside those that it has.
    pub(crate) fn restart(&mut self, settings: &[&str]) {
        self.kill();
        let settings = settings.iter().map(|&setting| setting.to_owned());
        self.settings.extend(settings);
        self.up();
    }

    /// Writes a file that the server alone may read, by its path in the server's folder.
    pub(crate) fn give(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, rights).unwrap();
        if let Some((user, group)) = owner() {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        }
    }

    /// A database of its own, with the outbox's table as the program prints it.
    pub(crate) fn database(&self) -> Database {
        let n = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("app{n}");
        self.psql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE outbox_template"),
        );
        self.named(&name)
    }

    /// A database that is there, or not.
    pub(crate) fn named(&self, name: &str) -> Database {
        Database {
            name: name.to_owned(),
            folder: self.folder.clone(),
            port: self.port().to_owned(),
        }
    }

    fn port(&self) -> &str {
        let mut settings = self.settings.iter();
        let port = settings.find_map(|setting| setting.strip_prefix("port="));
        port.unwrap_or("5432")
    }

    /// Where its socket is, as `PGHOST` has it.
    pub(crate) fn host(&self) -> String {
        self.folder.display().to_string()
    }

    /// Runs statements in a database, each for itself.
    #[track_caller]
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        self.named(database).sql(sql)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.ended();
    }
}

impl Database {
    /// Where its server's socket is.
    pub(crate) fn host(&self) -> std::path::Display<'_> {
        self.folder.display()
    }

    /// The same once more, for another thread.
    pub(crate) fn again(&self) -> Self {
        Self {
            name: self.name.clone(),
            folder: self.folder.clone(),
            port: self.port.clone(),
        }
    }

    /// The URL for `[outbox]`, as its superuser.
    pub(crate) fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// The same as another user.
    pub(crate) fn url_as(&self, user: &str) -> String {
        format!(
            "postgres://{user}@/{}?host={}",
            self.name,
            self.folder.display()
        )
    }

    /// What `psql` prints of these statements, a row a line and columns divided by a bar; they must succeed.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, or what `psql` complains of.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut psql = self.psql();
        let mut child = psql
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // One that ends early says why.
        let written = input.write_all(sql.as_bytes());
        drop(input);
        let ended = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if ended.status.success() && written.is_ok() {
            Ok(text(ended.stdout))
        } else {
            Err(text(ended.stderr))
        }
    }

    /// `psql` with its standard input piped.
    pub(crate) fn psql(&self) -> Command {
        let mut psql = Command::new(programs().unwrap().join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
        ]);
        psql.arg(&self.name)
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port])
            .stdin(Stdio::piped());
        psql
    }

    /// Commits one event; its id.
    #[track_caller]
    pub(crate) fn emit(&self, event: &str, data: &str) -> i64 {
        let (event, data) = (quoted(event), quoted(data));
        let sql = format!("INSERT INTO outbox (event, data) VALUES ({event}, {data}) RETURNING id");
        self.sql(&sql).parse().unwrap()
    }
}

/// A text as SQL has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    write!(quoted, "'{}'", text.replace('\'', "''")).unwrap();
    quoted
}

/// The user and group that a server of root's runs as; `None`: the tests are not root.
pub(super) fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

/// The table, as users get it; nothing where the tests have no program to ask for it.
fn schema() -> String {
    let Some(program) = option_env!("CARGO_BIN_EXE_webhooksd") else {
        return String::new();
    };
    let mut program = Command::new(OsString::from(program));
    let printed = program
        .args(["schema", "outbox", "--postgres"])
        .output()
        .unwrap();
    String::from_utf8(printed.stdout).unwrap()
}
