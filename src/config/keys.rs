//! Every key of the configuration, with an example of how it is written.
//!
//! The one list behind unknown-key errors, "did you mean", the wording of wrong types, and the test
//! that the shipped `webhooks.toml` names them all. What a key means is not here but where it is read.
//! A key that is not `shown` holds something private: its lines never reach a diagnostic.

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// The name as typed.
    pub(super) name: &'static str,
    /// A line that would be right.
    pub(super) example: &'static str,
    /// Whether a diagnostic may show its value.
    pub(super) shown: bool,
}

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Keys {
    /// The table as it is written, brackets included.
    pub(super) title: &'static str,
    /// Its keys, in the order of the documentation.
    pub(super) keys: &'static [Key],
}

const fn key(name: &'static str, example: &'static str) -> Key {
    Key {
        name,
        example,
        shown: true,
    }
}

const fn private(name: &'static str, example: &'static str) -> Key {
    Key {
        name,
        example,
        shown: false,
    }
}

/// The top level; its tables are written in brackets.
pub(super) static TOP: Keys = Keys {
    title: "the top level of the file",
    keys: &[
        key("tenant", "tenant = \"acme\""),
        key("outbox", "[outbox]"),
        key("socket", "[socket]"),
        key("log", "[log]"),
        key("delivery", "[delivery]"),
        key("node", "[node]"),
        key("metrics", "[metrics]"),
        key("page", "[page]"),
        key("webhook", "[[webhook]]"),
    ],
};

/// `[outbox]`.
pub(super) static OUTBOX: Keys = Keys {
    title: "[outbox]",
    keys: &[
        key("path", "path = \"outbox.db\""),
        key("url", "url = \"postgres://webhooksd@db.example/app\""),
        key("password_file", "password_file = \"db.password\""),
        key("doorbell", "doorbell = true"),
        key("keep_days", "keep_days = 30"),
        key("max_data_bytes", "max_data_bytes = 1048576"),
    ],
};

/// `[socket]`.
pub(super) static SOCKET: Keys = Keys {
    title: "[socket]",
    keys: &[
        key("path", "path = \"/run/webhooksd/webhooksd.sock\""),
        key("mode", "mode = \"0660\""),
        key("group", "group = \"webhooksd\""),
    ],
};

/// `[log]`.
pub(super) static LOG: Keys = Keys {
    title: "[log]",
    keys: &[
        key("path", "path = \"log.db\""),
        key("url", "url = \"postgres://webhooksd@db.example/log\""),
        key("password_file", "password_file = \"db.password\""),
        key("keep_days", "keep_days = 30"),
        key("max_size", "max_size = \"10GB\""),
        key("bodies", "bodies = \"failed\""),
    ],
};

/// `[delivery]`.
pub(super) static DELIVERY: Keys = Keys {
    title: "[delivery]",
    keys: &[
        key("max_in_flight", "max_in_flight = 4096"),
        key("allow_addresses", "allow_addresses = [\"10.0.0.0/8\"]"),
        key(
            "deny_addresses",
            "deny_addresses = [\"127.0.0.0/8\", \"::1\"]",
        ),
        key("proxy", "proxy = \"http://proxy.example:3128\""),
        key("proxy_secret_file", "proxy_secret_file = \"proxy.key\""),
        key("traceparent", "traceparent = true"),
    ],
};

/// `[metrics]`.
pub(super) static METRICS: Keys = Keys {
    title: "[metrics]",
    keys: &[key("listen", "listen = \"127.0.0.1:9464\"")],
};

/// `[page]`.
pub(super) static PAGE: Keys = Keys {
    title: "[page]",
    keys: &[
        key("listen", "listen = \"127.0.0.1:8480\""),
        key("token_file", "token_file = \"page.token\""),
        key("read_only", "read_only = true"),
        key("hosts", "hosts = [\"hooks.example.internal\"]"),
    ],
};

/// `[node]`.
pub(super) static NODE: Keys = Keys {
    title: "[node]",
    keys: &[key("lease", "lease = \"3s\"")],
};

