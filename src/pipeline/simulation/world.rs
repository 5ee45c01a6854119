//! The world of one seed: a week of lives of the process, an application that writes, people who
//! edit, redeliver and restore, clocks that jump, and a log that fails; then peace until all is done.

mod actions;
pub(super) mod anew;
pub(super) mod asked;
mod changes;
pub(super) mod held;
pub(super) mod ordered;
pub(super) mod paced;
pub(super) mod pausing;
pub(super) mod small;
pub(super) mod sparing;
pub(super) mod standard;
pub(super) mod together;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::endpoints::Behavior;
use super::hooks::{self, Death, Hooks, VFS};
use super::process::{Process, lock};
use super::rng::Rng;
use super::rows::OutboxRow;
use super::subscriptions::Subscriptions;
use super::{oracle::Oracle, own};
use crate::model::{Clock, Vfs};
use crate::outbox::{Appender, application, create_if_missing};
use crate::pipeline::Pace;
use crate::store::{Faults, Inject, Opening};

const START_MS: i64 = 1_731_576_737_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// After a week all trouble ends. Half a day of Lift's ladder and queues behind dead endpoints are
/// over long before so many more.
const PEACE_MS: i64 = 6 * DAY_MS;

/// Where the databases are, and how the log is opened.
pub(super) struct Files {
    pub(super) outbox: PathBuf,
    pub(super) log: PathBuf,
    pub(super) opening: Opening,
    copy: PathBuf,
    _folder: TempDir,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) digest: u64,
    pub(super) steps: u64,
    pub(super) attempts: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// The promise that was broken, and the last steps before.
    pub(super) broken: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Minutes in which much happens.
    Busy,
    /// Hours and days in which little does.
    Quiet,
    /// All trouble is over.
    Peace,
}

/// When the log fails, and how often; shared with the faults.
#[derive(Clone, Copy, Debug, Default)]
struct Trying {
    until_ms: i64,
    in_thousand: u64,
}

/// What goes wrong, by its result code (<https://sqlite.org/rescode.html>).
#[derive(Clone, Copy, Debug)]
enum InjectedFault {
    /// Somebody else holds the write lock.
    Busy = 5,
    /// The disk is full.
    Full = 13,
    /// The disk fails.
    Disk = 10,
}

/// Faults of the log in their time, with the steps that they hit by chance; and who is told of commits.
struct Troubles {
    trying: Arc<Mutex<Trying>>,
    oracle: Arc<Mutex<Oracle>>,
    rng: Mutex<Rng>,
    /// Whether pauses are read in this week: in others that asks for no chance.
    pausing: bool,
}

struct World {
    seed: u64,
    rng: Rng,
    files: Files,
    oracle: Arc<Mutex<Oracle>>,
    trying: Arc<Mutex<Trying>>,
    subscriptions: Subscriptions,
    application: Option<Appender>,
    copied: Option<BTreeMap<i64, OutboxRow>>,
    wall_ms: i64,
    /// The latest that the clock showed before it was set back.
    latest_ms: i64,
    /// The chance of ids that are given again, in weeks that have them.
    anew: Option<Rng>,
    /// The chance of orders, in weeks that have them.
    asked: Option<Rng>,
    /// The chance of pauses, in weeks that have them.
    pausing: Option<Rng>,
    numbers: u64,
    /// A reload failed and is to be asked for again.
    reload: bool,
}

/// Runs one seed.
pub(super) fn run(seed: u64) -> Run {
    let mut world = World::new(seed);
    let hooks = Hooks {
        seed,
        rng: Rng::new(seed, 2),
        death: None,
        crash: Arc::default(),
    };
    hooks::set(Some(hooks));
    while !world.is_over() && lock(&world.oracle).mono_ms() < 7 * DAY_MS {
        let kind = if world.rng.in_thousand(500) {
            Kind::Busy
        } else {
            Kind::Quiet
        };
        world.live(kind);
    }
    if !world.is_over() {
        world.live(Kind::Peace);
    }
    hooks::set(None);
    let mut oracle = lock(&world.oracle);
    Run {
        digest: oracle.trace.digest,
        steps: oracle.trace.steps,
        attempts: oracle.attempts,
        counts: std::mem::take(&mut oracle.counts),
        broken: oracle
            .broken
            .take()
            .map(|promise| (promise, oracle.trace.text())),
    }
}

