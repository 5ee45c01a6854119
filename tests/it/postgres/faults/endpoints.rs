//! The endpoints of a round: slow by some milliseconds, failing where they are told to, and with a good memory.
//!
//! Each request is noted when all of it is there and again when it is answered, so what was on the wire at any moment can
//! be said afterwards. Left out: what is expected of them (`round`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Answer, Hook, Receiver, hook, nap, now};

/// Webhooks of a round.
pub(super) const HOOKS: usize = 25;

/// Of them, how many have an order; those are first.
pub(super) const ORDERED: usize = 3;

/// 24 bytes.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u";

/// Requests in flight for each of the others.
const LIMIT: usize = 4;

/// Who gets a failure: of the first requests for each event one in so many, of events below a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fails {
    pub(super) one_in: i64,
    pub(super) below: i64,
    /// The same for webhooks with an order, where each failure holds up for 5 s what is behind it: of many, it would not
    /// be over by the end.
    pub(super) below_in_order: i64,
}

impl Fails {
    fn hits(self, webhook: usize, n: i64) -> bool {
        let of = n * 7 + i64::try_from(webhook).unwrap() * 3;
        let below = if webhook < ORDERED {
            self.below_in_order
        } else {
            self.below
        };
        n < below && of.rem_euclid(self.one_in) == 0
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) webhook: usize,
    pub(super) n: i64,
    pub(super) at: Instant,
    pub(super) succeeds: bool,
}

/// What there was to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) arrivals: Vec<Arrival>,
    /// More in flight for a webhook than it may have: when, which, and how many.
    pub(super) above: Vec<(Instant, usize, usize)>,
    in_flight: BTreeMap<usize, usize>,
    came: BTreeSet<(usize, i64)>,
    pub(super) succeeded: BTreeSet<(usize, i64)>,
    /// Of a webhook with an order: what came before something earlier had succeeded, and how far that was.
    pub(super) overtaken: Vec<(usize, i64, i64)>,
    /// The last that came of each.
    newest: BTreeMap<usize, i64>,
}

/// See the module's text.
pub(super) struct Endpoints {
    receiver: Receiver,
    seen: Arc<Mutex<Seen>>,
}

impl Endpoints {
    pub(super) fn start(fails: Fails) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noting = seen.clone();
        let receiver = Receiver::start(move |request| {
            let path = request.lines()[0].split(' ').nth(1).unwrap();
            let webhook = path.trim_start_matches('/').parse().unwrap();
            let n = request.n();
            let succeeds = noting.lock().unwrap().arrive(webhook, n, fails);
            nap(takes(webhook, n));
            noting.lock().unwrap().end(webhook, n, succeeds);
            Answer::status(if succeeds { 200 } else { 500 })
        });
        Self { receiver, seen }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Which of these have not been a success yet.
    pub(super) fn lacking(&self, expected: &[i64]) -> Vec<(usize, i64)> {
        let seen = self.seen.lock().unwrap();
        let all = (0..HOOKS).flat_map(|webhook| expected.iter().map(move |n| (webhook, *n)));
        all.filter(|one| !seen.succeeded.contains(one)).collect()
    }

    /// When the first request came behind that moment.
    pub(super) fn first_behind(&self, moment: Instant) -> Option<Instant> {
        let seen = self.seen.lock().unwrap();
        let behind = seen.arrivals.iter().map(|one| one.at);
        behind.filter(|at| *at > moment).min()
    }

    /// The webhooks of which nothing has come behind that moment; those with an order may wait for what failed.
    pub(super) fn silent_since(&self, moment: Instant) -> Vec<usize> {
        let seen = self.seen.lock().unwrap();
        let behind = seen.arrivals.iter().filter(|one| one.at > moment);
        let came: BTreeSet<usize> = behind.map(|one| one.webhook).collect();
        (ORDERED..HOOKS).filter(|of| !came.contains(of)).collect()
    }

    pub(super) fn hooks(&self) -> Vec<Hook> {
        let hook = |n: usize| {
            let hook = hook(&format!("w{n}"), self.receiver.url(&format!("/{n}")));
            let hook = hook.dialect("standard-webhooks").secret(SECRET);
            if n < ORDERED {
                hook.line("in_order = true")
            } else {
                hook.line(format!("max_in_flight = {LIMIT}"))
            }
        };
        (0..HOOKS).map(hook).collect()
    }
}

/// 5 to 45 ms; a third of that where one goes after the other.
fn takes(webhook: usize, n: i64) -> Duration {
    let ms = 5 + (n.unsigned_abs() * 13 + webhook as u64 * 29) % 41;
    Duration::from_millis(if webhook < ORDERED { ms / 3 } else { ms })
}

impl Seen {
    /// Whether it is answered with success.
    fn arrive(&mut self, webhook: usize, n: i64, fails: Fails) -> bool {
        let at = now();
        let is_first = self.came.insert((webhook, n));
        let succeeds = !(is_first && fails.hits(webhook, n));
        self.arrivals.push(Arrival {
            webhook,
            n,
            at,
            succeeds,
        });
        let in_flight = self.in_flight.entry(webhook).or_default();
        *in_flight += 1;
        let limit = if webhook < ORDERED { 1 } else { LIMIT };
        if *in_flight > limit {
            self.above.push((at, webhook, *in_flight));
        }
        if webhook < ORDERED && is_first {
            let before = self.newest.insert(webhook, n);
            if let Some(before) =
                before.filter(|before| *before > n || !self.succeeded.contains(&(webhook, *before)))
            {
                self.overtaken.push((webhook, n, before));
            }
        }
        succeeds
    }

    fn end(&mut self, webhook: usize, n: i64, succeeds: bool) {
        *self.in_flight.get_mut(&webhook).unwrap() -= 1;
        if succeeds {
            self.succeeded.insert((webhook, n));
        }
    }

    /// Requests that nobody would have missed, of these events: more than one success, or than a failure and one.
    pub(super) fn twice(&self, expected: &BTreeSet<i64>) -> usize {
        let mut came: BTreeMap<(usize, i64), (usize, usize)> = BTreeMap::new();
        for one in self.arrivals.iter().filter(|one| expected.contains(&one.n)) {
            let (successes, failures) = came.entry((one.webhook, one.n)).or_default();
            *(if one.succeeds { successes } else { failures }) += 1;
        }
        let of = |(successes, failures): &(usize, usize)| {
            successes.saturating_sub(1) + failures.saturating_sub(1)
        };
        came.values().map(of).sum()
    }

    /// Requests that came in a span.
    pub(super) fn between(&self, from: Instant, to: Instant) -> usize {
        let all = self.arrivals.iter();
        all.filter(|one| one.at >= from && one.at <= to).count()
    }
}
