//! Names to addresses, by the machine's own rules and without one name's trouble being another's.
//!
//! `getaddrinfo` is asked, for nsswitch, mDNS and the intranet work there as for every other program;
//! it blocks, so it runs on threads of our own: at most [`THREADS`], each going on with the names that
//! wait. One look-up per name at a time is shared by all who ask. Answers are kept for [`FRESH`]; an
//! older one is used where asking again fails or takes longer than [`PATIENCE`], but not where the
//! answer is that there is no such name. The runtime's pool for blocking work is not used: it panics
//! where no thread can be had, and its end waits for look-ups.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::{AttemptError, is_ours, machine_is_out};
use super::look_up::{LookUp, LookUpError, ask_system, in_turn, reason};
use super::standing::Standing;
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

/// A name's addresses, in the order to try them in. Their port is 0.
pub(super) type Addresses = Arc<[SocketAddr]>;

/// Why a name has no addresses.
#[derive(Clone, Debug)]
struct Unresolved {
    text: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The answer is that it has none.
    NoSuchName,
    /// The look-up failed: an older answer may still be right.
    Failed,
    /// The same, by our own machine's fault.
    Ours,
}

/// What is known of a name, without waiting for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Current {
    /// Its addresses, as they were found last.
    Addresses(Addresses),
    /// It was there, and is no more.
    NoSuchName,
    /// Nothing.
    Unknown,
}

type Outcome = Result<Addresses, Unresolved>;

/// The shared resolver.
#[derive(Clone)]
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
    /// The last look-up said that there is no such name.
    is_gone: bool,
    standing: Standing,
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
    pub(super) async fn resolve(&self, name: &str) -> Result<Addresses, AttemptError> {
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
                let why = match outcome {
                    Ok(addresses) => return Ok(addresses),
                    Err(why) => why,
                };
                match (why.cause, old) {
                    (Cause::Failed | Cause::Ours, Some(old)) => Ok(old),
                    (Cause::Ours, None) => Err(AttemptError::Local(Fault(why.text))),
                    (Cause::Failed, None) | (Cause::NoSuchName, _) => {
                        Err(AttemptError::new(Class::Name, unresolved(name, &why)))
                    }
                }
            }
        }
    }

    /// What is known of a name. Where that is old, it is asked for again meanwhile.
    pub(super) fn current(&self, name: &str) -> Current {
        let now = self.shared.clock.instant();
        let mut state = self.shared.state();
        let Some(entry) = state.names.get(name) else {
            return Current::Unknown;
        };
        let Some(known) = &entry.known else {
            return if entry.is_gone {
                Current::NoSuchName
            } else {
                Current::Unknown
            };
        };
        let addresses = Arc::clone(&known.addresses);
        if now >= known.fresh_until && entry.flight.is_none() {
            // Without a thread for it the next one who asks tries again.
            drop(self.launch(&mut state, name, now));
        }
        Current::Addresses(addresses)
    }

    /// Takes note of whether an address of a name answered, once it was connected to.
    pub(super) fn note(&self, name: &str, mut address: SocketAddr, answered: bool) {
        address.set_port(0);
        let now = self.shared.clock.instant();
        let mut state = self.shared.state();
        if let Some(entry) = state.names.get_mut(name) {
            entry.standing.note(address, answered, now);
            if let Some(known) = &mut entry.known {
                let mut addresses = known.addresses.to_vec();
                entry.standing.order(&mut addresses, now);
                known.addresses = addresses.into();
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
        if !state.names.contains_key(name) {
            state.make_room();
        }
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

/// Why a name has no addresses, in words.
fn unresolved(name: &str, why: &Unresolved) -> String {
    // No name has a `%`: behind it is the interface of an address.
    match name.split_once('%') {
        Some((address, interface)) if why.cause == Cause::NoSuchName => {
            format!("this machine has no interface \"{interface}\" to reach {address} by")
        }
        _ => format!("the name \"{name}\" does not resolve: {}", why.text),
    }
}

async fn land(mut landed: watch::Receiver<Option<Outcome>>) -> Outcome {
    match landed.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        Ok(None) | Err(_) => Err(Unresolved {
            text: "the look-up was given up".into(),
            cause: Cause::Ours,
        }),
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A thread's life: look-ups until none waits.
    fn work(&self) {
        while let Some(name) = self.next() {
            // Whoever waits is to hear of a panic, and the thread is counted as long as it lives.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.ask(&name))).unwrap_or_else(|_| {
                Err(Unresolved {
                    text: format!(
                        "resolve \"{name}\": the look-up panicked; this is a defect of webhooksd"
                    ),
                    cause: Cause::Ours,
                })
            });
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
        let refusal = match (self.look_up)(name) {
            Ok(addresses) if addresses.is_empty() => {
                return Err(Unresolved {
                    text: "it has no address".into(),
                    cause: Cause::NoSuchName,
                });
            }
            Ok(addresses) => return Ok(in_turn(addresses).into()),
            Err(refusal) => refusal,
        };
        let LookUpError {
            error,
            no_such_name,
        } = refusal;
        if is_ours(&error) {
            return Err(Unresolved {
                text: format!("resolve \"{name}\": {error}"),
                cause: Cause::Ours,
            });
        }
        Err(match machine_is_out() {
            Some(fault) => Unresolved {
                text: fault.0,
                cause: Cause::Ours,
            },
            None => Unresolved {
                text: reason(&error),
                cause: if no_such_name {
                    Cause::NoSuchName
                } else {
                    Cause::Failed
                },
            },
        })
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

    fn land(&mut self, name: &str, mut outcome: Outcome, now: Instant) {
        let Some(entry) = self.names.get_mut(name) else {
            return;
        };
        let flight = entry.flight.take();
        let no_such_name = |why: &Unresolved| why.cause == Cause::NoSuchName;
        entry.is_gone = outcome.as_ref().is_err_and(no_such_name);
        match &mut outcome {
            Ok(addresses) => {
                let mut ordered = addresses.to_vec();
                entry.standing.order(&mut ordered, now);
                *addresses = ordered.into();
                entry.known = Some(Known {
                    addresses: Arc::clone(addresses),
                    found_at: now,
                    fresh_until: now + FRESH,
                });
            }
            Err(_) if entry.is_gone => entry.known = None,
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

#[cfg(test)]
impl Resolver {
    pub(super) fn names(&self) -> usize {
        self.shared.state().names.len()
    }
}
