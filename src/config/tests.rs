//! What a configuration means, and that no report tells a secret.
//!
//! The words of each error are held by `tests/it/config/*.stderr`; here are the rules behind them.

mod leaks;
mod shipped;
mod sizes;
mod unseen;
mod wheres;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::model::Dialect;

/// Surroundings that are all in memory.
struct Scripted {
    files: HashMap<PathBuf, Vec<u8>>,
    credentials: Option<PathBuf>,
    secrets: SecretsWanted,
}

impl Scripted {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(p, b)| (p.into(), b.to_vec())).collect();
        Self {
            files,
            credentials: None,
            secrets: SecretsWanted::Read,
        }
    }

    fn parse(&self, text: &str) -> Result<Config, Report> {
        let read = |path: &Path| match self.files.get(path) {
            Some(bytes) if bytes == b"DENIED" => Err(io::ErrorKind::PermissionDenied.into()),
            Some(bytes) => Ok(bytes.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let env = |name: &str| (name == "KEY").then(|| OsString::from("from-env"));
        let check_ca = |pem: &[u8]| match pem {
            b"good" => Ok(()),
            _ => Err("no certificate in it".to_owned()),
        };
        let around = Surroundings {
            folder: Path::new("/f"),
            credentials: self.credentials.as_deref(),
            read: &read,
            env: &env,
            check_ca: &check_ca,
            secrets: self.secrets,
        };
        parse("webhooks.toml", text, &around)
    }
}

fn parse_plain(text: &str) -> Result<Config, Report> {
    Scripted::new(&[]).parse(text)
}

const HOOK: &str = "[[webhook]]\nname = 'a'\nurl = 'https://h/'\nevents = ['*']\n";

/// A single webhook with more lines in it.
fn hook(lines: &str) -> Result<Webhook, Report> {
    parse_plain(&format!("{HOOK}{lines}")).map(|config| Webhook::clone(&config.webhooks[0]))
}

/// How many errors, and the text of the report.
fn refused<T: fmt::Debug>(result: Result<T, Report>) -> (usize, String) {
    let report = result.unwrap_err();
    let errors = report.diagnostics.iter();
    let errors = errors.filter(|d| d.severity == Severity::Error).count();
    assert!(report.diagnostics.iter().all(|d| !d.fix.is_empty()));
    (errors, report.to_string())
}

#[test]
fn an_empty_file_is_the_defaults_and_a_warning() {
    let config = parse_plain("").unwrap();
    assert_eq!(config.outbox.path, Path::new("/f/outbox.db"));
    assert_eq!(config.log.place.file(), Some(Path::new("/f/log.db")));
    assert_eq!((config.outbox.keep_days, config.log.keep_days), (30, 30));
    assert_eq!(config.outbox.max_data_bytes, 1_048_576);
    assert_eq!(config.delivery.max_in_flight, 4_096);
    assert_eq!(
        (config.tenant, config.socket, config.metrics),
        (None, None, None)
    );
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn every_key_arrives() {
    let text = "tenant = 't'\n[outbox]\npath = '/o'\nkeep_days = 0\nmax_data_bytes = 0x10\n\
        [socket]\npath = 's'\nmode = '0600'\ngroup = 'g'\n[log]\npath = 'l'\nkeep_days = 1\n\
        [delivery]\nmax_in_flight = 1_0\n[metrics]\nlisten = '[::1]:1'\n\
        [[webhook]]\nname = 'b-1'\nurl = 'http://h/x'\nevents = ['a.*', '*']\nsecret = 'k'\n\
        dialect = 'openboxes-lift'\nactive = false\ntenants = ['t', 'u']\nkeep_alive = false\n\
        max_in_flight = 9\ninsecure_http = true\n\
        headers = { Z-Last = '1', A-First = '2' }\n\
        [[webhook]]\nname = 'a'\nurl = 'https://h/'\nevents = ['*']\ndialect = 'bold-factory'\n\
        max_attempts = 3\nca_file = 'ca'";
    let config = Scripted::new(&[("/f/ca", b"good")]).parse(text).unwrap();
    assert_eq!(config.tenant.as_deref(), Some("t"));
    assert_eq!(config.outbox.path, Path::new("/o"));
    let outbox = (config.outbox.keep_days, config.outbox.max_data_bytes);
    assert_eq!(outbox, (0, 16));
    let socket = config.socket.unwrap();
    assert_eq!(socket.path, Path::new("/f/s"));
    assert_eq!((socket.mode, socket.group.as_deref()), (0o600, Some("g")));
    let log = (config.log.place.shown(), config.log.keep_days);
    assert_eq!(log, ("/f/l".into(), 1));
    assert_eq!(config.delivery.max_in_flight, 10);
    assert_eq!(config.metrics.unwrap().listen.port(), 1);
    let [b, a] = &config.webhooks[..] else {
        panic!("two webhooks")
    };
    assert_eq!(
        (&*b.name, b.url.text(), b.dialect),
        ("b-1", "http://h/x", Dialect::OpenboxesLift)
    );
    assert_eq!(
        b.events.iter().map(|p| p.text()).collect::<Vec<_>>(),
        ["a.*", "*"]
    );
    assert_eq!(b.secret.as_ref().unwrap().bytes(), b"k");
    assert_eq!((b.active, b.keep_alive, b.max_in_flight), (false, false, 9));
    assert_eq!(b.tenants.as_deref(), Some(&["t".into(), "u".into()][..]));
    assert_eq!(a.ca.as_deref(), Some(&b"good"[..]));
    let headers = [
        ("Z-Last".into(), "1".into()),
        ("A-First".into(), "2".into()),
    ];
    assert_eq!(b.headers, headers, "in the order of the file");
    assert_eq!((&*a.name, a.max_attempts), ("a", 3));
    assert!(config.warnings.is_empty());
}

#[test]
fn defaults_are_the_dialects() {
    let cms = hook("").unwrap();
    assert_eq!((cms.dialect, cms.keep_alive), (Dialect::BoldCms, false));
    assert_eq!((cms.active, cms.max_in_flight), (true, 64));
    assert_eq!((cms.secret, cms.tenants, cms.ca), (None, None, None));
    let factory = hook("dialect = 'bold-factory'").unwrap();
    assert_eq!((factory.keep_alive, factory.max_attempts), (true, 10));
    assert!(hook("keep_alive = true").unwrap().keep_alive);
    let small = format!("[delivery]\nmax_in_flight = 3\n{HOOK}");
    assert_eq!(parse_plain(&small).unwrap().webhooks[0].max_in_flight, 3);
    assert_eq!(
        refused(parse_plain(&format!("{small}max_in_flight = 4"))).0,
        1
    );
}

#[test]
fn all_errors_are_found_at_once_in_the_order_of_the_file() {
    let text = "bogus = 1\n[outbox]\nkeep_days = -1\n[[webhook]]\nname = 'A'\nurl = 'ftp://h/'\n\
        events = []\n[[webhook]]\nname = 'b'\nurl = 7\nevents = ['*']\n[[webhook]]\nname = 'b'\n";
    let report = parse_plain(text).unwrap_err();
    let places: Vec<_> = report
        .diagnostics
        .iter()
        .map(|d| d.place.unwrap())
        .collect();
    let lines: Vec<_> = places.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 3, 5, 6, 7, 10, 12, 12, 13]);
}

