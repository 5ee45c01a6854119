//! The pipeline simulated: real intake, dispatch, store and verdicts in an invented world.
//!
//! One seed is one run, a week long: the same seed gives the same run to the last step. Time is
//! tokio's paused time on one thread, and the databases are real files in memory. A run tries seeds
//! that are the same each time, those that once broke a promise, and some that nobody has tried yet.
//! `cargo test` has a few of each kind; a thousand and more of them all take `WEBHOOKSD_SIM_ALL=1`, as `.ci/run` does.
//! On failure the seed and the last steps are printed; `WEBHOOKSD_SIM_SEED=N WEBHOOKSD_SIM_SEEDS=1`
//! runs it again. A million weeks overnight: `CARGO_PROFILE_TEST_OPT_LEVEL=2 WEBHOOKSD_SIM_SEED=5000000000
//! WEBHOOKSD_SIM_SEEDS=1000000 cargo test --lib every_seed`.
//!
//! The promises are looked at after every commit of the product, at the begin and the end of every
//! request, and whenever something happens in the world.
//!
//! Left out: the thread that follows the outbox, with its inotify; sockets; power cuts, which take
//! back what was committed; and races of threads, for there is only one.

mod endpoints;
mod filters;
mod follower;
mod hooks;
mod line;
mod oracle;
mod own;
mod process;
mod rng;
mod rows;
mod states;
mod subscriptions;
mod together;
mod trace;
mod traced;
mod vendors;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Clock;

/// Seeds of a run that says nothing else, and of one of all.
const SEEDS: (u64, u64) = (100, 1_000);

/// Of each of the ranges below a run that says nothing else takes so many: all together are a quarter of an hour of two
/// slow cores, and the whole `cargo test` is to be done within ten minutes.
const OF_EACH: usize = 10;

/// Seeds that broke a promise before the product was mended.
const BROKEN: [u64; 22] = [
    501_426,
    505_427,
    507_578,
    507_889,
    508_298,
    508_605,
    1_831_333_775,
    2_200_001_687,
    2_200_003_180,
    2_200_004_013,
    4_500_000_139,
    4_600_000_678,
    4_600_001_846,
    4_610_014_598,
    4_630_002_278,
    4_630_003_391,
    4_680_000_497,
    18_000_000_071,
    18_000_001_086,
    20_000_000_057,
    20_000_000_234,
    26_000_000_344,
];

/// Seeds that nobody has tried yet, of a run of all; a run that says nothing else takes a tenth.
const FRESH: u64 = 200;

/// They are above all that were ever given by hand.
const FRESH_FROM: u64 = 1_000_000_000;

/// The same each time, of weeks in which ids are given again by the application itself.
const ANEW: std::ops::Range<u64> = 4_500_000_000..4_500_000_100;

/// The same each time, of weeks whose log has little room.
const SMALL: std::ops::Range<u64> = 7_000_000_000..7_000_000_100;

/// Weeks from here on have what those of lower seeds have, but for the pauses, so there are fewer of each: all of them
/// together are most of the tests' time.
///
/// The same each time, of weeks whose log keeps the bodies of what failed alone.
const SPARING: std::ops::Range<u64> = 14_000_000_000..14_000_000_020;

/// The same each time, of weeks in which some webhooks get several events in one POST.
const TOGETHER: std::ops::Range<u64> = 20_000_000_000..20_000_000_040;
/// The same each time, of weeks in which webhooks have a pace.
const PACED: std::ops::Range<u64> = 18_000_000_000..18_000_000_020;
/// The same each time, of weeks in which deliveries are cancelled and webhooks want only some events.
const ASKED: std::ops::Range<u64> = 16_000_000_000..16_000_000_020;
/// The same each time, of weeks in which webhooks are paused.
const PAUSING: std::ops::Range<u64> = 8_000_000_000..8_000_000_040;

/// The same each time, of weeks in which webhooks have an order.
const ORDERED: std::ops::Range<u64> = 22_000_000_000..22_000_000_040;

/// The same each time, of weeks in which webhooks speak Standard Webhooks.
const STANDARD: std::ops::Range<u64> = world::standard::FROM..world::standard::FROM + 8;

/// The same each time, of weeks in which requests tell of a trace.
const TRACED: std::ops::Range<u64> = traced::FROM..traced::FROM + 8;

/// The same each time, of weeks in which more is written than the log has room for.
const HELD: std::ops::Range<u64> = world::held::FROM..world::held::FROM + 8;

