//! Over TCP: TLS that is verified, and passwords from their files.

use super::following_by;
use super::refused::refused;
use crate::support::{Authority, Postgres, Receiver, SOON, World, bound_port, hook};

const RULES: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

#[test]
fn a_server_over_tcp_is_verified_and_asks_for_the_password() {
    let Some(mut server) = Postgres::own(&["fsync=off"]) else {
        return;
    };
    let authority = Authority::new();
    let (certificate, key) = authority.server("localhost");
    server.give("server.pem", &certificate);
    server.give("server.key", &key);
    server.give("data/pg_hba.conf", RULES);
    let host = server.host();
    let (socket, port) = bound_port();
    drop(socket);
    let port = format!("port={port}");
    let port_number = port.trim_start_matches("port=");
    let (certificate, key) = (
        format!("ssl_cert_file={host}/server.pem"),
        format!("ssl_key_file={host}/server.key"),
    );
    server.psql("postgres", "CREATE ROLE w LOGIN PASSWORD 'hunter2'");
    let database = server.database();
    database.sql("GRANT SELECT, DELETE ON outbox TO w");
    // The port is a part of the Unix socket's name too: what psql asks for stays.
    server.restart(&[
        "listen_addresses=127.0.0.1",
        "ssl=on",
        &certificate,
        &key,
        &port,
    ]);
    let receiver = Receiver::ok();
    let world = |url: &str, password: &str| -> World {
        let hooks = [hook("one", receiver.url("/"))];
        let world = following_by(url, "password_file = \"db.password\"", &hooks);
        world.write("db.password", password);
        world.write("ca.pem", authority.pem());
        world.write("other.pem", Authority::new().pem());
        world
    };
    let name = &database.name;
    let at = |host: &str, more: &str| format!("postgres://w@{host}:{port_number}/{name}?{more}");
    let verified = at("localhost", "sslrootcert=ca.pem");

    let right = world(&verified, "hunter2\n");
    right.command(&["check"]).expect(0);
    let daemon = right.start();
    server.emit_by(port_number, name, "{\"n\":1}");
    assert_eq!(receiver.wait(1, SOON)[0].n(), 1);
    daemon.stop();

    refused(
        &world(&verified, "hunter3"),
        &["password authentication failed", "password_file"],
    );
    let other = world(&at("localhost", "sslrootcert=other.pem"), "hunter2");
    refused(&other, &["secure the connection", "sslrootcert=FILE"]);
    let by_address = world(&at("127.0.0.1", "sslrootcert=ca.pem"), "hunter2");
    refused(&by_address, &["secure the connection", "host's name"]);
    let plain = world(&at("localhost", "sslmode=disable"), "hunter2");
    refused(&plain, &["no pg_hba.conf entry", "pg_hba.conf"]);

    // The same by the file that libpq's users know.
    let hooks = [hook("one", receiver.url("/"))];
    let pgpass = following_by(&verified, "", &hooks);
    pgpass.write("ca.pem", authority.pem());
    let line = format!("localhost:{port_number}:{name}:w:hunter2\n");
    pgpass.write("pgpass", line);
    let path = pgpass.path("pgpass");
    let daemon = pgpass.start_in(&[("PGPASSFILE", path.as_os_str())]);
    daemon.wait_journal("ready: following the outbox");
    daemon.stop();
    refused(&pgpass, &["password"]);
}
