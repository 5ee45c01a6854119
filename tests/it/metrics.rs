//! The metrics page: right by the format's rules, by promtool's judgement, and in what it counts.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::socket::SECTION;
use crate::socket::client::{Reply, curl, post};
use crate::socket::http::{Request, exchange};
use crate::support::{Receiver, SOON, World, check, eventually, hook, need, own_address};

/// A page as its reader sees it: the type of each family, the value of each sample.
struct Page {
    types: HashMap<String, String>,
    samples: HashMap<String, f64>,
}

/// Reads a page by the rules of the text format and complains of what breaks them.
fn read(text: &str) -> Page {
    let (mut types, mut samples, mut helped) = (HashMap::new(), HashMap::new(), HashSet::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            name.clone_into(&mut family);
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{line}"
            );
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let name = key.split('{').next().unwrap();
        let suffix = name
            .strip_prefix(&family)
            .unwrap_or_else(|| panic!("{line} in {family}"));
        let allowed: &[&str] = match types[&family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(
            samples
                .insert(key.to_owned(), value.parse().unwrap())
                .is_none(),
            "{line}"
        );
    }
    Page { types, samples }
}

fn scrape(world: &World) -> (Reply, Page) {
    let reply = curl(world, "/metrics", &[]).expect(200);
    let page = read(&reply.body);
    (reply, page)
}

/// What the page says once five events came for two webhooks, one of them dead, and a reload failed.
const COUNTED: &[(&str, f64)] = &[
    ("webhooksd_healthy", 1.0),
    ("webhooksd_events_taken_total", 5.0),
    ("webhooksd_events_rejected_total", 0.0),
    ("webhooksd_outbox_lag", 0.0),
    (
        "webhooksd_attempts_total{webhook=\"w\",outcome=\"delivered\"}",
        5.0,
    ),
    (
        "webhooksd_attempts_total{webhook=\"dead\",outcome=\"retry\"}",
        5.0,
    ),
    (
        "webhooksd_attempt_duration_seconds_count{webhook=\"w\"}",
        5.0,
    ),
    (
        "webhooksd_attempt_duration_seconds_bucket{webhook=\"w\",le=\"+Inf\"}",
        5.0,
    ),
    ("webhooksd_pending{webhook=\"w\"}", 0.0),
    ("webhooksd_config_reloads_total", 1.0),
    ("webhooksd_config_last_reload_failed", 1.0),
    ("webhooksd_socket_events_total", 5.0),
];

#[test]
fn the_page_is_right_and_counts() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let hooks = [
        hook("w", receiver.url("/")),
        hook("dead", "http://127.0.0.1:9/"),
    ];
    world.configure_with(SECTION, &hooks);
    let daemon = world.start();
    for n in 0..5 {
        post(
            &world,
            "/events",
            &format!(r#"{{"event":"a","data":{{"n":{n}}}}}"#),
        )
        .expect(202);
    }
    world.wait_number("SELECT count(*) FROM log", 10, SOON);
    world.configure_with(SECTION, &[hook("w", "ftp://h/")]);
    post(&world, "/reload", "").expect(422);
    let (reply, page) = eventually("the counts are there", SOON, || {
        let (reply, page) = scrape(&world);
        let pending = page.samples.get("webhooksd_pending{webhook=\"dead\"}");
        check(pending == Some(&5.0), || reply.body.clone())?;
        Ok((reply, page))
    });
    assert!(
        reply.head.contains("text/plain; version=0.0.4"),
        "{}",
        reply.head
    );
    for (sample, value) in COUNTED {
        assert_eq!(
            page.samples.get(*sample),
            Some(value),
            "{sample}\n{}",
            reply.body
        );
    }
    assert!(page.samples["webhooksd_oldest_pending_seconds{webhook=\"dead\"}"] > 0.0);
    assert!(page.samples["webhooksd_log_commit_seconds_count"] > 0.0);
    assert!(page.samples["webhooksd_log_bytes{file=\"wal\"}"] > 0.0);
    assert_eq!(
        page.types["webhooksd_attempt_duration_seconds"],
        "histogram"
    );
    promtool(&reply.body);
    daemon.stop();
}

fn promtool(page: &str) {
    if !need("promtool") {
        return;
    }
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn over_tcp_there_are_the_metrics_alone() {
    let address = own_address();
    let reserved = TcpListener::bind(address).unwrap();
    let world = World::new(&[]);
    let section = format!("\n[metrics]\nlisten = \"{address}\"");
    world.configure_with(&section, &[hook("w", "http://127.0.0.1:9/")]);
    let taken = world.command(&["run"]).expect(1);
    assert!(
        taken.stderr.contains(&address.to_string()),
        "{}",
        taken.stderr
    );
    drop(reserved);
    let daemon = world.start();
    let ask = |path, body: Option<&[u8]>| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let (method, headers) = (body.map_or("GET", |_| "POST"), Vec::new());
        let request = Request {
            method,
            path,
            headers,
            body: body.map(<[u8]>::to_vec),
        };
        exchange(stream, &request).unwrap()
    };
    let page = ask("/metrics", None).expect(200).body;
    assert_eq!(read(&page).samples["webhooksd_healthy"], 1.0);
    for path in ["/health", "/status", "/events", "/reload"] {
        assert_eq!(ask(path, Some(b"")).status, 404, "{path}");
    }
    assert_eq!(ask("/metrics", Some(b"")).status, 405);
    daemon.stop();
}
