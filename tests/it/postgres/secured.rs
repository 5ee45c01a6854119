//! Over TCP: TLS that is verified, and passwords from their files, before a start and while the daemon runs.

use super::refused::refused;
use super::{following_by, logging_apart};
use crate::socket::SECTION;
use crate::socket::client::curl;
use crate::support::{
    Authority, Database, Postgres, Receiver, SOON, World, bound_port, check, eventually, hook,
};

const RULES: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A server over TCP, of which the role `w` has a database.
struct Secured {
    server: Postgres,
    authority: Authority,
    database: Database,
    port: String,
    receiver: Receiver,
}

impl Secured {
    fn new() -> Option<Self> {
        let mut server = Postgres::own(&["fsync=off"])?;
        let authority = Authority::new();
        let (certificate, key) = authority.server("localhost");
        server.give("server.pem", &certificate);
        server.give("server.key", &key);
        server.give("data/pg_hba.conf", RULES);
        let (socket, port) = bound_port();
        drop(socket);
        let host = server.host();
        let settings = [
            format!("port={port}"),
            format!("ssl_cert_file={host}/server.pem"),
            format!("ssl_key_file={host}/server.key"),
            "listen_addresses=127.0.0.1".to_owned(),
            "ssl=on".to_owned(),
        ];
        server.psql("postgres", "CREATE ROLE w LOGIN PASSWORD 'hunter2'");
        let name = server.database().name;
        // The port is a part of the Unix socket's name too.
        server.restart(&settings.each_ref().map(|setting| &**setting));
        let database = server.named(&name);
        database
            .sql("GRANT SELECT, DELETE ON outbox TO w; CREATE SCHEMA webhooksd AUTHORIZATION w");
        Some(Self {
            server,
            authority,
            database,
            port: port.to_string(),
            receiver: Receiver::ok(),
        })
    }

    fn url(&self, host: &str, more: &str) -> String {
        let (port, name) = (&self.port, &self.database.name);
        format!("postgres://w@{host}:{port}/{name}?{more}")
    }

    fn world(&self, url: &str, password: &str) -> World {
        let hooks = [hook("one", self.receiver.url("/"))];
        let world = following_by(url, "password_file = \"db.password\"", &hooks);
        self.give_files(&world, password);
        world
    }

    /// With the log there, and the outbox where no password is asked for.
    fn logging(&self, password: &str) -> World {
        let hooks = [hook("one", self.receiver.url("/"))];
        let log = self.url("localhost", "sslrootcert=ca.pem");
        let outbox = format!("{}&port={}", self.database.url(), self.port);
        let more = format!("password_file = \"db.password\"\n{SECTION}");
        let world = logging_apart((&outbox, &log), &more, &hooks);
        self.give_files(&world, password);
        world
    }

    fn give_files(&self, world: &World, password: &str) {
        world.write("db.password", password);
        world.write("ca.pem", self.authority.pem());
        world.write("other.pem", Authority::new().pem());
    }

