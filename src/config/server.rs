//! `[outbox] url` and `[log] url`: a server of PostgreSQL, written as libpq takes it.
//!
//! The URL is read here and not by a client library: a password in it is refused, TLS is verified or off,
//! and each word that is not understood is an error with its place. A password comes from `password_file`,
//! or from the file that libpq's users know, `PGPASSFILE` or `~/.pgpass`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use super::visible::printable;
use super::{SecretsWanted, Surroundings, pgpass, secret};
use crate::model::{Secret, Server, ServerHost, ServerTls};

/// The port unless one is given.
const PORT: u16 = 5432;

/// The longest password, in bytes, as long as any secret.
const MAX_BYTES: usize = 4_096;

/// How long a host may take to answer unless it is set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const EXAMPLE: &str = "write url = \"postgres://webhooksd@db.example/app\"";

/// What is wrong with a URL, and what to write instead.
type Fault = (String, String);

/// Reads `url` with `password_file`; `None` where there is none, or it was noted what is wrong with it.
pub(super) fn read(
    section: &Section<'_, '_>,
    whose: &'static str,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Server> {
    let url = section.text("url", found);
    if !section.has("url") && section.has("password_file") {
        found.error(
            section.key_at("password_file"),
            "password_file is of no use without url",
            "name the server beside it, or leave it out",
        );
    }
    let doorbell = (whose == "outbox").then(|| section.truth("doorbell", found));
    if whose == "outbox" && !section.has("url") && section.has("doorbell") {
        found.error(
            section.key_at("doorbell"),
            "doorbell is of no use without url",
            "leave it out: an outbox in SQLite is watched",
        );
    }
    let url = url?;
    let password = password_file(section, around, found);
    let parsed = parse(url.value).and_then(|parsed| parsed.server(whose, around));
    let mut server = match parsed {
        Ok(server) => server,
        Err((message, fix)) => {
            found.error(url.at, message, fix);
            return None;
        }
    };
    if let Some(tls) = Unverified::of(&server, url.value) {
        found.warning(Some(url.at.clone()), tls.0, tls.1);
    }
    server.password = password;
    server.doorbell = doorbell.flatten().is_some_and(|given| given.value);
    if server.password.is_none() && !section.has("password_file") {
        server.password = pgpass::find(&server, around);
    }
    Some(server)
}

fn password_file(
    section: &Section<'_, '_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Secret> {
    let path = section.text("password_file", found)?;
    if path.value.is_empty() || path.value.contains('\0') {
        let fix = format!(
            "write {}, or leave it out",
            section.example("password_file")
        );
        found.error(path.at, "password_file names no file", fix);
        return None;
    }
    if around.secrets == SecretsWanted::Skip {
        // Who may read it connects; who may not is told so by the server.
        let mut bytes = secret::read_first(Path::new(path.value), around).ok()?;
        secret::drop_newline(&mut bytes);
        return Some(Secret::new(bytes));
    }
    let mut bytes = read_file("password file", &path, around, found)?;
    secret::drop_newline(&mut bytes);
    if bytes.is_empty() || bytes.len() > MAX_BYTES || bytes.contains(&0) {
        found.error(
            path.at,
            "a password is 1 to 4096 bytes, none of them 0",
            "write the password alone into the file: printf '%s' PASSWORD",
        );
        return None;
    }
    Some(Secret::new(bytes))
}

fn read_file(
    what: &str,
    path: &Given<&str>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    let name = printable(path.value);
    match secret::read_first(Path::new(path.value), around) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            secret::note_missing(what, &name, path, around, found);
            None
        }
        Err(error) => {
            found.error(
                path.at.clone(),
                format!("the {what} \"{name}\" cannot be read: {}", error.kind()),
                "name a file that webhooksd may read, for example one of mode 0640 with its group",
            );
            None
        }
    }
}

/// A connection over the network that nobody secures, as somebody asked for.
struct Unverified;

