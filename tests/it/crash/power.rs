//! Power cuts: the process ends, and the disk has only what was synchronised, and some of the rest.
//!
//! What was answered 202, or committed by an application that synchronises, arrives. What such an
//! application committed that does not synchronise (`synchronous = NORMAL` in WAL mode) may be taken
//! back, and its ids given again: then what has them arrives. An event is sent again only where it
//! was sent in the last seconds before a cut, or where the outbox lost rows, which it is close to.
//! The daemon starts by itself each time. `WEBHOOKSD_CUTS` is how many cuts there are to be in each
//! of the three outboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;

use super::disk::Disk;
use super::load::{by_http, by_line};
use crate::support::{
    Answer, Chance, Received, Receiver, World, application, eventually, hook, nap, now_ms, shim,
};

/// Cuts of one outbox, where the environment does not say.
const CUTS: usize = 7;

/// How old what a cut takes back from the log may be: it is synchronised each second, and a busy
/// machine comes late to that.
const LAST_SECONDS_MS: i64 = 5_000;

/// So late a receiver may come to a request of a daemon that is dead already.
const LATE_MS: i64 = 1_000;

/// What of an attempt's time may be the machine's and not the daemon's.
const SLACK_MS: i64 = 100;

/// The same where there was no answer: a receiver reads what was sent by who has given up meanwhile.
const GIVEN_UP_MS: i64 = 12_000;

/// What an application is like.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Application {
    journal_mode: &'static str,
    synchronous: &'static str,
    /// Whether what it commits is on the disk.
    durable: bool,
}

/// Numbers with the ids that they got, of events that are on the disk or may be.
#[derive(Clone, Default)]
struct Told {
    /// By the socket's 202, and by an application that synchronises.
    durable: BTreeMap<i64, i64>,
    other: BTreeMap<i64, i64>,
    /// The power is gone: what is heard from now on was never said.
    dark: bool,
}

type Shared = Arc<Mutex<Told>>;

/// A cut as the receivers' requests are held against it.
struct Cut {
    at_ms: i64,
    /// These may be sent again, for the outbox lost the rows behind them: by the delivery that was
    /// pending and by the one that is made anew, too.
    again: RangeInclusive<i64>,
}

