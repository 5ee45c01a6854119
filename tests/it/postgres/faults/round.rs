//! A round: three nodes on one log, events that are committed all the while, and what has to be true at its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::logging_by;
use super::super::nodes::shared_out;
use super::endpoints::{Endpoints, Fails, HOOKS};
use crate::support::{Daemon, Database, SOON, World, check, eventually, nap, now};

/// The nodes' part of the configuration.
fn node() -> String {
    let lease = std::env::var("WEBHOOKSD_FAULT_LEASE").unwrap_or("1s".to_owned());
    format!("[node]\nlease = \"{lease}\"\n")
}

const NODES: usize = 3;

/// Told by the journal of whoever takes over.
const TAKEN_OVER: &str = "its webhooks are taken over";

/// What a machine may be late by that has much else to do.
const SLACK: Duration = Duration::from_millis(500);

/// What was written by a node just before its end has arrived.
const ON_THE_WIRE: Duration = Duration::from_millis(50);

/// A fault, by what may come twice for it.
struct Fault {
    from: Instant,
    to: Instant,
    /// Whether a node goes on from where it stood still: what it was about to send goes then.
    goes_on: bool,
}

/// What a round came to.
pub(super) struct Figures {
    pub(super) events: usize,
    pub(super) requests: usize,
    pub(super) twice: usize,
    /// Events that were sent though the server that is left has them not.
    pub(super) unknown: usize,
    pub(super) took_over: Vec<Duration>,
}

/// See the module's text.
pub(super) struct Round {
    databases: Vec<Database>,
    world: World,
    endpoints: Endpoints,
    pub(super) nodes: Vec<Daemon>,
    started: usize,
    events: Option<Events>,
    faults: Vec<Fault>,
    took_over: Vec<Duration>,
    /// Takeovers of which each journal has told.
    pub(super) told: usize,
}

/// Commits events until it is stopped.
struct Events {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Events {
    /// Where the first of the databases does not take it, the next is asked.
    fn begin(databases: &[Database], pause: Duration) -> Self {
        let again = |database: &Database| database.again();
        let databases: Vec<_> = databases.iter().map(again).collect();
        let stopped = Arc::new(AtomicBool::new(false));
        let told = stopped.clone();
        let thread = std::thread::spawn(move || {
            let mut n = 0;
            while !told.load(Ordering::Relaxed) {
                let sql = format!(
                    "INSERT INTO outbox (event, data) VALUES ('e', '{{\"n\":{n}}}'), ('e', '{{\"n\":{}}}')",
                    n + 1
                );
                // Whether what failed was committed after all is seen in the table.
                let _taken = databases.iter().any(|one| one.try_sql(&sql).is_ok());
                n += 2;
                nap(pause);
            }
        });
        Self { stopped, thread }
    }
}

impl Round {
    /// Three nodes have shared the webhooks out, and events come.
    pub(super) fn begin(
        url: &str,
        databases: Vec<Database>,
        fails: Fails,
        pause: Duration,
    ) -> Self {
        let endpoints = Endpoints::start(fails);
        let world = logging_by(url, &node(), &endpoints.hooks());
        let mut round = Self {
            databases,
            world,
            endpoints,
            nodes: Vec::new(),
            started: 0,
            events: None,
            faults: Vec::new(),
            took_over: Vec::new(),
            told: 0,
        };
        round.fill_up();
        round.events = Some(Events::begin(&round.databases, pause));
        round.flows();
        round
    }

    fn database(&self) -> &Database {
        &self.databases[0]
    }

    /// Waits until something has come behind this moment, and for a while more.
    pub(super) fn flows(&self) {
        let since = now();
        eventually("requests come", SOON, || {
            let first = self.endpoints.first_behind(since);
            check(first.is_some(), || self.journals())
        });
        nap(Duration::from_millis(400));
    }

    /// As many nodes as there were.
    pub(super) fn fill_up(&mut self) {
        while self.nodes.len() < NODES {
            self.started += 1;
            let name = format!("node{}", self.started);
            self.nodes.push(self.world.spawn(&["--node", &name]));
        }
        for node in &mut self.nodes {
            node.wait_ready();
        }
        shared_out(self.database(), NODES, HOOKS);
    }

    fn journals(&self) -> String {
        self.nodes.iter().map(Daemon::journal).collect()
    }

    fn takeovers(&self) -> usize {
        self.journals().matches(TAKEN_OVER).count()
    }

    /// Notes that what is on its way just now may come twice.
    fn may_repeat(&mut self, since: Duration, goes_on: bool) {
        let now = now();
        self.faults.push(Fault {
            from: now.checked_sub(since + SLACK).unwrap(),
            to: now + SLACK,
            goes_on,
        });
    }

    fn wait_taken_over(&mut self, begun: Instant, before: usize, nodes: usize) {
        eventually("they are taken over", SOON, || {
            let count = self.takeovers();
            check(count >= before + nodes, || self.journals())
        });
        // What was on the wire as the fault came has arrived by then.
        eventually("each webhook has requests again", SOON, || {
            let silent = self.endpoints.silent_since(begun + ON_THE_WIRE);
            check(silent.is_empty(), || {
                format!("{silent:?}\n{}", self.journals())
            })
        });
        self.took_over.push(begun.elapsed());
        self.told += nodes;
    }

