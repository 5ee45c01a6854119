//! A folder with a configuration, an outbox and a log, and the ways a user has to each of them.
//!
//! The outbox is written through SQLite as an application does, the log is read through a
//! read-only connection, opened for one question and closed again.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::daemon::{Daemon, Finished};
use super::{SOON, check, eventually, need, sqlite_readonly_behind};

/// Longer than any transaction here.
const BUSY: Duration = Duration::from_secs(10);

/// A folder of one test.
pub(crate) struct World {
    folder: TempDir,
    runs: Cell<u32>,
}

/// One `[[webhook]]`.
#[derive(Clone)]
pub(crate) struct Hook {
    name: String,
    url: String,
    events: String,
    lines: Vec<String>,
}

/// A webhook that wants every event, with the defaults of everything.
pub(crate) fn hook(name: &str, url: impl Into<String>) -> Hook {
    Hook {
        name: name.to_owned(),
        url: url.into(),
        events: "*".to_owned(),
        lines: Vec::new(),
    }
}

impl Hook {
    /// Wants only names of that pattern.
    pub(crate) fn events(mut self, pattern: &str) -> Self {
        pattern.clone_into(&mut self.events);
        self
    }

    /// Signs with that secret.
    pub(crate) fn secret(self, secret: &str) -> Self {
        self.line(format!("secret = {secret:?}"))
    }

    /// Speaks that dialect, over plain HTTP where its URL says so.
    pub(crate) fn dialect(self, dialect: &str) -> Self {
        let plain = dialect != "bold-cms" && self.url.starts_with("http:");
        let hook = self.line(format!("dialect = {dialect:?}"));
        if plain {
            hook.line("insecure_http = true")
        } else {
            hook
        }
    }

    /// Gives up after one attempt, which only bold-factory can be told to.
    pub(crate) fn one_attempt(self) -> Self {
        self.dialect("bold-factory").line("max_attempts = 1")
    }

    /// With one more line of TOML.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

impl World {
    /// A folder with a configuration of `hooks` and an outbox in WAL mode, made by the SQL that
    /// `webhooksd schema outbox` prints.
    pub(crate) fn new(hooks: &[Hook]) -> Self {
        let world = Self::bare(hooks);
        world.make_outbox("WAL");
        world
    }

    /// The same without an outbox.
    pub(crate) fn bare(hooks: &[Hook]) -> Self {
        let world = Self {
            folder: tempfile::Builder::new()
                .prefix("webhooksd-it-")
                .tempdir()
                .unwrap(),
            runs: Cell::new(0),
        };
        world.configure(hooks);
        world
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, hooks: &[Hook]) {
        self.configure_with("", hooks);
    }

