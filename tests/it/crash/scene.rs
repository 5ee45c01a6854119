//! The folder that is crashed in: webhooks in three dialects, one that fails first, one that is
//! slow, one whose deliveries are made again, one that gets several in a POST, one that comes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;

use super::ledger::Ledger;
use super::load::{self, Load};
use super::plan::{Death, Lead};
use crate::support::{
    Answer, Chance, Daemon, Received, Receiver, SOON, World, check, eventually, hook, nap, now,
    now_ms,
};

const DAY_MS: i64 = 86_400_000;

/// Large events that together are longer than the WAL is to be.
const LARGE: i64 = 36;

/// The webhooks whose every event is looked for at the end: what they want.
pub(super) const WANTED: [(&str, &[&str]); 5] = [
    (
        "plain",
        &["stock.moved", "stock.counted", "order.placed", "large.made"],
    ),
    ("failing", &["stock.moved", "stock.counted", "order.placed"]),
    ("slow", &["stock.moved", "stock.counted"]),
    ("again", &["order.placed"]),
    ("together", &["stock.moved", "stock.counted"]),
];

/// The webhook that comes and goes, and has something pending all the time.
const PASSING: &str = "passing";

pub(super) struct Scene {
    world: World,
    receivers: BTreeMap<&'static str, Receiver>,
    /// Whether the passing one takes what it gets.
    takes: Arc<AtomicBool>,
    load: Option<Load>,
    large: BTreeMap<i64, i64>,
    ledger: Ledger,
    chance: Chance,
    reloads: u32,
    tests: i64,
}

/// Fails the first request of every ninth event.
fn failing_first() -> Receiver {
    let failed = Mutex::new(BTreeSet::new());
    Receiver::start(move |request| {
        let n = request.n();
        let fails = n % 9 == 0 && failed.lock().unwrap().insert(n);
        Answer::status(if fails { 500 } else { 200 })
    })
}

fn after(ms: u64) -> impl Fn(&Received) -> Answer + Send + Sync + 'static {
    move |request| {
        let ms = request.n().unsigned_abs() * 7_919 % ms;
        Answer::status(200).after(Duration::from_millis(ms))
    }
}

impl Scene {
    pub(super) fn new(chance: Chance) -> Self {
        let takes = Arc::new(AtomicBool::new(false));
        let taking = Arc::clone(&takes);
        let passing = Receiver::start(move |_| {
            Answer::status(if taking.load(Ordering::SeqCst) {
                200
            } else {
                500
            })
        });
        let receivers = BTreeMap::from([
            ("plain", Receiver::start(after(30))),
            ("failing", failing_first()),
            ("slow", Receiver::start(after(300))),
            ("again", Receiver::start(after(30))),
            (PASSING, passing),
            (
                "together",
                Receiver::start(|_| Answer::status(200).after(Duration::from_millis(40))),
            ),
        ]);
        let scene = Self {
            world: World::bare(&[]),
            receivers,
            takes,
            load: None,
            large: BTreeMap::new(),
            ledger: Ledger::default(),
            chance,
            reloads: 0,
            tests: 0,
        };
        scene.configure(true);
        scene
    }

    pub(super) fn begin_load(&mut self) {
        self.load = Some(Load::begin(&self.world, self.chance.fork()));
    }

    pub(super) fn kills(&self) -> usize {
        self.ledger.kills()
    }

    /// Writes the configuration; it changes each time, so that a reload has something to exchange.
    fn configure(&self, passing: bool) {
        let url = |name| self.receivers[name].url(&format!("/{}", self.reloads));
        let hooks = [
            hook("plain", url("plain")).secret("s"),
            hook("failing", url("failing"))
                .dialect("bold-factory")
                .events("*e*d"),
            hook("slow", url("slow"))
                .dialect("openboxes-lift")
                .events("stock.*"),
            hook("again", url("again")).events("order.*"),
            hook("together", url("together"))
                .dialect("openboxes-lift")
                .events("stock.*")
                .line("batch = { max_events = 5, wait = \"50ms\" }"),
            hook(PASSING, url(PASSING))
                .events("*.counted")
                .line(format!("active = {passing}")),
        ];
        let socket = "\n[socket]\npath = \"s.sock\"";
        self.world.configure_with(socket, &hooks);
    }

