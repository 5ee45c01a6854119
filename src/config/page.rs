//! `[page]`: where the daemon shows its log in a browser, and to whom.
//!
//! A port is reached by every user of the machine, on loopback too, so `listen` wants a token. The socket has rights
//! instead. Whether the port is free is not asked here.

use std::net::{IpAddr, SocketAddr};

use super::diagnostic::Findings;
use super::section::{Given, Section};
use super::{Metrics, Page, SecretsWanted, Surroundings, secret};
use crate::model::Secret;

/// Names that may be asked for: a machine has few, and each request is compared with all.
const MAX_HOSTS: usize = 32;

/// The longest name, in bytes (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// A shorter token can be guessed by who may connect.
const FEWEST_TOKEN_BYTES: usize = 16;

/// Reads the section.
pub(super) fn read(
    section: &Section<'_, '_>,
    metrics: Option<&Metrics>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Page {
    let listen = listen(section, metrics, found);
    let page = Page {
        token: token(section, around, found),
        listen,
        read_only: section
            .truth("read_only", found)
            .is_some_and(|given| given.value),
        hosts: hosts(section, found),
    };
    let is_elsewhere = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    if page.listen.is_some_and(is_elsewhere) && !section.has("hosts") {
        found.warning(
            Some(section.value_at("listen")),
            "no other machine can ask for the page: its Host must be one of hosts, and there are none",
            "write hosts = [\"...\"] with the name or address that people type, or listen on 127.0.0.1",
        );
    }
    page
}

fn listen(
    section: &Section<'_, '_>,
    metrics: Option<&Metrics>,
    found: &mut Findings,
) -> Option<SocketAddr> {
    let text = section.text("listen", found)?;
    let Ok(listen) = text.value.parse::<SocketAddr>() else {
        found.error(
            text.at,
            "listen must be an IP address and a port",
            "write listen = \"127.0.0.1:8480\" or, for IPv6, \"[::1]:8480\"",
        );
        return None;
    };
    if metrics.is_some_and(|metrics| metrics.listen == listen) {
        found.error(
            text.at,
            "[page] and [metrics] listen on the same address",
            "give the page a port of its own, such as listen = \"127.0.0.1:8480\"",
        );
        return None;
    }
    if !section.has("token_file") {
        found.error(
            text.at,
            "[page] listen needs token_file: every user of the machine can connect to a port",
            "write token_file = \"page.token\" with the output of openssl rand -hex 32 in it, or leave listen \
             out: the page is on the socket too",
        );
        return None;
    }
    Some(listen)
}

fn token(
    section: &Section<'_, '_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Secret> {
    let given = section.text("token_file", found)?;
    if !section.has("listen") {
        found.error(
            section.key_at("token_file"),
            "token_file is of no use without listen: on the socket its rights are the key",
            "add listen = \"127.0.0.1:8480\", or leave it out",
        );
        return None;
    }
    let token = secret::from_file("token_file", &given, around, found)?;
    if around.secrets == SecretsWanted::Skip {
        return None;
    }
    is_typeable(&token, &given, found).then(|| Secret::new(token))
}

/// Whether a token can stand in an address.
fn is_typeable(token: &[u8], given: &Given<&str>, found: &mut Findings) -> bool {
    let text = std::str::from_utf8(token).unwrap_or("\0");
    if text.chars().any(char::is_control) {
        found.error(
            given.at.clone(),
            "the page's token is no text of one line: no browser could show it",
            "write the output of openssl rand -hex 32 into the file",
        );
        return false;
    }
    if token.len() < FEWEST_TOKEN_BYTES {
        found.warning(
            Some(given.at.clone()),
            format!(
                "the page's token is shorter than {FEWEST_TOKEN_BYTES} bytes: it can be guessed"
            ),
            "write the output of openssl rand -hex 32 into the file",
        );
    }
    true
}

fn hosts(section: &Section<'_, '_>, found: &mut Findings) -> Vec<String> {
    let why = (
        "the page could be asked for by localhost alone, as without the key",
        "leave it out, or write hosts = [\"hooks.example.internal\"]",
    );
    let Some(texts) = section.texts("hosts", MAX_HOSTS, why, found) else {
        return Vec::new();
    };
    let mut hosts = Vec::with_capacity(texts.len());
    for text in texts {
        if is_host(text.value) {
            hosts.push(text.value.to_ascii_lowercase());
        } else {
            found.error(
                text.at,
                "this is no name of a machine, nor an address",
                "write it without a scheme, a port and a path: \"hooks.example.internal\", \"10.0.0.7\", \"::1\"",
            );
        }
    }
    hosts
}

fn is_host(text: &str) -> bool {
    let is_name = (1..=MAX_HOST_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    is_name || text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port_and_no_scheme() {
        for right in [
            "a",
            "hooks.example.internal",
            "10.0.0.7",
            "fe80::1",
            "A-b_c",
        ] {
            assert!(is_host(right), "{right}");
        }
        for wrong in ["", "a:80", "http://a", "a/b", "[::1]", "*", "a b", "\u{e9}"] {
            assert!(!is_host(wrong), "{wrong}");
        }
        assert!(!is_host(&"a".repeat(254)));
    }
}