    /// Has the server show a certificate from now on, valid in the years from one to the other.
    fn show(&self, name: &str, (from, to): (i32, i32)) {
        let (certificate, key) = self.authority.server_with(name, |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        self.server.give("server.key", &key);
        self.server.give("server.pem", &certificate);
        self.reload();
    }

    /// Has the server read its files anew, and waits until it has.
    fn reload(&self) {
        let loaded = || self.database.sql("SELECT pg_conf_load_time()");
        let before = loaded();
        self.database.sql("SELECT pg_reload_conf()");
        eventually("the server has reloaded", SOON, || {
            let now = loaded();
            check(now != before, || now)
        });
    }

    fn end_connections(&self) {
        self.database
            .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'w'");
    }
}

#[test]
fn a_server_over_tcp_is_verified_and_asks_for_the_password() {
    let Some(secured) = Secured::new() else {
        return;
    };
    let world = |url: &str, password: &str| secured.world(url, password);
    let at = |host: &str, more: &str| secured.url(host, more);
    let verified = at("localhost", "sslrootcert=ca.pem");

    let right = world(&verified, "hunter2\n");
    right.command(&["check"]).expect(0);
    let daemon = right.start();
    secured.database.emit("e", "{\"n\":1}");
    assert_eq!(secured.receiver.wait(1, SOON)[0].n(), 1);
    daemon.stop();

    refused(
        &world(&verified, "hunter3"),
        &["password authentication failed", "password_file"],
    );
    let other = world(&at("localhost", "sslrootcert=other.pem"), "hunter2");
    refused(&other, &["is signed by nobody", "sslrootcert=FILE"]);
    let by_address = world(&at("127.0.0.1", "sslrootcert=ca.pem"), "hunter2");
    refused(
        &by_address,
        &["is of other names: localhost", "has to be a name"],
    );
    let plain = world(&at("localhost", "sslmode=disable"), "hunter2");
    refused(&plain, &["no pg_hba.conf entry", "pg_hba.conf"]);

    // The same by the file that libpq's users know.
    let hooks = [hook("one", secured.receiver.url("/"))];
    let pgpass = following_by(&verified, "", &hooks);
    pgpass.write("ca.pem", secured.authority.pem());
    let (port, name) = (&secured.port, &secured.database.name);
    pgpass.write("pgpass", format!("localhost:{port}:{name}:w:hunter2\n"));
    let path = pgpass.path("pgpass");
    let daemon = pgpass.start_in(&[("PGPASSFILE", path.as_os_str())]);
    daemon.wait_journal("ready: following the outbox");
    daemon.stop();
    refused(&pgpass, &["password"]);
}

#[test]
fn a_certificate_out_of_its_time_is_told_before_a_start() {
    let Some(mut secured) = Secured::new() else {
        return;
    };
    let verified = secured.url("localhost", "sslrootcert=ca.pem");
    let (outbox, log) = (
        secured.world(&verified, "hunter2"),
        secured.logging("hunter2"),
    );
    let told = |words: &[&str]| {
        refused(&outbox, words);
        let checked = log.command(&["check"]).expect(2).stderr;
        let mut daemon = log.spawn(&[]);
        assert_eq!(daemon.wait(SOON), Some(2), "{}", daemon.journal());
        for said in [checked, daemon.journal()] {
            for word in words {
                assert!(said.contains(word), "{word:?} in {said}");
            }
        }
    };
    secured.show("localhost", (2020, 2021));
    told(&[
        "the server's certificate expired",
        "days ago",
        "ssl_cert_file",
    ]);
    secured.show("localhost", (2150, 2151));
    told(&["is not valid yet", "this machine's clock"]);
    secured.show("elsewhere", (2020, 2150));
    told(&["is of other names: elsewhere", "has to be a name"]);
    secured.server.restart(&["ssl=off"]);
    told(&["server does not support TLS", "ssl = on"]);
}

#[test]
fn what_goes_wrong_with_the_log_s_connection_while_it_runs_is_waited_for() {
    let Some(secured) = Secured::new() else {
        return;
    };
    let world = secured.logging("hunter2");
    let mut daemon = world.start();
    let mut sent = 0;
    let mut trial = |wrong: &dyn Fn(), right: &dyn Fn(), words: &[&str]| {
        let before = daemon.journal().len();
        wrong();
        secured.end_connections();
        sent += 1;
        secured.database.emit("e", &format!("{{\"n\":{sent}}}"));
        for word in words {
            eventually(&format!("{word:?} is told"), SOON, || {
                let journal = daemon.journal();
                let new = journal.get(before..).unwrap_or_default();
                check(new.contains(word), || journal.clone())
            });
        }
        eventually("it is not well", SOON, || {
            let health = curl(&world, "/health", &[]);
            let tells = words.iter().all(|word| health.body.contains(word));
            check(health.status == 503 && tells, || health.body)
        });
        assert_eq!(daemon.ended(), None, "{}", daemon.journal());
        right();
        secured.receiver.wait(sent, SOON);
        eventually("it is well", SOON, || {
            let health = curl(&world, "/health", &[]);
            check(health.status == 200, || health.body)
        });
    };
    let well = || secured.show("localhost", (2020, 2150));
    trial(
        &|| secured.show("localhost", (2020, 2021)),
        &well,
        &["the server's certificate expired", "ssl_cert_file"],
    );
    trial(
        &|| secured.show("elsewhere", (2020, 2150)),
        &well,
        &["is of other names: elsewhere"],
    );
    let password = |word: &str| {
        let sql = format!("ALTER ROLE w PASSWORD '{word}'");
        secured.database.sql(&sql);
    };
    trial(
        &|| password("hunter3"),
        &|| password("hunter2"),
        &["password authentication failed", "password_file"],
    );
    daemon.stop();
    assert_eq!(secured.receiver.count(), 3, "each once");
}
