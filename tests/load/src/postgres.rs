//! A PostgreSQL of the bench's own: Debian's, started in a folder on the bench's disk as a user would have it, with every
//! setting as it comes (so `fsync` on), reached by a Unix socket.
//!
//! What it costs is the CPU time of all its processes. Rows come by a client of a few lines, which notes when a COMMIT
//! was answered and does nothing else. Left out: any other client, and versions that are not installed as Debian does.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{cpu_us, cpu_us_of_ended};

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Postgres {
    programs: PathBuf,
    /// The data, and the socket.
    data: TempDir,
    socket: TempDir,
    server: Child,
}

/// The programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders
        .filter(|folder| folder.join("initdb").exists())
        .max()
}

/// The user that it runs as where the bench is root, which it refuses to be.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Postgres {
    /// Starts one below a folder; `None` where none is installed.
    pub(crate) fn start(home: &Path) -> Option<Self> {
        let programs = programs()?;
        let folder = |of: &Path| {
            let folder = tempfile::Builder::new().prefix("load-pg-").tempdir_in(of);
            let folder = folder.expect("a folder");
            if let Some((user, group)) = owner() {
                chown(folder.path(), Some(user), Some(group)).expect("give a folder away");
            }
            folder
        };
        // A path of a socket has to be short.
        let (data, socket) = (folder(home), folder(&std::env::temp_dir()));
        let within = data.path().join("data");
        let made = program(&programs, "initdb")
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&within)
            .output()
            .expect("initdb");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let server = program(&programs, "postgres")
            .arg("-D")
            .arg(&within)
            .args(["-c", "listen_addresses="])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                socket.path().display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start PostgreSQL");
        let postgres = Self {
            programs,
            data,
            socket,
            server,
        };
        let begun = Instant::now();
        while Client::try_connect(postgres.host(), "postgres").is_none() {
            assert!(
                begun.elapsed() < START_LIMIT,
                "PostgreSQL does not start in {}",
                postgres.data.path().display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(postgres)
    }

    pub(crate) fn host(&self) -> &Path {
        self.socket.path()
    }

    /// The URL of a database, for `[outbox]`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://postgres@/{database}?host={}",
            self.host().display()
        )
    }

    /// A connection to a database.
    pub(crate) fn client(&self, database: &str) -> Client {
        Client::try_connect(self.host(), database).expect("connect to PostgreSQL")
    }

    /// CPU microseconds of all its processes since its start, those that have ended included.
    pub(crate) fn cpu_us(&self) -> f64 {
        let pid = self.server.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let live = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        cpu_us(pid) + cpu_us_of_ended(pid) + live.map(cpu_us).sum::<f64>()
    }

    /// Commits of bare INSERTs a second that so many clients make in so many seconds, by `pgbench`.
    pub(crate) fn commits(&self, database: &str, clients: u32, seconds: u64, sql: &str) -> f64 {
        let script = self.data.path().join("commit.sql");
        std::fs::write(&script, sql).expect("a script");
        let output = program(&self.programs, "pgbench")
            .args(["-n", "-M", "prepared", "-U", "postgres", "-j", "1", "-c"])
            .arg(clients.to_string())
            .arg("-T")
            .arg(seconds.to_string())
            .arg("-h")
            .arg(self.host())
            .arg("-f")
            .arg(&script)
            .arg(database)
            .output()
            .expect("pgbench");
        let said = String::from_utf8_lossy(&output.stdout);
        let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = line.and_then(|line| line.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("pgbench: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: nothing of it is needed any more.
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).ok();
        self.server.wait().ok();
    }
}

/// One of its programs, as the user that it runs as.
fn program(programs: &Path, name: &str) -> Command {
    let program = programs.join(name);
    let mut command = match owner() {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={group}"))
                .arg("--clear-groups")
                .arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// A connection: simple queries and their rows as text.
pub(crate) struct Client {
    stream: UnixStream,
    /// What was read and not used yet.
    read: Vec<u8>,
}

impl Client {
    /// `None` where nobody answers, or it starts still.
    fn try_connect(host: &Path, database: &str) -> Option<Self> {
        let stream = UnixStream::connect(host.join(".s.PGSQL.5432")).ok()?;
        let mut client = Self {
            stream,
            read: Vec::new(),
        };
        // Version 3.0 of the protocol.
        let mut hello = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", "postgres", "database", database, ""] {
            hello.extend(text.as_bytes());
            hello.push(0);
        }
        let length = u32::try_from(hello.len() + 4).expect("a short text");
        client.stream.write_all(&length.to_be_bytes()).ok()?;
        client.stream.write_all(&hello).ok()?;
        client.answer().ok().map(|_| client)
    }

    /// Runs statements; the rows of all, a column a text.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<Vec<String>> {
        let length = u32::try_from(sql.len() + 5).expect("a statement");
        let mut message = vec![b'Q'];
        message.extend(length.to_be_bytes());
        message.extend(sql.as_bytes());
        message.push(0);
        self.stream.write_all(&message).expect("PostgreSQL hears");
        self.answer()
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The first value of the first row; 0 where there is none.
    pub(crate) fn number(&mut self, sql: &str) -> f64 {
        let rows = self.query(sql);
        let value = rows.first().and_then(|row| row.first());
        value.map_or(0.0, |value| value.parse().unwrap_or(0.0))
    }

    /// What comes until it is ready for the next, or what it complains of.
    fn answer(&mut self) -> Result<Vec<Vec<String>>, String> {
        let (mut rows, mut complaint) = (Vec::new(), None);
        loop {
            let (kind, message) = self.message()?;
            match kind {
                b'Z' => return complaint.map_or(Ok(rows), Err),
                b'D' => rows.push(columns(&message)),
                b'E' => {
                    let text = String::from_utf8_lossy(&message).replace('\0', " ");
                    complaint = Some(text);
                }
                _ => {}
            }
        }
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>), String> {
        loop {
            if let Some(head) = self.read.first_chunk::<5>() {
                let [kind, length @ ..] = *head;
                let end = u32::from_be_bytes(length) as usize + 1;
                if self.read.len() >= end {
                    let message = self.read[5..end].to_vec();
                    self.read.drain(..end);
                    return Ok((kind, message));
                }
            }
            let mut chunk = [0; 16_384];
            match self.stream.read(&mut chunk) {
                Ok(count @ 1..) => self.read.extend(&chunk[..count]),
                Ok(_) => return Err("the connection ended".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// The columns of a row; NULL is empty.
fn columns(message: &[u8]) -> Vec<String> {
    let (mut columns, mut rest) = (Vec::new(), &message[2..]);
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (value, more) = more.split_at(length);
        columns.push(String::from_utf8_lossy(value).into_owned());
        rest = more;
    }
    columns
}

/// A text as SQL has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    write!(quoted, "'{}'", text.replace('\'', "''")).expect("a text");
    quoted
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn a_row_has_its_columns_as_texts() {
        let mut message = vec![0, 3];
        message.extend([0, 0, 0, 2, b'4', b'2']);
        message.extend([255, 255, 255, 255]);
        message.extend([0, 0, 0, 1, b'x']);
        assert_eq!(columns(&message), ["42", "", "x"]);
    }
}