impl Inject for Troubles {
    fn fails(&self, step: &'static str) -> Option<i32> {
        let trying = *self.trying.lock();
        if trying.in_thousand == 0 {
            return None;
        }
        if !self.pausing && pausing::READS.contains(&step) {
            return None;
        }
        // The oracle may be in use by who looks at the log; then nothing fails.
        let mut oracle = self.oracle.try_lock()?;
        let mut rng = self.rng.lock();
        let now_ms = oracle.mono_ms();
        if now_ms >= trying.until_ms || !rng.in_thousand(trying.in_thousand) {
            return None;
        }
        oracle.disturbed_ms = now_ms;
        if matches!(
            step,
            "read due deliveries" | "ask whether somebody else wrote"
        ) {
            oracle.read_failed();
        }
        let trouble = *rng.of(&[
            InjectedFault::Busy,
            InjectedFault::Full,
            InjectedFault::Disk,
        ]);
        oracle.note(&format!("fault: {step}: {trouble:?}"));
        oracle.count(match trouble {
            InjectedFault::Busy => "log busy",
            InjectedFault::Full => "log full",
            InjectedFault::Disk => "log disk fails",
        });
        Some(trouble as i32)
    }

    fn committed(&self, step: &'static str) {
        lock(&self.oracle).committed(step);
        hooks::committed();
    }
}

impl Files {
    /// The outbox as the application opens it.
    fn outbox(&self) -> (&PathBuf, Vfs) {
        (&self.outbox, VFS)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        // In memory, where there is such a folder.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let at = |name| folder.path().join(name);
        let oracle = Arc::new(Mutex::new(Oracle::new(Rng::new(seed, 4))));
        let trying = Arc::default();
        let troubles = Troubles {
            trying: Arc::clone(&trying),
            oracle: oracle.clone(),
            rng: Mutex::new(Rng::new(seed, 3)),
            pausing: pausing::is_such(seed),
        };
        let files = Files {
            outbox: at("outbox.db"),
            log: at("log.db"),
            opening: Opening {
                vfs: VFS,
                faults: Faults(Some(Arc::new(troubles))),
            },
            copy: at("copy.db"),
            _folder: folder,
        };
        create_if_missing(&files.outbox).unwrap();
        let mut subscriptions = Subscriptions::any(&mut rng, paced::rng(seed));
        subscriptions.log_max_bytes = small::max_bytes(seed);
        subscriptions.log_bodies = sparing::bodies(seed);
        for webhook in &mut subscriptions.webhooks {
            standard::ask(seed, webhook);
        }
        subscriptions.filter_by(asked::filtering(seed));
        lock(&oracle).bodies = subscriptions.log_bodies;
        lock(&oracle).waits = paced::waits(seed);
        subscriptions.auto_pause_ms = pausing::auto_pause_ms(seed);
        (subscriptions.asks_own, lock(&oracle).orders) = (own::is_such(seed), seed);
        lock(&oracle).own.is_such = own::is_such(seed);
        lock(&oracle).has_pauses = subscriptions.auto_pause_ms.is_some();
        Self {
            subscriptions,
            rng,
            files,
            oracle,
            trying,
            application: None,
            copied: None,
            wall_ms: START_MS,
            latest_ms: START_MS,
            anew: anew::rng(seed),
            seed,
            asked: asked::rng(seed),
            pausing: pausing::rng(seed),
            numbers: 0,
            reload: false,
        }
    }

    fn is_over(&self) -> bool {
        lock(&self.oracle).broken.is_some()
    }

