//! The way from the text to a [`Config`], or to the report of all that is wrong.
//!
//! A syntax error ends it, since nothing behind it can be trusted to be what it seems. Everything
//! else is noted and reading goes on. The report is made last, for what a line may show depends on
//! all that lies in it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::{Dialect, Webhook};

use super::diagnostic::{Diagnostic, Finding, Findings, Report, Severity};
use super::draft::{Draft, Key, Places, WebhookPlaces, places_of};
use super::excerpt::Private;
use super::keys::{self, Keys, TOP};
use super::section::{Section, type_name};
use super::sections::{self, SOCKET_PATH, Sections};
use super::source::Source;
use super::unclosed;
use super::visible::printable;
use super::webhook::{Reading, check_tenant};
use super::{Config, Delivery, Surroundings, addresses, page, proxy};

/// The largest configuration, in bytes: 100,000 webhooks of 160 bytes.
pub(super) const MAX_CONFIG_BYTES: usize = 16 * 1_024 * 1_024;

/// The most webhooks: each event is compared with every one's patterns.
const MAX_WEBHOOKS: usize = 100_000;

/// Reads a configuration. `file_name` is what diagnostics call it.
///
/// # Errors
/// Everything that is wrong with it, warnings included; after a syntax error only that.
pub fn parse(file_name: &str, text: &str, around: &Surroundings<'_>) -> Result<Config, Report> {
    draft(file_name, text, around)?.finish()
}

/// Reads a configuration that may still be found wanting by what lies outside of its text.
///
/// # Errors
/// It is no TOML, or too large.
pub(crate) fn draft(
    file_name: &str,
    text: &str,
    around: &Surroundings<'_>,
) -> Result<Draft, Report> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_CONFIG_BYTES {
        return Err(too_large(file_name).into());
    }
    let source = Source::new(text);
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => return Err(syntax(file_name, text, &source, &error).into()),
    };
    let mut found = Findings::default();
    let (config, places, webhooks) = whole(root.get_ref(), around, &source, &mut found);
    Ok(Draft {
        file_name: file_name.to_owned(),
        text: text.to_owned(),
        config,
        found,
        places,
        webhooks,
    })
}

/// The path of `[socket]`, or its default, as far as the text is TOML.
pub(super) fn socket_path(text: &str) -> Option<String> {
    let (root, _errors) = DeTable::parse_recoverable(text);
    let DeValue::Table(socket) = root.get_ref().get("socket")?.get_ref() else {
        return None;
    };
    let path = match socket.get("path") {
        Some(path) => path.get_ref().as_str()?,
        None => SOCKET_PATH,
    };
    Some(path.to_owned())
}

/// A file that is larger than a configuration can be.
pub(super) fn too_large(file_name: &str) -> Diagnostic {
    Diagnostic::of_file(
        file_name,
        Severity::Error,
        "the file is larger than 16 MiB",
        "name the configuration with --config",
    )
}

fn syntax(file_name: &str, text: &str, source: &Source<'_>, error: &toml::de::Error) -> Diagnostic {
    let mut at = error.span().unwrap_or_default();
    let mut message = printable(error.message());
    let unclosed = unclosed::array(text, at.start, &message);
    if let Some(begins) = unclosed {
        at = begins..begins + 1;
        "the array that begins here is not closed".clone_into(&mut message);
    }
    let private = Private::of_broken(source, at.start);
    let fix = if unclosed.is_some() {
        "close it with ]; nothing behind this place was checked"
    } else if message.contains("duplicate key") {
        "keep one of the two; a webhook more is begun with a line [[webhook]]"
    } else {
        "write key = value, texts in \"quotes\"; nothing behind this place was checked"
    };
    let finding = Finding {
        at: Some(at),
        severity: Severity::Error,
        message: format!("this is not TOML: {message}"),
        fix: fix.to_owned(),
    };
    finding.diagnose(file_name, source, &private)
}

