//! A trial: many peers before one daemon, each met by one delivery that may try once, and a healthy
//! endpoint beside them that is served all the while.
//!
//! What is held for every peer: one row in the log with the expected outcome, status, class and
//! words; no more connections than one; a duration within the documented time-outs; no more of a body
//! than is kept. And for the daemon: its peak of memory, no panic, and that it stops when asked to.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::peer::{Act, Peer};
use crate::support::{
    Receiver, SOON, World, check, eventually, hook, insert, nap, now, percentile,
};

/// What the log keeps of a body at most.
pub(super) const KEPT_BYTES: i64 = 64 * 1024;

/// What the daemon may need for fifty hostile peers at a time, in a debug build: 20 MiB are the
/// program itself. A large event is read, made a body of, and stored: four times its size besides.
const MEMORY_KIB: u64 = 40 * 1024;

/// Three time-outs of 3 s follow each other; the rest is for a busy machine.
const LONGEST_MS: i64 = 9_000 + 3_000;

/// An attempt that one time-out ended.
const THREE_SECONDS_MS: Range<i64> = 2_900..5_900;

/// How often the healthy endpoint gets an event.
const TICK: Duration = Duration::from_millis(25);

/// Of the events that the healthy endpoint is sent until the last hostile peer is done, at least one
/// in so many has arrived by then. If it waited for hostile peers, it would be none; otherwise it is
/// nearly all of them, but on a machine that is very busy.
const ARRIVED_ONE_IN: usize = 4;

/// One peer and what is to be in the log of it.
pub(super) struct Case {
    name: String,
    https: bool,
    act: Act,
    lines: Vec<String>,
    outcome: &'static str,
    status: String,
    classes: Vec<&'static str>,
    words: &'static str,
    span_ms: Range<i64>,
    kept: RangeInclusive<i64>,
}

/// A peer that does so with its connection, and is taken to have answered 200.
pub(super) fn case(name: impl Into<String>, act: Act) -> Case {
    Case {
        name: name.into(),
        https: false,
        act,
        lines: Vec::new(),
        outcome: "delivered",
        status: "200".to_owned(),
        classes: vec!["NULL"],
        words: "NULL",
        span_ms: 0..LONGEST_MS,
        kept: 0..=KEPT_BYTES,
    }
}

impl Case {
    /// Fails without an answer: a class, and what the error says.
    pub(super) fn fails(self, class: &'static str, words: &'static str) -> Self {
        self.fails_either(&[class], words)
    }

    /// The same with one of these classes, where the network decides.
    pub(super) fn fails_either(mut self, classes: &[&'static str], words: &'static str) -> Self {
        self.outcome = "failed";
        "NULL".clone_into(&mut self.status);
        self.classes = classes.to_vec();
        self.words = words;
        self.kept = 0..=0;
        self
    }

    /// Fails by an answer with that status.
    pub(super) fn answered(mut self, status: u16, words: &'static str) -> Self {
        self.outcome = "failed";
        self.status = status.to_string();
        self.words = words;
        self
    }

    /// Delivered by an answer with that status.
    pub(super) fn delivered(mut self, status: u16) -> Self {
        self.status = status.to_string();
        self
    }

    /// Ended by a time-out of 3 s.
    pub(super) fn in_three_seconds(mut self) -> Self {
        self.span_ms = THREE_SECONDS_MS;
        self
    }

    /// Ended before any time-out.
    pub(super) fn in_no_time(mut self) -> Self {
        self.span_ms = 0..THREE_SECONDS_MS.start;
        self
    }

    /// Keeps that much of the body, in bytes.
    pub(super) fn keeping(mut self, kept: RangeInclusive<i64>) -> Self {
        self.kept = kept;
        self
    }

    /// Reached by https, where that authority is trusted.
    pub(super) fn https(mut self, ca_file: &str) -> Self {
        self.https = true;
        self.line(format!("ca_file = {ca_file:?}"))
    }

    /// With one more line of TOML.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn url(&self, peer: &Peer) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}/{}", peer.address(), self.name)
    }
}

