//! Weeks in which webhooks are paused: by order and by SQL, for a while and until somebody resumes them.
//!
//! Only in [`WEEKS`] and where webhooks ask to be told of pauses: all others are what they were. Chance is a stream of its own. The oracle holds that no
//! attempt of a paused webhook begins, nor anything of it is in memory: at once after an order and after a
//! start, and a poll after a row by SQL; and that what waited is sent once the pause is over. In half of these
//! weeks webhooks pause themselves, and are tried no sooner than the log says.

use std::ops::Range;

use super::super::oracle::Oracle;
use super::super::own;
use super::super::process::{Process, lock};
use super::super::rng::Rng;
use super::{DAY_MS, HOUR_MS, Kind, MINUTE_MS, World};
use crate::model::Clock;
use crate::pipeline::OrderError;

/// The seeds of such weeks.
pub(in super::super) const WEEKS: Range<u64> = 8_000_000_000..14_000_000_000;

/// The reads that there are for pauses alone.
pub(super) const READS: [&str; 3] = [
    "read which webhooks fail",
    "look for pauses that are over",
    "read which webhooks are paused",
];

/// Whether that week is one of them, or its webhooks ask to be told of pauses.
pub(in super::super) fn is_such(seed: u64) -> bool {
    WEEKS.contains(&seed) || own::is_such(seed)
}

/// The chance of such a week.
pub(super) fn rng(seed: u64) -> Option<Rng> {
    is_such(seed).then(|| Rng::new(seed, 12))
}

/// After how many milliseconds webhooks pause themselves in such a week.
pub(super) fn auto_pause_ms(seed: u64) -> Option<i64> {
    let is_such = is_such(seed) && seed % 2 == 1;
    is_such.then(|| *Rng::new(seed, 13).of(&[1_000, MINUTE_MS, HOUR_MS, DAY_MS]))
}

/// Since when a pause stands by monotonic time, and how long after that, and after the last trouble of the
/// log, it is heeded.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Standing {
    since_ms: i64,
    late_ms: i64,
}

enum Deed {
    Order,
    Sql,
    ResumeByOrder,
    ResumeBySql,
}

impl World {
    /// A life begins: it heeds every row. In peace there is none.
    pub(super) fn begin_pauses(&self, kind: Kind) {
        let mut oracle = lock(&self.oracle);
        if kind == Kind::Peace {
            oracle.person().resume_all();
        }
        oracle.heeds_all();
    }

    /// Sometimes somebody pauses a webhook, or resumes one.
    pub(super) async fn hold_back(&mut self, process: &Process, clock: &Clock) {
        let Some((name, deed, for_ms)) = self.pausing.as_mut().and_then(draw) else {
            return;
        };
        match deed {
            Deed::Order => {
                let paused = process.dispatch.pause_webhook(&name, for_ms).await;
                let mut oracle = lock(&self.oracle);
                oracle.note(&format!("pause {name} for {for_ms:?}: {paused:?}"));
                if paused.is_ok() {
                    oracle.holds_back(&name, 0);
                }
            }
            Deed::Sql => {
                let now_ms = clock.now_ms();
                let until_ms = for_ms.map(|ms| now_ms + ms);
                let mut oracle = lock(&self.oracle);
                let stood = oracle.is_standing(&name);
                let paused = oracle.person().pause(&name, now_ms, until_ms);
                oracle.note(&format!("SQL pauses {name} for {for_ms:?}: {paused}"));
                if paused {
                    oracle.count("pauses by SQL");
                }
                if paused && !stood {
                    oracle.holds_back(&name, process.late_ms());
                }
            }
            Deed::ResumeByOrder => {
                lock(&self.oracle).held.remove(&name);
                let resumed = process.dispatch.resume_webhook(&name).await;
                let mut oracle = lock(&self.oracle);
                oracle.note(&format!("resume {name}: {resumed:?}"));
                if matches!(resumed, Err(OrderError::Store(_))) {
                    // What the log did not take has changed nothing; by then somebody else may have.
                    oracle.disturbed_ms = oracle.mono_ms();
                }
            }
            Deed::ResumeBySql => {
                let mut oracle = lock(&self.oracle);
                oracle.held.remove(&name);
                let resumed = oracle.person().resume(&name);
                oracle.note(&format!("SQL resumes {name}: {resumed}"));
            }
        }
    }
}

fn draw(rng: &mut Rng) -> Option<(String, Deed, Option<i64>)> {
    if !rng.in_thousand(200) {
        return None;
    }
    let name = format!("w{}", rng.from(1, 7));
    let most_ms = *rng.of(&[2_000, MINUTE_MS, HOUR_MS, DAY_MS]);
    let for_ms = i64::try_from(rng.from(1, most_ms.unsigned_abs())).unwrap();
    let for_ms = rng.in_thousand(600).then_some(for_ms);
    let deed = match rng.from(0, 5) {
        0 | 1 => Deed::Order,
        2 | 3 => Deed::Sql,
        4 => Deed::ResumeByOrder,
        _ => Deed::ResumeBySql,
    };
    Some((name, deed, for_ms))
}

impl Oracle {
    /// That webhook is paused, which is heeded so long after now.
    fn holds_back(&mut self, name: &str, late_ms: i64) {
        let since_ms = self.mono_ms();
        self.held
            .insert(name.to_owned(), Standing { since_ms, late_ms });
    }

    /// A start heeds every row from its begin.
    fn heeds_all(&mut self) {
        self.held.clear();
        for (name, (_, next_ms)) in self.person().paused() {
            if next_ms.is_none() {
                self.holds_back(&name, 0);
            }
        }
    }

    /// Whether a pause that is known of stands in the log yet, and is not over.
    fn is_standing(&self, name: &str) -> bool {
        let now_ms = self.clock.as_ref().map_or(0, |(clock, _)| clock.now_ms());
        self.held.contains_key(name)
            && (self.person().paused().get(name)).is_some_and(|(until_ms, next_ms)| {
                next_ms.is_none() && until_ms.is_none_or(|until_ms| until_ms > now_ms)
            })
    }

    /// An attempt of a delivery to that webhook begins: it is not paused, or is to be tried.
    pub(in super::super) fn may_begin(&mut self, id: i64, to: &str) {
        if self.has_pauses && self.is_tried_too_soon(to) {
            self.broke(&format!("delivery {id} is sent, and {to} paused itself"));
        }
        if self.is_held(to) {
            self.broke(&format!("delivery {id} is sent while {to} is paused"));
        }
    }

    /// Whether that webhook has paused itself, and the time of the next try has not come. What a clock that was
    /// set has made of that time is left out.
    fn is_tried_too_soon(&mut self, name: &str) -> bool {
        let paused = self.person().paused();
        let Some((_, Some(next_ms))) = paused.get(name).copied() else {
            return false;
        };
        self.count("tries of webhooks that paused themselves");
        let now_ms = self.clock.as_ref().map_or(0, |(clock, _)| clock.now_ms());
        let trusted_ms = self.set_until_ms.max(self.disturbed_ms + HOUR_MS);
        let is_set = self.mono_ms() < trusted_ms;
        !is_set && now_ms < next_ms
    }

    /// Whether that webhook may begin nothing.
    pub(in super::super) fn is_held(&self, name: &str) -> bool {
        let Some(held) = self.held.get(name) else {
            return false;
        };
        let since_ms = match held.late_ms {
            0 => held.since_ms,
            _ => held.since_ms.max(self.disturbed_ms),
        };
        since_ms + held.late_ms <= self.mono_ms() && self.is_standing(name)
    }
}
