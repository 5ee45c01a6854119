//! Who follows an outbox, by the name of its connection: two daemons with a log each would both send everything.
//!
//! A row or a lock would outlive its daemon, behind a pooler too, and keep the next from its work. So neither is refused:
//! each is told of the other, where the server lets its user know.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::model::Server;
use crate::outbox::Finding;

/// The others by their names, of connections to this database by this user, which is what a user may see of others.
pub(super) const OTHERS: &str = "SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND usename = session_user AND application_name <> $1
       AND application_name ~ ' reads for [0-9a-f]{16}$' LIMIT 1";

/// The name by which the server shows a connection that takes rows in for the log at that path of a machine: the
/// same after each start, and another one of another log.
#[must_use]
pub(crate) fn reader_name(server: &Server, machine: &str, log: &Path) -> String {
    let bytes = [machine.as_bytes(), b"\0", log.as_os_str().as_bytes()];
    // FNV-1a of 64 bits: it has to tell a handful of logs from each other.
    let number = bytes
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // The server keeps 63 bytes of a name, and replaces what is not ASCII.
    let name = server.application_name.chars().filter(char::is_ascii);
    let name: String = name.take(30).collect();
    format!("{name} reads for {number:016x}")
}

/// What is told of another one, by the server's number of its connection.
#[must_use]
pub(crate) fn another(server: &Server, pid: i32) -> Finding {
    let shown = &server.shown;
    let text = format!(
        "another webhooksd follows outbox {shown:?}, by process {pid} of the server: each of the two sends every event"
    );
    let hint =
        "end one of them: SELECT * FROM pg_stat_activity shows where its connection comes from";
    Finding {
        is_error: false,
        text,
        hint: Some(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_known_by_its_log() {
        let server = Server {
            whose: "outbox",
            hosts: Vec::new(),
            user: None,
            database: None,
            password: None,
            tls: None,
            doorbell: false,
            application_name: "n".repeat(63),
            connect_timeout: std::time::Duration::ZERO,
            shown: String::new(),
        };
        let name = |log: &str| reader_name(&server, "a", Path::new(log));
        assert_eq!(name("/a/log.db"), name("/a/log.db"));
        assert_ne!(name("/a/log.db"), name("/b/log.db"));
        assert_ne!(
            name("/a/log.db"),
            reader_name(&server, "b", Path::new("/a/log.db"))
        );
        assert!(name("/a/log.db").len() <= 63);
    }
}
