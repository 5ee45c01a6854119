//! The pipeline simulated: real intake, dispatch, store and verdicts in an invented world.
//!
//! One seed is one run, a week long: the same seed gives the same run to the last step. Time is
//! tokio's paused time on one thread, and the databases are real files in memory. On failure the
//! seed and the last steps are printed; `WEBHOOKSD_SIM_SEED=N WEBHOOKSD_SIM_SEEDS=1` runs it again,
//! and a larger `WEBHOOKSD_SIM_SEEDS` runs overnight.
//!
//! Left out: the thread that follows the outbox, with its inotify; sockets; power cuts, which take
//! back what was committed; and races of threads, for there is only one.

mod book;
mod chance;
mod endpoints;
mod follower;
mod hooks;
mod life;
mod rows;
mod subscriptions;
mod trace;
mod vendors;
mod world;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub(crate) use hooks::{blocking, sending, within};

/// Seeds of a run that says nothing else.
const SEEDS: u64 = 150;

fn number(name: &str, or: u64) -> u64 {
    env::var(name).map_or(or, |text| text.parse().unwrap())
}

#[test]
fn every_seed_keeps_the_promises() {
    let (first, seeds) = (
        number("WEBHOOKSD_SIM_SEED", 1),
        number("WEBHOOKSD_SIM_SEEDS", SEEDS),
    );
    let (next, steps, attempts) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let broken = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while broken.lock().unwrap().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let found = match std::panic::catch_unwind(|| world::run(seed)) {
                        Ok(run) => {
                            steps.fetch_add(run.steps, Ordering::Relaxed);
                            attempts.fetch_add(run.attempts, Ordering::Relaxed);
                            run.broken
                        }
                        Err(_) => Some(("the run panicked".into(), String::new())),
                    };
                    if let Some((promise, trace)) = found {
                        broken.lock().unwrap().push((seed, promise, trace));
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    if let Some((seed, promise, trace)) = broken.first() {
        panic!(
            "{trace}\n\nseed {seed}: {promise}\nagain: WEBHOOKSD_SIM_SEED={seed} WEBHOOKSD_SIM_SEEDS=1"
        );
    }
    assert!(
        steps.into_inner() > seeds && attempts.into_inner() > seeds,
        "hardly anything happened"
    );
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
