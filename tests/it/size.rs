//! `[log] max_size`: the disk has room for so much, and it is enough.
//!
//! The sizes are looked at from outside, all the time, while large events come as fast as they can be
//! written: at rest the two files are below the limit, and never more than a tenth above it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::socket::SECTION;
use crate::socket::client::{curl, post};
use crate::support::{
    Answer, Daemon, Hook, Receiver, SOON, World, check, eventually, hook, insert, nap,
};

/// The smallest limit that there is, in bytes.
const MAX: u64 = 64_000_000;

/// What is written in all: more than twice that.
const EVENTS: i64 = 300;
const DATA_BYTES: usize = 500_000;

/// So long may it take on a busy machine until all of it has come and gone.
const LONG: Duration = Duration::from_secs(120);

/// `[log]` is the last section of the world's configuration before its webhooks.
fn limited(hooks: &[Hook]) -> World {
    let world = World::new(&[]);
    limit(&world, "64MB", hooks);
    world
}

fn limit(world: &World, size: &str, hooks: &[Hook]) {
    world.configure_with(SECTION, hooks);
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let line = format!("path = \"log.db\"\nmax_size = \"{size}\"\n");
    let text = text.replacen("path = \"log.db\"\n", &line, 1);
    world.write("webhooks.toml", text);
}

/// The sum of the sizes of the log's files.
fn bytes(folder: &Path) -> u64 {
    let of = |name| std::fs::metadata(folder.join(name)).map_or(0, |data| data.len());
    of("log.db") + of("log.db-wal")
}

