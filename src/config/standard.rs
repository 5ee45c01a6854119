//! The secrets of Standard Webhooks: of a webhook of that dialect, or beside another dialect's signature.
//!
//! Left out: where a secret comes from (`secret`), and what it may be (`form`).

use toml::de::DeValue;

use super::Surroundings;
use super::diagnostic::Findings;
use super::headers::Headers;
use super::keys::STANDARD;
use super::secret;
use super::section::Section;
use crate::dialect::STANDARD_HEADERS;
use crate::model::{Dialect, Secret, StandardSecrets};

const PREVIOUS: &str = "previous_secret_file";

/// What a webhook signs the headers with; `None` where it has none, they are not read, or it was noted what is
/// wrong with them. `own` is its secret.
pub(super) fn read(
    section: &Section<'_, '_>,
    dialect: Option<Dialect>,
    (own, headers): (Option<&Secret>, &Headers),
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<Box<StandardSecrets>> {
    let is_own = dialect? == Dialect::StandardWebhooks;
    let secrets = if is_own {
        of_dialect(section, own, around, found)
    } else {
        beside(section, around, found)
    };
    if is_own || section.has("standard_webhooks") {
        refuse_headers(section, headers, found);
    }
    secrets.map(Box::new)
}

fn of_dialect(
    section: &Section<'_, '_>,
    own: Option<&Secret>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<StandardSecrets> {
    if section.has("standard_webhooks") {
        found.error(
            section.key_at("standard_webhooks"),
            "standard_webhooks adds to another dialect what standard-webhooks sends by itself",
            "leave it out: secret_file and previous_secret_file of the webhook are what is signed with",
        );
    }
    let keys = ["secret", "secret_file", "secret_env"];
    if !keys.into_iter().any(|key| section.has(key)) {
        found.error(
            section.entry("dialect").map_or_else(|| section.at.clone(), |(_, value)| value.span()),
            "standard-webhooks signs every request, and there is no secret",
            "add secret_file = \"...\", a file with whsec_ and the output of openssl rand -base64 32",
        );
    }
    let previous = secret::from_key(section, PREVIOUS, around, found);
    Some(both(section, own?.clone(), previous, found))
}

fn beside(
    section: &Section<'_, '_>,
    around: &Surroundings<'_>,
    found: &mut Findings,
) -> Option<StandardSecrets> {
    if section.has(PREVIOUS) {
        found.error(
            section.key_at(PREVIOUS),
            "previous_secret_file is for the headers of Standard Webhooks: this dialect has one signature",
            "write it below a line [webhook.standard_webhooks] with a secret_file, or set dialect = \
             \"standard-webhooks\"",
        );
    }
    let (_, value) = section.entry("standard_webhooks")?;
    let DeValue::Table(table) = value.get_ref() else {
        section.wrong("standard_webhooks", "a table", value, found);
        return None;
    };
    let inner = Section::new(table, value.span(), &STANDARD, found);
    if !inner.has("secret_file") {
        inner.missing("secret_file", found);
    }
    let current = secret::from_key(&inner, "secret_file", around, found);
    let previous = secret::from_key(&inner, PREVIOUS, around, found);
    Some(both(&inner, current?, previous, found))
}

/// Both, which are two only where they differ: who has put the new one into both files has lost the one of before.
fn both(
    section: &Section<'_, '_>,
    current: Secret,
    previous: Option<Secret>,
    found: &mut Findings,
) -> StandardSecrets {
    if previous
        .as_ref()
        .is_some_and(|previous| previous.bytes() == current.bytes())
    {
        found.warning(
            Some(section.value_at(PREVIOUS)),
            "previous_secret_file holds the same secret as secret_file: a receiver with the one of before refuses both",
            "write the secret of before into it, or leave it out",
        );
    }
    StandardSecrets { current, previous }
}

/// A header of the user's that is called like one of these.
fn refuse_headers(section: &Section<'_, '_>, headers: &Headers, found: &mut Findings) {
    let own = |name: &str| {
        STANDARD_HEADERS
            .into_iter()
            .find(|own| own.eq_ignore_ascii_case(name))
    };
    for name in headers.iter().filter_map(|(name, _)| own(name)) {
        found.error(
            section.key_at("headers"),
            format!("with Standard Webhooks the header {name} is webhooksd's own"),
            "leave that header out",
        );
    }
}
