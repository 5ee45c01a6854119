//! The world of one seed: a week of lives of the process, an application that writes, people who
//! edit, redeliver and restore, clocks that jump, and a log that fails; then peace until all is done.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::book::Book;
use super::chance::Chance;
use super::endpoints::Mood;
use super::hooks::{self, Hooks};
use super::life::{Life, lock};
use super::rows::OutboxRow;
use super::subscriptions::{EVENTS, MAX_DATA_BYTES, Subscriptions, TENANTS};
use crate::model::Clock;
use crate::outbox::{Appended, Appender, NewEvent, application, create_if_missing};
use crate::pipeline::Pace;
use crate::store::faults::{self, Trouble};

const START_MS: i64 = 1_731_576_737_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// After a week all trouble ends. Half a day of Lift's ladder and queues behind dead endpoints are
/// over long before so many more.
const PEACE_MS: i64 = 6 * DAY_MS;

/// Where the databases are.
pub(super) struct Files {
    pub(super) outbox: PathBuf,
    pub(super) log: PathBuf,
    copy: PathBuf,
    _folder: TempDir,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) digest: u64,
    pub(super) steps: u64,
    pub(super) attempts: u64,
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

/// When the log fails, and how often; shared with the schedule of the faults.
#[derive(Clone, Copy, Debug, Default)]
struct Trying {
    until_ms: i64,
    in_thousand: u64,
}

struct World {
    chance: Chance,
    files: Files,
    book: Arc<Mutex<Book>>,
    trying: Arc<Mutex<Trying>>,
    subscriptions: Subscriptions,
    application: Option<Appender>,
    copied: Option<std::collections::BTreeMap<i64, OutboxRow>>,
    wall_ms: i64,
    numbers: u64,
    scale: usize,
    /// A reload failed and is to be asked for again.
    reload: bool,
}

/// Runs one seed.
pub(super) fn run(seed: u64) -> Run {
    let mut world = World::new(seed);
    let hooks = Hooks {
        scale: world.scale,
        chance: Chance::new(seed, 2),
        crash_in: None,
        crash: Arc::default(),
    };
    hooks::set(Some(hooks));
    faults::schedule(Some(schedule(&world, Chance::new(seed, 3))));
    while !world.is_over() && lock(&world.book).mono_ms() < 7 * DAY_MS {
        let kind = if world.chance.in_thousand(500) {
            Kind::Busy
        } else {
            Kind::Quiet
        };
        world.live(kind);
    }
    if !world.is_over() {
        world.live(Kind::Peace);
    }
    faults::schedule(None);
    hooks::set(None);
    let mut book = lock(&world.book);
    Run {
        digest: book.trace.digest,
        steps: book.trace.steps,
        attempts: book.attempts,
        broken: book
            .broken
            .take()
            .map(|promise| (promise, book.trace.text())),
    }
}