/// The same each time, of weeks in which webhooks ask for events of webhooksd itself.
const OWN: std::ops::Range<u64> = own::FROM..own::FROM + 60;

/// All of these.
const RANGES: [std::ops::Range<u64>; 12] = [
    ANEW, SMALL, SPARING, TOGETHER, PACED, ASKED, PAUSING, ORDERED, OWN, STANDARD, TRACED, HELD,
];

fn number(name: &str, or: u64) -> u64 {
    given(name).unwrap_or(or)
}

fn given(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seeds of this run.
fn seeds() -> Vec<u64> {
    let (first, count) = (given("WEBHOOKSD_SIM_SEED"), given("WEBHOOKSD_SIM_SEEDS"));
    let all = env::var_os("WEBHOOKSD_SIM_ALL").is_some();
    let (few, usual, fresh) = match all {
        true => (usize::MAX, SEEDS.1, FRESH),
        false => (OF_EACH, SEEDS.0, FRESH / 10),
    };
    let mut seeds = Vec::new();
    if first.is_none() && count.is_none() {
        // The one source of chance that is the run's own: a hasher's keys.
        let any = RandomState::new().build_hasher().finish() % FRESH_FROM;
        let from = FRESH_FROM + any;
        // Past the capture of a test's output, and before a crash could take it along.
        let again = format!("WEBHOOKSD_SIM_SEED={from} WEBHOOKSD_SIM_SEEDS={fresh}");
        writeln!(std::io::stderr(), "{fresh} fresh weeks, again by {again}").unwrap();
        seeds.extend(BROKEN);
        for kind in RANGES {
            seeds.extend(kind.take(few));
        }
        seeds.extend(from..from + fresh);
    }
    let first = first.unwrap_or(1);
    seeds.extend(first..first + count.unwrap_or(usual));
    seeds
}

/// What many seeds must have seen, or something of the world is broken.
const KINDS: [&str; 29] = [
    "admit events",
    "answers of failure",
    "bad rows",
    "bring deliveries forward",
    "cancel deliveries",
    "clock steps",
    "counters set back",
    "crashes",
    "delete old rows",
    "dripping successes",
    "log busy",
    "log disk fails",
    "log full",
    "make owed deliveries",
    "outboxes put back",
    "own faults",
    "panics",
    "record attempts",
    "redeliveries",
    "refused connections",
    "register webhooks",
    "reloads",
    "resets",
    "rows changed",
    "rows upserted",
    "set the cursor",
    "slow successes",
    "tables rebuilt",
    "time-outs",
];

/// The same of weeks from [`world::anew::FROM`] on.
const ANEW_KINDS: [&str; 2] = ["newest rows given again", "tables refilled"];

/// The same of weeks from [`world::small::FROM`] on.
const SMALL_KINDS: [&str; 1] = ["work deleted early"];

/// The same of weeks from [`world::sparing::FROM`] on.
const SPARING_KINDS: [&str; 1] = ["refused redeliveries"];

/// The same of weeks from [`world::together::FROM`] on.
const TOGETHER_KINDS: [&str; 5] = [
    "arrays",
    "arrays of several",
    "form a batch",
    "named failures",
    "splits",
];

/// The same of weeks from [`world::paced::FROM`] on.
const PACED_KINDS: [&str; 2] = [
    "endpoints that asked to wait",
    "requests that waited for their pace",
];

/// The same of weeks from [`world::asked::FROM`] on.
const ASKED_KINDS: [&str; 2] = ["cancel by order", "events turned away"];

/// The same of [`world::pausing::WEEKS`].
const PAUSING_KINDS: [&str; 4] = [
    "pause a webhook",
    "pauses by SQL",
    "resume webhooks",
    "tries of webhooks that paused themselves",
];

/// The same of weeks from [`world::ordered::FROM`] on.
const ORDERED_KINDS: [&str; 3] = [
    "arrays in order",
    "requests beside what is held",
    "requests in order",
];

/// The same of weeks from [`own::FROM`] on.
const OWN_KINDS: [&str; 6] = [
    "ask for own events",
    "failures told",
    "pauses told",
    "resumptions told",
    "rows set aside told",
    "tell of pauses",
];

/// The same of weeks from [`world::standard::FROM`] on.
const STANDARD_KINDS: [&str; 2] = ["batches as messages", "messages"];

/// The same of weeks from [`traced::FROM`] on.
const TRACED_KINDS: [&str; 3] = ["retries in a trace", "traces", "traces of batches"];

/// The same of weeks from [`world::held::FROM`] on.
const HELD_KINDS: [&str; 1] = ["waits for room"];

/// Seeds from which on all of these happen.
const MANY: u64 = 100;

/// A long run shows its figures after so many seeds.
const SHOWN: u64 = 10_000;

/// What all runs together came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    attempts: u64,
    counts: BTreeMap<&'static str, u64>,
    broken: Option<(u64, String, String)>,
}