impl Unverified {
    fn of(server: &Server, url: &str) -> Option<(&'static str, &'static str)> {
        let is_far = server.hosts.iter().any(|host| !is_near(&host.host));
        (server.tls.is_none() && is_far && url.contains("sslmode")).then_some((
            "with sslmode=disable whoever is on the way to the server reads the events",
            "leave sslmode out: the server's certificate is then verified",
        ))
    }
}

/// A URL, in its parts.
#[derive(Debug, Default)]
struct Parts {
    hosts: Vec<ServerHost>,
    user: Option<String>,
    database: Option<String>,
    parameters: Vec<(String, String)>,
    shown: String,
}

fn fault<T>(message: impl Into<String>, fix: impl Into<String>) -> Result<T, Fault> {
    Err((message.into(), fix.into()))
}

fn parse(text: &str) -> Result<Parts, Fault> {
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return fault("a server's URL begins with postgres://", EXAMPLE);
    };
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return fault("the URL has a blank or a control character", EXAMPLE);
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (user, hosts),
        None => ("", authority),
    };
    if user.contains(':') {
        return fault(
            "a password in the URL would be shown in words and in the journal",
            "leave it out, and write it into a file that password_file names",
        );
    }
    let text = |text: &str| (!text.is_empty()).then(|| decoded(text)).transpose();
    let mut parts = Parts {
        user: text(user)?,
        database: text(database)?,
        shown: format!("postgres://{place}"),
        ..Parts::default()
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return fault(format!("?{} has no value", printable(pair)), EXAMPLE);
        };
        parts.parameters.push((decoded(name)?, decoded(value)?));
    }
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        parts.hosts.push(host_of(host)?);
    }
    Ok(parts)
}

fn host_of(text: &str) -> Result<ServerHost, Fault> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() {
        Ok(PORT)
    } else {
        port.parse()
    };
    match (decoded(host)?, port) {
        (host, Ok(port)) if !host.is_empty() && port > 0 => Ok(ServerHost { host, port }),
        _ => fault("the URL has a host with no right port", EXAMPLE),
    }
}

impl Parts {
    fn server(mut self, whose: &'static str, around: &Surroundings<'_>) -> Result<Server, Fault> {
        let mut server = Server {
            whose,
            hosts: Vec::new(),
            user: self.user.take(),
            database: self.database.take(),
            password: None,
            doorbell: false,
            tls: None,
            application_name: "webhooksd".to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            shown: self.shown.clone(),
        };
        let mut tls = Wanted::default();
        for (name, value) in std::mem::take(&mut self.parameters) {
            self.parameter(&mut server, &mut tls, (&name, value))?;
        }
        if self.hosts.is_empty() {
            return fault(
                "the URL names no host",
                "write one, or a Unix socket's folder: url = \"postgres:///app?host=/run/postgresql\"",
            );
        }
        server.hosts = std::mem::take(&mut self.hosts);
        server.tls = tls.judged(&server.hosts, around)?;
        Ok(server)
    }