/// The largest sum that is seen from now on.
struct Watch {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn begin(world: &World) -> Self {
        let (most, over): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let (folder, seen, stop) = (world.folder().to_owned(), most.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(bytes(&folder), Ordering::Relaxed);
                nap(Duration::from_millis(2));
            }
        });
        Self {
            most,
            over,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

fn emit(world: &World, ids: std::ops::RangeInclusive<i64>, event: &str) {
    let outbox = world.outbox();
    for n in ids {
        let padding = "x".repeat(DATA_BYTES);
        insert(
            &outbox,
            event,
            &format!("{{\"n\":{n},\"x\":\"{padding}\"}}"),
        );
    }
}

#[track_caller]
fn rests_below(world: &World, limit: u64) {
    eventually("the log is below its size", SOON, || {
        let bytes = bytes(world.folder());
        check(bytes < limit, || bytes.to_string())
    });
}

fn metric(world: &World, name: &str) -> u64 {
    let page = curl(world, "/metrics", &[]).expect(200).body;
    let name = format!("{name} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name));
    value
        .unwrap_or_else(|| panic!("{name} in {page}"))
        .parse()
        .unwrap()
}

/// How often the journal says that work goes early.
fn told(daemon: &Daemon) -> usize {
    daemon.journal().matches("has reached its max_size").count()
}

#[test]
fn a_disk_that_would_be_full_never_is_and_pending_work_stays_through_a_kill() {
    let receiver = Receiver::ok();
    // What nobody takes waits for a minute, and all the while its bodies count.
    let dead = hook("dead", "http://127.0.0.1:9/")
        .dialect("openboxes-lift")
        .events("kept");
    let world = limited(&[hook("w", receiver.url("/")).events("much"), dead]);
    let daemon = world.start();
    let watch = Watch::begin(&world);
    emit(&world, 1..=20, "kept");
    emit(&world, 21..=EVENTS / 2, "much");
    eventually("work goes early", LONG, || {
        let deleted = metric(&world, "webhooksd_log_deleted_early_total");
        check(deleted > 0, || deleted.to_string())
    });
    // The count comes first.
    daemon.wait_journal("has reached its max_size");
    assert_eq!(told(&daemon), 1);
    daemon.kill();
    let daemon = world.start();
    emit(&world, EVENTS / 2 + 1..=EVENTS, "much");
    let last =
        format!("SELECT count(*) FROM log WHERE event_id = {EVENTS} AND outcome = 'delivered'");
    world.wait_number(&last, 1, LONG);
    rests_below(&world, MAX);
    let most = watch.end();
    println!("the log had {most} bytes at most, of {MAX}");
    // The intake waits where a batch more would have the two above the limit. A batch is a 64th of it, or one
    // event; what is recorded and deleted until the WAL was copied is the rest.
    assert!(most <= MAX + MAX / 10, "{most}");

    // Nothing of what is pending went, and of the rest what is left is the newest.
    assert_eq!(
        world.number("SELECT count(*) FROM delivery WHERE state = 'pending'"),
        20
    );
    let bodies = "SELECT count(*) FROM delivery d JOIN payload p ON p.id = d.payload_id
                   WHERE d.webhook = 'dead' AND length(p.body) > 500000";
    assert_eq!(world.number(bodies), 20);
    let tried =
        "SELECT count(DISTINCT delivery_id) FROM log WHERE webhook = 'dead' AND event = 'kept'";
    assert_eq!(world.number(tried), 20);
    let (kept, first) = (
        world.number("SELECT count(*) FROM log WHERE webhook = 'w'"),
        world.number("SELECT min(event_id) FROM log WHERE webhook = 'w'"),
    );
    assert!((20..120).contains(&kept), "{kept}");
    assert!(first >= EVENTS - kept - 64, "{kept} from {first}");
    assert_eq!(world.log("PRAGMA integrity_check"), [["ok"]]);
    shown(&world, &daemon);
    daemon.stop();
    assert!(bytes(world.folder()) < MAX);
}

/// What people, programs and dashboards are told.
fn shown(world: &World, daemon: &Daemon) {
    assert_eq!(told(daemon), 1, "{}", daemon.journal());
    assert!(daemon.journal().contains("max_size=64MB") || daemon.journal().contains("64MB"));
    assert_eq!(metric(world, "webhooksd_log_max_bytes"), MAX);
    for json in [
        world.command(&["status", "--json"]).expect(0).stdout,
        curl(world, "/status", &[]).expect(200).body,
    ] {
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["log"]["max_bytes"], MAX, "{json}");
        assert!(
            json["log"]["oldest"].as_str().unwrap().ends_with('Z'),
            "{json}"
        );
    }
    let status = world.command(&["status"]).expect(0).stdout;
    assert!(
        status.contains("of max_size 64 MB, its oldest finished work from"),
        "{status}"
    );
    // What went is explained, and can be sent again from the outbox.
    let gone = world.number("SELECT min(event_id) FROM log WHERE webhook = 'w'") - 1;
    let explained = world
        .command(&["explain", &gone.to_string()])
        .expect(0)
        .stdout;
    assert!(
        explained.contains("older than the log keeps"),
        "{explained}"
    );
    assert_eq!(
        world
            .outbox()
            .query_row("SELECT count(*) FROM outbox", [], |row| row
                .get::<_, i64>(0)),
        Ok(EVENTS)
    );
}

/// What people, programs and dashboards are told while events wait.
fn waits_for_room(world: &World) {
    assert_eq!(metric(world, "webhooksd_intake_waits_for_room"), 1);
    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let status = json(&world.command(&["status", "--json"]).expect(0).stdout);
    let since = [
        &status["daemon"]["waits_for_room_since"],
        &json(&curl(world, "/status", &[]).expect(200).body)["outbox"]["waits_for_room_since"],
    ];
    assert!(
        since.iter().all(|since| since.is_string()) && since[0] == since[1],
        "{since:?}"
    );
    let health = curl(world, "/health", &[]).expect(200).body;
    let shown = world.command(&["status"]).expect(0).stdout;
    for text in [&health, &shown] {
        assert!(
            text.contains("the intake waits for room in the log since"),
            "{text}"
        );
    }
}

#[test]
fn pending_work_that_is_too_much_is_told_once_and_none_of_it_goes_and_a_reload_sets_it_right() {
    let (silent, well) = (Receiver::start(|_| Answer::Silence), Receiver::ok());
    let to_silent = hook("silent", silent.url("/")).dialect("openboxes-lift");
    let hooks = [
        to_silent.events("e"),
        hook("well", well.url("/")).events("small"),
    ];
    let world = limited(&hooks);
    let daemon = world.start();
    emit(&world, 1..=160, "e");
    daemon.wait_journal("what is pending is more than the log's max_size of 64MB");
    world.wait_number(
        "SELECT count(*) FROM delivery WHERE state = 'pending'",
        160,
        LONG,
    );
    eventually("the status warns", SOON, || {
        let status = world.command(&["status"]).expect(0).stdout;
        check(status.contains("what is pending is more than"), || status)
    });
    assert_eq!(world.number("SELECT count(*) FROM payload"), 160);
    assert_eq!(
        daemon.journal().matches("what is pending is more").count(),
        1
    );
    assert_eq!(told(&daemon), 0, "{}", daemon.journal());
    // Whose endpoint answers does not wait for the other's.
    for n in 1..=5 {
        let body = format!("{{\"event\":\"small\",\"data\":{{\"n\":{n}}}}}");
        post(&world, "/events", &body).expect(202);
        well.wait(n, SOON);
    }
    limit(&world, "200MB", &hooks);
    daemon.reload();
    eventually("the status is well again", SOON, || {
        let status = world.command(&["status"]).expect(0).stdout;
        check(!status.contains("what is pending is more than"), || status)
    });
    assert_eq!(metric(&world, "webhooksd_log_max_bytes"), 200_000_000);
    // Taken away, what was pending ends, and may go.
    limit(
        &world,
        "64MB",
        &[hook("other", silent.url("/")).events("none")],
    );
    daemon.reload();
    rests_below(&world, MAX);
    assert_eq!(
        world.number("SELECT count(*) FROM delivery WHERE state = 'pending'"),
        0
    );
    daemon.stop();
}

#[test]
fn events_that_wait_for_room_are_told_of_once_and_so_is_that_they_go_on() {
    // It answers, one at a time, so something might go for as long as any is under way.
    let refusing =
        Receiver::start(|_| Answer::Later(Duration::from_secs(1), Box::new(Answer::status(500))));
    let well = Receiver::ok();
    let refusing = hook("refusing", refusing.url("/"))
        .dialect("openboxes-lift")
        .events("e")
        .line("max_in_flight = 1");
    let world = limited(&[refusing, hook("well", well.url("/")).events("small")]);
    let daemon = world.start();
    emit(&world, 1..=130, "e");
    daemon.wait_journal("the intake waits for room in the log");
    waits_for_room(&world);
    post(&world, "/events", "{\"event\":\"small\",\"data\":{}}").expect(202);
    // Nothing went, so what comes is taken in though there is no room.
    well.wait(1, SOON);
    daemon.wait_journal("the intake goes on");
    let journal = daemon.journal();
    let line = journal.lines().find(|line| line.contains("waits for room"));
    let line = line.unwrap();
    for word in [
        "take events in",
        "log.db",
        "64MB",
        "what is pending fills it",
        "`webhooksd status` says",
    ] {
        assert!(line.contains(word), "{word} in {line}");
    }
    assert!(
        journal.contains("nothing in the log can go now, and it grows"),
        "{journal}"
    );
    for words in ["the intake waits for room", "the intake goes on"] {
        assert_eq!(journal.matches(words).count(), 1, "{journal}");
    }
    assert_eq!(metric(&world, "webhooksd_intake_waits_for_room"), 0);
    daemon.stop();
}
