//! What work costs: the cores of a server, its one stream of WAL, and the core of each node, all in nanoseconds.
//!
//! Whoever has work done is told when it ends, and waits until then. The figures are those that the bench has measured of a
//! real server (`tests/load/runs/2026-11-30-0239.md`: 55.7 µs and 2,459 bytes a delivery of an event for one webhook, 31.5 and
//! 1,295 of one for ten), parted by what its statistics of statements and processes say. Work for which somebody waits takes one core from its begin to its end,
//! in the order in which it came. Left out: disks, caches that get cold, locks, and what a network takes.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Something that a server does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Rows of the outbox are read.
    Follows(usize),
    /// Events are taken in.
    Admits { events: usize, deliveries: usize },
    /// Results are recorded.
    Records(usize),
    /// Deliveries are read back, with their bodies.
    Reads(usize),
    /// It is looked whether there is something.
    Looks,
}

/// Nanoseconds of a server's core, and bytes of its WAL.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    ns: u64,
    /// The same, of what it does besides: nobody waits for that.
    aside_ns: u64,
    wal: u64,
}

/// Of a transaction, whatever is in it.
const TRANSACTION: Cost = Cost {
    ns: 195_000,
    aside_ns: 0,
    wal: 200,
};

/// A row of the outbox that is read.
const FOLLOWED: Cost = Cost {
    ns: 8_900,
    aside_ns: 0,
    wal: 0,
};

/// An event with its body.
const EVENT: Cost = Cost {
    ns: 15_500,
    aside_ns: 2_500,
    wal: 1_293,
};

/// A delivery that is made, and its attempt in the log.
const DELIVERY: Cost = Cost {
    ns: 8_600,
    aside_ns: 1_000,
    wal: 290,
};
const ATTEMPT: Cost = Cost {
    ns: 17_200,
    aside_ns: 2_000,
    wal: 876,
};

/// A delivery that is read back.
const BACK: Cost = Cost {
    ns: 13_000,
    aside_ns: 0,
    wal: 0,
};

/// A look.
const LOOK: Cost = Cost {
    ns: 100_000,
    aside_ns: 0,
    wal: 0,
};

impl Cost {
    fn times(self, count: usize) -> Self {
        let count = count as u64;
        Self {
            ns: self.ns * count,
            aside_ns: self.aside_ns * count,
            wal: self.wal * count,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            ns: self.ns + other.ns,
            aside_ns: self.aside_ns + other.aside_ns,
            wal: self.wal + other.wal,
        }
    }
}

impl Work {
    fn cost(self) -> Cost {
        match self {
            Self::Follows(rows) => LOOK.and(FOLLOWED.times(rows)),
            Self::Admits { events, deliveries } => TRANSACTION
                .and(EVENT.times(events))
                .and(DELIVERY.times(deliveries)),
            Self::Records(attempts) => TRANSACTION.and(ATTEMPT.times(attempts)),
            Self::Reads(rows) => LOOK.and(BACK.times(rows)),
            Self::Looks => LOOK,
        }
    }
}

/// See the module's text. Times are since the begin.
pub(super) struct Costs {
    begun: Instant,
    /// When each core of the server is free.
    cores: Vec<u64>,
    /// When what is in the stream of WAL has gone, and what a kilobyte of it takes.
    wal_free: u64,
    wal_kb_ns: u64,
    /// When each node's core is free.
    machines: BTreeMap<usize, u64>,
    /// When what was asked for last ends.
    owed: Option<u64>,
    pub(super) used: Used,
}

/// What has been used since the begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Of the server's cores, and of that for looking and for reading back.
    pub(super) server_ns: u64,
    pub(super) looks_ns: u64,
    pub(super) wal: u64,
    /// Attempts in the log.
    pub(super) recorded: u64,
}

impl Costs {
    /// A server of so many cores whose WAL goes at so many megabytes a second.
    pub(super) fn new(begun: Instant, cores: usize, wal_mb: u64) -> Self {
        Self {
            begun,
            cores: vec![0; cores],
            wal_free: 0,
            wal_kb_ns: 1_000_000 / wal_mb,
            machines: BTreeMap::new(),
            owed: None,
            used: Used::default(),
        }
    }

    fn now(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.begun);
        u64::try_from(since.as_nanos()).unwrap()
    }

    /// So long on whichever core is free first; when that ends.
    fn core(&mut self, now: u64, ns: u64) -> u64 {
        let free = self.cores.iter_mut().min().unwrap();
        *free = now.max(*free) + ns;
        self.used.server_ns += ns;
        *free
    }

    pub(super) fn charge(&mut self, work: Work) {
        let (cost, now) = (work.cost(), self.now());
        match work {
            Work::Records(attempts) => self.used.recorded += attempts as u64,
            Work::Reads(_) | Work::Looks => self.used.looks_ns += cost.ns,
            Work::Follows(_) | Work::Admits { .. } => {}
        }
        let done = self.core(now, cost.ns);
        if cost.aside_ns > 0 {
            self.core(now, cost.aside_ns);
        }
        self.used.wal += cost.wal;
        self.wal_free = self.wal_free.max(now) + cost.wal * self.wal_kb_ns / 1_000;
        let end = done.max(if cost.wal > 0 { self.wal_free } else { 0 });
        self.owed = Some(self.owed.map_or(end, |owed| owed.max(end)));
    }

    /// When what was asked for since this was asked last ends.
    pub(super) fn take_owed(&mut self) -> Option<Instant> {
        self.owed.take().map(|ns| self.at(ns))
    }

    /// A node's core works so long; when that ends.
    pub(super) fn works(&mut self, process: usize, ns: u64) -> Instant {
        let now = self.now();
        let free = self.machines.entry(process).or_default();
        *free = now.max(*free) + ns;
        let end = *free;
        self.at(end)
    }

    fn at(&self, ns: u64) -> Instant {
        self.begun + std::time::Duration::from_nanos(ns)
    }
}
