//! Relying on the doorbell: when to ask for it, and how long a look may wait for it.
//!
//! The application's commits notify only while a value says that we sleep, so it says so only where few rows come.
//! A transaction that was under way when it was set may have looked at it before; until those have ended, looks go on as
//! without a doorbell. So they do until it has rung for the first time, and again where rows came without a ring: a
//! pooler hears nothing, and nobody says so.

use std::time::Duration;

/// The longest wait between two looks without a doorbell: some 0.3 % of a core of the server's.
pub(super) const IDLE: Duration = Duration::from_millis(50);

/// The same where a doorbell is relied on: for a ring that is lost on its way.
const NET: Duration = Duration::from_secs(1);

/// So many looks in a row that found rows, some milliseconds: to be rung for costs the application more than looks do.
const BUSY: u32 = 8;

/// So many rows of one look: they come faster than looks.
const MANY: usize = 4;

/// So many looks in a row that found none: asleep again.
const QUIET: u32 = 3;

/// Rows found so often without a ring: it is not relied on.
const DEAF: u32 = 5;

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Asleep,
    Awake,
}

/// What is known of the doorbell.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// It is said that we sleep.
    asleep: bool,
    /// Who was under way when that was said, as far as they still are; `None`: not looked yet.
    before: Option<Vec<String>>,
    /// It rang, and rows did not come without it since.
    rings: bool,
    missed: u32,
    found: u32,
    empty: u32,
}

impl Bell {
    /// A look found so many rows, while these transactions were under way. `rung`: since the look before.
    pub(super) fn looked(&mut self, rung: bool, rows: usize, under_way: &[String]) -> Option<Tell> {
        if rung {
            (self.rings, self.missed) = (true, 0);
        }
        if rows > 0 {
            // Only the first rows are behind a wait.
            if self.found == 0 && !rung && self.is_set() {
                self.missed += 1;
                self.rings &= self.missed < DEAF;
            }
            self.found = self.found.saturating_add(1);
            self.empty = 0;
            return (self.asleep && (self.found >= BUSY || rows >= MANY)).then_some(Tell::Awake);
        }
        self.found = 0;
        self.empty = self.empty.saturating_add(1);
        if !self.asleep {
            return (self.empty >= QUIET).then_some(Tell::Asleep);
        }
        match &mut self.before {
            None => self.before = Some(under_way.to_vec()),
            Some(before) => before.retain(|xid| under_way.contains(xid)),
        }
        None
    }

    /// That is said now.
    pub(super) fn told(&mut self, tell: Tell) {
        self.asleep = tell == Tell::Asleep;
        self.before = None;
        self.empty = 0;
    }

    /// It is said that we sleep.
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Rows came without a ring, so often that it is no chance.
    pub(super) fn is_deaf(&self) -> bool {
        self.missed >= DEAF
    }

    /// Whether every commit from now on rings.
    fn is_set(&self) -> bool {
        self.asleep && self.before.as_ref().is_some_and(Vec::is_empty)
    }

    /// How long a look may be waited for; `hears`: there is a connection that hears the ring.
    pub(super) fn longest(&self, hears: bool) -> Duration {
        if hears && self.rings && self.is_set() {
            NET
        } else {
            IDLE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asleep() -> Bell {
        let mut bell = Bell::default();
        for _ in 1..QUIET {
            assert_eq!(bell.looked(false, 0, &[]), None);
        }
        assert_eq!(bell.looked(false, 0, &[]), Some(Tell::Asleep));
        bell.told(Tell::Asleep);
        bell
    }

    fn relied_on() -> Bell {
        let mut bell = asleep();
        assert_eq!(bell.looked(true, 1, &[]), None);
        assert_eq!(bell.looked(false, 0, &[]), None);
        assert_eq!(bell.longest(true), NET);
        bell
    }

    #[test]
    fn it_is_relied_on_once_it_rang_and_while_somebody_hears() {
        let mut bell = asleep();
        assert_eq!(bell.looked(false, 0, &[]), None);
        assert_eq!(bell.longest(true), IDLE, "it never rang");
        let bell = relied_on();
        assert_eq!(bell.longest(false), IDLE);
    }

    #[test]
    fn who_was_under_way_before_is_looked_for_as_ever() {
        let mut bell = asleep();
        let under_way = ["7".to_owned(), "9".to_owned()];
        bell.looked(true, 0, &under_way);
        assert_eq!(bell.longest(true), IDLE);
        bell.looked(false, 0, &["9".to_owned(), "12".to_owned()]);
        assert_eq!(bell.longest(true), IDLE);
        bell.looked(false, 0, &["12".to_owned()]);
        assert_eq!(bell.longest(true), NET, "12 looks at it as it is");
    }

    #[test]
    fn under_load_nobody_rings() {
        let mut bell = relied_on();
        for _ in 1..BUSY {
            assert_eq!(bell.looked(true, 1, &[]), None);
        }
        assert_eq!(bell.looked(true, 1, &[]), Some(Tell::Awake));
        bell.told(Tell::Awake);
        assert_eq!(bell.longest(true), IDLE);
        assert_eq!(bell.looked(false, 1, &[]), None, "told already");
        let mut bell = relied_on();
        assert_eq!(bell.looked(true, MANY, &[]), Some(Tell::Awake));
    }

    #[test]
    fn rows_that_come_without_a_ring_end_that() {
        let mut bell = relied_on();
        for n in 1..=DEAF {
            assert!(!bell.is_deaf(), "{n}");
            bell.looked(false, 1, &[]);
            bell.looked(false, 0, &[]);
        }
        assert!(bell.is_deaf());
        assert_eq!(bell.longest(true), IDLE);
        bell.looked(true, 1, &[]);
        bell.looked(false, 0, &[]);
        assert!(!bell.is_deaf());
        assert_eq!(bell.longest(true), NET);
    }
}