/// `[[webhook]]`.
pub(super) static WEBHOOK: Keys = Keys {
    title: "[[webhook]]",
    keys: &[
        key("name", "name = \"search-index\""),
        key("url", "url = \"https://search.example.com/hooks/story\""),
        key("events", "events = [\"story-*\"]"),
        private("secret", "secret = \"...\""),
        key("secret_file", "secret_file = \"search-index.key\""),
        key("secret_env", "secret_env = \"SEARCH_INDEX_KEY\""),
        key(
            "previous_secret_file",
            "previous_secret_file = \"search-index.old.key\"",
        ),
        key("dialect", "dialect = \"bold-cms\""),
        key("active", "active = true"),
        key("tenants", "tenants = [\"acme\"]"),
        key(
            "where",
            "where = [ { path = \"$.origin.id\", eq = \"loc-001\" } ]",
        ),
        key("keep_alive", "keep_alive = false"),
        key("max_in_flight", "max_in_flight = 64"),
        key("max_per_second", "max_per_second = 5"),
        key("max_attempts", "max_attempts = 10"),
        key(
            "batch",
            "batch = { max_events = 100, max_bytes = 1048576, wait = \"1s\" }",
        ),
        key("in_order", "in_order = true"),
        key("if_failed", "if_failed = \"next\""),
        key("auto_pause", "auto_pause = \"3d\""),
        key("ca_file", "ca_file = \"corp-ca.pem\""),
        key("min_tls", "min_tls = \"1.3\""),
        key("client_cert_file", "client_cert_file = \"client.pem\""),
        key("client_key_file", "client_key_file = \"client.key\""),
        key("proxy", "proxy = \"http://proxy.example:3128\""),
        key("proxy_secret_file", "proxy_secret_file = \"proxy.key\""),
        private("headers", "headers = { X-Team = \"web\" }"),
        key("insecure_http", "insecure_http = false"),
        private(
            "standard_webhooks",
            "standard_webhooks = { secret_file = \"search-index.whsec\" }",
        ),
    ],
};

/// `batch` of a webhook.
pub(super) static BATCH: Keys = Keys {
    title: "batch",
    keys: &[
        key("max_events", "max_events = 100"),
        key("max_bytes", "max_bytes = 1048576"),
        key("wait", "wait = \"1s\""),
    ],
};

/// `standard_webhooks` of a webhook.
pub(super) static STANDARD: Keys = Keys {
    title: "[webhook.standard_webhooks]",
    keys: &[
        key("secret_file", "secret_file = \"search-index.whsec\""),
        key(
            "previous_secret_file",
            "previous_secret_file = \"search-index.old.whsec\"",
        ),
    ],
};

/// A rule of `where`, and of its `any`.
pub(super) static RULE: Keys = Keys {
    title: "a rule of where",
    keys: &[
        key("path", "path = \"$.origin.id\""),
        key("eq", "eq = \"loc-001\""),
        key("ne", "ne = \"loc-001\""),
        key("in", "in = [\"loc-001\", \"loc-002\"]"),
        key("not_in", "not_in = [\"loc-001\", \"loc-002\"]"),
        key("prefix", "prefix = \"loc-\""),
        key("suffix", "suffix = \"-001\""),
        key("exists", "exists = true"),
        key("gt", "gt = 5"),
        key("gte", "gte = 5"),
        key("lt", "lt = 5"),
        key("lte", "lte = 5"),
        key(
            "any",
            "any = [ { path = \"$.rush\", eq = true }, { path = \"$.priority\", gte = 5 } ]",
        ),
    ],
};

/// The keys of the tables that are the key's value, one or many.
pub(super) fn inner(key: &Key) -> Option<&'static Keys> {
    match key.name {
        "where" | "any" => Some(&RULE),
        "batch" => Some(&BATCH),
        "standard_webhooks" => Some(&STANDARD),
        _ => None,
    }
}

