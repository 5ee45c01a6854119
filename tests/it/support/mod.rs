//! What the tests share: a world to run the daemon in, receivers, and waiting with a bound.
//!
//! Deliberately without assertions about the product: those stand in the tests. The only sleep of
//! the crate is here, inside the polling, so that no test waits for a time instead of a condition.

mod daemon;
mod gate;
mod need;
mod postgres;
mod receiver;
mod request;
mod room;
mod shim;
mod sign;
mod small;
mod sqlite;
mod tls;
mod world;

use std::time::{Duration, Instant};

pub(crate) use daemon::{Daemon, Finished};
pub(crate) use gate::Gate;
pub(crate) use need::{missing, need};
pub(crate) use postgres::{Database, Postgres, postgres};
pub(crate) use receiver::{Answer, Receiver, bound_port, own_address};
pub(crate) use request::Received;
pub(crate) use shim::shim;
pub(crate) use sign::{base64, hmac_hex, openssl_hmac_hex};
pub(crate) use small::{fill, small};
pub(crate) use sqlite::{application, sqlite, sqlite_behind, sqlite_readonly_behind};
pub(crate) use tls::{Acceptor, Authority};
pub(crate) use world::{Hook, World, hook, insert};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long things may take that take milliseconds on an idle machine; the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Waits until `condition` holds, and returns its value; fails with the last reason it gave.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    let start = now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(last) if start.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; last seen: {last}")
            }
            Err(_) => nap(POLL),
        }
    }
}

/// Holds that `condition` is true all through `span`: for things that must not happen.
#[track_caller]
pub(crate) fn stays(what: &str, span: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let start = now();
    while start.elapsed() < span {
        if let Err(seen) = condition() {
            panic!("{what}: broken after {:?}: {seen}", start.elapsed());
        }
        nap(POLL);
    }
}

/// `Ok` where `holds`, otherwise the reason: for conditions.
pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The monotonic time.
#[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// UNIX milliseconds now.
#[expect(clippy::disallowed_methods, reason = "the tests run in real time")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// Lets time pass: for load at a rate, slow endpoints and the polling above, not for waiting.
#[expect(clippy::disallowed_methods, reason = "the one sleep of the crate")]
pub(crate) fn nap(span: Duration) {
    std::thread::sleep(span);
}

/// Small, seeded randomness (splitmix64): a run can be repeated from the seed it printed.
pub(crate) struct Chance(u64);

impl Chance {
    /// Seeded by `WEBHOOKSD_TEST_SEED`, or by the time; prints which.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("WEBHOOKSD_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| u64::try_from(now_ms()).unwrap());
        println!("WEBHOOKSD_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another source, given by this one, for another thread.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The value at the `hundredths` of the sorted spans, in milliseconds with three places.
pub(crate) fn percentile(spans: &mut [Duration], hundredths: usize) -> f64 {
    spans.sort_unstable();
    let at = (spans.len() * hundredths / 100).min(spans.len() - 1);
    spans[at].as_secs_f64() * 1e3
}