    /// Writes the configuration with more lines behind its section `[outbox]`.
    pub(crate) fn configure_with(&self, more: &str, hooks: &[Hook]) {
        let mut text = format!(
            "tenant = \"acme\"\n\n[outbox]\npath = \"outbox.db\"\n{more}\n\n[log]\npath = \"log.db\"\n"
        );
        for hook in hooks {
            write!(
                text,
                "\n[[webhook]]\nname = {:?}\nurl = {:?}\nevents = [{:?}]\n",
                hook.name, hook.url, hook.events
            )
            .unwrap();
            for line in &hook.lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        self.write("webhooks.toml", text);
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    // The outbox, as an application sees it.

    /// Makes `outbox.db` with that journal mode and the documented table.
    pub(crate) fn make_outbox(&self, journal_mode: &str) {
        let sql = self.command(&["schema", "outbox"]).expect(0).stdout;
        let outbox = self.outbox();
        outbox
            .pragma_update(None, "journal_mode", journal_mode)
            .unwrap();
        outbox.execute_batch(&sql).unwrap();
    }

    /// A connection to the outbox, as an application has one.
    pub(crate) fn outbox(&self) -> Connection {
        let outbox = Connection::open(self.path("outbox.db")).unwrap();
        outbox.busy_timeout(BUSY).unwrap();
        outbox
    }

    /// Commits one event; its id.
    pub(crate) fn emit(&self, event: &str, data: &str) -> i64 {
        insert(&self.outbox(), event, data)
    }

    /// Removes the outbox with its companions.
    pub(crate) fn remove_outbox(&self) {
        for name in ["outbox.db", "outbox.db-wal", "outbox.db-shm"] {
            if self.path(name).exists() {
                std::fs::remove_file(self.path(name)).unwrap();
            }
        }
    }

    // The log, as a user sees it.

    /// The rows that `sql` finds in the log, every value as text; none while there is no log yet.
    pub(crate) fn log(&self, sql: &str) -> Vec<Vec<String>> {
        if !self.path("log.db").exists() {
            return Vec::new();
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let log = Connection::open_with_flags(self.path("log.db"), flags).unwrap();
        log.busy_timeout(BUSY).unwrap();
        // One that is being made at this moment has nothing in it yet.
        let made = "SELECT count(*) FROM sqlite_schema WHERE name = 'log'";
        let made: i64 = log.query_row(made, [], |row| row.get(0)).unwrap();
        if made == 0 {
            return Vec::new();
        }
        let mut statement = log.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| Ok((0..columns).map(|at| text(row, at)).collect());
        let rows = statement.query_map([], row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The one number that `sql` finds in the log; 0 while there is no log yet.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.log(sql);
        let value = rows.first().and_then(|row| row.first());
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until `sql` finds that number in the log.
    #[track_caller]
    pub(crate) fn wait_number(&self, sql: &str, expected: i64, limit: Duration) {
        eventually(&format!("{expected} from {sql}"), limit, || {
            let seen = self.number(sql);
            check(seen == expected, || seen.to_string())
        });
    }

    /// Waits until the log shows that many attempts, and returns these columns of all of them.
    #[track_caller]
    pub(crate) fn attempts(
        &self,
        columns: &str,
        count: usize,
        limit: Duration,
    ) -> Vec<Vec<String>> {
        let sql = format!("SELECT {columns} FROM log ORDER BY id");
        eventually(&format!("{count} attempts in the log"), limit, || {
            let rows = self.log(&sql);
            if rows.len() >= count {
                Ok(rows)
            } else {
                Err(format!("{rows:?}"))
            }
        })
    }

    /// Runs a statement on the log, as a user at `sqlite3` would.
    pub(crate) fn change_log(&self, sql: &str) -> rusqlite::Result<usize> {
        let log = Connection::open(self.path("log.db"))?;
        log.busy_timeout(BUSY)?;
        log.execute(sql, [])
    }

    /// What `sqlite3 -readonly log.db SQL` prints, run by the words of `prefix` where there are any: by
    /// the SQLite of the tests, and by the program, which is an older one, where it is installed.
    #[track_caller]
    pub(crate) fn read_log(&self, prefix: &[&str], sql: &str) -> Vec<Finished> {
        let own = sqlite_readonly_behind(prefix, &self.path("log.db"), sql);
        let program = need("sqlite3").then(|| self.sqlite3(prefix, sql));
        [own].into_iter().chain(program).collect()
    }

    /// The same by the program alone, which must be installed.
    #[track_caller]
    pub(crate) fn sqlite3(&self, prefix: &[&str], sql: &str) -> Finished {
        let words = [prefix, &["sqlite3", "-readonly"]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(self.path("log.db")).arg(sql);
        Finished::run(command, std::env::temp_dir().as_path(), SOON)
    }

    // The program.

    /// Starts the daemon and waits until it follows the outbox.
    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Daemon {
        let mut daemon = self.spawn(arguments);
        daemon.wait_ready();
        daemon
    }

    /// Starts the daemon.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Daemon {
        self.runs.set(self.runs.get() + 1);
        let mut command = self.program(&[&["run"], arguments].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Daemon::spawn(command, self.path(format!("journal-{}", self.runs.get())))
    }

    /// Starts the daemon with variables of the environment, and waits until it follows the outbox.
    #[track_caller]
    pub(crate) fn start_in(&self, environment: &[(&str, &OsStr)]) -> Daemon {
        let mut daemon = self.spawn_in(environment);
        daemon.wait_ready();
        daemon
    }

    /// Starts `webhooksd run` with variables of the environment, and does not wait.
    pub(crate) fn spawn_in(&self, environment: &[(&str, &OsStr)]) -> Daemon {
        self.runs.set(self.runs.get() + 1);
        let mut command = self.program(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.envs(environment.iter().copied());
        Daemon::spawn(command, self.path(format!("journal-{}", self.runs.get())))
    }

    /// Starts `webhooksd run` behind the words of `prefix`, such as `sh -c 'ulimit ...; exec "$@"' sh`,
    /// with variables of the environment, and does not wait.
    pub(crate) fn spawn_behind(
        &self,
        prefix: &[&str],
        arguments: &[&str],
        environment: &[(&str, &OsStr)],
    ) -> Daemon {
        self.runs.set(self.runs.get() + 1);
        let mut command = self.behind(prefix, &[&["run"], arguments].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.envs(environment.iter().copied());
        Daemon::spawn(command, self.path(format!("journal-{}", self.runs.get())))
    }

    /// Starts a daemon's command with the journal in a file, and does not wait; `None` where the
    /// command is not on this machine.
    pub(crate) fn try_spawn(&self, command: Command) -> Option<Daemon> {
        let program = Path::new(command.get_program());
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |folder: PathBuf| folder.join(program).exists();
        if !std::env::split_paths(&folders).any(is_there) {
            return None;
        }
        self.runs.set(self.runs.get() + 1);
        let journal = self.path(format!("journal-{}", self.runs.get()));
        Some(Daemon::spawn(command, journal))
    }

    /// `webhooksd run` behind the words of `prefix`, for who gives it files of his own.
    pub(crate) fn daemon_behind(&self, prefix: &[&str]) -> Command {
        let mut command = self.behind(prefix, &["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs a command behind the words of `prefix` and with variables of the environment to its end.
    #[track_caller]
    pub(crate) fn command_behind(
        &self,
        prefix: &[&str],
        arguments: &[&str],
        environment: &[(&str, &OsStr)],
    ) -> Finished {
        let mut command = self.behind(prefix, arguments);
        command.stdin(Stdio::null());
        command.envs(environment.iter().copied());
        Finished::run(command, std::env::temp_dir().as_path(), SOON)
    }

    /// Runs a command with this folder's configuration to its end.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str]) -> Finished {
        let mut command = self.program(arguments);
        command.stdin(Stdio::null());
        Finished::run(command, self.folder(), SOON)
    }

    /// Runs a command with the file `stdin` of the folder as its standard input.
    #[track_caller]
    pub(crate) fn command_with_input(&self, arguments: &[&str], stdin: &str) -> Finished {
        let mut command = self.program(arguments);
        command.stdin(std::fs::File::open(self.path(stdin)).unwrap());
        Finished::run(command, self.folder(), SOON)
    }

    /// Runs a command that may have so much address space, with any file as its standard input.
    #[track_caller]
    pub(crate) fn command_within(
        &self,
        max_bytes: u64,
        arguments: &[&str],
        stdin: &Path,
    ) -> Finished {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={max_bytes}"));
        command.arg(env!("CARGO_BIN_EXE_webhooksd")).args(arguments);
        command.arg("--config").arg(self.path("webhooks.toml"));
        command.stdin(std::fs::File::open(stdin).unwrap());
        Finished::run(command, self.folder(), SOON)
    }

    /// Runs a command without a configuration, in the folder and with an environment variable.
    #[track_caller]
    pub(crate) fn plain(
        &self,
        arguments: &[&str],
        variable: (&str, &OsStr),
        limit: Duration,
    ) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhooksd"));
        command.args(arguments).current_dir(self.folder());
        command.stdin(Stdio::null()).env(variable.0, variable.1);
        Finished::run(command, std::env::temp_dir().as_path(), limit)
    }

    /// The program with `arguments` and `--config`, its words of the command first.
    fn program(&self, arguments: &[&str]) -> Command {
        self.behind(&[], arguments)
    }

    /// The same, run by the words of `prefix` where there are any.
    fn behind(&self, prefix: &[&str], arguments: &[&str]) -> Command {
        let words = [prefix, &[env!("CARGO_BIN_EXE_webhooksd")]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments);
        command.arg("--config").arg(self.path("webhooks.toml"));
        command
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM");
        command
    }
}

/// Commits one event through a connection that is kept open; its id.
pub(crate) fn insert(outbox: &Connection, event: &str, data: &str) -> i64 {
    outbox
        .prepare_cached("INSERT INTO outbox (event, data) VALUES (?1, ?2)")
        .unwrap()
        .execute([event, data])
        .unwrap();
    outbox.last_insert_rowid()
}

fn text(row: &rusqlite::Row<'_>, at: usize) -> String {
    match row.get_ref(at).unwrap() {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}
