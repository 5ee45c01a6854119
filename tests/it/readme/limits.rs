//! The limits of the manual against the constants of the code.
//!
//! Each row of the page that is one constant is here with it; a constant that changes fails the
//! test, which then names the row. Numbers that no single constant holds are not checked.

use super::page;

/// Rows of the limits: how the row begins, the number it says, and where the code has it.
const LIMITS: [(&str, &str, &str, &str); 58] = [
    (
        "days of a log in PostgreSQL",
        "8",
        "store/postgres/days",
        "AHEAD: i64 = 8;",
    ),
    (
        "wait for who reads a day",
        "5 s",
        "store/postgres/days/going",
        "PATIENCE: Duration = Duration::from_secs(5);",
    ),
    (
        "the log's `-wal`",
        "512 MiB",
        "store/wal",
        "MOST_PAGES: u64 = 65_536;",
    ),
    (
        "the log's `-wal`",
        "4 MiB",
        "store/wal",
        "LITTLE_PAGES: u64 = 512;",
    ),
    (
        "wait for room in a full log",
        "10 s",
        "pipeline/shared/hold",
        "LONGEST: Duration = Duration::from_secs(10);",
    ),
    (
        "the same where nothing is finished",
        "5 s",
        "pipeline/shared/hold",
        "QUIET: Duration = Duration::from_secs(5);",
    ),
    (
        "a batch of events of a log",
        "64th",
        "pipeline/shared/hold",
        "BATCH_SHARE: u64 = 64;",
    ),
    (
        "answers recorded in one",
        "1 MiB",
        "pipeline/send/results",
        "BATCH_BYTES: usize = 1 << 20;",
    ),
    ("live pages", "128", "page/streams", "STREAMS: usize = 128;"),
    (
        "wait of a page for the daemon",
        "250 ms",
        "page/question",
        "PATIENCE: Duration = Duration::from_millis(250);",
    ),
    (
        "names in `hosts`",
        "32",
        "config/page",
        "MAX_HOSTS: usize = 32;",
    ),
    (
        "attempts on a page of the log",
        "50",
        "page/look",
        "ROWS: usize = 50;",
    ),
    (
        "attempts on a page of the log",
        "10,000",
        "page/look",
        "LOOKED_THROUGH: usize = 10_000;",
    ),
    (
        "a delivery on the page",
        "64 KiB",
        "page/view/exchange",
        "SHOWN_BYTES: usize = 64 << 10;",
    ),
    (
        "deliveries of an event on the page",
        "50",
        "page/look/history",
        "DELIVERIES: usize = 50;",
    ),
    (
        "deliveries of an event on the page",
        "200",
        "page/look/history",
        "MANY: usize = 200;",
    ),
    (
        "deliveries that the page acts on",
        "500",
        "page/many",
        "MANY: usize = 500;",
    ),
    (
        "past events on the page",
        "10,000",
        "page/stanza",
        "JUDGED: i64 = 10_000;",
    ),
    (
        "webhooks on the page",
        "25",
        "page/look",
        "WEBHOOKS: usize = 25;",
    ),
    (
        "attempts at endpoints that don't answer",
        "8,000 a second",
        "pipeline/send/pacing",
        "APART: Duration = Duration::from_micros(125);",
    ),
    (
        "`data`",
        "1 MiB",
        "config/sections",
        "DEFAULT_MAX_DATA_BYTES: u32 = 1_024 * 1_024;",
    ),
    (
        "`data`",
        "100 MiB",
        "config/sections",
        "MAX_MAX_DATA_BYTES: u32 = 100 * 1_024 * 1_024;",
    ),
    (
        "client certificate with its chain",
        "64 KiB",
        "config/client_cert",
        "MAX_BYTES: usize = 64 * 1_024;",
    ),
    (
        "events of a `batch`",
        "1,000",
        "config/batch",
        "MAX_EVENTS: u32 = 1_000;",
    ),
    (
        "bytes of a `batch`",
        "2 MiB",
        "config/batch",
        "MAX_BYTES: u32 = 2 << 20;",
    ),
    (
        "gathering for a `batch`",
        "60 s",
        "config/batch",
        "MAX_WAIT_MS: u64 = 60_000;",
    ),
    (
        "results that the log",
        "4,096",
        "pipeline/send/results",
        "UNRECORDED: usize = 4_096;",
    ),
    (
        "results that the log",
        "64 MiB",
        "pipeline/send/results",
        "UNRECORDED_BYTES: usize = 64 << 20;",
    ),
    (
        "the log's size",
        "64MB",
        "config/sections",
        "LEAST_LOG_BYTES: u64 = 64_000_000;",
    ),
    (
        "nesting of `data`",
        "1,000",
        "model/event",
        "MAX_DEPTH: usize = 1_000;",
    ),
    (
        "`tenant`, `key`",
        "255",
        "outbox/row",
        "NAME_CHARS: usize = 255;",
    ),
    (
        "events of a request",
        "100,000",
        "api/intake",
        "MAX_EVENTS: usize = 100_000;",
    ),
    (
        "outbox id",
        "9,007,199,254,740,991",
        "model/event",
        "MAX_ID: i64 = 9_007_199_254_740_991;",
    ),
    (
        "webhooks",
        "100,000",
        "config/read",
        "MAX_WEBHOOKS: usize = 100_000;",
    ),
    (
        "webhook name",
        "64",
        "config/webhook",
        "MAX_NAME_BYTES: usize = 64;",
    ),
    (
        "patterns, tenants",
        "1,000",
        "config/webhook",
        "MAX_LIST: usize = 1_000;",
    ),
    (
        "rules of a webhook",
        "1,000",
        "config/rules",
        "MAX_CONDITIONS: usize = 1_000;",
    ),
    (
        "values of an",
        "1,000",
        "config/rules",
        "MAX_OPERANDS: usize = 1_000;",
    ),
    (
        "URL |",
        "255",
        "config/url",
        "MAX_CMS_URL_CHARS: usize = 255;",
    ),
    (
        "URL |",
        "2,048",
        "config/url",
        "MAX_URL_CHARS: usize = 2_048;",
    ),
    (
        "secret",
        "4,096",
        "config/secret",
        "MAX_SECRET_BYTES: usize = 4_096;",
    ),
    (
        "`headers`",
        "32, 8 KiB",
        "config/headers",
        "MAX_HEADERS: usize = 32;",
    ),
    (
        "in flight in all",
        "4,096;",
        "config/sections",
        "DEFAULT_MAX_IN_FLIGHT: u32 = 4_096;",
    ),
    (
        "in flight in all",
        "65,536",
        "config/sections",
        "MAX_MAX_IN_FLIGHT: u32 = 65_536;",
    ),
    (
        "in flight for a",
        "64",
        "config/webhook",
        "DEFAULT_MAX_IN_FLIGHT: u32 = 64;",
    ),
    (
        "in flight that each",
        "4,",
        "pipeline/send/permits",
        "FLOOR: usize = 4;",
    ),
    (
        "answer's body",
        "64 KiB",
        "transport/http1/body",
        "BODY_BYTES: usize = 64 * 1024;",
    ),
    (
        "answer's headers in",
        "16 KiB",
        "model/headers",
        "HEADER_BYTES: usize = 16 * 1024;",
    ),
    (
        "answer's head |",
        "64 KiB",
        "transport/http1/head",
        "HEAD_BYTES: usize = 64 * 1024;",
    ),
    (
        "idle connection",
        "60 s",
        "transport/keep_alive",
        "IDLE: Duration = Duration::from_secs(60);",
    ),
    (
        "kept connection",
        "5 minutes",
        "transport/keep_alive",
        "MAX_AGE: Duration = Duration::from_secs(5 * 60);",
    ),
    (
        "sends of",
        "up to 100",
        "config/webhook",
        "MAX_MAX_ATTEMPTS: u32 = 100;",
    ),
    (
        "queue of a",
        "2,048",
        "pipeline/send/lane",
        "QUEUE_ROWS: usize = 2_048;",
    ),
    (
        "queue of a",
        "2 MiB",
        "pipeline/send/lane",
        "QUEUE_BYTES: usize = 2 << 20;",
    ),
    (
        "bodies in flight",
        "32 MiB",
        "pipeline/send/capacity",
        "FLIGHT_BYTES: usize = 32 << 20;",
    ),
    (
        "bodies in flight",
        "64 KiB",
        "pipeline/send/capacity",
        "FLIGHT_FLOOR_BYTES: usize = 64 << 10;",
    ),
    (
        "all queues",
        "16 MiB",
        "pipeline/send/capacity",
        "ALL_QUEUES_BYTES: usize = 16 << 20;",
    ),
    (
        "retention",
        "36,500",
        "config/sections",
        "MAX_KEEP_DAYS: u32 = 36_500;",
    ),
];

#[test]
fn the_limits_are_those_of_the_code() {
    let text = page::text();
    let (_, text) = text.split_once("\n## Limits\n").unwrap();
    for (begin, number, file, declaration) in LIMITS {
        let row = text.lines().find(|l| l.starts_with(&format!("| {begin}")));
        let row = row.unwrap_or_else(|| panic!("no row {begin:?}"));
        assert!(row.contains(number), "{row} says nothing of {number}");
        let source = std::fs::read_to_string(page::top(&format!("src/{file}.rs"))).unwrap();
        let held = source.contains(&format!("const {declaration}"));
        assert!(
            held,
            "src/{file}.rs is no longer {declaration}: see {begin:?} in packaging/manual/promises.md"
        );
    }
}
