//! A webhook's signing key, from one of its three homes.
//!
//! A relative `secret_file` is looked for in `$CREDENTIALS_DIRECTORY` first, where systemd passes
//! `LoadCredential=` to the service (systemd.exec(5)), then beside the configuration. Nothing that a
//! secret holds is ever in a message, and neither is what was written in place of a variable's name.

use std::io;
use std::path::{Component, Path};

use crate::model::Secret;

use super::diagnostic::Findings;
use super::form::{self, Form};
use super::section::{Given, Section};
use super::visible::printable;
use super::{SecretsWanted, Surroundings};

/// The longest secret, in bytes. HMAC-SHA256 hashes a key longer than 64 bytes to 32, so a larger
/// file is some other file by mistake.
const MAX_SECRET_BYTES: usize = 4_096;

/// Reads the secret of a webhook. `None`: there is none, it is not wanted, or it was noted why not.
pub(super) fn read(
    section: &Section<'_, '_>,
    form: Form,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Secret> {
    refuse_two(section, found);
    let bytes = if let Some(text) = section.text("secret", found) {
        let bytes = text.value.as_bytes().to_vec();
        checked(bytes, ("secret", form), &text, found)
    } else if let Some(path) = section.text("secret_file", found) {
        read_file(("secret_file", form), &path, around, found)
    } else if let Some(name) = section.text("secret_env", found) {
        from_variable(&name, form, around, found)
    } else {
        None
    }?;
    (around.secrets != SecretsWanted::Skip).then(|| Secret::new(bytes))
}

/// Reads a secret of Standard Webhooks from the file that a key names. `None` as above.
pub(super) fn from_key(
    section: &Section<'_, '_>,
    key: &'static str,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Secret> {
    let path = section.text(key, found)?;
    let bytes = read_file((key, Form::Standard), &path, around, found)?;
    Some(Secret::new(bytes))
}

/// Reads what is kept as a secret is, in the file that a key names. `None` as above.
pub(super) fn from_file(
    key: &str,
    path: &Given<&str>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    read_file((key, Form::Token), path, around, found)
}

fn refuse_two(section: &Section<'_, '_>, found: &mut Findings) {
    let mut given: Vec<_> = ["secret", "secret_file", "secret_env"]
        .into_iter()
        .filter_map(|key| section.entry(key).map(|(name, _)| (name.span(), key)))
        .collect();
    given.sort_by_key(|(at, _)| at.start);
    if let [(_, first), others @ ..] = &*given {
        for (at, other) in others {
            found.error(
                at.clone(),
                format!("two secrets for one webhook: {first} and {other}"),
                "keep one of them",
            );
        }
    }
}

fn read_file(
    (key, form): (&str, Form),
    path: &Given<&str>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    if path.value.is_empty() || path.value.contains('\0') {
        found.error(
            path.at.clone(),
            format!("{key} names no file"),
            match form {
                Form::Vendor => {
                    "write secret_file = \"search-index.key\", or leave it out: requests are then unsigned"
                        .to_owned()
                }
                Form::Token => "write token_file = \"page.token\"".to_owned(),
                Form::Standard => format!("write {key} = \"search-index.key\""),
            },
        );
        return None;
    }
    if around.secrets == SecretsWanted::Skip {
        return None;
    }
    let name = printable(path.value);
    let file = Path::new(path.value);
    match read_first(file, around) {
        Ok(mut bytes) => {
            let what = format!("the secret file \"{name}\"");
            let dropped = drop_newline(&mut bytes);
            if dropped && std::str::from_utf8(&bytes).is_err() {
                found.warning(
                    Some(path.at.clone()),
                    format!("{what} is no text, and the newline at its end is not part of the secret"),
                    "if the newline is the key's last byte, add another one, or give the key as text",
                );
            }
            checked(bytes, (&what, form), path, found)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            note_missing("secret file", &name, path, around, found);
            None
        }
        Err(error) => {
            found.error(
                path.at.clone(),
                format!(
                    "the secret file \"{name}\" cannot be read: {}",
                    error.kind()
                ),
                "name a file that webhooksd may read, for example one of mode 0640 with its group",
            );
            None
        }
    }
}

/// Notes that a file is not there which may be one of systemd's credentials.
pub(super) fn note_missing(
    what: &str,
    name: &str,
    path: &Given<&str>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) {
    let message = format!("the {what} \"{name}\" does not exist");
    let may_be_credential = is_bare_name(Path::new(path.value));
    if may_be_credential && around.secrets == SecretsWanted::Check && around.credentials.is_none() {
        found.warning(
            Some(path.at.clone()),
            message,
            format!(
                "right if the service's unit has LoadCredential={name}:...; \
                 credentials are not seen from outside of it. Else make {name} beside the \
                 configuration: without either no start or reload goes on"
            ),
        );
    } else if may_be_credential {
        found.error(
            path.at.clone(),
            message,
            format!(
                "put it beside the configuration, or give it to the service with \
                 LoadCredential={name}:..."
            ),
        );
    } else {
        found.error(
            path.at.clone(),
            message,
            "make the file, or correct the path",
        );
    }
}

/// Whether the path is one name: a credential has no folders.
fn is_bare_name(path: &Path) -> bool {
    let mut parts = path.components();
    matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    )
}