fn whole(
    root: &DeTable<'_>,
    around: &Surroundings<'_>,
    source: &Source<'_>,
    found: &mut Findings,
) -> (Config, Places, Vec<WebhookPlaces>) {
    let top = Section::new(root, 0..0, &TOP, found);
    let tenant = top.text("tenant", found);
    if let Some(tenant) = &tenant {
        check_tenant(tenant, found);
    }
    let mut once = Sections {
        folder: around.folder,
        paths: Vec::new(),
    };
    let empty = DeTable::new();
    let outbox = table(&top, "outbox", &keys::OUTBOX, found)
        .unwrap_or_else(|| Section::new(&empty, 0..0, &keys::OUTBOX, found));
    let outbox = once.outbox(&outbox, around, found);
    let log = table(&top, "log", &keys::LOG, found)
        .unwrap_or_else(|| Section::new(&empty, 0..0, &keys::LOG, found));
    let log = once.log(&log, &outbox, around, found);
    let mut places = Places::new();
    let socket = table(&top, "socket", &keys::SOCKET, found).map(|section| {
        places.push((Key::SocketMode, Some(section.value_at("mode"))));
        places.push((Key::SocketGroup, Some(section.value_at("group"))));
        once.socket(&section, found)
    });
    let delivery = table(&top, "delivery", &keys::DELIVERY, found)
        .unwrap_or_else(|| Section::new(&empty, 0..0, &keys::DELIVERY, found));
    let max_in_flight = sections::max_in_flight(&delivery, found);
    let addresses = addresses::read(&delivery, found);
    let proxy = proxy::read(&delivery, addresses.as_deref(), around, found).flatten();
    let traceparent = delivery.truth("traceparent", found);
    let metrics = table(&top, "metrics", &keys::METRICS, found).and_then(|section| {
        places.push((Key::Metrics, Some(section.value_at("listen"))));
        sections::metrics(&section, found)
    });
    let page = table(&top, "page", &keys::PAGE, found).map(|section| {
        places.push((Key::Page, Some(section.value_at("listen"))));
        page::read(&section, metrics.as_ref(), around, found)
    });
    let node = table(&top, "node", &keys::NODE, found);
    let node = sections::node(node.as_ref(), &log, found);
    places.extend(places_of(&once.paths));
    let mut reading = Reading {
        around,
        max_in_flight,
        addresses,
        proxy,
        traceparent: traceparent.is_some_and(|given| given.value),
        authorities: HashMap::new(),
        clients: HashMap::new(),
    };
    let mut webhook_places = Vec::new();
    let webhooks = webhooks(&top, &mut reading, source, &mut webhook_places, found);
    let config = Config {
        tenant: tenant.map(|tenant| tenant.value.to_owned()),
        outbox,
        socket,
        log,
        delivery: Delivery::new(max_in_flight),
        metrics,
        page,
        node,
        webhooks: webhooks.into_iter().map(Arc::new).collect(),
        warnings: Vec::new(),
    };
    (config, places, webhook_places)
}

/// A section that is written once; `None` where it is left out or no table.
fn table<'t, 'i>(
    top: &Section<'t, 'i>,
    name: &'static str,
    keys: &'static Keys,
    found: &mut Findings,
) -> Option<Section<'t, 'i>> {
    let (key, value) = top.entry(name)?;
    match value.get_ref() {
        DeValue::Table(table) => Some(Section::new(table, value.span(), keys, found)),
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
            found.error(
                key.span(),
                format!("there is one {0} only, and [[{0}]] begins a list", name),
                format!("write it once, in single brackets: {}", keys.title),
            );
            None
        }
        other => {
            found.error(
                key.span(),
                format!("{name} must be a table, not {}", type_name(other)),
                format!("write a line {} and its keys below it", keys.title),
            );
            None
        }
    }
}