    /// One life, from its start to its end, and the time until the next.
    fn live(&mut self, kind: Kind) {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let crash = Arc::new(Notify::new());
        let dies = kind != Kind::Peace && self.rng.in_thousand(300);
        let death = dies.then(|| {
            if self.rng.in_thousand(400) {
                Death::AtCommit(self.rng.from(1, 60))
            } else {
                Death::InPause(self.rng.from(1, 400))
            }
        });
        if self.rng.in_thousand(100) {
            // The last who closes a log copies its WAL into it.
            lock(&self.oracle).person = None;
        }
        hooks::with(|hooks| (hooks.death, hooks.crash) = (death, crash.clone()));
        runtime.block_on(async {
            let clock = Clock::follow_tokio(self.wall_ms);
            {
                let mut oracle = lock(&self.oracle);
                oracle.process += 1;
                oracle.clock = Some((clock.clone(), Instant::now()));
                oracle.note(&format!("begins: {kind:?}, ends by {death:?}"));
            }
            let orderly = tokio::select! {
                biased;
                () = crash.notified() => false,
                orderly = hooks::until_death(self.act(kind, &clock)) => orderly,
            };
            self.wall_ms = clock.now_ms();
            let mut oracle = lock(&self.oracle);
            oracle.note(if orderly { "stopped" } else { "crashed" });
            oracle.count(if orderly { "stops" } else { "crashes" });
            oracle.died(orderly);
        });
        drop(runtime);
        let away_ms = match self.rng.from(0, 9) {
            0 => self.rng.from(0, 36 * 3_600_000),
            1..=3 => self.rng.from(0, 600_000),
            _ => self.rng.from(0, 2_000),
        };
        let away_ms = i64::try_from(away_ms).unwrap();
        lock(&self.oracle).before_ms += away_ms;
        self.wall_ms += away_ms;
        if kind == Kind::Peace {
            return;
        }
        self.replace(self.wall_ms);
        match self.rng.from(0, 99) {
            _ if self.is_given_again() => {}
            0..=7 => self.restore(),
            8..=13 => self.change(self.wall_ms),
            14 | 15 => self.empty(),
            16 | 17 => self.rebuild(),
            _ => {}
        }
    }

    /// How often the loops look around. Not every second in quiet hours, for nothing is new then.
    fn pace(&mut self, kind: Kind) -> Pace {
        let (poll_ms, durable_ms, marks_ms) = match kind {
            Kind::Busy => (*self.rng.of(&[500, 2_000, 5_000]), 1_000, HOUR_MS),
            Kind::Quiet => (
                *self.rng.of(&[900_000, 1_800_000]),
                *self.rng.of(&[1_000, 60_000]),
                *self.rng.of(&[2 * HOUR_MS, 8 * HOUR_MS]),
            ),
            Kind::Peace => (1_800_000, 60_000, 8 * HOUR_MS),
        };
        let span = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Pace {
            poll: span(poll_ms),
            durable: span(durable_ms),
            marks: span(marks_ms),
            ..Pace::default()
        }
    }

