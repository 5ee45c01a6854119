//! `client_cert_file` and `client_key_file` of a webhook: the files of mutual TLS.
//!
//! Both are looked for as secrets are, in systemd's credentials first. Left out: what is in them, which the sender judges
//! (`transport/tls/ours.rs`), so that a start and `check` say the same.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::Findings;
use super::section::{Given, Section};
use super::visible::printable;
use super::{SecretsWanted, Surroundings, secret};
use crate::model::{ClientIdentity, Secret, Url};

/// The largest file of the two, in bytes: a chain of ten certificates, twice.
const MAX_BYTES: usize = 64 * 1_024;

const CERTIFICATE: &str = "client_cert_file";
const KEY: &str = "client_key_file";

/// Pairs that were read: thousands of webhooks commonly share one.
pub(super) type Known = HashMap<(Box<str>, Box<str>), Arc<ClientIdentity>>;

/// Reads both; `None` where there are none, they are not wanted, or it was noted why not.
pub(super) fn read(
    section: &Section<'_, '_>,
    url: Option<&Url>,
    around: &Surroundings<'_>,
    known: &mut Known,
    found: &mut Findings,
) -> Option<Arc<ClientIdentity>> {
    let given = [CERTIFICATE, KEY].map(|key| section.has(key));
    let (there, other) = match given {
        [false, false] => return None,
        [true, false] => (CERTIFICATE, KEY),
        [_, true] => (KEY, CERTIFICATE),
    };
    if given != [true, true] {
        found.error(
            section.key_at(there),
            format!("{there} is of no use without {other}"),
            format!(
                "write {} beside it, or leave it out",
                section.example(other)
            ),
        );
    }
    if url.is_some_and(|url| !url.is_tls()) {
        found.error(
            section.key_at(there),
            "a client certificate is shown in TLS, and this URL is plain http",
            "write https://... or leave client_cert_file and client_key_file out",
        );
    }
    let certificate = named(section, CERTIFICATE, found);
    let key = named(section, KEY, found);
    if around.secrets == SecretsWanted::Skip {
        return None;
    }
    if let (Some(certificate), Some(key)) = (&certificate, &key)
        && let Some(known) = known.get(&(certificate.value.into(), key.value.into()))
    {
        return Some(Arc::clone(known));
    }
    let mut read = |path: &Option<Given<&str>>, what| file(path.as_ref()?, what, around, found);
    let bytes = read(&certificate, "client certificate");
    let secret = read(&key, "client key");
    let identity = Arc::new(ClientIdentity {
        certificate: bytes?.into(),
        key: Secret::new(secret?),
    });
    let paths = (certificate?.value.into(), key?.value.into());
    known.insert(paths, Arc::clone(&identity));
    Some(identity)
}

/// Where both are by their names, whatever is there; `None` where they are not both named.
pub(super) fn files(section: &Section<'_, '_>, folder: &Path) -> Option<Box<[PathBuf; 2]>> {
    let path = |key| {
        let (_, value) = section.entry(key)?;
        let name = value.get_ref().as_str()?;
        (!name.is_empty()).then(|| folder.join(name))
    };
    Some(Box::new([path(CERTIFICATE)?, path(KEY)?]))
}

fn named<'t>(
    section: &Section<'t, '_>,
    key: &'static str,
    found: &mut Findings,
) -> Option<Given<&'t str>> {
    let path = section.text(key, found)?;
    if path.value.is_empty() || path.value.contains('\0') {
        let fix = format!("write {}, or leave both keys out", section.example(key));
        found.error(path.at, format!("{key} names no file"), fix);
        return None;
    }
    Some(path)
}

fn file(
    path: &Given<&str>,
    what: &str,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    let name = printable(path.value);
    match secret::read_first(Path::new(path.value), around) {
        Ok(bytes) if bytes.len() > MAX_BYTES => {
            found.error(
                path.at.clone(),
                format!("the {what} \"{name}\" is larger than {MAX_BYTES} bytes"),
                "name a file of PEM: a certificate with its chain, or one key",
            );
            None
        }
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            secret::note_missing(what, &name, path, around, found);
            None
        }
        Err(error) => {
            let kind = error.kind();
            found.error(
                path.at.clone(),
                format!("the {what} \"{name}\" cannot be read: {kind}"),
                "name a file that webhooksd may read, for example one of mode 0640 with its group",
            );
            None
        }
    }
}