    /// Kills so many nodes, whoever leads among them, and waits for the others to take over.
    pub(super) fn kill(&mut self, nodes: usize) {
        self.may_repeat(Duration::ZERO, false);
        let begun = now();
        let killed: Vec<_> = self.nodes.drain(..nodes).collect();
        let before = self.takeovers();
        killed.into_iter().for_each(Daemon::kill);
        self.wait_taken_over(begun, before, nodes);
        self.fill_up();
        self.flows();
    }

    /// Has so many nodes stand still for so long.
    pub(super) fn stop(&mut self, nodes: usize, span: Duration) {
        self.may_repeat(Duration::ZERO, true);
        let before = self.takeovers();
        let begun = now();
        self.send(nodes, Signal::STOP);
        if span > Duration::from_secs(1) {
            self.wait_taken_over(begun, before, nodes);
        }
        nap(span.saturating_sub(begun.elapsed()));
        self.goes_on(nodes);
        shared_out(self.database(), NODES, HOOKS);
        self.flows();
    }

    pub(super) fn send(&self, nodes: usize, signal: Signal) {
        for node in self.nodes.iter().take(nodes) {
            node.signal(signal);
        }
    }

    /// They go on.
    pub(super) fn goes_on(&mut self, nodes: usize) {
        self.may_repeat(Duration::ZERO, true);
        self.send(nodes, Signal::CONT);
    }

    /// The server loses what it was told in the last while.
    pub(super) fn forgets(&mut self, of: Duration) {
        self.may_repeat(of, false);
    }

    /// There is a server again: when requests come again.
    pub(super) fn serves_again(&mut self) {
        let begun = now();
        eventually("requests come again", SOON, || {
            let first = self.endpoints.first_behind(begun);
            check(first.is_some(), || self.journals())
        });
        self.took_over.push(begun.elapsed());
        nap(SLACK);
    }

    /// The server that takes events from now on.
    pub(super) fn left_with(&mut self, at: usize) {
        self.databases.swap(0, at);
    }

    /// No events come any more, and all that the server has have arrived: what that came to.
    pub(super) fn end(mut self) -> Figures {
        let events = self.events.take().unwrap();
        events.stopped.store(true, Ordering::Relaxed);
        events.thread.join().unwrap();
        let rows = self.database().sql("SELECT data->>'n' FROM outbox");
        let expected: Vec<i64> = rows.lines().map(|row| row.parse().unwrap()).collect();
        eventually("none is lost", SOON, || {
            let lacking = self.endpoints.lacking(&expected);
            check(lacking.is_empty(), || {
                format!("{} lost: {lacking:?}\n{}", lacking.len(), self.journals())
            })
        });
        // Of what the server forgot, results may have come late, which are told.
        let least = expected.len() * HOOKS;
        eventually("all is in the log", SOON, || {
            let sql = "SELECT state, count(*) FROM webhooksd.delivery GROUP BY state";
            let states = self.database().sql(sql);
            let count = states.strip_prefix("delivered|");
            let count = count.and_then(|count| count.parse::<usize>().ok());
            check(count >= Some(least), || format!("{states}, not {least}"))
        });
        let takeovers = self.takeovers();
        for node in self.nodes.drain(..) {
            node.stop();
        }
        self.judge(&expected, takeovers)
    }

    fn judge(&self, expected: &[i64], takeovers: usize) -> Figures {
        let seen = self.endpoints.seen();
        let is_excused = |at: Instant| {
            let faults = self.faults.iter();
            let mut stood = faults.filter(|fault| fault.goes_on);
            stood.any(|fault| at >= fault.from && at <= fault.to)
        };
        let above: Vec<_> = seen
            .above
            .iter()
            .filter(|(at, ..)| !is_excused(*at))
            .collect();
        assert!(above.is_empty(), "more in flight than may be: {above:?}");
        let expected: BTreeSet<i64> = expected.iter().copied().collect();
        let overtaken = seen.overtaken.iter();
        let overtaken: Vec<_> = overtaken
            .filter(|(_, n, before)| expected.contains(n) && expected.contains(before))
            .collect();
        assert!(overtaken.is_empty(), "out of order: {overtaken:?}");
        let twice = seen.twice(&expected);
        let on_the_way = self.faults.iter();
        let on_the_way: usize = on_the_way
            .map(|fault| seen.between(fault.from, fault.to))
            .sum();
        // Where a machine was so busy that it took a node for dead that lives, that is one more fault.
        if takeovers <= self.told {
            assert!(
                twice <= on_the_way,
                "{twice} twice, of {on_the_way} on the way"
            );
        }
        let unknown: BTreeSet<i64> = seen.arrivals.iter().map(|one| one.n).collect();
        Figures {
            events: expected.len(),
            requests: seen.arrivals.len(),
            twice,
            unknown: unknown.difference(&expected).count(),
            took_over: self.took_over.clone(),
        }
    }
}
