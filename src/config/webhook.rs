//! One `[[webhook]]`: what was typed becomes what is meant.
//!
//! Every key is checked by itself first, then what the dialect says of it: a dialect is a vendor's
//! whole contract, so what it fixes cannot be set here. Duplicate names are not seen here.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{AddressRule, Dialect, MinTls, Pattern, Proxy, Rate, Webhook, own};

use super::diagnostic::Findings;
use super::form::Form;
use super::keys::nearest;
use super::section::{Given, Section};
use super::visible::printable;
use super::{
    SecretsWanted, Surroundings, addresses, batch, client_cert, headers, order, proxy, rules,
    secret, span, standard, url,
};

/// The longest name: it is a label of metrics and a column of tables.
const MAX_NAME_BYTES: usize = 64;

/// The most patterns, and tenants: each event is compared with all of them.
const MAX_LIST: usize = 1_000;

/// The longest pattern and tenant, in characters, as long as an event's name and tenant can be.
const MAX_ENTRY_CHARS: usize = 255;

/// Requests in flight for one webhook, unless it is set: a slow endpoint of 50 ms gets 1,280 a second.
const DEFAULT_MAX_IN_FLIGHT: u32 = 64;

/// Sends of bold-factory in all, by its documentation.
const DEFAULT_MAX_ATTEMPTS: u32 = 10;

/// The most sends that can be asked for; at up to an hour apart that is four days.
const MAX_MAX_ATTEMPTS: u32 = 100;

/// The largest CA file, in bytes: the whole of a system's roots is a quarter of it.
const MAX_CA_BYTES: usize = 1_024 * 1_024;

/// What reading a webhook needs besides its table.
pub(super) struct Reading<'a> {
    pub(super) around: &'a Surroundings<'a>,
    /// The limit under which each webhook's own must stay.
    pub(super) max_in_flight: u32,
    /// Which addresses all of them may be connected to.
    pub(super) addresses: Option<Arc<AddressRule>>,
    /// Through whom those go that do not say.
    pub(super) proxy: Option<Arc<Proxy>>,
    /// Whether their attempts tell of a trace.
    pub(super) traceparent: bool,
    /// CA files already read: thousands of webhooks commonly share one.
    pub(super) authorities: HashMap<PathBuf, Result<Arc<[u8]>, String>>,
    /// Client certificates already read.
    pub(super) clients: client_cert::Known,
}

