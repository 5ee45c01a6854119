//! That the shipped `webhooks.toml` is accepted as it is, names every key that is known, and tells
//! the defaults.

use super::super::keys::{TABLES, TOP};
use super::{HOOK, Scripted, parse_plain};

/// The shipped file.
const SHIPPED: &str = include_str!("../../../webhooks.toml");

#[test]
fn the_shipped_file_is_accepted_and_names_every_key() {
    let config = parse_plain(SHIPPED).unwrap();
    assert_eq!((config.webhooks.len(), config.warnings.len()), (1, 0));
    let mut defaults = parse_plain(HOOK).unwrap();
    defaults.webhooks.clone_from(&config.webhooks);
    assert_eq!(config, defaults, "what it sets are the defaults");
    let lines: Vec<&str> = SHIPPED
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    for (name, keys) in TABLES {
        assert!(lines.contains(&keys.title), "{name}");
        let at = lines.iter().position(|line| *line == keys.title).unwrap();
        for key in keys.keys {
            let mut below = lines[at + 1..]
                .iter()
                .take_while(|line| !line.starts_with('['));
            let start = format!("{} = ", key.name);
            assert!(
                below.any(|line| line.starts_with(&start)),
                "{name}.{}",
                key.name
            );
        }
    }
    let top = TOP.keys.iter().filter(|key| !key.example.starts_with('['));
    for key in top {
        assert!(lines.contains(&key.example), "{}", key.name);
    }
}

#[test]
fn the_shipped_file_with_every_line_set_is_accepted() {
    let is_key = |line: &str| {
        line.strip_prefix("# ").is_some_and(|line| {
            let name = line.split(' ').next().unwrap_or("");
            line.starts_with('[')
                || (line.contains(" = ")
                    && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        })
    };
    let text: Vec<&str> = SHIPPED
        .lines()
        .map(|line| {
            if is_key(line) {
                line.trim_start_matches("# ")
            } else {
                line
            }
        })
        .filter(|line| {
            !line.starts_with("secret")
                && !["path = \"outbox.db\"", "path = \"log.db\""].contains(line)
        })
        .collect();
    let secret = b"a secret that is long enough";
    let around = Scripted::new(&[
        ("/f/db.password", b"a password"),
        ("/f/corp-ca.pem", b"good"),
        ("/f/client.pem", b"a certificate"),
        ("/f/client.key", b"a key"),
        ("/f/search-index.whsec", secret),
        ("/f/search-index.old.whsec", secret),
        ("/f/billing.old.key", secret),
        ("/f/proxy.key", b"user:password"),
        ("/f/page.token", secret),
    ]);
    // Each of them has a key that another has not.
    for (dialect, lacks) in [
        ("bold-factory", &["batch", "previous_secret_file"][..]),
        ("openboxes-lift", &["max_attempts", "previous_secret_file"]),
        (
            "standard-webhooks",
            &["batch", "max_attempts", "standard_webhooks"],
        ),
    ] {
        let is_left = |line: &&&str| !lacks.iter().any(|key| line.starts_with(key));
        let mut text: Vec<&str> = text.iter().filter(is_left).copied().collect();
        if dialect == "standard-webhooks" {
            text.push("secret = 'another that is long enough'");
        }
        let text = text
            .join("\n")
            .replace("\"bold-cms\"", &format!("{dialect:?}"));
        let config = around.parse(&text).unwrap();
        assert!(config.socket.is_some() && config.metrics.is_some());
        assert_eq!(config.webhooks[0].headers.len(), 1);
        assert_eq!(
            config.webhooks[0].batch.is_some(),
            !lacks.contains(&"batch")
        );
    }
}