    /// Starts the daemon so that it dies at a point, leads it there, and sees it dead.
    pub(super) fn die_at(&mut self, death: &Death) {
        let Death { point, time, lead } = death;
        println!("{point} * {time}");
        self.prepare(*lead);
        let name = format!("{point}*{time}");
        let mut daemon = self
            .world
            .spawn_in(&[("WEBHOOKSD_CRASH", OsStr::new(&name))]);
        self.lead(*lead, &mut daemon);
        let status = eventually(&name, SOON, || {
            daemon.ended().ok_or_else(|| daemon.journal())
        });
        assert_eq!(status.signal(), Some(9), "{name}: {}", daemon.journal());
        self.died();
    }

    /// Kills the daemon at some moment, while it starts or later, sometimes with something going on.
    pub(super) fn die_somewhere(&mut self) {
        let leads = [
            Lead::Reload,
            Lead::Redeliver,
            Lead::RedeliverSql,
            Lead::Pause,
            Lead::Replay,
            Lead::Test,
            Lead::Stop,
        ];
        let lead = leads.get(usize::try_from(self.chance.below(19)).unwrap());
        let mut daemon = self.world.spawn_in(&[]);
        if let Some(lead) = lead {
            self.lead(*lead, &mut daemon);
        }
        nap(Duration::from_millis(self.chance.below(400)));
        daemon.kill();
        self.died();
    }

    /// Looks at what a dead daemon left.
    fn died(&mut self) {
        self.ledger.killed(now_ms());
        self.ledger.observe(&self.world);
    }

    fn pending(&self) -> i64 {
        let sql = "SELECT count(*) FROM delivery WHERE state = 'pending' AND webhook = 'passing'";
        self.world.number(sql)
    }

    /// Has the passing webhook active, with something pending.
    fn have_pending(&mut self) {
        self.configure(true);
        if self.pending() < 2 {
            let daemon = self.world.start();
            eventually("something is pending", SOON, || {
                check(self.pending() >= 2, String::new)
            });
            daemon.kill();
            self.died();
        }
    }