impl Reading<'_> {
    /// Reads a webhook; `None` where something that it cannot do without is wrong, which was noted.
    pub(super) fn webhook(
        &mut self,
        section: &Section<'_, '_>,
        found: &mut Findings,
    ) -> Option<Webhook> {
        let dialect = dialect(section, found);
        let name = name(section, found);
        let url = url::read(section, dialect, found);
        let own = proxy::read(section, self.addresses.as_deref(), self.around, found);
        let proxy = own.unwrap_or_else(|| self.proxy.clone());
        // What a proxy connects to is for itself to judge.
        let judged = url.as_ref().filter(|_| proxy.is_none());
        if let (Some(rule), Some(url)) = (&self.addresses, judged) {
            addresses::judge(rule, url, section.value_at("url"), found);
        }
        let events = events(section, found);
        let max_attempts = max_attempts(section, dialect, found);
        let truth = |key, found: &mut Findings| section.truth(key, found).map(|given| given.value);
        let active = truth("active", found).unwrap_or(true);
        let keep_alive = truth("keep_alive", found);
        let tenants = tenants(section, found);
        if let (Some(events), Some(_)) = (&events, &tenants) {
            check_pauses(section, events, found);
        }
        let rules = rules::read(section, found);
        let max_in_flight = self.max_in_flight(section, found);
        let max_per_second = max_per_second(section, found);
        let form = match dialect {
            Some(Dialect::StandardWebhooks) => Form::Standard,
            _ => Form::Vendor,
        };
        let secret = secret::read(section, form, self.around, found);
        let ca = self.authority(section, found);
        let min_tls = min_tls(section, found);
        if let Some(url) = &url {
            url::note_idle_tls(section, url, found);
        }
        let clients = &mut self.clients;
        let client = client_cert::read(section, url.as_ref(), self.around, clients, found);
        let headers = headers::read(section, self.traceparent, found);
        let signing = (secret.as_ref(), &headers);
        let standard = standard::read(section, dialect, signing, self.around, found);
        let batch = batch::read(section, dialect, &headers, found);
        let order = order::read(section, section.has("batch"), found);
        let both = (order.as_ref(), batch.as_ref());
        let max_in_flight = order::in_flight(section, both, max_in_flight, found);
        let auto_pause_ms = span::read(section, "auto_pause", found);
        let dialect = dialect?;
        Some(Webhook {
            name: name?.into(),
            url: url?,
            events: events?,
            secret,
            standard,
            dialect,
            active,
            tenants,
            rules,
            keep_alive: keep_alive.unwrap_or(dialect != Dialect::BoldCms),
            max_in_flight,
            max_per_second,
            ca,
            min_tls,
            client,
            client_files: client_cert::files(section, self.around.folder),
            proxy,
            traceparent: self.traceparent,
            addresses: self.addresses.clone(),
            headers,
            batch,
            order,
            max_attempts,
            auto_pause_ms,
        })
    }

    fn max_in_flight(&self, section: &Section<'_, '_>, found: &mut Findings) -> usize {
        let why = "no more than max_in_flight of [delivery]";
        let number = section
            .number("max_in_flight", 1..=self.max_in_flight, why, found)
            .map_or(DEFAULT_MAX_IN_FLIGHT.min(self.max_in_flight), |n| n.value);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn authority(&mut self, section: &Section<'_, '_>, found: &mut Findings) -> Option<Arc<[u8]>> {
        let path = section.text("ca_file", found)?;
        if path.value.is_empty() || path.value.contains('\0') {
            found.error(
                path.at,
                "ca_file names no file",
                "write ca_file = \"corp-ca.pem\", or leave it out: the system's roots are trusted",
            );
            return None;
        }
        if self.around.secrets == SecretsWanted::Skip {
            return None;
        }
        let around = self.around;
        let file = around.folder.join(path.value);
        let result = self.authorities.entry(file).or_insert_with_key(|file| {
            let bytes = (around.read)(file).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => "does not exist".to_owned(),
                kind => format!("cannot be read: {kind}"),
            })?;
            if bytes.len() > MAX_CA_BYTES {
                return Err(format!("is larger than {MAX_CA_BYTES} bytes"));
            }
            match (around.check_ca)(&bytes) {
                Ok(()) => Ok(bytes.into()),
                Err(why) => Err(format!("is of no use: {}", printable(&why))),
            }
        });
        match result {
            Ok(bytes) => Some(Arc::clone(bytes)),
            Err(why) => {
                found.error(
                    path.at,
                    format!("the CA file \"{}\" {why}", printable(path.value)),
                    "name a file of PEM certificates (-----BEGIN CERTIFICATE-----)",
                );
                None
            }
        }
    }
}

fn name<'t>(section: &Section<'t, '_>, found: &mut Findings) -> Option<&'t str> {
    if !section.has("name") {
        section.missing("name", found);
    }
    let name = section.text("name", found)?;
    let right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=MAX_NAME_BYTES).contains(&name.value.len()) && name.value.bytes().all(right) {
        return Some(name.value);
    }
    found.error(
        name.at,
        format!("a webhook's name is 1 to {MAX_NAME_BYTES} of a-z 0-9 -"),
        "write a name such as search-index",
    );
    None
}

fn dialect(section: &Section<'_, '_>, found: &mut Findings) -> Option<Dialect> {
    if !section.has("dialect") {
        return Some(Dialect::BoldCms);
    }
    let text = section.text("dialect", found)?;
    if let Some(dialect) = Dialect::from_name(text.value) {
        return Some(dialect);
    }
    let names = || Dialect::ALL.into_iter().map(Dialect::name);
    let fix = nearest(text.value, names()).map_or_else(
        || {
            format!(
                "the dialects are {}",
                names().collect::<Vec<_>>().join(", ")
            )
        },
        |near| format!("did you mean {near}?"),
    );
    found.error(text.at, "there is no such dialect", fix);
    None
}

fn events(section: &Section<'_, '_>, found: &mut Findings) -> Option<Vec<Pattern>> {
    if !section.has("events") {
        section.missing("events", found);
    }
    let why_full = (
        "the webhook would get nothing",
        "name the events that it wants, as in events = [\"story-*\"], or [\"*\"] for all",
    );
    let texts = section.texts("events", MAX_LIST, why_full, found)?;
    let mut patterns = Vec::with_capacity(texts.len());
    let asks_for_own = texts.iter().any(|text| own::is_reserved(text.value));
    for text in texts {
        match Pattern::read(text.value) {
            Some(pattern)
                if pattern.is_reserved() && !own::NAMES.iter().any(|n| pattern.matches(n)) =>
            {
                let names = own::NAMES.join(", ");
                found.error(
                    text.at,
                    "webhooksd has no event of that name, and nobody else's begins so",
                    format!("its own events are {names}; \"webhooksd.*\" is all of them"),
                );
            }
            Some(pattern) => {
                if !asks_for_own && seems_to_ask_for_own(&pattern) {
                    found.warning(
                        Some(text.at),
                        "this gets none of webhooksd's own events",
                        "write \"webhooksd.*\" for those: only patterns that begin with webhooksd. get any",
                    );
                }
                patterns.push(pattern);
            }
            None => found.error(
                text.at,
                format!("a pattern is 1 to {MAX_ENTRY_CHARS} of A-Z a-z 0-9 - _ . : / *"),
                "write an event's name, with * for any run of characters, as in \"story-*\"",
            ),
        }
    }
    Some(patterns)
}