#[test]
fn a_slip_of_a_key_is_one_error() {
    let text = HOOK.replace("events", "evnts");
    let (errors, report) = refused(parse_plain(&text));
    assert_eq!(errors, 1, "{report}");
    assert!(report.contains("did you mean events?"), "{report}");
    assert!(!report.contains("has no events"), "{report}");
    // A key that is no slip of the missing one is an error beside it.
    let text = HOOK.replace("events", "topics");
    let (errors, report) = refused(parse_plain(&text));
    assert_eq!(errors, 2, "{report}");
}

#[test]
fn a_place_is_line_and_column_in_characters() {
    let report = hook("headers = { \"\u{e4}\" = 'x' }\nulr = 1").unwrap_err();
    let places: Vec<_> = report.diagnostics.iter().map(|d| d.place).collect();
    assert_eq!(places, [Some((5, 13)), Some((6, 1))]);
    let text = report.to_string();
    assert!(text.contains("webhooks.toml:6:1: error: unknown key \"ulr\" in [[webhook]]"));
    assert!(
        text.contains("\n    6 | ulr = ...\n      | ^^^\n   = did you mean url?"),
        "{text}"
    );
    let bare = report.diagnostics[1].bare().to_string();
    assert!(
        bare.starts_with("webhooks.toml:6:1: unknown key \"ulr\""),
        "{bare}"
    );
}