/// The webhooks that are right, and where they stand.
fn webhooks(
    top: &Section<'_, '_>,
    reading: &mut Reading<'_>,
    source: &Source<'_>,
    places: &mut Vec<WebhookPlaces>,
    found: &mut Findings,
) -> Vec<Webhook> {
    let tables = webhook_tables(top, found);
    if tables
        .as_ref()
        .is_some_and(|tables| tables.len() > MAX_WEBHOOKS)
    {
        found.error(
            top.key_at("webhook"),
            format!("there are more than {MAX_WEBHOOKS} webhooks"),
            "run a second webhooksd with an outbox of its own",
        );
        return Vec::new();
    }
    if tables.as_ref().is_some_and(Vec::is_empty) {
        let fix = "add [[webhook]] with a name, a url and events";
        found.warning(None, "there is no webhook: events go nowhere", fix);
    }
    let tables = tables.unwrap_or_default();
    let mut seen: HashMap<&str, Range<usize>> = HashMap::with_capacity(tables.len());
    let mut webhooks = Vec::with_capacity(tables.len());
    let mut lift = None;
    for (table, at) in tables {
        let section = Section::new(table, at, &keys::WEBHOOK, found);
        note_duplicate(&section, &mut seen, source, found);
        lift = lift.or_else(|| lift_at(&section));
        if let Some(webhook) = reading.webhook(&section, found) {
            let span = |key| section.entry(key).map(|(_, value)| value.span());
            webhooks.push(webhook);
            places.push(WebhookPlaces {
                url: span("url").unwrap_or_else(|| section.at.clone()),
                ca_file: span("ca_file"),
                client: [span("client_cert_file"), span("client_key_file")],
            });
        }
    }
    if let Some(at) = lift.filter(|_| !top.has("tenant")) {
        found.error(
            at,
            "openboxes-lift sends a tenantId, and there is no tenant",
            "add a line tenant = \"acme\" at the top of the file, before the first [section]",
        );
    }
    webhooks
}

/// Where the webhook says that it speaks openboxes-lift, if it does.
fn lift_at(section: &Section<'_, '_>) -> Option<Range<usize>> {
    let (text, at) = section
        .entry("dialect")
        .and_then(|(_, value)| text_of(value))?;
    (Dialect::from_name(text) == Some(Dialect::OpenboxesLift)).then_some(at)
}

type Tables<'t, 'i> = Vec<(&'t DeTable<'i>, Range<usize>)>;

fn webhook_tables<'t, 'i>(top: &Section<'t, 'i>, found: &mut Findings) -> Option<Tables<'t, 'i>> {
    let Some((key, value)) = top.entry("webhook") else {
        return Some(Vec::new());
    };
    match value.get_ref() {
        DeValue::Array(items) => {
            let mut tables = Vec::with_capacity(items.len());
            for item in items {
                match item.get_ref() {
                    DeValue::Table(table) => tables.push((table, item.span())),
                    other => found.error(
                        item.span(),
                        format!("a webhook must be a table, not {}", type_name(other)),
                        "write a line [[webhook]] and its keys below it",
                    ),
                }
            }
            Some(tables)
        }
        DeValue::Table(table) => {
            found.error(
                value.span(),
                "[webhook] is a single table, but webhooks are a list",
                "write each webhook as [[webhook]], in double brackets, with its name as a key",
            );
            let is_one = ["name", "url", "events"]
                .iter()
                .any(|key| table.contains_key(*key));
            is_one.then(|| vec![(table, value.span())])
        }
        other => {
            found.error(
                key.span(),
                format!("webhook must be a list of tables, not {}", type_name(other)),
                "write a line [[webhook]] and its keys below it",
            );
            None
        }
    }
}

fn note_duplicate<'t>(
    section: &Section<'t, '_>,
    seen: &mut HashMap<&'t str, Range<usize>>,
    source: &Source<'_>,
    found: &mut Findings,
) {
    let Some((name, at)) = section.entry("name").and_then(|(_, value)| text_of(value)) else {
        return;
    };
    if let Some(first) = seen.get(name) {
        found.error(
            at,
            format!(
                "this name is taken by the webhook in line {}",
                source.line_number(first.start)
            ),
            "give each webhook a name of its own: the log and the commands tell them apart by it",
        );
    } else {
        seen.insert(name, at);
    }
}

fn text_of<'t>(value: &'t Spanned<DeValue<'_>>) -> Option<(&'t str, Range<usize>)> {
    match value.get_ref() {
        DeValue::String(text) => Some((text, value.span())),
        _ => None,
    }
}