/// Faults in their time, with the steps that they hit by chance.
fn schedule(world: &World, mut chance: Chance) -> Box<dyn FnMut(&'static str) -> Option<Trouble>> {
    let (trying, book) = (world.trying.clone(), world.book.clone());
    Box::new(move |step| {
        let trying = *trying.lock().unwrap();
        if trying.in_thousand == 0 {
            return None;
        }
        // The book may be in use by who looks at the log; then nothing fails.
        let mut book = book.try_lock().ok()?;
        let now_ms = book.mono_ms();
        if now_ms >= trying.until_ms || !chance.in_thousand(trying.in_thousand) {
            return None;
        }
        book.disturbed_ms = now_ms;
        if step == "read due deliveries" {
            book.read_failed();
        }
        let trouble = *chance.of(&[Trouble::Busy, Trouble::Full, Trouble::Disk]);
        book.note(&format!("fault: {step}: {trouble:?}"));
        Some(trouble)
    })
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let at = |name| folder.path().join(name);
        let files = Files {
            outbox: at("outbox.db"),
            log: at("log.db"),
            copy: at("copy.db"),
            _folder: folder,
        };
        create_if_missing(&files.outbox).unwrap();
        let book = Book::new(Chance::new(seed, 4));
        Self {
            subscriptions: Subscriptions::any(&mut chance),
            scale: *chance.of(&[1, 16, 64, 128, 256, 512]),
            chance,
            files,
            book: Arc::new(Mutex::new(book)),
            trying: Arc::default(),
            application: None,
            copied: None,
            wall_ms: START_MS,
            numbers: 0,
            reload: false,
        }
    }

    fn is_over(&self) -> bool {
        lock(&self.book).broken.is_some()
    }

    /// One life, from its start to its end, and the time until the next.
    fn live(&mut self, kind: Kind) {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let crash = Arc::new(Notify::new());
        let dies = kind != Kind::Peace && self.chance.in_thousand(300);
        let crash_in = dies.then(|| self.chance.from(1, 400));
        if self.chance.in_thousand(100) {
            // The last who closes a log copies its WAL into it.
            lock(&self.book).person = None;
        }
        hooks::with(|hooks| (hooks.crash_in, hooks.crash) = (crash_in, crash.clone()));
        runtime.block_on(async {
            let clock = Clock::follow_tokio(self.wall_ms);
            {
                let mut book = lock(&self.book);
                book.life += 1;
                book.clock = Some((clock.clone(), Instant::now()));
                book.note(&format!("begins: {kind:?}, crash in {crash_in:?}"));
            }
            let orderly = tokio::select! {
                biased;
                () = crash.notified() => false,
                orderly = self.act(kind, &clock) => orderly,
            };
            self.wall_ms = clock.now_ms();
            let mut book = lock(&self.book);
            book.note(if orderly { "stopped" } else { "crashed" });
            book.died(orderly);
        });
        drop(runtime);
        let away_ms = match self.chance.from(0, 9) {
            0 => self.chance.from(0, 12 * 3_600_000),
            1..=3 => self.chance.from(0, 600_000),
            _ => self.chance.from(0, 2_000),
        };
        let away_ms = i64::try_from(away_ms).unwrap();
        lock(&self.book).before_ms += away_ms;
        self.wall_ms += away_ms;
        if kind != Kind::Peace && self.chance.in_thousand(80) {
            self.restore();
        }
    }

    /// How often the loops look around. Not every second in quiet hours, for nothing is new then.
    fn pace(&mut self, kind: Kind) -> Pace {
        let (poll_ms, durable_ms, marks_ms) = match kind {
            Kind::Busy => (*self.chance.of(&[500, 2_000, 5_000]), 1_000, HOUR_MS),
            Kind::Quiet => (
                *self.chance.of(&[900_000, 1_800_000]),
                *self.chance.of(&[1_000, 60_000]),
                *self.chance.of(&[HOUR_MS, 4 * HOUR_MS]),
            ),
            Kind::Peace => (1_800_000, 60_000, 4 * HOUR_MS),
        };
        let span = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Pace {
            poll: span(poll_ms),
            durable: span(durable_ms),
            marks: span(marks_ms),
        }
    }

    /// What happens in a life. Whether it ended in order.
    async fn act(&mut self, kind: Kind, clock: &Clock) -> bool {
        let pace = self.pace(kind);
        if kind == Kind::Peace {
            self.make_peace();
        }
        let started = Life::start(&self.files, &self.book, clock, &self.subscriptions, pace).await;
        let mut life = match started {
            Ok(life) => life,
            Err(error) => {
                lock(&self.book).note(&format!("does not start: {error}"));
                return false;
            }
        };
        self.reload = false;
        let begun_ms = lock(&self.book).mono_ms();
        let lasts = match kind {
            Kind::Busy => self.chance.from(20_000, 200_000),
            Kind::Quiet => self.chance.from(6 * 3_600_000, 48 * 3_600_000),
            Kind::Peace => u64::try_from(PEACE_MS).unwrap(),
        };
        let until_ms = begun_ms + i64::try_from(lasts).unwrap();
        while !self.is_over() && lock(&self.book).mono_ms() < until_ms && !life.refused() {
            let wait_ms = match kind {
                Kind::Busy => self.chance.from(0, 20_000),
                Kind::Quiet => self.chance.from(0, 4 * 3_600_000),
                Kind::Peace => 1_800_000,
            };
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            life.check();
            if kind == Kind::Peace {
                if lock(&self.book).person().pending().is_empty() {
                    break;
                }
            } else {
                self.happen(&mut life, clock, kind).await;
                life.check();
            }
        }
        if kind == Kind::Peace {
            self.look_at_the_end();
        }
        if self.chance.in_thousand(400) && kind != Kind::Peace {
            return false;
        }
        life.stop().await
    }

    /// Faults end; endpoints answer or are dead for good.
    fn make_peace(&mut self) {
        self.trying.lock().unwrap().in_thousand = 0;
        let mut book = lock(&self.book);
        book.note("peace");
        for n in 1..10 {
            let mood =
                *self
                    .chance
                    .of(&[Mood::Healthy, Mood::Healthy, Mood::Refusing, Mood::Silent]);
            book.moods.insert(format!("w{n}"), mood);
        }
    }

    /// One thing happens.
    async fn happen(&mut self, life: &mut Life, clock: &Clock, kind: Kind) {
        match self.chance.from(0, 99) {
            0..=39 => self.write(clock, 5),
            40 | 41 => self.write(clock, 40),
            42..=44 => self.write_bad(clock),
            45..=61 => {
                let name = format!("w{}", self.chance.from(1, 7));
                let mood = Mood::any(&mut self.chance);
                let mut book = lock(&self.book);
                book.note(&format!("{name} is {mood:?}"));
                book.moods.insert(name, mood);
            }
            62..=69 => {
                self.subscriptions.edit(&mut self.chance);
                self.reload(life).await;
            }
            70..=77 => self.redeliver(clock),
            78 | 79 => self.step_clock(clock),
            80..=85 => self.try_the_log(kind),
            86 => self.copy(),
            87 if self.chance.in_thousand(300) => self.restore(),
            _ if self.reload => self.reload(life).await,
            _ => {}
        }
        life.line.look.notify_one();
    }

    fn write(&mut self, clock: &Clock, most: usize) {
        let count = self.chance.size(1, most);
        let mut events = Vec::with_capacity(count);
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            self.numbers += 1;
            let number = self.numbers;
            let padding = match self.chance.from(0, 19) {
                0 => self.chance.size(0, 3_500),
                _ => self.chance.size(0, 60),
            };
            let event = *self.chance.of(&EVENTS);
            let tenant = self
                .chance
                .in_thousand(300)
                .then(|| *self.chance.of(&TENANTS));
            events.push(NewEvent {
                event: event.into(),
                data: format!("{{\"n\":{number},\"p\":\"{}\"}}", "x".repeat(padding)),
                time_ms: Some(clock.now_ms().max(0)),
                tenant: tenant.map(Into::into),
                key: None,
            });
            rows.push(OutboxRow {
                number,
                event: event.into(),
                tenant: tenant.map(Into::into),
                bad: false,
            });
        }
        let path = &self.files.outbox;
        let application = self
            .application
            .get_or_insert_with(|| Appender::open(path, MAX_DATA_BYTES).unwrap());
        let appended = application.append(&events).unwrap();
        let mut book = lock(&self.book);
        for (answer, row) in appended.into_iter().zip(rows) {
            let Appended::New(id) = answer else {
                panic!("{answer:?}");
            };
            book.wrote(id, row);
        }
        book.note(&format!("wrote {count}"));
    }

    fn write_bad(&mut self, clock: &Clock) {
        self.numbers += 1;
        let data = match self.chance.from(0, 2) {
            0 => "{".to_owned(),
            1 => format!("\"{}\"", "x".repeat(MAX_DATA_BYTES)),
            _ => format!("{}{}", "[".repeat(1_200), "]".repeat(1_200)),
        };
        let event = *self.chance.of(&EVENTS);
        let id = application::write_unchecked(&self.files.outbox, event, &data, clock.now_ms());
        let row = OutboxRow {
            number: self.numbers,
            event: event.into(),
            tenant: None,
            bad: true,
        };
        let mut book = lock(&self.book);
        book.wrote(id, row);
        book.note(&format!("wrote {id}, which can't be sent"));
    }

    async fn reload(&mut self, life: &Life) {
        let directed = life.direct(&self.subscriptions, &self.files).await;
        self.reload = directed.is_err();
        if let Err(error) = directed {
            lock(&self.book).note(&format!("not reloaded: {error}"));
        }
    }

    fn redeliver(&mut self, clock: &Clock) {
        let mut book = lock(&self.book);
        book.observe();
        let ended: Vec<i64> = (book.sent.iter())
            .filter(|(_, sent)| !sent.in_flight)
            .map(|(id, _)| *id)
            .collect();
        if ended.is_empty() {
            return;
        }
        for _ in 0..self.chance.from(1, 10) {
            let id = *self.chance.of(&ended);
            let state = book.person().delivery(id).map(|row| row.state);
            if state.is_none_or(|state| state == "pending") {
                continue;
            }
            let made = book.person.as_mut().unwrap().redeliver(id, clock.now_ms());
            book.note(&format!("redeliver {id} as {made}"));
            book.observe();
            book.same_bytes(id, made);
        }
    }

    fn step_clock(&mut self, clock: &Clock) {
        let most = *self.chance.of(&[MINUTE_MS, HOUR_MS, DAY_MS]);
        let by_ms =
            i64::try_from(self.chance.from(0, u64::try_from(2 * most).unwrap())).unwrap() - most;
        let mut book = lock(&self.book);
        book.observe();
        clock.step(by_ms);
        book.forward_ms += by_ms.max(0);
        book.disturbed_ms = book.mono_ms();
        book.note(&format!("the clock steps by {by_ms}"));
    }

    fn try_the_log(&mut self, kind: Kind) {
        let lasts = match kind {
            Kind::Quiet => self.chance.from(1_000, 7_200_000),
            Kind::Busy | Kind::Peace => self.chance.from(100, 60_000),
        };
        let in_thousand = *self.chance.of(&[20, 100, 300, 700, 1_000]);
        let mut book = lock(&self.book);
        book.note(&format!(
            "the log fails {in_thousand} of 1,000 for {lasts} ms"
        ));
        let until_ms = book.mono_ms() + i64::try_from(lasts).unwrap();
        *self.trying.lock().unwrap() = Trying {
            until_ms,
            in_thousand,
        };
    }

    /// Somebody backs the outbox up.
    fn copy(&mut self) {
        drop(std::fs::remove_file(&self.files.copy));
        application::back_up(&self.files.outbox, &self.files.copy);
        let mut book = lock(&self.book);
        self.copied = Some(book.rows.clone());
        book.note("the outbox is copied");
    }

    /// And puts the copy back.
    fn restore(&mut self) {
        let Some(rows) = self.copied.take() else {
            return;
        };
        self.application = None;
        application::restore(&self.files.outbox, &self.files.copy);
        let mut book = lock(&self.book);
        book.restored(rows);
        book.note("the outbox is put back");
    }

    /// At the end nothing is pending, and everything came to its end.
    fn look_at_the_end(&self) {
        let mut book = lock(&self.book);
        book.observe();
        if let Some(row) = book.person().pending().pop() {
            book.broke(&format!("at the end {row:?} is still pending"));
        }
        let after = book.person().cursor().map_or(0, |(_, id)| id);
        let left = application::ids_after(&self.files.outbox, after);
        let untaken = book.untaken.len();
        if !left.is_empty() || untaken > 0 {
            book.broke(&format!(
                "{untaken} rows were never taken, the cursor is at {after}, and behind it are {left:?}"
            ));
        }
        book.look_at_every_delivery();
    }
}
