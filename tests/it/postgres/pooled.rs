//! `PgBouncer` in transaction mode between: everything works but the doorbell, which is told of.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::following_by;
use crate::support::{Database, Receiver, SOON, check, eventually, hook, need, postgres};

/// A pooler in front of a database, with a server connection or two for all that come.
struct Pooler {
    folder: tempfile::TempDir,
    child: Child,
}

impl Pooler {
    fn of(database: &Database) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("webhooksd-pooler-")
            .tempdir()
            .unwrap();
        let path = folder.path();
        let users = path.join("users.txt");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let mut settings = std::fs::File::create(path.join("pgbouncer.ini")).unwrap();
        write!(
            settings,
            "[databases]\n{name} = host={host} dbname={name}\n[pgbouncer]\nlisten_addr =\nlisten_port = 5432\n\
             unix_socket_dir = {folder}\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\n\
             default_pool_size = 2\nserver_login_retry = 1\nadmin_users = postgres\n",
            name = database.name,
            host = database.host(),
            folder = path.display(),
            users = users.display(),
        )
        .unwrap();
        // It does not run as root: as the user that the server runs as.
        let owner = std::os::unix::fs::MetadataExt::uid(
            &std::fs::metadata(database.host().to_string()).unwrap(),
        );
        for made in [path.to_owned(), users, path.join("pgbouncer.ini")] {
            std::os::unix::fs::chown(made, Some(owner), None).ok();
        }
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={owner}"))
                .args(["--clear-groups", "pgbouncer"]);
            command
        } else {
            Command::new("pgbouncer")
        };
        let child = command
            .arg(path.join("pgbouncer.ini"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self { folder, child };
        eventually("the pooler answers", SOON, || {
            let socket = pooler.folder.path().join(".s.PGSQL.5432");
            check(socket.exists(), || "no socket".to_owned())
        });
        pooler
    }

    fn url(&self, database: &Database) -> String {
        let folder = self.folder.path().display();
        format!("postgres://postgres@/{}?host={folder}", database.name)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn rows_come_through_a_pooler_and_a_server_that_starts_anew() {
    if !need("pgbouncer") {
        return;
    }
    let Some(mut server) = crate::support::Postgres::own(&["fsync=on"]) else {
        return;
    };
    let database = server.database();
    let pooler = Pooler::of(&database);
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&pooler.url(&database), "", &hooks);
    world.command(&["check"]).expect(0);
    let daemon = world.start();
    for n in 0..40 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    receiver.wait(40, SOON);
    // Behind the pooler's back.
    server.kill();
    daemon.wait_journal("the outbox can't be read; trying again");
    server.up();
    for n in 40..60 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
    }
    receiver.wait(60, SOON);
    let daemon_again = {
        daemon.stop();
        world.start()
    };
    database.sql(
        "INSERT INTO outbox (event, data) SELECT 'e', ('{\"n\":' || n || '}')::json FROM generate_series(60, 2059) n",
    );
    receiver.wait(2_060, SOON);
    assert_eq!(receiver.count(), 2_060, "each once");
    daemon_again.stop();
}

#[test]
fn the_doorbell_is_not_heard_through_a_pooler() {
    if !need("pgbouncer") {
        return;
    }
    let Some(server) = postgres() else { return };
    let database = super::doorbell::database(server, "bell_pooled");
    let pooler = Pooler::of(&database);
    let receiver = Receiver::ok();
    let hooks = [hook("one", receiver.url("/"))];
    let world = following_by(&pooler.url(&database), "doorbell = true", &hooks);
    let daemon = world.start();
    for n in 1..=30 {
        database.emit("e", &format!("{{\"n\":{n}}}"));
        receiver.wait(n, SOON);
    }
    daemon.wait_journal("did not ring");
    daemon.stop();
}