#[test]
fn urls_obey_their_dialect() {
    let url = |chars: usize, dialect: &str, lines: &str| {
        let url = format!("http://h/{}", "x".repeat(chars - 9));
        parse_plain(&format!(
            "tenant = 't'\n[[webhook]]\nname = 'a'\nurl = '{url}'\nevents = ['*']\n\
             dialect = '{dialect}'\n{lines}"
        ))
    };
    assert!(url(255, "bold-cms", "").is_ok());
    assert!(refused(url(256, "bold-cms", "")).1.contains("at most 255"));
    for dialect in ["bold-factory", "openboxes-lift"] {
        assert!(url(2_048, dialect, "insecure_http = true").is_ok());
        assert_eq!(refused(url(2_049, dialect, "insecure_http = true")).0, 1);
        assert!(
            refused(url(99, dialect, ""))
                .1
                .contains("insecure_http = true")
        );
        assert_eq!(refused(url(99, dialect, "insecure_http = false")).0, 1);
    }
    assert_eq!(
        url(99, "bold-cms", "insecure_http = true")
            .unwrap()
            .warnings
            .len(),
        1
    );
    assert!(
        url(99, "bold-cms", "insecure_http = false")
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn what_a_dialect_fixes_cannot_be_set() {
    assert!(
        refused(hook("max_attempts = 3"))
            .1
            .contains("bold-cms is fixed policy: 3 retries")
    );
    let lift = format!("tenant = 't'\n{HOOK}dialect = 'openboxes-lift'\nmax_attempts = 6");
    assert!(refused(parse_plain(&lift)).1.contains("fixed ladder"));
    assert_eq!(
        refused(hook("dialect = 'bold-factory'\nmax_attempts = 101")).0,
        1
    );
    assert_eq!(
        refused(hook("dialect = 'bold-factory'\nmax_attempts = 0")).0,
        1
    );
    let (errors, text) = refused(hook("active = false\ndialect = 'openboxes-lift'"));
    assert!(errors == 1 && text.contains("there is no tenant"), "{text}");
}

#[test]
fn secrets_come_from_credentials_first_and_lose_one_newline() {
    let mut around = Scripted::new(&[
        ("/f/k", b"folder\n"),
        ("/c/k", b"credential\r\n"),
        ("/f/two", b"x\n\n"),
        ("/f/binary", b"\0\xff"),
    ]);
    let secret = |around: &Scripted, file: &str| {
        let config = around
            .parse(&format!("{HOOK}secret_file = '{file}'"))
            .unwrap();
        config.webhooks[0].secret.as_ref().unwrap().bytes().to_vec()
    };
    assert_eq!(secret(&around, "k"), b"folder");
    assert_eq!(secret(&around, "two"), b"x\n");
    assert_eq!(secret(&around, "binary"), b"\0\xff");
    around.credentials = Some("/c".into());
    assert_eq!(secret(&around, "k"), b"credential");
    assert_eq!(secret(&around, "/f/k"), b"folder");
    assert_eq!(secret(&around, "two"), b"x\n");
    let by_env = hook("secret_env = 'KEY'").unwrap().secret.unwrap();
    assert_eq!(by_env.bytes(), b"from-env");
}

#[test]
fn a_secret_that_is_none_is_refused() {
    let around = Scripted::new(&[
        ("/f/empty", b"\n"),
        ("/f/large", &[b'x'; 4_097]),
        ("/f/edge", &[b'x'; 4_096]),
        ("/f/denied", b"DENIED"),
    ]);
    let parse = |line: &str| around.parse(&format!("{HOOK}{line}"));
    assert!(parse("secret_file = 'edge'").is_ok());
    for (line, words) in [
        ("secret = ''", "secret is empty"),
        ("secret_file = 'empty'", "is empty"),
        ("secret_file = 'large'", "longer than 4096"),
        ("secret_file = 'denied'", "permission denied"),
        ("secret_file = 'none'", "does not exist"),
        ("secret_file = ''", "names no file"),
        ("secret_env = 'UNSET'", "is not set"),
        (
            "secret_env = 'not a name'",
            "no name of an environment variable",
        ),
        ("secret = 1", "must be a string"),
        (
            "secret = 'a'\nsecret_env = 'KEY'",
            "two secrets for one webhook: secret and secret_env",
        ),
    ] {
        let (errors, text) = refused(parse(line));
        assert!(errors == 1 && text.contains(words), "{line}: {text}");
    }
}

#[test]
fn outside_of_the_unit_a_credential_may_be_missing() {
    let mut around = Scripted::new(&[]);
    let bare = format!("{HOOK}secret_file = 'k'");
    around.secrets = SecretsWanted::Check;
    let config = around.parse(&bare).unwrap();
    assert_eq!((config.warnings.len(), config.webhooks.len()), (1, 1));
    for never in ["/etc/k", "keys/k", "../k"] {
        refused(around.parse(&format!("{HOOK}secret_file = '{never}'")));
    }
    around.credentials = Some("/c".into());
    refused(around.parse(&bare));
    around.secrets = SecretsWanted::Skip;
    let config = around.parse(&format!("{bare}\nca_file = 'none'")).unwrap();
    assert!(config.warnings.is_empty() && config.webhooks[0].secret.is_none());
}

#[test]
fn authorities_are_checked() {
    let large = vec![b'x'; 1_048_577];
    let around = Scripted::new(&[("/f/bad", b"bad"), ("/f/large", &large)]);
    for (file, words) in [
        ("bad", "is of no use: no certificate in it"),
        ("large", "larger than"),
        ("none", "does not exist"),
    ] {
        let (errors, text) = refused(around.parse(&format!("{HOOK}ca_file = '{file}'")));
        assert!(errors == 1 && text.contains(words), "{text}");
    }
}

#[test]
fn headers_that_break_a_request_are_refused() {
    assert!(hook("headers = { Authorization = 'Bearer a b', X-Empty = '' }").is_ok());
    let many: String = (0..33).map(|n| format!("X-{n} = '',")).collect();
    let long = format!("X-Long = '{}'", "x".repeat(8_192));
    for bad in [
        "hOST = 'x'",
        "Proxy-Authorization = 'x'",
        "X-Qt-Signature = 'x'",
        "X-A = 'x', x-a = 'y'",
        "X-A = \"a\\r\\nb\"",
        "X-A = \"\\u0000\"",
        "X-A = '\u{e4}'",
        "X-A = ' x'",
        "X-A = 1",
        "'' = 'x'",
        "'a b' = 'x'",
        many.trim_end_matches(','),
        &long,
    ] {
        let (errors, text) = refused(hook(&format!("headers = {{ {bad} }}")));
        assert_eq!(errors, 1, "{bad}: {text}");
    }
}

#[test]
fn one_file_cannot_be_two_databases() {
    for text in [
        "[outbox]\npath = 'x.db'\n[log]\npath = './y/../x.db'",
        "[outbox]\npath = '/f/log.db'",
        "[socket]\npath = 'outbox.db'",
    ] {
        let (errors, text) = refused(parse_plain(text));
        assert!(errors == 1 && text.contains("the same file"), "{text}");
    }
}

#[test]
fn no_section_names_what_is_kept_beside_anothers_file() {
    for text in [
        "[socket]\npath = 'log.db.lock'",
        "[socket]\npath = 'outbox.db.webhooksd.lock'",
        "[outbox]\npath = 'log.db-wal'",
        "[log]\npath = 'outbox.db.webhooksd.lock'",
        "[log]\npath = 'outbox.db-shm'",
        "[outbox]\npath = 'x/log.db-journal'\n[log]\npath = 'x/log.db'",
    ] {
        let (errors, text) = refused(parse_plain(text));
        assert!(errors == 1 && text.contains("kept beside"), "{text}");
    }
}

#[test]
fn of_two_sections_with_one_file_the_one_is_told_that_does_not_have_it_by_default() {
    for (text, place) in [
        ("[outbox]\npath = 'log.db'", "[outbox]"),
        (
            "[outbox]\npath = 'log.db'\n[log]\npath = 'log.db'",
            "[outbox]",
        ),
        ("[log]\npath = 'outbox.db'", "[log]"),
        ("[outbox]\npath = 'x'\n[log]\npath = 'x'", "[log]"),
    ] {
        let (_, text) = refused(parse_plain(text));
        assert!(text.contains(&format!("give {place} a file")), "{text}");
    }
}

#[test]
fn wrong_shapes_get_words_of_their_own() {
    for (text, words) in [
        (
            "[webhook]\nname = 'a'\nurl = 'https://h/'\nevents = ['*']",
            "[webhook] is a single table",
        ),
        (
            "[webhook.search]\nurl = 'https://h/'",
            "[webhook] is a single table",
        ),
        ("webhook = 1", "must be a list of tables"),
        ("webhook = [1]", "a webhook must be a table"),
        ("[[log]]\nkeep_days = 1", "there is one log only"),
        ("log = 1", "log must be a table"),
        ("[socket]\nmode = 660", "mode must be a string"),
        ("[socket]\nmode = '999'", "three octal digits"),
        ("[socket]\nmode = '04755'", "three octal digits"),
        (
            "[metrics]\nlisten = 'localhost:9464'",
            "an IP address and a port",
        ),
        ("tenant = ''", "a tenant is a text"),
        ("[outbox]\nmax_data_bytes = 0", "must be 1 to 104857600"),
        (
            "[outbox]\nkeep_days = 99999999999999999999",
            "must be 0 to 36500",
        ),
        ("[outbox]\nkeep_days = 1.5", "a whole number"),
    ] {
        let (errors, report) = refused(parse_plain(text));
        assert!(errors == 1 && report.contains(words), "{text}: {report}");
    }
    let long = format!("[socket]\npath = '/{}'", "x".repeat(107));
    assert_eq!(refused(parse_plain(&long)).0, 1);
    assert!(parse_plain(&long.replacen('x', "", 1)).is_ok());
}

#[test]
fn a_report_is_bounded_and_says_so() {
    let text = "[[webhook]]\n".repeat(2_000);
    let report = parse_plain(&text).unwrap_err();
    assert_eq!((report.diagnostics.len(), report.more), (1_000, 5_000));
    assert!(report.to_string().ends_with("and 5000 more"));
    let warned: String = (0..1_002)
        .map(|n| HOOK.replace("'a'", &format!("'{n}'")) + "insecure_http = true\n")
        .collect();
    let warnings = parse_plain(&warned).unwrap().warnings;
    assert_eq!(warnings.len(), 1_001);
    assert!(warnings[1_000].message.contains("2 more warnings"));
    let (errors, _) = refused(parse_plain(&format!("{warned}bogus = 1")));
    assert_eq!(errors, 1, "warnings leave room for errors");
    let text = "[[webhook]]\n".repeat(100_001);
    assert!(
        refused(parse_plain(&text))
            .1
            .contains("more than 100000 webhooks")
    );
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!("{HOOK}x = 1 # {}", "y".repeat(500));
    let (_, report) = refused(parse_plain(&text));
    assert!(
        report.lines().nth(1).unwrap().chars().count() < 140,
        "{report}"
    );
    let names: Vec<String> = (0..99).map(|n| format!("'story-{n}'")).collect();
    let events = names.join(", ").replace("'story-70'", "'st ry'");
    let text = HOOK.replace("['*']", &format!("[{events}]"));
    let (_, report) = refused(parse_plain(&text));
    let lines: Vec<&str> = report.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert_eq!(lines[1].get(caret..caret + 7), Some("'st ry'"), "{report}");
}

#[test]
fn control_characters_are_not_shown() {
    let (_, report) = refused(hook("url2 = 1 # \u{202e}\u{9b}31m\t\u{200b}"));
    let plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}' && c != '\u{200b}');
    assert!(report.chars().all(plain), "{report:?}");
}