struct Scene {
    world: World,
    application: Application,
    receivers: [(&'static str, Receiver); 3],
    told: Shared,
    next: Arc<Mutex<i64>>,
    /// What was sent: the id of each number, as long as the outbox had it.
    ids: BTreeMap<i64, i64>,
    cuts: Vec<Cut>,
    chance: Chance,
    lost: usize,
    taken_back: usize,
}

fn slowly(request: &Received) -> Answer {
    Answer::status(200).after(Duration::from_millis(
        request.n().unsigned_abs() * 7_919 % 40,
    ))
}

impl Scene {
    fn new(application: Application, chance: Chance) -> Self {
        let receivers = ["plain", "factory", "lift"].map(|name| (name, Receiver::start(slowly)));
        let url = |place: usize| receivers[place].1.url("/");
        let hooks = [
            hook("plain", url(0)).secret("s"),
            hook("factory", url(1)).dialect("bold-factory"),
            hook("lift", url(2)).dialect("openboxes-lift"),
        ];
        let world = World::bare(&hooks);
        world.configure_with("\n[socket]\npath = \"s.sock\"", &hooks);
        world.make_outbox(application.journal_mode);
        Self {
            world,
            application,
            receivers,
            told: Shared::default(),
            next: Arc::new(Mutex::new(0)),
            ids: BTreeMap::new(),
            cuts: Vec::new(),
            chance,
            lost: 0,
            taken_back: 0,
        }
    }

    /// Runs daemon, application and clients for so long, then cuts the power.
    fn round(&mut self, span: Duration) {
        let folder = self.world.folder().to_owned();
        let record = tempfile::NamedTempFile::new().unwrap();
        let mut disk = Disk::of(&folder);
        let shim = shim("powercut");
        let environment = [
            ("LD_PRELOAD", shim.as_os_str()),
            ("SHIM_FOLDER", folder.as_os_str()),
            ("SHIM_RECORD", record.path().as_os_str()),
        ];
        self.told.lock().unwrap().dark = false;
        let daemon = self.world.start_in(&environment);
        let stop = Arc::new(AtomicBool::new(false));
        // By themselves every other time: a commit that is synchronised covers those of others.
        let odd = self.cuts.len() % 2 == 1;
        let socket_alone = !odd && self.application.journal_mode == "DELETE";
        let application_alone = odd && self.application.synchronous == "NORMAL";
        let mut application = (!socket_alone).then(|| self.begin_application(&environment, &stop));
        let socket = (!application_alone).then(|| self.begin_socket(&stop));
        nap(span);
        let recorded = {
            // What was told until now was told after it was recorded.
            let mut told = self.told.lock().unwrap();
            told.dark = true;
            usize::try_from(record.as_file().metadata().unwrap().len()).unwrap()
        };
        daemon.kill();
        if let Some((child, _)) = &mut application {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let at_ms = now_ms();
        stop.store(true, Ordering::SeqCst);
        if let Some((_, thread)) = application {
            thread.join().unwrap();
        }
        if let Some(thread) = socket {
            thread.join().unwrap();
        }
        let bytes = std::fs::read(record.path()).unwrap();
        disk.replay(&bytes[..recorded]);
        self.taken_back += disk.unsynchronised();
        let before = self.world.number("SELECT event_id FROM cursor");
        disk.restore(&folder, &mut self.chance);
        self.look(at_ms, before);
        println!(
            "cut after {span:?}: {} writes synchronised, {} not",
            disk.synchronised,
            disk.unsynchronised()
        );
    }

    /// An application that inserts events and says their ids.
    fn begin_application(
        &mut self,
        environment: &[(&str, &OsStr)],
        stop: &Arc<AtomicBool>,
    ) -> (Child, std::thread::JoinHandle<()>) {
        let mut application = application(&self.world.path("outbox.db"));
        application.envs(environment.iter().copied());
        application
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = application.spawn().unwrap();
        let (mut orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let begin = format!("PRAGMA synchronous = {};\n", self.application.synchronous);
        orders.write_all(begin.as_bytes()).unwrap();
        let (told, next, stop) = (self.told.clone(), self.next.clone(), stop.clone());
        let (durable, mut chance) = (self.application.durable, self.chance.fork());
        let thread = std::thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            while !stop.load(Ordering::SeqCst) {
                let n = number(&next);
                // Not RETURNING, which answers before the commit.
                let order = format!(
                    "INSERT INTO outbox (event, data) VALUES ('stock.moved', '{{\"n\":{n}}}'); SELECT last_insert_rowid();\n"
                );
                let mut answer = String::new();
                let told_one = orders.write_all(order.as_bytes()).is_ok()
                    && answers
                        .read_line(&mut answer)
                        .is_ok_and(|length| length > 0);
                if !told_one {
                    return;
                }
                tell(&told, durable, n, answer.trim().parse().unwrap());
                nap(Duration::from_millis(2 + chance.below(20)));
            }
        });
        (child, thread)
    }

    /// A client of the socket.
    fn begin_socket(&mut self, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
        let (told, next, stop) = (self.told.clone(), self.next.clone(), stop.clone());
        let (socket, mut chance) = (self.world.path("s.sock"), self.chance.fork());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                if let Ok(stream) = std::os::unix::net::UnixStream::connect(&socket) {
                    let n = number(&next);
                    let event = format!("{{\"event\":\"order.placed\",\"data\":{{\"n\":{n}}}}}");
                    let ask = if n % 2 == 0 { by_http } else { by_line };
                    if let Some(id) = ask(stream, &event) {
                        tell(&told, true, n, id);
                    }
                }
                nap(Duration::from_millis(5 + chance.below(30)));
            }
        })
    }

    /// Looks at what the cut left, before the daemon does. `before`: how far it had come.
    fn look(&mut self, at_ms: i64, before: i64) {
        // A copy, so that the daemon finds the files as the cut left them.
        let copy = tempfile::tempdir().unwrap();
        for name in ["outbox.db", "log.db"] {
            for end in ["", "-wal", "-journal"] {
                let file = format!("{name}{end}");
                if self.world.path(&file).exists() {
                    std::fs::copy(self.world.path(&file), copy.path().join(&file)).unwrap();
                }
            }
        }
        let open = |name: &str| Connection::open(copy.path().join(name)).unwrap();
        for name in ["outbox.db", "log.db"] {
            let whole: String = open(name)
                .query_row("PRAGMA integrity_check", (), |row| row.get(0))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(whole, "ok", "{name}");
        }
        let rows = rows(&open("outbox.db"));
        let cursor = open("log.db").query_row("SELECT event_id FROM cursor", (), |row| {
            row.get::<_, i64>(0)
        });
        let cursor = cursor.unwrap_or(0).min(before);
        let mut told = self.told.lock().unwrap();
        for (n, id) in &told.durable {
            assert_eq!(rows.get(n), Some(id), "event {n} was on the disk as {id}");
        }
        let gone = told
            .other
            .iter()
            .filter(|(n, _)| !rows.contains_key(n))
            .count();
        self.lost += gone;
        told.other.retain(|n, _| rows.contains_key(n));
        // What is found after a cut is on the disk.
        let found = std::mem::take(&mut told.other);
        told.durable.extend(found);
        // Fingerprints are kept at growing distances behind the cursor, and it goes back to one.
        let last = rows.values().max().copied().unwrap_or(0);
        let lost = (cursor - last).max(0);
        let first = if lost > 0 {
            last - 3 * lost - 8
        } else {
            last + 1
        };
        let again = first..=last;
        self.ids.extend(rows);
        self.cuts.push(Cut { at_ms, again });
    }

    /// Lets everything be delivered, and holds it against what was promised.
    fn end(mut self) {
        let daemon = self.world.start();
        let rows = rows(&self.world.outbox());
        self.ids.extend(rows.clone());
        for (name, receiver) in &self.receivers {
            eventually(
                &format!("{name} gets every event"),
                Duration::from_secs(90),
                || {
                    let came: BTreeSet<i64> = receiver.received().iter().map(Received::n).collect();
                    let missing: Vec<_> = rows.keys().filter(|n| !came.contains(n)).collect();
                    if missing.is_empty() {
                        Ok(())
                    } else {
                        Err(format!("missing: {missing:?}"))
                    }
                },
            );
        }
        let pending = "SELECT count(*) FROM delivery WHERE state = 'pending'";
        self.world.wait_number(pending, 0, Duration::from_secs(90));
        daemon.stop();
        assert_eq!(self.world.log("PRAGMA integrity_check"), [["ok"]]);
        let told = self.told.lock().unwrap();
        for (n, id) in &told.durable {
            assert_eq!(rows.get(n), Some(id), "event {n} was answered as {id}");
        }
        println!(
            "{} cuts, {} events, {} taken back from the outbox, {} writes not synchronised",
            self.cuts.len(),
            rows.len(),
            self.lost,
            self.taken_back
        );
        for (name, receiver) in &self.receivers {
            self.reconcile(name, &receiver.received());
        }
    }

    /// The same bytes each time, and a second time only as a cut explains it.
    fn reconcile(&self, name: &str, requests: &[Received]) {
        let mut came: BTreeMap<i64, Vec<&Received>> = BTreeMap::new();
        for request in requests {
            came.entry(request.n()).or_default().push(request);
        }
        let retried = self.retried(name);
        let mut again = 0;
        for (n, requests) in &came {
            let failed = retried.get(n).map_or(&[][..], Vec::as_slice);
            for pair in requests.windows(2) {
                assert_eq!(
                    pair[0].body, pair[1].body,
                    "{name}: event {n} changed its bytes"
                );
                // On a busy machine a request may take too long: then it comes again by its schedule.
                let at_ms = pair[0].at_ms;
                if failed.iter().any(|span| span.contains(&at_ms)) {
                    continue;
                }
                let id = self.ids.get(n).copied().unwrap_or(i64::MAX);
                let before = self.cuts.iter().filter(|cut| cut.at_ms <= pair[1].at_ms);
                let last_seconds =
                    |cut: &&Cut| (-LATE_MS..=LAST_SECONDS_MS).contains(&(cut.at_ms - at_ms));
                let explains = |cut: &&Cut| last_seconds(cut) || cut.again.contains(&id);
                let spans: Vec<_> = before.clone().map(|cut| cut.at_ms - at_ms).collect();
                assert!(
                    before.clone().any(|cut| explains(&cut)),
                    "{name}: event {n} was sent again, {spans:?} ms before a cut"
                );
                again += 1;
            }
        }
        println!("{name}: {} requests, {again} of them again", requests.len());
    }

    /// When there were attempts that failed, by the event's number.
    fn retried(&self, name: &str) -> BTreeMap<i64, Vec<RangeInclusive<i64>>> {
        let rows = self.world.log(&format!(
            "SELECT coalesce(json_extract(p.body, '$.data.n'), json_extract(p.body, '$.v1.data.n')),
                    a.time, a.time + a.duration_us / 1000, a.status IS NULL
               FROM attempt a JOIN payload p ON p.id = a.payload_id
              WHERE a.webhook_id = (SELECT id FROM webhook_name WHERE name = '{name}') AND a.outcome NOT IN (1, 3)"
        ));
        let mut retried: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for row in rows {
            let [n, from, to, unanswered] = [0, 1, 2, 3].map(|at| row[at].parse::<i64>().unwrap());
            let slack_ms = if unanswered == 1 {
                GIVEN_UP_MS
            } else {
                SLACK_MS
            };
            retried.entry(n).or_default().push(from - 1..=to + slack_ms);
        }
        retried
    }
}