    /// What is done before the start.
    fn prepare(&mut self, lead: Lead) {
        self.reloads += 1;
        self.configure(true);
        let due_in_a_month = now_ms() + 30 * DAY_MS;
        match lead {
            Lead::Age => self.age(),
            Lead::Late | Lead::Unreadable | Lead::Deactivate | Lead::InHand => self.have_pending(),
            Lead::AgeLarge => {
                let daemon = self.world.start();
                self.fill();
                let sql = "SELECT count(*) FROM delivery WHERE event = 'large.made' AND state = 'pending'";
                self.world.wait_number(sql, 0, Duration::from_secs(60));
                let rolled_up = "SELECT (SELECT attempt_id FROM rolled_up) >= max(a.id)
                    FROM attempt a JOIN payload p ON p.id = a.payload_id WHERE p.event = 'large.made'";
                self.world
                    .wait_number(rolled_up, 1, Duration::from_secs(60));
                daemon.kill();
                self.died();
                self.age();
            }
            _ => {}
        }
        let all_to = |from: &str, to: &str| {
            for sql in [
                format!("INSERT INTO {to} SELECT * FROM {from}"),
                format!("DELETE FROM {from}"),
            ] {
                self.world.change_log(&sql).unwrap();
            }
        };
        let change = match lead {
            Lead::InHand => return all_to("parked", "queued"),
            Lead::Late => format!("SET due_at = {due_in_a_month}"),
            Lead::Unreadable => "SET origin = 99, due_at = 0".to_owned(),
            _ => return,
        };
        // As the next start does with what the process before had in its hands.
        all_to("queued", "parked");
        let changed = self.world.change_log(&format!(
            "UPDATE parked {change} WHERE id = (SELECT max(k.id) FROM parked k JOIN webhook_name n ON n.id = k.webhook_id
               WHERE n.name = 'passing')"
        ));
        assert_eq!(changed.unwrap(), 1);
    }

    /// Commits large events, and waits until they are taken in.
    fn fill(&mut self) {
        let first = 2_000_000 + i64::try_from(self.large.len()).unwrap();
        let large = load::fill(&self.world.outbox(), first, LARGE);
        let last = large.values().max().copied().unwrap();
        self.large.extend(large);
        eventually("the large events are taken in", SOON, || {
            let cursor = self.world.number("SELECT event_id FROM cursor");
            check(cursor >= last, || cursor.to_string())
        });
    }

    /// Has the WAL grow long, with a little that can't be copied: a reader that needs what it has
    /// keeps it from starting over meanwhile, and later ones, until the daemon dies, what comes next.
    fn fill_the_wal(&mut self, daemon: &mut Daemon) {
        let reader = |world: &World| {
            let reader = Connection::open(world.path("log.db")).unwrap();
            reader.pragma_update(None, "query_only", true).unwrap();
            let read = "BEGIN; SELECT count(*) FROM sqlite_schema;";
            reader.execute_batch(read).unwrap();
            reader
        };
        let mut holding = reader(&self.world);
        self.fill();
        let begun = now();
        while daemon.ended().is_none() && begun.elapsed() < SOON {
            let next = reader(&self.world);
            drop(std::mem::replace(&mut holding, next));
            // Two synchronisations, if little else goes on.
            let taken = now();
            while daemon.ended().is_none() && taken.elapsed() < Duration::from_secs(3) {
                nap(Duration::from_millis(20));
            }
        }
    }

    /// Makes all that the log has older than its retention.
    fn age(&mut self) {
        self.ledger.age();
        let old = now_ms() - 31 * DAY_MS;
        let change = |sql: &str| self.world.change_log(sql).unwrap();
        let newest = |table: &str, id: &str| {
            let sql = format!(
                "SELECT max(coalesce((SELECT max({id}) FROM mark), 0), coalesce((SELECT max(id) FROM {table}), 0))"
            );
            self.world.number(&sql).to_string()
        };
        let ids = [
            newest("attempt", "attempt_id"),
            newest("delivery", "delivery_id"),
            newest("payload", "payload_id"),
        ];
        change("DELETE FROM mark");
        // Chunks enough for every point of a sweep, however little was sent so far.
        change(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 601)
             INSERT INTO rejected (generation, event_id, event, reason, time)
             SELECT 0, 0, 'old', 'old', {} FROM n",
            old - DAY_MS
        ));
        let seq = |table| {
            format!("coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0)")
        };
        let seqs = ids.into_iter().chain(["rejected", "redelivery"].map(seq));
        let seqs: Vec<String> = seqs.collect();
        // As of a daemon that ran all the time: after a leap nothing is deleted for a day.
        for day in (-1..30).step_by(3) {
            let time = old + day * DAY_MS;
            change(&format!(
                "INSERT INTO mark SELECT {time}, generation, event_id, {} FROM cursor",
                seqs.join(", ")
            ));
        }
        change(&format!("UPDATE ended SET finished_at = {}", old - DAY_MS));
        // What is not in the roll-up yet will be counted by its time.
        change(&format!(
            "UPDATE attempt SET time = {} WHERE id <= (SELECT attempt_id FROM rolled_up)",
            old - DAY_MS
        ));
        let zeros = ", 0".repeat(19);
        change(&format!(
            "INSERT OR REPLACE INTO rollup VALUES ('5min', 0, 'plain'{zeros})"
        ));
        // A row is old beside a new one only, and perhaps nothing was recorded so far.
        let start = now_ms() / 300_000 * 300_000;
        change(&format!(
            "INSERT OR IGNORE INTO rollup VALUES ('5min', {start}, 'plain'{zeros})"
        ));
    }

    /// What is done while it runs.
    fn lead(&mut self, lead: Lead, daemon: &mut Daemon) {
        let delivered = "SELECT max(id) FROM delivery WHERE webhook = 'again' AND state = 'delivered' AND origin <> 'test'";
        match lead {
            Lead::Load
            | Lead::Age
            | Lead::AgeLarge
            | Lead::InHand
            | Lead::Late
            | Lead::Unreadable => return,
            _ => {}
        }
        // What an earlier kill left undone may lead there at the start already.
        let is_dead = eventually("the daemon is ready, or dead", SOON, || {
            let is_dead = daemon.ended().is_some();
            let ready = is_dead || daemon.journal().contains("ready: following");
            check(ready, || daemon.journal()).map(|()| is_dead)
        });
        if is_dead {
            return;
        }
        // What a kill between pause and resume left would keep `again` from ever being delivered.
        self.world.change_log("DELETE FROM pause").unwrap();
        // A command fails where the daemon dies under it.
        match lead {
            Lead::Reload => {
                self.reloads += 1;
                self.configure(true);
                daemon.signal(Signal::HUP);
            }
            Lead::Deactivate => {
                self.configure(false);
                daemon.signal(Signal::HUP);
            }
            Lead::Fill => self.fill_the_wal(daemon),
            Lead::Redeliver => {
                let id = self.delivered(delivered);
                drop(self.world.command(&["redeliver", &id]));
            }
            Lead::Cancel => {
                let sql = format!(
                    "SELECT max(id) FROM delivery WHERE state = 'pending' AND webhook = '{PASSING}'"
                );
                let id = self.delivered(&sql);
                drop(self.world.command(&["cancel", &id]));
            }
            Lead::RedeliverSql => {
                let id = self.delivered(delivered);
                let sql = format!("INSERT INTO redelivery (delivery_id) VALUES ({id})");
                self.world.change_log(&sql).unwrap();
            }
            Lead::Pause => {
                drop(self.world.command(&["pause", "again", "--for", "1h"]));
                drop(self.world.command(&["resume", "again"]));
            }
            Lead::Replay => {
                self.delivered(delivered);
                drop(
                    self.world
                        .command(&["replay", "--since", "2s", "--webhook", "again"]),
                );
            }
            Lead::Test => {
                self.tests -= 1;
                let data = format!("{{\"n\":{}}}", self.tests);
                drop(self.world.command(&["test", "again", "--data", &data]));
            }
            _ => daemon.signal(Signal::TERM),
        }
    }

    /// The id that `sql` finds, once it finds one.
    fn delivered(&self, sql: &str) -> String {
        eventually(sql, SOON, || {
            let id = self.world.log(sql)[0][0].clone();
            check(id != "NULL", String::new).map(|()| id)
        })
    }

    /// Ends the load, lets everything be delivered, and holds it against what was promised.
    pub(super) fn end(mut self) {
        let mut written = self.load.take().unwrap().end();
        written.by_sql.append(&mut self.large);
        self.takes.store(true, Ordering::SeqCst);
        self.configure(true);
        // What a kill between the two left.
        self.world.change_log("DELETE FROM pause").unwrap();
        let daemon = self.world.start();
        let newest = self.world.outbox();
        let newest: i64 = newest
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'",
                (),
                |row| row.get(0),
            )
            .unwrap();
        let limit = Duration::from_secs(120);
        self.world
            .wait_number("SELECT event_id FROM cursor", newest, limit);
        self.world.wait_number(
            "SELECT count(*) FROM replay WHERE finished_at IS NULL",
            0,
            limit,
        );
        self.world.wait_number(
            "SELECT count(*) FROM delivery WHERE state = 'pending'",
            0,
            limit,
        );
        daemon.stop();
        self.ledger.observe(&self.world);
        self.ledger
            .reconcile(&self.world, &written, &self.receivers);
    }
}