/// What the log says of an attempt, beside what was expected.
const COLUMNS: &str = "webhook, outcome, coalesce(status, 'NULL'), coalesce(class, 'NULL'), \
    coalesce(error, 'NULL'), CAST(duration_ms AS INTEGER), \
    coalesce(length(CAST(response_body AS BLOB)), 0)";

/// Tries them all at once. The files are written beside the configuration.
pub(super) fn try_all(cases: Vec<Case>, data: &str, files: &[(&str, &str)]) {
    let healthy = Receiver::ok();
    let mut hooks = vec![hook("healthy", healthy.url("/")).events("tick")];
    let (mut peers, mut expected) = (Vec::new(), Vec::new());
    for mut case in cases {
        let act = std::mem::replace(&mut case.act, Box::new(|_| ()));
        let peer = Peer::start(act);
        let mut webhook = hook(&case.name, case.url(&peer))
            .events("hit")
            .one_attempt();
        for line in &case.lines {
            webhook = webhook.line(line);
        }
        hooks.push(webhook);
        peers.push(peer);
        expected.push(case);
    }
    let world = World::bare(&[]);
    world.configure_with("max_data_bytes = 16777216", &hooks);
    world.make_outbox("WAL");
    for (name, text) in files {
        world.write(name, text);
    }
    let daemon = world.start();
    world.emit("hit", data);
    tick_until_met(&world, &healthy, expected.len());

    let found = world.log(&format!("SELECT {COLUMNS} FROM log WHERE event = 'hit'"));
    let mut wrong = String::new();
    for (case, peer) in expected.iter().zip(&peers) {
        let rows = found.iter().filter(|row| row[0] == case.name);
        let rows: Vec<_> = rows.collect();
        println!("{rows:?}");
        if let [row] = &rows[..]
            && case.is_met_by(row)
            && peer.connections() == 1
        {
            continue;
        }
        let connections = peer.connections();
        writeln!(wrong, "{}: {rows:?}, {connections} connections", case.name).unwrap();
    }
    let peak = daemon.memory_kib("VmHWM");
    println!("{} peers, peak {peak} KiB", expected.len());
    assert!(wrong.is_empty(), "\n{wrong}");
    let most = MEMORY_KIB + 4 * u64::try_from(data.len()).unwrap() / 1024;
    assert!(peak < most, "{peak} KiB");
    assert!(!daemon.journal().contains("panicked"));
    daemon.stop();
}

impl Case {
    fn is_met_by(&self, row: &[String]) -> bool {
        let words = &row[4];
        row[1] == self.outcome
            && row[2] == self.status
            && self.classes.contains(&row[3].as_str())
            && words.to_lowercase().contains(&self.words.to_lowercase())
            && !words.contains(char::is_control)
            && words.len() < 300
            && self.span_ms.contains(&row[5].parse().unwrap())
            && self.kept.contains(&row[6].parse().unwrap())
    }
}

/// Sends events to the healthy endpoint until the log has met all the hostile ones.
fn tick_until_met(world: &World, healthy: &Receiver, count: usize) {
    let outbox = world.outbox();
    let mut committed = Vec::new();
    let sql = "SELECT count(*) FROM log WHERE event = 'hit'";
    let count = i64::try_from(count).unwrap();
    eventually("all hostile peers are in the log", SOON * 2, || {
        insert(&outbox, "tick", &format!("{{\"n\":{}}}", committed.len()));
        committed.push(now());
        nap(TICK);
        let met = world.number(sql);
        check(met >= count, || format!("{met} of {count}"))
    });
    let (sent, arrived) = (committed.len(), healthy.count());
    let requests = healthy.wait(committed.len(), SOON);
    assert_eq!(requests.len(), committed.len(), "each once");
    let mut spans: Vec<Duration> = requests
        .iter()
        .map(|request| {
            let at = usize::try_from(request.n()).unwrap();
            request.at.saturating_duration_since(committed[at])
        })
        .collect();
    let (p50, p99) = (percentile(&mut spans, 50), percentile(&mut spans, 99));
    println!(
        "beside them {} deliveries: p50 {p50:.1} ms, p99 {p99:.1} ms",
        spans.len()
    );
    // What one turn sends may still be on its way.
    assert!(
        (arrived + 1) * ARRIVED_ONE_IN >= sent,
        "{arrived} of {sent} arrived meanwhile"
    );
}