/// Numbers with their ids.
fn rows(outbox: &Connection) -> BTreeMap<i64, i64> {
    let mut statement = outbox
        .prepare("SELECT json_extract(data, '$.n'), id FROM outbox")
        .unwrap();
    let rows = statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn number(next: &Mutex<i64>) -> i64 {
    let mut next = next.lock().unwrap();
    *next += 1;
    *next
}

fn tell(told: &Mutex<Told>, durable: bool, n: i64, id: i64) {
    let mut told = told.lock().unwrap();
    if !told.dark {
        let of = if durable {
            &mut told.durable
        } else {
            &mut told.other
        };
        of.insert(n, id);
    }
}

fn cuts(application: Application) {
    let mut chance = Chance::seeded();
    let told = std::env::var("WEBHOOKSD_CUTS").ok();
    let cuts = told.map_or(CUTS, |text| text.parse().unwrap());
    let mut scene = Scene::new(application, chance.fork());
    for cut in 0..cuts {
        // Most come early, and some so late that much of the log is on the disk.
        let span = if cut % 7 == 5 {
            7_000 + chance.below(1_000)
        } else {
            100 + chance.below(1_600)
        };
        scene.round(Duration::from_millis(span));
    }
    scene.end();
}

#[test]
fn power_cuts_of_an_outbox_that_synchronises() {
    cuts(Application {
        journal_mode: "WAL",
        synchronous: "FULL",
        durable: true,
    });
}

#[test]
fn power_cuts_that_take_an_applications_commits_back() {
    cuts(Application {
        journal_mode: "WAL",
        synchronous: "NORMAL",
        durable: false,
    });
}

/// With a rollback journal FULL is not enough: a commit is its removal, which FULL leaves to the disk.
#[test]
fn power_cuts_of_an_outbox_with_a_rollback_journal() {
    cuts(Application {
        journal_mode: "DELETE",
        synchronous: "FULL",
        durable: false,
    });
}