/// Whether somebody who wrote that may have meant events of webhooksd itself, which it does not get. Any other
/// pattern matches their names by chance.
fn seems_to_ask_for_own(pattern: &Pattern) -> bool {
    let mut parts = pattern.text().split('*');
    let begins_so = parts.next().is_some_and(|text| text.starts_with("webhook"));
    begins_so && own::NAMES.iter().any(|name| pattern.matches(name))
}

/// Notes that a webhook for certain tenants asks for pauses alone, which are of none.
fn check_pauses(section: &Section<'_, '_>, patterns: &[Pattern], found: &mut Findings) {
    let others = [own::FAILED, own::REJECTED];
    let is_of_pauses = |p: &Pattern| p.is_reserved() && !others.iter().any(|name| p.matches(name));
    if !patterns.is_empty() && patterns.iter().all(is_of_pauses) {
        found.warning(
            Some(section.value_at("tenants")),
            "the webhook gets nothing: it asks for pauses, which are of no tenant",
            "leave tenants out",
        );
    }
}

fn tenants(section: &Section<'_, '_>, found: &mut Findings) -> Option<Vec<Box<str>>> {
    let why_full = (
        "the webhook would get nothing",
        "name tenants, or leave the key out: the webhook then gets every tenant's events",
    );
    let texts = section.texts("tenants", MAX_LIST, why_full, found)?;
    for text in &texts {
        check_tenant(text, found);
    }
    Some(texts.into_iter().map(|text| text.value.into()).collect())
}

/// Notes a tenant that no row of the outbox can have.
pub(super) fn check_tenant(text: &Given<&str>, found: &mut Findings) {
    let right = (1..=MAX_ENTRY_CHARS).contains(&text.value.chars().count());
    if !right || text.value.chars().any(char::is_control) {
        found.error(
            text.at.clone(),
            format!("a tenant is a text of 1 to {MAX_ENTRY_CHARS} characters"),
            "write the name that the application puts in the column tenant, such as \"acme\"",
        );
    }
}

fn max_per_second(section: &Section<'_, '_>, found: &mut Findings) -> Option<Rate> {
    let number = section.any_number("max_per_second", found)?;
    let rate = Rate::new(number.value);
    if rate.is_none() {
        let (least, most) = (Rate::LEAST, Rate::MOST);
        let example = section.example("max_per_second");
        found.error(
            number.at,
            format!("max_per_second must be {least} to {most}"),
            format!("requests that begin in a second, and any number of them without the key, for example {example}"),
        );
    }
    rate
}

fn min_tls(section: &Section<'_, '_>, found: &mut Findings) -> MinTls {
    let Some(text) = section.text("min_tls", found) else {
        return MinTls::default();
    };
    MinTls::from_name(text.value).unwrap_or_else(|| {
        found.error(
            text.at,
            "min_tls is \"1.2\" or \"1.3\": nothing else is spoken",
            "write min_tls = \"1.3\", or leave it out for 1.2 and newer",
        );
        MinTls::default()
    })
}

fn max_attempts(section: &Section<'_, '_>, dialect: Option<Dialect>, found: &mut Findings) -> u32 {
    let fixed = match dialect {
        Some(Dialect::BoldCms) => "bold-cms is fixed policy: 3 retries, 10 s apart",
        Some(Dialect::OpenboxesLift) => {
            "openboxes-lift is a fixed ladder: 1 min, 5 min, 30 min, 2 h, 12 h"
        }
        Some(Dialect::StandardWebhooks) => {
            "standard-webhooks is a fixed ladder: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h"
        }
        Some(Dialect::BoldFactory) | None => {
            let why = "sends in all, up to an hour apart";
            return section
                .number("max_attempts", 1..=MAX_MAX_ATTEMPTS, why, found)
                .map_or(DEFAULT_MAX_ATTEMPTS, |given| given.value);
        }
    };
    if section.has("max_attempts") {
        let fix = "leave it out; only bold-factory has max_attempts";
        found.error(section.key_at("max_attempts"), fixed, fix);
    }
    DEFAULT_MAX_ATTEMPTS
}