    fn parameter(
        &mut self,
        server: &mut Server,
        tls: &mut Wanted,
        (name, value): (&str, String),
    ) -> Result<(), Fault> {
        match name {
            "host" => {
                self.hosts.clear();
                for host in value.split(',').filter(|host| !host.is_empty()) {
                    let (host, port) = (host.to_owned(), PORT);
                    self.hosts.push(ServerHost { host, port });
                }
                server.shown.push_str("?host=");
                server.shown.push_str(&printable(&value));
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                let Some(port) = port else {
                    return fault("port is no port's number", "write port=5432");
                };
                self.hosts.iter_mut().for_each(|host| host.port = port);
            }
            "user" => server.user = Some(value),
            "dbname" => server.database = Some(value),
            "application_name" => server.application_name = value,
            "connect_timeout" => match value.parse() {
                Ok(seconds @ 1..=600) => server.connect_timeout = Duration::from_secs(seconds),
                _ => {
                    return fault(
                        "connect_timeout is 1 to 600 seconds",
                        "write connect_timeout=10",
                    );
                }
            },
            // A server that is only read can't be either: of several hosts the other one is meant.
            "target_session_attrs" if value == "read-write" || value == "primary" => {}
            "target_session_attrs" => {
                return fault(
                    "outbox and log are those of the primary",
                    "write target_session_attrs=read-write, or leave it out",
                );
            }
            "sslmode" => tls.mode = Some(value),
            "sslrootcert" => tls.root = Some(value),
            "sslcert" => tls.certificate = Some(value),
            "sslkey" => tls.key = Some(value),
            "password" => {
                return fault(
                    "a password in the URL would be shown in words and in the journal",
                    "leave it out, and write it into a file that password_file names",
                );
            }
            other => {
                return fault(
                    format!("?{}= is not known in a URL", printable(other)),
                    "known are host, port, user, dbname, application_name, connect_timeout, target_session_attrs, \
                     sslmode, sslrootcert, sslcert and sslkey",
                );
            }
        }
        Ok(())
    }
}

/// What a URL says of TLS.
#[derive(Debug, Default)]
struct Wanted {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Wanted {
    /// What that comes to: over a network TLS with a verified name unless somebody says otherwise, on this machine none
    /// unless somebody asks for it.
    fn judged(
        self,
        hosts: &[ServerHost],
        around: &Surroundings<'_>,
    ) -> Result<Option<ServerTls>, Fault> {
        let all_near = hosts.iter().all(|host| is_near(&host.host));
        let wanted = match self.mode.as_deref() {
            None => !all_near || self.root.is_some() || self.certificate.is_some(),
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some("prefer" | "allow") if all_near => false,
            Some("prefer" | "allow") => {
                return fault(
                    "sslmode=prefer takes TLS away where somebody on the way says so",
                    "write sslmode=verify-full, or leave it out, which is the same",
                );
            }
            Some("verify-ca") => {
                return fault(
                    "sslmode=verify-ca takes any server's certificate of the authority",
                    "write sslmode=verify-full",
                );
            }
            Some(_) => {
                return fault(
                    "sslmode is none of those that there are",
                    "write sslmode=verify-full, or sslmode=disable",
                );
            }
        };
        if !wanted {
            return Ok(None);
        }
        if hosts.iter().any(|host| host.host.starts_with('/')) {
            return fault(
                "there is no TLS over a Unix socket",
                "leave sslmode, sslrootcert, sslcert and sslkey out",
            );
        }
        let read = |name: &str, file: &str| -> Result<Vec<u8>, Fault> {
            let bytes = secret::read_first(&PathBuf::from(file), around);
            bytes.map_err(|error| {
                let file = printable(file);
                let message = format!(
                    "the {name} file \"{file}\" cannot be read: {}",
                    error.kind()
                );
                (message, "name a file that webhooksd may read".to_owned())
            })
        };
        let skip = around.secrets == SecretsWanted::Skip;
        let authorities = match self.root.as_deref() {
            None | Some("system") => None,
            Some(file) if skip => read("sslrootcert", file).ok(),
            Some(file) => Some(read("sslrootcert", file)?),
        };
        let client = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(_), Some(_)) if skip => None,
            (Some(certificate), Some(key)) => {
                let certificate = read("sslcert", &certificate)?;
                Some((certificate, Secret::new(read("sslkey", &key)?)))
            }
            _ => return fault("sslcert and sslkey come together", "name both, or none"),
        };
        Ok(Some(ServerTls {
            authorities,
            client,
        }))
    }
}

/// Whether a host is this machine.
fn is_near(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

/// A text without its percent signs.
fn decoded(text: &str) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or(0)),
            _ => {
                return fault(
                    "a % in a URL is followed by two hexadecimal digits",
                    EXAMPLE,
                );
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => fault("the URL is not UTF-8 behind its percent signs", EXAMPLE),
    }
}

#[cfg(test)]
mod tests;