/// Reads a file from systemd's credentials, or from beside the configuration.
pub(super) fn read_first(file: &Path, around: &Surroundings<'_>) -> io::Result<Vec<u8>> {
    if file.is_relative()
        && let Some(credentials) = around.credentials
    {
        match (around.read)(&credentials.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    (around.read)(&around.folder.join(file))
}

/// Editors end a file with a newline that is not meant to be a part of the secret; one goes. Whether
/// there was one.
pub(super) fn drop_newline(bytes: &mut Vec<u8>) -> bool {
    let ends = bytes.pop_if(|last| *last == b'\n').is_some();
    if ends {
        bytes.pop_if(|last| *last == b'\r');
    }
    ends
}

/// Warns of what nobody sees in a secret and hardly anybody means: it is signed with, and the other side,
/// who typed the secret, computes another signature. A key that is no text may begin and end as it likes.
fn note_odd_ends(bytes: &[u8], what: &str, given: &Given<&str>, found: &mut Findings) {
    let odd = match std::str::from_utf8(bytes) {
        Ok(text) => odd_ends(text),
        Err(_) if is_utf16(bytes) => vec!["is UTF-16 text: its bytes are not the secret's"],
        Err(_) => Vec::new(),
    };
    for odd in odd {
        found.warning(
            Some(given.at.clone()),
            format!("{what} {odd}"),
            "leave it out unless the endpoint has it too: it is part of the key that requests are signed \
             with; printf '%s' writes a secret without a newline",
        );
    }
}

/// What stands unseen at the ends of a secret's text.
fn odd_ends(text: &str) -> Vec<&'static str> {
    const MARK: char = '\u{feff}';
    if !text.is_empty() && text.chars().all(|c| c == '\0') {
        return vec!["is nothing but zero bytes"];
    }
    let mut odd = Vec::new();
    if text.starts_with(MARK) {
        odd.push("begins with a byte-order mark (U+FEFF)");
    }
    let text = text.trim_start_matches(MARK);
    if text.starts_with('\0') {
        odd.push("begins with a zero byte");
    } else if text.starts_with(is_unseen) {
        odd.push("begins with a blank, or another character that nobody sees");
    }
    match text.chars().next_back() {
        Some('\n' | '\r') => {
            odd.push("ends with a newline, and only one at a file's end is dropped");
        }
        Some(MARK) => odd.push("ends with a byte-order mark (U+FEFF)"),
        Some('\0') => odd.push("ends with a zero byte"),
        Some(c) if is_unseen(c) => {
            odd.push("ends with a blank, or another character that nobody sees");
        }
        _ => {}
    }
    odd
}

/// Whether a character leaves nothing to be seen: blanks, and what joins, parts, turns or varies others.
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Text as some editors of Windows save it: a mark, and every other byte of ASCII is 0.
fn is_utf16(bytes: &[u8]) -> bool {
    let (units, rest) = bytes.as_chunks::<2>();
    let marked = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    // The newline that was dropped may have been one half of a unit.
    marked && rest.len() <= 1 && units.iter().skip(1).all(|unit| unit.contains(&0))
}

fn from_variable(
    name: &Given<&str>,
    form: Form,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    let mut bytes = name.value.bytes();
    let starts_well = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts_well || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        found.error(
            name.at.clone(),
            "secret_env is no name of an environment variable",
            "write the variable's name, not the secret: secret_env = \"SEARCH_INDEX_KEY\"",
        );
        return None;
    }
    if around.secrets == SecretsWanted::Skip {
        return None;
    }
    let Some(value) = (around.env)(name.value) else {
        found.error(
            name.at.clone(),
            "the environment variable that secret_env names is not set",
            "set it where webhooksd is started, or use secret_file",
        );
        return None;
    };
    let bytes = value.into_encoded_bytes();
    let what = "the environment variable of secret_env";
    checked(bytes, (what, form), name, found)
}

fn checked(
    bytes: Vec<u8>,
    (what, form): (&str, Form),
    given: &Given<&str>,
    found: &mut Findings,
) -> Option<Vec<u8>> {
    // What is odd in base64 is an error of its own.
    if form != Form::Standard || !bytes.starts_with(b"whsec_") {
        note_odd_ends(&bytes, what, given, found);
    }
    if bytes.is_empty() {
        found.error(
            given.at.clone(),
            format!("{what} is empty"),
            match form {
                Form::Vendor => "give a secret, or leave the key out: requests are then unsigned",
                Form::Token => "write the output of openssl rand -hex 32 into it",
                Form::Standard => {
                    "give a secret, such as whsec_ and the output of openssl rand -base64 32"
                }
            },
        );
        return None;
    }
    if bytes.len() > MAX_SECRET_BYTES {
        found.error(
            given.at.clone(),
            format!("{what} is longer than {MAX_SECRET_BYTES} bytes"),
            "use a secret of 32 to 64 random bytes, for example from openssl rand -hex 32",
        );
        return None;
    }
    form::check(&bytes, (what, form), given, found).then_some(bytes)
}
