//! Names to addresses, by the machine's own rules and without one name's trouble being another's.
//!
//! `getaddrinfo` is asked, for nsswitch, mDNS and the intranet work there as for every other program;
//! it blocks, so it runs on threads of our own: at most [`THREADS`], each going on with the names that
//! wait. One look-up per name at a time is shared by all who ask. Answers are kept for [`FRESH`]; an
//! older one is used where asking again fails or takes longer than [`PATIENCE`]. The runtime's pool for
//! blocking work is not used: it panics where no thread can be had, and its end waits for look-ups.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::{Trouble, is_ours, machine_is_out};
use crate::model::{Class, Clock, Fault};

/// Look-ups at a time. Each is a thread that may hang for half a minute.
const THREADS: usize = 16;
/// glibc's resolver and its plug-ins use some 100 KiB; pages that are not touched cost nothing.
const STACK_BYTES: usize = 1024 * 1024;
/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(30);
/// How long an old answer is used after asking again failed, before the next try.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a look-up may take before those who have an old answer use that.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an old answer may be used at all (RFC 8767 suggests one to three days).
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Names that are kept; an installation has one for each endpoint.
const NAMES: usize = 1024;
/// Addresses that are kept of a name: more than anybody connects to in three seconds.
const ADDRESSES: usize = 16;

/// A name's addresses, in the order to try them in.
pub(super) type Addresses = Arc<[IpAddr]>;

/// What asks the system for a name. Scripted in tests.
pub(super) type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Why a name has no addresses.
#[derive(Clone, Debug)]
struct Unresolved {
    text: String,
    /// Whether it was our machine that failed.
    ours: bool,
}

type Outcome = Result<Addresses, Unresolved>;

/// The shared resolver.
pub(super) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    look_up: Box<LookUp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<Arc<str>, Entry>,
    waiting: VecDeque<Arc<str>>,
    threads: usize,
}

#[derive(Default)]
struct Entry {
    known: Option<Known>,
    flight: Option<Flight>,
}

struct Known {
    addresses: Addresses,
    found_at: Instant,
    fresh_until: Instant,
}

/// A look-up that is under way or waits for a thread.
struct Flight {
    started_at: Instant,
    landed: watch::Sender<Option<Outcome>>,
}

/// What a caller has to do after a look at the cache.
enum Step {
    Done(Addresses),
    Wait {
        landed: watch::Receiver<Option<Outcome>>,
        /// The old answer, and from when it may be used.
        stale: Option<(Addresses, Instant)>,
    },
}

impl Resolver {
    /// Asks the system.
    pub(super) fn system(clock: Clock) -> Self {
        Self::new(clock, Box::new(ask_system))
    }

    pub(super) fn new(clock: Clock, look_up: Box<LookUp>) -> Self {
        let state = Mutex::default();
        let shared = Arc::new(Shared {
            clock,
            look_up,
            state,
        });
        Self { shared }
    }

    /// The addresses of a name, never none. Dropping the future leaves the look-up to the others
    /// who wait for it.
    pub(super) async fn resolve(&self, name: &str) -> Result<Addresses, Trouble> {
        match self.step(name)? {
            Step::Done(addresses) => Ok(addresses),
            Step::Wait { landed, stale } => {
                let (old, outcome) = match stale {
                    None => (None, land(landed).await),
                    Some((old, from)) => match timeout_at(from, land(landed)).await {
                        Ok(outcome) => (Some(old), outcome),
                        Err(_elapsed) => return Ok(old),
                    },
                };
                match (outcome, old) {
                    (Ok(addresses), _) | (Err(_), Some(addresses)) => Ok(addresses),
                    (Err(why), None) if why.ours => Err(Trouble::Machine(Fault(why.text))),
                    (Err(why), None) => Err(Trouble::new(
                        Class::Name,
                        format!("the name \"{name}\" does not resolve: {}", why.text),
                    )),
                }
            }
        }
    }

    fn step(&self, name: &str) -> Result<Step, Fault> {
        let now = self.shared.clock.instant();
        let mut state = self.shared.state();
        let entry = state.names.get(name);
        let known = entry.and_then(|e| e.known.as_ref());
        let known = known.filter(|known| now < known.found_at + STALE);
        if let Some(known) = known.filter(|known| now < known.fresh_until) {
            return Ok(Step::Done(Arc::clone(&known.addresses)));
        }
        let old = known.map(|known| Arc::clone(&known.addresses));
        let flight = entry.and_then(|e| e.flight.as_ref());
        let (started_at, landed) = match flight {
            Some(flight) => (flight.started_at, flight.landed.subscribe()),
            None => match self.launch(&mut state, name, now) {
                Ok(landed) => (now, landed),
                Err(error) => {
                    let fault = Fault(format!("start a thread to resolve names: {error}"));
                    return old.map(Step::Done).ok_or(fault);
                }
            },
        };
        let stale = old.map(|old| (old, started_at + PATIENCE));
        Ok(Step::Wait { landed, stale })
    }

