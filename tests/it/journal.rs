//! The journal: nobody reads it, journald reads it, and what it says last.

use std::io::{PipeReader, Read};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Answer, Receiver, SOON, World, eventually, hook};

/// A daemon whose standard error is a pipe.
struct Piped(Child);

impl Piped {
    fn start(world: &World) -> (Self, PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = world.daemon_behind(&[]);
        command.stderr(writer);
        (Self(command.spawn().unwrap()), reader)
    }

    /// Asks it to stop, and waits for its exit code.
    fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = eventually("the daemon ends", SOON, || {
            self.0
                .try_wait()
                .unwrap()
                .ok_or_else(|| "it has not".to_owned())
        });
        ended.code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Commits so many events of a name as long as can be, for long lines.
fn burst(world: &World, kind: &str, count: usize) {
    let name = format!("{kind}-{}", "x".repeat(250 - kind.len()));
    let mut outbox = world.outbox();
    let burst = outbox.transaction().unwrap();
    for _ in 0..count {
        crate::support::insert(&burst, &name, "{}");
    }
    burst.commit().unwrap();
}

fn recorded(world: &World, webhook: &str, count: i64) {
    let sql = format!("SELECT count(*) FROM log WHERE webhook = '{webhook}'");
    world.wait_number(&sql, count, 3 * SOON);
}

/// A webhook that has much to tell, and another one.
fn scene() -> (World, [Receiver; 2]) {
    let receivers = [Receiver::ok(), Receiver::ok()];
    let world = World::new(&[
        hook("loud", receivers[0].url("/"))
            .events("loud-*")
            .line("keep_alive = true"),
        hook("good", receivers[1].url("/")).events("good-*"),
    ]);
    (world, receivers)
}

#[test]
fn a_reader_that_stopped_costs_lines_and_nothing_else() {
    let (world, _receivers) = scene();
    let (mut daemon, reader) = Piped::start(&world);
    // The pipe takes 64 KiB, a tenth of these lines.
    burst(&world, "loud", 1_500);
    recorded(&world, "loud", 1_500);
    burst(&world, "good", 5);
    recorded(&world, "good", 5);
    assert_eq!(daemon.stop(), Some(0));
    drop(reader);
}

#[test]
fn a_reader_that_comes_back_is_told_how_many_lines_it_missed() {
    let (world, _receivers) = scene();
    let (mut daemon, mut reader) = Piped::start(&world);
    let events = 8_000;
    burst(&world, "loud", events);
    recorded(&world, "loud", 8_000);
    let read = Arc::new(Mutex::new(String::new()));
    let so_far = Arc::clone(&read);
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 64 << 10];
        while let Ok(length @ 1..) = reader.read(&mut bytes) {
            so_far
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    });
    let told = eventually("the loss is told", SOON, || {
        let journal = read.lock().unwrap();
        let line = journal
            .lines()
            .find(|line| line.contains("lines were dropped here"));
        line.map(str::to_owned)
            .ok_or_else(|| format!("{} bytes", journal.len()))
    });
    assert!(told.contains(" warning: "), "{told}");
    let words: Vec<&str> = told.split(' ').collect();
    let dropped: usize = words[2].parse().unwrap();
    // And the journal goes on.
    burst(&world, "good", 1);
    recorded(&world, "good", 1);
    assert_eq!(daemon.stop(), Some(0));
    reading.join().unwrap();
    let journal = read.lock().unwrap();
    let tried = journal
        .lines()
        .filter(|line| line.contains("webhook=\"loud\""))
        .count();
    assert_eq!(tried + dropped, events, "each line was written or counted");
    assert!(
        dropped > 0 && journal.contains("webhook=\"good\""),
        "{told}"
    );
    assert!(journal.ends_with("info: stopped\n"));
    let times: Vec<&str> = journal
        .lines()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert!(times.is_sorted(), "in order");
}

#[test]
fn a_dead_endpoint_gives_some_warnings_and_their_number() {
    let receiver = Receiver::start(|_| Answer::status(500));
    let world = World::new(&[hook("dead", receiver.url("/")).one_attempt()]);
    for form in ["text", "json"] {
        let daemon = world.start_with(&["--journal", form]);
        let before = world.number("SELECT count(*) FROM log");
        burst(&world, "e", 300);
        recorded(&world, "dead", before + 300);
        daemon.stop();
    }
    for run in 1..=2 {
        let journal = std::fs::read_to_string(world.path(format!("journal-{run}"))).unwrap();
        let (mut each, mut summed) = (0, 0);
        for line in journal.lines().filter(|line| line.contains("given up")) {
            match line
                .split_once("and ")
                .and_then(|(_, rest)| rest.split_once(" more of webhook"))
            {
                Some((number, _)) => summed += number.parse::<usize>().unwrap(),
                None => each += 1,
            }
        }
        assert_eq!(each + summed, 300, "{journal}");
        // Three windows of ten seconds, on a slow machine.
        assert!((20..=60).contains(&each), "{each}");
    }
}