    /// What happens in a life. Whether it ended in order.
    async fn act(&mut self, kind: Kind, clock: &Clock) -> bool {
        let pace = self.pace(kind);
        if kind == Kind::Peace {
            self.make_peace();
            self.subscriptions.make_peace();
        }
        self.subscriptions.pause_themselves();
        let started =
            Process::start(&self.files, &self.oracle, clock, &self.subscriptions, pace).await;
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                lock(&self.oracle).note(&format!("does not start: {error}"));
                return false;
            }
        };
        self.reload = false;
        self.begin_pauses(kind);
        let begun_ms = lock(&self.oracle).mono_ms();
        let lasts = match kind {
            Kind::Busy => self.rng.from(20_000, 200_000),
            Kind::Quiet => self.rng.from(6 * 3_600_000, 48 * 3_600_000),
            Kind::Peace => standard::peace_ms(self.seed, PEACE_MS),
        };
        let until_ms = begun_ms + i64::try_from(lasts).unwrap();
        while !self.is_over() && lock(&self.oracle).mono_ms() < until_ms && !process.refused() {
            let wait_ms = match kind {
                Kind::Busy => self.rng.from(0, 20_000),
                Kind::Quiet => self.rng.from(0, 4 * 3_600_000),
                Kind::Peace => 1_800_000,
            };
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            process.check();
            if kind == Kind::Peace {
                let oracle = lock(&self.oracle);
                if oracle.person().pending().is_empty() && oracle.person().debts().is_empty() {
                    break;
                }
            } else {
                self.happen(&mut process, clock, kind).await;
                process.check();
            }
        }
        if kind == Kind::Peace {
            self.look_at_the_end();
        }
        if self.rng.in_thousand(400) && kind != Kind::Peace {
            return false;
        }
        process.stop().await
    }

    /// Faults end; endpoints answer or are dead for good.
    fn make_peace(&mut self) {
        self.trying.lock().in_thousand = 0;
        let mut oracle = lock(&self.oracle);
        oracle.note("peace");
        for n in 1..10 {
            let mood = *self.rng.of(&[
                Behavior::Healthy,
                Behavior::Healthy,
                Behavior::Refusing,
                Behavior::Silent,
            ]);
            ordered::rest(self.seed, &mut oracle.moods, format!("w{n}"), mood);
        }
    }

    /// One thing happens.
    async fn happen(&mut self, process: &mut Process, clock: &Clock, kind: Kind) {
        let now_ms = lock(&self.oracle).mono_ms();
        let troubled = self.trying.lock().until_ms > now_ms;
        let deed = match self.rng.from(0, 99) {
            // Trouble on trouble: what comes while the log fails is what is easily forgotten.
            40.. if troubled => *self.rng.of(&[0, 70, 70, 86, 87, 88, 93]),
            deed => deed,
        };
        self.replace(clock.now_ms());
        self.cancel(process).await;
        self.hold_back(process, clock).await;
        match deed {
            42..=44 | 78 | 79 | 86..=93 if self.is_given_again() => {}
            0..=39 => self.write(clock, held::most(self.seed, 5)),
            40 | 41 => self.write(clock, 40),
            42..=44 => self.write_bad(clock),
            45..=61 => {
                let name = format!("w{}", self.rng.from(1, 7));
                let mood = Behavior::any(&mut self.rng);
                let mut oracle = lock(&self.oracle);
                oracle.note(&format!("{name} is {mood:?}"));
                oracle.moods.insert(name, mood);
            }
            62..=69 => {
                self.subscriptions.edit(&mut self.rng);
                for webhook in &mut self.subscriptions.webhooks {
                    standard::ask(self.seed, webhook);
                }
                self.subscriptions.change_pace();
                self.reload(process).await;
            }
            70..=77 => self.redeliver(clock),
            78 | 79 => self.step_clock(clock),
            80..=85 => self.try_the_log(kind),
            86 => self.copy(),
            87 => self.restore(),
            88..=90 => self.change(clock.now_ms()),
            91 => self.upsert(clock),
            92 => self.rebuild(),
            93 => self.empty(),
            _ if self.reload => self.reload(process).await,
            _ => {}
        }
        process.line.look.notify_one();
    }

    /// At the end nothing is pending, and everything came to its end.
    fn look_at_the_end(&self) {
        let mut oracle = lock(&self.oracle);
        oracle.observe();
        if let Some(row) = oracle.person().pending().pop() {
            oracle.broke(&format!("at the end {row:?} is still pending"));
        }
        let debts = oracle.person().debts();
        if !debts.is_empty() {
            oracle.broke(&format!("at the end {debts:?} is still owed"));
        }
        let after = oracle.person().cursor().map_or(0, |(_, id)| id);
        let left = application::ids_after(self.files.outbox(), after);
        let untaken = oracle.untaken.len();
        if !left.is_empty() || untaken > 0 {
            oracle.broke(&format!(
                "{untaken} rows were never taken, the cursor is at {after}, and behind it are {left:?}"
            ));
        }
        oracle.look_at_every_delivery();
        oracle.look_at_told();
        drop(oracle);
        self.look_at_the_size();
    }
}
