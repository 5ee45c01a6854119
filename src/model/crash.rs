//! Crash points: named places at which a test has the process end as `kill -9` ends it.
//!
//! Only with the cargo feature `faults`, which no build but that of the tests has: without it a
//! point is nothing, and no string of this file is in the program. With it `WEBHOOKSD_CRASH` names
//! the point, and `NAME*3` means the third time that it is reached; `WEBHOOKSD_CRASH_BY=panic` has
//! the thread panic there instead. Each name is in [`POINTS`], so
//! that the tests prove that every one of them is died at (tests/it/crash).

/// Every transaction of the log by its step, before its commit and after it.
pub const TRANSACTIONS: [&str; 30] = [
    "set the cursor",
    "set rows aside",
    "register webhooks",
    "admit events",
    "make owed deliveries",
    "form a batch",
    "record attempts",
    "write the roll-up",
    "start the WAL over",
    "redeliver",
    "pause a webhook",
    "resume webhooks",
    "ask for own events",
    "tell of pauses",
    "begin a replay",
    "replay events",
    "finish a replay",
    "give an id to a test",
    "add deliveries",
    "cancel deliveries",
    "cancel by order",
    "bring deliveries forward",
    "park deliveries",
    "fail unreadable deliveries",
    "pass turns on",
    "write a mark",
    "delete old rows",
    "delete old marks",
    "delete old roll-up rows",
    "bring pending deliveries over",
];

/// The two sides of a commit.
pub const BEFORE_COMMIT: &str = "before the commit";
/// The other one.
pub const COMMITTED: &str = "committed";

/// Every other point, as `step: moment`.
pub const POINTS: [&str; 29] = [
    "start: lock taken",
    "make the outbox: drafted",
    "make the outbox: in its place",
    "make the log: empty file",
    "migrate the log: before the commit",
    "migrate the log: committed",
    "start: cursor settled",
    "start: ready",
    "take events in: rows read",
    "take events in: offered",
    "send: taken",
    "send: before the request",
    "send: answered",
    "record attempts: let go",
    "synchronise: begun",
    "synchronise: done",
    "synchronise: before the WAL starts over",
    "sweep: pages given back",
    "prune the outbox: deleted",
    "redeliver: seen in the log",
    "replay events: chunk read",
    "reload: configuration read",
    "reload: webhooks exchanged",
    "append: before the commit",
    "append: committed",
    "append: before the answer",
    "stop: begun",
    "stop: in flight ended",
    "stop: synchronised",
];

/// Ends the process here where the environment says so.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) const fn point(_step: &str, _moment: &str) {}

/// Ends the process here where the environment says so.
#[cfg(feature = "faults")]
pub(crate) fn point(step: &str, moment: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("WEBHOOKSD_CRASH").ok()?;
        let (name, time) = text.split_once('*').unwrap_or((&text, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    });
    static REACHED: AtomicU64 = AtomicU64::new(0);

    let Some((name, time)) = &*CHOSEN else { return };
    let rest = name.strip_prefix(step).and_then(|r| r.strip_prefix(": "));
    if rest != Some(moment) || REACHED.fetch_add(1, Ordering::Relaxed) + 1 != *time {
        return;
    }
    let by = std::env::var_os("WEBHOOKSD_CRASH_BY");
    assert!(by.is_none_or(|by| by != "panic"), "on purpose");
    let sent =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Nothing of this thread may run on until the signal has ended it.
    while sent.is_ok() {
        std::thread::park();
    }
}
