//! Configuration text: values, or diagnostics whose places lie in the text and which tell no secret.
//!
//! What is private is found by the `toml` crate's own reading of the text; of a text that is no TOML
//! only lines that nobody could take for public ones are held to be private.

use std::io;
use std::path::Path;

use webhooksd::tested::{self, Config, Diagnostic, Report, SecretsWanted, Severity, Surroundings};

use super::{MARKER, obeys};

/// The content of every secret file and variable.
const KEPT: &str = "correct-horse-hunter2-battery";

const PEM: &str = "-----BEGIN CERTIFICATE-----";

pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for wanted in [
        SecretsWanted::Read,
        SecretsWanted::Check,
        SecretsWanted::Skip,
    ] {
        let first = parse(&text, wanted);
        assert_eq!(first, parse(&text, wanted), "not the same twice");
        match first {
            Ok(config) => sound(&text, &config, wanted),
            Err(report) => helpful(&text, &report),
        }
    }
}

fn parse(text: &str, secrets: SecretsWanted) -> Result<Config, Report> {
    let read = |path: &Path| match path.extension().and_then(|end| end.to_str()) {
        Some("key") => Ok(KEPT.as_bytes().to_vec()),
        Some("pem") => Ok(PEM.as_bytes().to_vec()),
        Some("none") => Ok(Vec::new()),
        Some("large") => Ok(vec![b'x'; 5_000]),
        Some("locked") => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let env = |name: &str| name.starts_with('K').then(|| KEPT.into());
    let check_ca = |pem: &[u8]| {
        let is_one = pem.starts_with(PEM.as_bytes());
        is_one.then_some(()).ok_or("no certificate".to_owned())
    };
    let around = Surroundings {
        folder: Path::new("/f"),
        credentials: (secrets == SecretsWanted::Read).then_some(Path::new("/c")),
        read: &read,
        env: &env,
        check_ca: &check_ca,
        secrets,
    };
    tested::parse("w.toml", text, &around)
}

fn sound(text: &str, config: &Config, wanted: SecretsWanted) {
    for (at, webhook) in config.webhooks.iter().enumerate() {
        let name = &webhook.name;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(!name.is_empty() && name.bytes().all(plain), "{name:?}");
        let others = config.webhooks.get(at + 1..).unwrap_or_default();
        assert!(others.iter().all(|other| other.name != *name), "{name:?}");
        for (header, value) in &webhook.headers {
            let line = format!("{header}: {value}");
            assert!(!obeys(&line.replace('\t', " ")) && !line.contains('\n'));
        }
        assert!(!webhook.events.is_empty() && webhook.max_in_flight > 0);
        assert!(webhook.secret.is_none() || wanted != SecretsWanted::Skip);
        assert!(
            !webhook.url.text().contains(['@', '\r', '\n', ' ']) || safe_at(webhook.url.text())
        );
    }
    let mut told = format!("{config:?}");
    for warning in &config.warnings {
        assert_eq!(warning.severity, Severity::Warning);
        inside(text, warning);
        told.push_str(&warning.to_string());
    }
    assert!(!told.contains(KEPT) || text.contains(KEPT), "{told}");
    untold(text, &told);
}

/// An `@` is no password's where it stands in the path or the query.
fn safe_at(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !authority.contains('@') && !url.contains(['\r', '\n', ' '])
}

fn helpful(text: &str, report: &Report) {
    let errors = report.diagnostics.iter();
    assert!(errors.clone().any(|d| d.severity == Severity::Error));
    for diagnostic in errors {
        assert!(!diagnostic.message.is_empty() && !diagnostic.fix.is_empty());
        inside(text, diagnostic);
    }
    let told = report.to_string();
    assert!(!obeys(&told), "{told:?}");
    assert!(!told.contains(KEPT) || text.contains(KEPT), "{told}");
    untold(text, &told);
}

/// Holds that a diagnostic's line and column are ones of the text, or just behind it.
fn inside(text: &str, diagnostic: &Diagnostic) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some((line, column)) = diagnostic.place else {
        return;
    };
    let found = text.split('\n').nth(line.wrapping_sub(1));
    let found = found.unwrap_or_else(|| panic!("no line {line}: {diagnostic}"));
    let columns = found.chars().count() + 1;
    assert!((1..=columns).contains(&column), "{columns}: {diagnostic}");
}

/// Holds that the marker is not told where all there is of it in the text is private.
fn untold(text: &str, told: &str) {
    if told.contains(MARKER) && is_private(text) {
        panic!("told: {told}\nof: {text}");
    }
}

fn is_private(text: &str) -> bool {
    let found = text.matches(MARKER).count();
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    match plain.parse::<toml::Table>() {
        Ok(table) => {
            let webhooks = table.get("webhook").and_then(toml::Value::as_array);
            let webhooks = webhooks.into_iter().flatten();
            let private: usize = webhooks.map(private_of).sum();
            // A value of an array or a table may be said otherwise than it is written.
            private == found
        }
        Err(_) => text.lines().filter(|l| l.contains(MARKER)).all(|line| {
            let other = line.replace(MARKER, "");
            other.contains("secret") || other.chars().all(|c| " \t\"'".contains(c))
        }),
    }
}

/// How often the marker is in the private values of a webhook.
fn private_of(webhook: &toml::Value) -> usize {
    let count = |value: &toml::Value| {
        value
            .as_str()
            .map_or(0, |text| text.matches(MARKER).count())
    };
    let Some(webhook) = webhook.as_table() else {
        return 0;
    };
    let secret = webhook.get("secret").map_or(0, count);
    let headers = webhook.get("headers").and_then(toml::Value::as_table);
    let headers: usize = headers.into_iter().flatten().map(|(_, v)| count(v)).sum();
    let url = webhook.get("url").filter(|url| {
        let text = url.as_str().unwrap_or_default();
        text.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            authority
                .split_once('@')
                .is_some_and(|(user, host)| user.contains(':') && !host.contains(MARKER))
        })
    });
    let password = url.map_or(0, |url| {
        let text = url.as_str().unwrap_or_default();
        let user = text.split('@').next().unwrap_or_default();
        user.matches(MARKER).count()
    });
    secret + headers + password
}