/// Why it did not start is what a person looks for with `journalctl -p err`.
#[test]
fn why_it_ended_has_its_priority() {
    let stream = ("JOURNAL_STREAM", "8:1".as_ref());
    let good = Receiver::ok();
    let cases: [(&str, World, &[&str]); 5] = [
        ("url", World::new(&[hook("w", "ftp://x/")]), &["run"]),
        ("table", World::bare(&[hook("w", good.url("/"))]), &["run"]),
        ("usage", World::bare(&[]), &["run", "--what"]),
        ("bound", World::new(&[hook("w", good.url("/"))]), &["run"]),
        (
            "form",
            World::new(&[hook("w", "ftp://x/")]),
            &["run", "--journal", "json"],
        ),
    ];
    for (name, world, arguments) in cases {
        if name == "table" {
            let outbox = rusqlite::Connection::open(world.path("outbox.db")).unwrap();
            outbox
                .execute_batch("CREATE VIEW outbox AS SELECT 1 AS id")
                .unwrap();
        }
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        if name == "bound" {
            let toml = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
            let address = taken.local_addr().unwrap();
            world.write(
                "webhooks.toml",
                format!("{toml}\n[metrics]\nlisten = \"{address}\"\n"),
            );
        }
        let ended = world.command_behind(&[], arguments, &[stream]);
        assert_ne!(ended.code, Some(0), "{name}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert!(
            lines.iter().any(|line| line.starts_with("<3>")),
            "{name}: {lines:#?}"
        );
        let has_one = |line: &&str| line.starts_with('<') && line.get(2..3) == Some(">");
        assert!(lines.iter().all(has_one), "{name}: {lines:#?}");
        if name == "form" {
            let line: serde_json::Value =
                serde_json::from_str(lines[0].trim_start_matches("<3>")).unwrap();
            assert_eq!(line["level"], "ERROR");
            assert!(
                line["message"].as_str().unwrap().contains("webhooks.toml:"),
                "{line}"
            );
        }
    }
    // In a terminal it is the plain words.
    let world = World::new(&[hook("w", "ftp://x/")]);
    let ended = world.command(&["run"]);
    assert!(
        ended
            .stderr
            .starts_with(world.path("webhooks.toml").to_str().unwrap()),
        "{}",
        ended.stderr
    );
}

/// A command that systemd runs, such as the reload of the unit, says why it failed with a priority;
/// one whose output goes elsewhere does not, though the variable is inherited.
#[test]
fn what_a_command_of_the_unit_says_has_its_priority() {
    let world = World::bare(&[hook("w", "http://127.0.0.1:1/")]);
    for (name, names_it) in [("here", true), ("elsewhere", false)] {
        let file = std::fs::File::create(world.path(name)).unwrap();
        let data = file.metadata().unwrap();
        let device = if names_it { data.dev() } else { data.dev() + 1 };
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhooksd"));
        command
            .args(["reload", "--config"])
            .arg(world.path("webhooks.toml"));
        command.env("JOURNAL_STREAM", format!("{device}:{}", data.ino()));
        command.stdin(Stdio::null()).stderr(file);
        assert!(!command.status().unwrap().success());
        let said = std::fs::read_to_string(world.path(name)).unwrap();
        assert!(!said.is_empty());
        assert!(
            said.lines().all(|line| line.starts_with("<3>") == names_it),
            "{said}"
        );
    }
}

#[test]
fn a_panic_is_a_line_of_the_journal_and_the_end_comes_behind_it() {
    let world = World::new(&[hook("w", Receiver::ok().url("/"))]);
    let mut daemon = world.spawn_in(&[
        ("WEBHOOKSD_CRASH", "take events in: rows read".as_ref()),
        ("WEBHOOKSD_CRASH_BY", "panic".as_ref()),
        ("JOURNAL_STREAM", "8:1".as_ref()),
        ("RUST_BACKTRACE", "0".as_ref()),
    ]);
    world.emit("e", "{}");
    assert_eq!(daemon.wait(SOON), Some(1));
    let journal = daemon.journal();
    let errors: Vec<&str> = journal
        .lines()
        .filter(|line| line.starts_with("<3>"))
        .collect();
    assert!(errors[0].contains("panicked at src/"), "{journal}");
    assert!(errors[0].contains("on purpose"), "{journal}");
    assert!(
        errors[1].contains("a part of the pipeline panicked; its line is above"),
        "{journal}"
    );
    assert!(
        journal.lines().all(|line| line.starts_with('<')),
        "{journal}"
    );
}

/// What a start made that could not go on is gone, and the next one takes nothing for a crash.
#[test]
fn a_refused_start_leaves_no_socket() {
    let world = World::bare(&[hook("w", Receiver::ok().url("/"))]);
    let toml = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    world.write("webhooks.toml", format!("{toml}\n[socket]\npath = \"s\"\n"));
    let outbox = rusqlite::Connection::open(world.path("outbox.db")).unwrap();
    outbox
        .execute_batch("CREATE VIEW outbox AS SELECT 1 AS id")
        .unwrap();
    world.command(&["run"]).expect(2);
    assert!(!world.path("s").exists());
    drop(outbox);
    std::fs::remove_file(world.path("outbox.db")).unwrap();
    world.make_outbox("WAL");
    let mut daemon = world.start();
    assert!(world.path("s").exists());
    let journal = daemon.journal();
    assert!(!journal.contains("crash"), "{journal}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(SOON), Some(0));
    assert!(!world.path("s").exists());
}

/// A path is somebody's text too: what stands behind a newline in it is no line of the journal.
#[test]
fn a_path_with_a_newline_is_told_on_one_line() {
    let world = World::bare(&[hook("w", "http://127.0.0.1:9/")]);
    let toml = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let odd = toml.replace("\"log.db\"", "\"odd\\nlog.db\"");
    assert_ne!(odd, toml);
    world.write("webhooks.toml", odd);
    let daemon = world.start();
    daemon.wait_journal("odd\\nlog.db");
    let journal = daemon.journal();
    assert!(!journal.contains("odd\nlog.db"), "{journal}");
    daemon.stop();
}
