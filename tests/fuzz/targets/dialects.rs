//! Dialects: any event and any webhook that a configuration can hold make a sound request.
//!
//! An input is `name, data, time, tenant, secret, header, path`. The webhook is made by the
//! configuration's own reading of it, so what is tried is what a file can lead to. What is no name
//! or no JSON is made one, for the outbox lets nothing else through.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use webhooksd::tested::{self, SecretsWanted, Surroundings};
use webhooksd::tested::{Dialect, Event, EventId, Webhook};
use webhooksd::tested::{MAX_DEPTH, MAX_ID, MAX_TIME_MS};

use super::parts;

pub(crate) fn run(bytes: &[u8]) {
    let mut parts = parts(bytes).map(String::from_utf8_lossy);
    let mut next = || parts.next().map(String::from).unwrap_or_default();
    let (name, data, time, tenant) = (next(), next(), next(), next());
    let (secret, header, path) = (next(), next(), next());
    let time: i64 = time.parse().unwrap_or(MAX_TIME_MS);
    let event = Event {
        id: EventId::new(time.rotate_left(17).rem_euclid(MAX_ID) + 1),
        name: named(&name).into(),
        data: json(data).into(),
        time_ms: time.rem_euclid(MAX_TIME_MS + 1),
        tenant: (!tenant.is_empty()).then(|| tenant.chars().take(255).collect::<String>().into()),
    };
    for dialect in Dialect::ALL {
        let body = tested::body(dialect, &event, None);
        assert_eq!(body, tested::body(dialect, &event, None));
        envelope(dialect, &event, &body);
        let given = tested::body(dialect, &event, Some(&header));
        let lift = dialect == Dialect::OpenboxesLift;
        let read: Tenant = deep(&given);
        let own = event.tenant.as_deref().unwrap_or(&header);
        assert_eq!(read.tenant.as_deref(), lift.then_some(own));
        let Some(webhook) = webhook(dialect, &secret, &header, &path) else {
            continue;
        };
        request(dialect, &webhook, &secret, &body);
    }
}

fn named(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.:/".contains(*c);
    let name: String = text.chars().filter(plain).take(255).collect();
    if name.is_empty() {
        "e".to_owned()
    } else {
        name
    }
}

/// The text, or the text as a JSON string where it is none that the outbox lets through.
fn json(text: String) -> String {
    let mut depth = 0_usize;
    let opens = text.bytes().filter(|b| b"[{".contains(b)).count();
    if opens > MAX_DEPTH {
        depth = opens;
    }
    let mut reader = serde_json::Deserializer::from_str(&text);
    reader.disable_recursion_limit();
    let valid = IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end());
    if valid.is_ok() && depth <= MAX_DEPTH {
        return text;
    }
    serde_json::Value::from(text).to_string()
}

/// Reads JSON of any depth.
fn deep<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> T {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader).unwrap();
    reader.end().unwrap();
    value
}