    /// Queues a look-up, and sees to a thread for it.
    fn launch(
        &self,
        state: &mut State,
        name: &str,
        now: Instant,
    ) -> io::Result<watch::Receiver<Option<Outcome>>> {
        if state.threads < THREADS {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("resolver".into())
                .stack_size(STACK_BYTES)
                .spawn(move || shared.work());
            match thread {
                Ok(_detached) => state.threads += 1,
                // The threads that there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err(error),
            }
        }
        state.make_room();
        let name: Arc<str> = name.into();
        let (sender, receiver) = watch::channel(None);
        state.names.entry(Arc::clone(&name)).or_default().flight = Some(Flight {
            started_at: now,
            landed: sender,
        });
        state.waiting.push_back(name);
        Ok(receiver)
    }
}

async fn land(mut landed: watch::Receiver<Option<Outcome>>) -> Outcome {
    match landed.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        Ok(None) | Err(_) => Err(Unresolved {
            text: "the look-up was given up".into(),
            ours: true,
        }),
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: look-ups until none waits.
    fn work(&self) {
        while let Some(name) = self.next() {
            let outcome = self.ask(&name);
            self.state().land(&name, outcome, self.clock.instant());
        }
    }

    fn next(&self) -> Option<Arc<str>> {
        let mut state = self.state();
        while let Some(name) = state.waiting.pop_front() {
            if state.is_wanted(&name) {
                return Some(name);
            }
        }
        state.threads -= 1;
        None
    }

    fn ask(&self, name: &str) -> Outcome {
        match (self.look_up)(name) {
            Ok(addresses) if addresses.is_empty() => Err(Unresolved {
                text: "it has no address".into(),
                ours: false,
            }),
            Ok(addresses) => Ok(in_turn(addresses).into()),
            Err(error) if is_ours(&error) => Err(Unresolved {
                text: format!("resolve \"{name}\": {error}"),
                ours: true,
            }),
            Err(error) => Err(match machine_is_out() {
                Some(fault) => Unresolved {
                    text: fault.0,
                    ours: true,
                },
                None => Unresolved {
                    text: reason(&error),
                    ours: false,
                },
            }),
        }
    }
}

impl State {
    /// Whether somebody still waits for that look-up, or did with an old answer that it renews;
    /// forgets it otherwise.
    fn is_wanted(&mut self, name: &str) -> bool {
        let Some(entry) = self.names.get_mut(name) else {
            return false;
        };
        let waited_for = entry
            .flight
            .as_ref()
            .is_some_and(|flight| flight.landed.receiver_count() > 0);
        let wanted = waited_for || entry.known.is_some();
        if !wanted {
            self.names.remove(name);
        }
        wanted
    }

    fn land(&mut self, name: &str, outcome: Outcome, now: Instant) {
        let Some(entry) = self.names.get_mut(name) else {
            return;
        };
        let flight = entry.flight.take();
        match &outcome {
            Ok(addresses) => {
                entry.known = Some(Known {
                    addresses: Arc::clone(addresses),
                    found_at: now,
                    fresh_until: now + FRESH,
                });
            }
            Err(_) => match &mut entry.known {
                Some(known) => known.fresh_until = now + PAUSE,
                None => {
                    self.names.remove(name);
                }
            },
        }
        if let Some(flight) = flight {
            flight.landed.send_replace(Some(outcome));
        }
    }

    /// Forgets the oldest answer where there are too many. A look-up under way is not forgotten.
    fn make_room(&mut self) {
        if self.names.len() < NAMES {
            return;
        }
        let oldest = self
            .names
            .iter()
            .filter(|(_, entry)| entry.flight.is_none())
            .min_by_key(|(_, entry)| entry.known.as_ref().map(|known| known.found_at))
            .map(|(name, _)| Arc::clone(name));
        if let Some(name) = oldest {
            self.names.remove(&name);
        }
    }
}

/// Alternates the families, the first one's first (RFC 8305, 4), each address once.
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || turns.len() >= ADDRESSES {
            return turns;
        }
        for address in pair.into_iter().flatten() {
            if !turns.contains(&address) {
                turns.push(address);
            }
        }
    }
}

fn ask_system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|a| a.ip()).collect())
}

/// The resolver's own words, without the sentence that the standard library puts before them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("failed to lookup address information: ") {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

#[cfg(test)]
impl Resolver {
    pub(super) fn names(&self) -> usize {
        self.shared.state().names.len()
    }
}
