//! What a URL means, and what of it is refused.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::config::{SecretsWanted, Surroundings, parse as read_config};
use crate::model::Server;

fn read(lines: &str) -> Result<Server, String> {
    let around = Surroundings {
        folder: Path::new("/f"),
        credentials: None,
        read: &|path| match path.to_str() {
            Some("/f/db.password") => Ok(b"s3cret\n".to_vec()),
            Some("/f/ca.pem") => Ok(b"PEM".to_vec()),
            Some("/home/w/.pgpass") => Ok(b"db:*:*:w:from-pgpass\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        env: &|name| (name == "HOME").then(|| OsString::from("/home/w")),
        check_ca: &|_| Ok(()),
        secrets: SecretsWanted::Read,
    };
    let text = format!(
        "[outbox]\n{lines}\n[[webhook]]\nname = 'a'\nurl = 'https://h/'\nevents = ['*']\nsecret = 'abcdefgh'\n"
    );
    match read_config("w.toml", &text, &around) {
        Ok(config) => Ok(config
            .outbox
            .server
            .map(|server| (*server).clone())
            .ok_or("no server")?),
        Err(report) => Err(report.to_string()),
    }
}

fn url(url: &str) -> Result<Server, String> {
    read(&format!("url = '{url}'"))
}

fn hosts(server: &Server) -> Vec<(&str, u16)> {
    server
        .hosts
        .iter()
        .map(|host| (&*host.host, host.port))
        .collect()
}

#[test]
fn what_libpq_takes_is_taken() {
    let server = url("postgres://w@db/app").unwrap();
    assert_eq!(hosts(&server), [("db", 5432)]);
    assert_eq!(
        (server.user.as_deref(), server.database.as_deref()),
        (Some("w"), Some("app"))
    );
    assert!(server.tls.is_some(), "a network is verified");
    assert_eq!(server.shown, "postgres://w@db/app");
    let server = url(
        "postgresql://a%40b@h1:5433,[::1]:5434/x%2Fy?connect_timeout=3&target_session_attrs=read-write",
    );
    let server = server.unwrap();
    assert_eq!(hosts(&server), [("h1", 5433), ("::1", 5434)]);
    assert_eq!(
        (server.user.as_deref(), server.database.as_deref()),
        (Some("a@b"), Some("x/y"))
    );
    assert_eq!(server.connect_timeout.as_secs(), 3);
    let server = url("postgres:///app?host=/run/postgresql&port=5433").unwrap();
    assert_eq!(hosts(&server), [("/run/postgresql", 5433)]);
    assert!(server.tls.is_none());
    assert_eq!(url("postgres://localhost/app").unwrap().tls, None);
    let tls = url("postgres://localhost/app?sslrootcert=ca.pem")
        .unwrap()
        .tls
        .unwrap();
    assert_eq!(tls.authorities.as_deref(), Some(&b"PEM"[..]));
}

#[test]
fn passwords_come_from_files() {
    let password = |server: Server| server.password.map(|secret| secret.bytes().to_vec());
    let lines = "url = 'postgres://w@db/app'\npassword_file = 'db.password'";
    assert_eq!(password(read(lines).unwrap()).unwrap(), b"s3cret");
    assert_eq!(
        password(url("postgres://w@db/app").unwrap()).unwrap(),
        b"from-pgpass"
    );
    assert_eq!(password(url("postgres://other@db/app").unwrap()), None);
}

#[test]
fn what_is_wrong_is_said() {
    for (bad, expected) in [
        ("mysql://h/", "begins with postgres://"),
        ("postgres://w:hunter2@h/app", "a password in the URL"),
        ("postgres://h/app?password=hunter2", "a password in the URL"),
        ("postgres:///app", "names no host"),
        ("postgres://h:x/app", "no right port"),
        ("postgres://h:0/app", "no right port"),
        ("postgres://h/app?options=-c", "is not known"),
        ("postgres://h/app?sslmode=prefer", "takes TLS away"),
        ("postgres://h/app?sslmode=verify-ca", "any server"),
        ("postgres://h/app?sslmode=on", "none of those"),
        ("postgres://h/app?sslcert=ca.pem", "come together"),
        ("postgres://h/app?sslrootcert=none.pem", "cannot be read"),
        (
            "postgres:///app?host=/run&sslmode=require",
            "no TLS over a Unix socket",
        ),
        (
            "postgres://h/app?target_session_attrs=any",
            "those of the primary",
        ),
        ("postgres://h/a%2", "hexadecimal"),
        ("postgres://h/a%ff", "not UTF-8"),
        ("postgres://h/a?connect_timeout=0", "1 to 600"),
    ] {
        let said = url(bad).unwrap_err();
        assert!(said.contains(expected), "{bad}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = read("path = 'o.db'\nurl = 'postgres://h/app'").unwrap_err();
    assert!(said.contains("path and url"), "{said}");
    let said = read("password_file = 'db.password'").unwrap_err();
    assert!(said.contains("no use without url"), "{said}");
}
