//! `proxy` and `proxy_secret_file`, of `[delivery]` for all webhooks and of a webhook for itself.
//!
//! The environment is not asked: a proxy for browsers is rarely meant for a service. No password is in a URL, which is
//! shown in words and in the log.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use super::visible::printable;
use super::{SecretsWanted, Surroundings, secret};
use crate::model::{AddressRule, Proxy, Url};

/// The longest `user:password`, in bytes, as long as any secret.
const MAX_BYTES: usize = 4_096;

const EXAMPLE: &str = "write proxy = \"http://proxy.example:3128\"";

/// What a table says of its proxy; `None`: nothing. `Some(None)`: that there is none.
pub(super) fn read(
    section: &Section<'_, '_>,
    addresses: Option<&AddressRule>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Option<Arc<Proxy>>> {
    let text = section.text("proxy", found);
    let has_one = text.as_ref().is_some_and(|text| !text.value.is_empty());
    if section.has("proxy_secret_file") && !has_one {
        found.error(
            section.key_at("proxy_secret_file"),
            "proxy_secret_file is of no use without proxy in the same table",
            "name the proxy beside it, or leave it out",
        );
    }
    let text = text?;
    if text.value.is_empty() {
        return Some(None);
    }
    let url = url(&text, found)?;
    if let Some(rule) = addresses {
        judge(rule, &url, &text, found);
    }
    let pair = user_and_password(section, around, found);
    Some(Some(Arc::new(Proxy::new(url, pair.as_deref()))))
}

fn url(text: &Given<&str>, found: &mut Findings) -> Option<Url> {
    let mut refuse = |message: &str, fix: &str| {
        found.error(text.at.clone(), message, fix);
        None
    };
    if text.value.contains('@') {
        return refuse(
            "user:pass@ in a proxy's URL would be shown in words and in the log",
            "write the URL without it, and user:password into a file that proxy_secret_file names",
        );
    }
    if !text.value.starts_with("http://") {
        return refuse(
            "a proxy is spoken to by plain http: its URL begins with http://",
            EXAMPLE,
        );
    }
    match Url::parse(text.value) {
        Ok(url) if url.target() == "/" => Some(url),
        Ok(_) => refuse("a proxy's URL ends with its port", EXAMPLE),
        Err(why) => refuse(why, EXAMPLE),
    }
}

/// Says what the lists of addresses are about where there is a proxy.
fn judge(rule: &AddressRule, url: &Url, text: &Given<&str>, found: &mut Findings) {
    let address = url.host().parse::<IpAddr>();
    if let Some(Err(forbidden)) = address.ok().map(|address| rule.judge(address)) {
        found.warning(
            Some(text.at.clone()),
            format!(
                "the proxy {} is {forbidden} of [delivery]: every attempt will fail",
                url.host()
            ),
            "change the lists, or the proxy",
        );
    }
    found.warning(
        Some(text.at.clone()),
        "allow_addresses and deny_addresses are judged on the proxy: what it connects to is for its own rules",
        "have the proxy refuse what must not be reached, or leave it out",
    );
}

fn user_and_password(
    section: &Section<'_, '_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    let path = section.text("proxy_secret_file", found)?;
    if path.value.is_empty() || path.value.contains('\0') {
        let fix = format!(
            "write {}, or leave it out",
            section.example("proxy_secret_file")
        );
        found.error(path.at, "proxy_secret_file names no file", fix);
        return None;
    }
    if around.secrets == SecretsWanted::Skip {
        return None;
    }
    let name = printable(path.value);
    let mut bytes =
        match secret::read_first(Path::new(path.value), around) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                secret::note_missing("proxy's secret file", &name, &path, around, found);
                return None;
            }
            Err(error) => {
                found.error(
                path.at,
                format!("the proxy's secret file \"{name}\" cannot be read: {}", error.kind()),
                "name a file that webhooksd may read, for example one of mode 0640 with its group",
            );
                return None;
            }
        };
    secret::drop_newline(&mut bytes);
    if bytes.starts_with("\u{feff}".as_bytes()) {
        found.error(
            path.at,
            format!("the proxy's secret file \"{name}\" begins with a byte-order mark (U+FEFF), and no user does"),
            "save it as UTF-8 without one",
        );
        return None;
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    // RFC 7617, 2: no control characters.
    let is_right = colon.is_some_and(|at| at > 0) && !bytes.iter().any(u8::is_ascii_control);
    if !is_right || bytes.len() > MAX_BYTES {
        found.error(
            path.at,
            format!("the proxy's secret file \"{name}\" holds no user:password"),
            format!("write one line user:password into it, of {MAX_BYTES} bytes at the most"),
        );
        return None;
    }
    Some(bytes)
}