#[derive(Deserialize)]
struct Tenant {
    #[serde(rename = "tenantId")]
    tenant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cms<'a> {
    #[serde(borrow)]
    v1: CmsInner<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CmsInner<'a> {
    event: CmsEvent,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CmsEvent {
    id: i64,
    name: String,
    time: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other<'a> {
    id: String,
    #[serde(alias = "event", alias = "type")]
    name: String,
    timestamp: String,
    version: Option<String>,
    #[serde(rename = "tenantId")]
    tenant: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Standard<'a> {
    #[serde(rename = "type")]
    name: String,
    timestamp: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Holds that a body is JSON that says what the event says, with the very text of its data.
fn envelope(dialect: Dialect, event: &Event, body: &Bytes) {
    let data = event.data.trim_matches([' ', '\t', '\n', '\r']);
    let close = if dialect == Dialect::BoldCms {
        "}}"
    } else {
        "}"
    };
    let end = format!("\"data\":{}{close}", event.data);
    assert!(body.ends_with(end.as_bytes()), "{body:?}");
    if dialect == Dialect::BoldCms {
        let read: Cms<'_> = deep(body);
        assert_eq!(read.v1.data.get(), data);
        assert_eq!(read.v1.event.name, *event.name);
        assert_eq!(
            (read.v1.event.id, read.v1.event.time),
            (event.id.get(), event.time_ms)
        );
        return;
    }
    if dialect == Dialect::StandardWebhooks {
        let read: Standard<'_> = deep(body);
        assert_eq!(read.data.get(), data);
        assert_eq!(read.name, *event.name);
        assert!(read.timestamp.len() == 20 && read.timestamp.ends_with('Z'));
        return;
    }
    let read: Other<'_> = deep(body);
    assert_eq!(read.data.get(), data);
    assert_eq!(read.name, *event.name);
    assert_eq!(tested::row_id_of(&read.id), Some(event.id));
    assert_eq!(read.id, tested::event_id_text(dialect, event));
    assert!(read.timestamp.len() == 20 && read.timestamp.ends_with('Z'));
    let lift = dialect == Dialect::OpenboxesLift;
    assert_eq!(read.version.as_deref(), (!lift).then_some("1"));
    let tenant = event.tenant.as_deref().unwrap_or_default();
    assert_eq!(read.tenant.as_deref(), lift.then_some(tenant));
}

/// The webhook that a file with these texts has, or nothing where the file is refused.
fn webhook(dialect: Dialect, secret: &str, header: &str, path: &str) -> Option<Webhook> {
    let quoted = |text: &str| {
        let escaped: String = text
            .chars()
            .map(|c| format!("\\U{:08x}", u32::from(c)))
            .collect();
        format!("\"{escaped}\"")
    };
    let (name, value) = header.split_once(':').unwrap_or(("X-Team", header));
    let secret_line = match secret {
        "" => String::new(),
        secret => format!("secret = {}\n", quoted(secret)),
    };
    let text = format!(
        "tenant = 'acme'\n[outbox]\n[log]\n[[webhook]]\nname = 'w'\nevents = ['*']\ninsecure_http = {}\n\
         dialect = '{}'\nurl = {}\n{secret_line}headers = {{ {} = {} }}\n",
        dialect != Dialect::BoldCms,
        dialect.name(),
        quoted(&format!("http://h/{path}")),
        quoted(name),
        quoted(value),
    );
    let read = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let env = |_: &str| None::<OsString>;
    let check_ca = |_: &[u8]| Ok(());
    let around = Surroundings {
        folder: Path::new("/f"),
        credentials: None,
        read: &read,
        env: &env,
        check_ca: &check_ca,
        secrets: SecretsWanted::Read,
    };
    let parsed = tested::parse("w.toml", &text, &around);
    if [secret, header, path].iter().all(|t| t.is_empty()) {
        // That one alone signs every request.
        let is_taken = dialect != Dialect::StandardWebhooks;
        assert_eq!(parsed.is_ok(), is_taken, "{parsed:?}");
    }
    Some(Webhook::clone(parsed.ok()?.webhooks.last()?))
}

/// Holds that no header breaks the head and that the signature is that of the body.
fn request(dialect: Dialect, webhook: &Webhook, secret: &str, body: &Bytes) {
    let request = tested::request(dialect, webhook, body);
    assert_eq!(request.body, *body);
    let mut signature = None;
    let (mut lengths, mut hosts, mut standard) = (0, 0, 0);
    for header in &request.headers {
        let (name, value) = (&*header.name, &*header.value);
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(token), "{name:?}");
        let printed = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
        assert!(value.bytes().all(printed), "{name}: {value:?}");
        match &*name.to_ascii_lowercase() {
            "content-length" => {
                lengths += 1;
                assert_eq!(value, body.len().to_string());
            }
            "host" => hosts += 1,
            "x-qt-signature" | "x-bold-signature" | "x-webhook-signature" => {
                assert!(
                    signature.replace(value.to_owned()).is_none(),
                    "two signatures"
                );
            }
            "webhook-id" | "webhook-timestamp" | "webhook-signature" => standard += 1,
            _ => {}
        }
    }
    assert_eq!((lengths, hosts), (1, 1));
    let target = webhook.url.target();
    assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target:?}");
    if dialect == Dialect::StandardWebhooks {
        assert_eq!(standard, 3, "its own, and none of the user's");
        return;
    }
    let prefix = if dialect == Dialect::OpenboxesLift {
        "sha256="
    } else {
        ""
    };
    let expected = match (secret, dialect) {
        ("", Dialect::BoldCms) => Some(String::new()),
        ("", _) => None,
        (secret, _) => Some(format!("{prefix}{}", hmac(secret.as_bytes(), body))),
    };
    assert_eq!(signature, expected);
}

/// HMAC-SHA256 as RFC 2104 writes it, in hex.
fn hmac(key: &[u8], text: &[u8]) -> String {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}