impl Sum {
    fn add(&mut self, run: world::Run) {
        self.seeds += 1;
        self.steps += run.steps;
        self.attempts += run.attempts;
        for (what, count) in run.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// The figures, past the capture of a test's output, so that every run shows them.
    fn show(&self, took: Duration) {
        let mut text = format!(
            "simulated {} weeks in {} s: {} steps, {} attempts;",
            self.seeds,
            took.as_secs(),
            self.steps,
            self.attempts
        );
        for (place, (what, count)) in self.counts.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(text, "{comma} {count} {what}").unwrap();
        }
        writeln!(std::io::stderr(), "{text}").unwrap();
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = seeds();
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    let begun = Clock::system().instant();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while sum.lock().broken.is_none() {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&seed) = seeds.get(place) else {
                        break;
                    };
                    let run = catch_unwind(|| world::run(seed));
                    let mut sum = sum.lock();
                    let found = match run {
                        Ok(mut run) => {
                            let broken = run.broken.take();
                            sum.add(run);
                            if sum.seeds.is_multiple_of(SHOWN) {
                                sum.show(begun.elapsed());
                            }
                            broken
                        }
                        Err(_) => Some(("the run panicked".into(), String::new())),
                    };
                    if let Some((promise, trace)) = found {
                        sum.broken.get_or_insert((seed, promise, trace));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner();
    sum.show(begun.elapsed());
    if let Some((seed, promise, trace)) = sum.broken {
        panic!(
            "{trace}\n\nseed {seed}: {promise}\nagain: WEBHOOKSD_SIM_SEED={seed} WEBHOOKSD_SIM_SEEDS=1"
        );
    }
    let weeks = |from: u64| seeds.iter().filter(|seed| **seed >= from).count() as u64;
    let (anew, small) = (weeks(world::anew::FROM), weeks(world::small::FROM));
    let (sparing, asked) = (weeks(world::sparing::FROM), weeks(world::asked::FROM));
    let (paced, together) = (weeks(world::paced::FROM), weeks(world::together::FROM));
    let (ordered, own) = (weeks(world::ordered::FROM), weeks(own::FROM));
    let (standard, traced) = (weeks(world::standard::FROM), weeks(traced::FROM));
    let held = weeks(world::held::FROM);
    let pausing = (seeds.iter()).filter(|seed| world::pausing::is_such(**seed));
    let pausing = pausing.count() as u64;
    let seeds = seeds.len() as u64;
    assert!(
        sum.steps > seeds && sum.attempts > seeds,
        "hardly anything happened"
    );
    let (kinds, anew_kinds) = (KINDS.iter().map(|kind| (kind, seeds)), ANEW_KINDS.iter());
    let lacking: Vec<_> = kinds
        .chain(anew_kinds.map(|kind| (kind, anew)))
        .chain(SMALL_KINDS.iter().map(|kind| (kind, small)))
        .chain(SPARING_KINDS.iter().map(|kind| (kind, sparing)))
        .chain(TOGETHER_KINDS.iter().map(|kind| (kind, together)))
        .chain(PACED_KINDS.iter().map(|kind| (kind, paced)))
        .chain(ASKED_KINDS.iter().map(|kind| (kind, asked)))
        .chain(ORDERED_KINDS.iter().map(|kind| (kind, ordered)))
        .chain(OWN_KINDS.iter().map(|kind| (kind, own)))
        .chain(STANDARD_KINDS.iter().map(|kind| (kind, standard)))
        .chain(TRACED_KINDS.iter().map(|kind| (kind, traced)))
        .chain(HELD_KINDS.iter().map(|kind| (kind, held)))
        .chain(PAUSING_KINDS.iter().map(|kind| (kind, pausing)))
        .filter(|(kind, seeds)| *seeds >= MANY && !sum.counts.contains_key(*kind))
        .collect();
    assert!(lacking.is_empty(), "{lacking:?} never happened");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let first = number("WEBHOOKSD_SIM_SEED", 1);
    for seed in first..first + 10 {
        let (one, again) = (world::run(seed), world::run(seed));
        assert_eq!(
            (one.digest, one.steps),
            (again.digest, again.steps),
            "seed {seed}"
        );
    }
}