/// The tables of the top level by name.
pub(super) static TABLES: [(&str, &Keys); 8] = [
    ("outbox", &OUTBOX),
    ("socket", &SOCKET),
    ("log", &LOG),
    ("delivery", &DELIVERY),
    ("node", &NODE),
    ("metrics", &METRICS),
    ("page", &PAGE),
    ("webhook", &WEBHOOK),
];

/// The keys inside of a table of the top level.
pub(super) fn inside(name: &str) -> Option<&'static Keys> {
    TABLES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, keys)| *keys)
}

impl Keys {
    /// The key of that name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// How that key is written; the name alone where it is none of these.
    pub(super) fn example(&self, name: &'static str) -> &'static str {
        self.find(name).map_or(name, |key| key.example)
    }

    /// The key that the unknown `name` is a slip of.
    pub(super) fn near(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.keys.iter().map(|key| key.name))
    }

    /// What somebody who typed the unknown `name` may have wanted.
    pub(super) fn advice(&self, name: &str) -> String {
        if let Some(near) = self.near(name) {
            return format!("did you mean {near}?");
        }
        let lower = name.to_ascii_lowercase();
        if ["timeout", "time_out", "retr", "backoff", "back_off"]
            .iter()
            .any(|word| lower.contains(word))
        {
            return "leave it out: time-outs and retries are the dialect's own".to_owned();
        }
        let homes: Vec<&str> = std::iter::once(&TOP)
            .chain(TABLES.iter().map(|(_, keys)| *keys))
            .filter(|keys| keys.find(name).is_some())
            .map(|keys| keys.title)
            .collect();
        if !homes.is_empty() {
            return format!("it belongs in {}", homes.join(" or "));
        }
        let names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        format!("the keys here are {}", names.join(", "))
    }
}

/// The longest name that is compared: the distance costs its square.
const MAX_COMPARED_BYTES: usize = 32;

/// The candidate that `typed` is a slip of, if one is near.
pub(super) fn nearest<'c>(
    typed: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if typed.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|c| (distance(&typed, &c.replace('-', "_")), c))
        .filter(|(d, c)| *d <= (c.len() / 3).clamp(1, 2))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Insertions, deletions, exchanges and swaps of neighbours between the two (restricted Damerau).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let exchange = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = exchange.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_key_and_strangers_none() {
        let known = || WEBHOOK.keys.iter().map(|key| key.name);
        for (typed, meant) in [
            ("ulr", "url"),
            ("evnts", "events"),
            ("keepalive", "keep_alive"),
            ("max-in-flight", "max_in_flight"),
            ("Name", "name"),
            ("secert", "secret"),
        ] {
            assert_eq!(nearest(typed, known()), Some(meant), "{typed}");
        }
        for typed in ["x", "password", "", &"url".repeat(40)] {
            assert_eq!(nearest(typed, known()), None, "{typed}");
        }
    }

    #[test]
    fn the_manual_page_has_every_key_and_no_other() {
        let page = include_str!("../../packaging/man/webhooks.toml.5");
        let documented = |section: &str| -> Vec<&str> {
            let from = page.split(&format!("\n.Ss {section}\n")).nth(1).unwrap();
            let section = from.split("\n.Ss ").next().unwrap();
            let section = section.split("\n.Sh ").next().unwrap();
            let keys = section.lines().filter_map(|l| l.strip_prefix(".It Ic "));
            keys.collect()
        };
        let names = |keys: &Keys| -> Vec<&str> { keys.keys.iter().map(|key| key.name).collect() };
        assert_eq!(documented("Top level"), names(&TOP));
        for (_, keys) in TABLES {
            assert_eq!(documented(keys.title), names(keys), "{}", keys.title);
        }
    }

    #[test]
    fn advice_knows_where_a_key_belongs() {
        assert_eq!(TOP.advice("keep_days"), "it belongs in [outbox] or [log]");
        assert_eq!(TOP.advice("webhooks"), "did you mean webhook?");
        assert!(WEBHOOK.advice("timeout_ms").contains("dialect's own"));
        assert!(LOG.advice("zzz").contains("path, url, password_file"));
    }
}
